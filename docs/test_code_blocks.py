"""The Python blocks of every page run, in order, one page as one program in an empty directory."""

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(page for pattern in ("*.md", "docs/**/*.md", "packages/*/README.md") for page in ROOT.glob(pattern))
FENCE = re.compile(r"\s*```(\w*)")
# What pages use beside atdata and need not be installed
OPTIONAL = {"PIL", "datasets", "pandas", "polars", "pyarrow", "torch"}


def program(page: Path) -> str:
    """The page with all but its Python blocks blanked, so that a traceback names the page's own lines."""
    lines: list[str] = []
    language: str | None = None
    for line in page.read_text(encoding="utf-8").splitlines():
        if fence := FENCE.match(line):
            language = fence[1] if language is None else None
            line = ""
        lines.append(line if language == "python" else "")
    assert language is None, f"{page}: a code block is not closed"
    return "\n".join(lines)


PROGRAMS = {str(page.relative_to(ROOT)): text for page in PAGES if (text := program(page)).strip()}


def missing(code: str) -> list[str]:
    """What a program imports of the optional libraries and is not installed."""
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports]
    return sorted(name for name in {module.split(".")[0] for module in modules} & OPTIONAL if not find_spec(name))


@pytest.mark.parametrize("page", PROGRAMS)
def test_page_runs(page: str, tmp_path: Path) -> None:
    if lacking := missing(PROGRAMS[page]):
        pytest.skip(f"{page} needs {', '.join(lacking)}; nox -s docs installs all but torch, which nox -s torch does")
    script = tmp_path / "page.py"
    script.write_text(PROGRAMS[page], encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, f"{page}, by its own line numbers:\n{done.stdout}\n{done.stderr}"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = re.search(r"^python3 -m venv .* nox .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert command
    assert command[0] in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
