"""Every example runs, in an empty directory."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent / "examples").glob("*.py"))


NEEDS = {"train_torch": "torch"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    if (needed := NEEDS.get(example.stem)) and not find_spec(needed):
        pytest.skip(f"{needed} is not installed; nox -s {needed} installs it")
    done = subprocess.run([sys.executable, example], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
