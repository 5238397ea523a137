"""What goes wrong most often, and what the command says of it: one line, and what to do next."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

import atdata

from .conftest import Run

TYPES = """
import atdata

class Odd:
    pass

@atdata.packable
class Bad:
    n: Odd
"""

WITHOUT = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {0!r}:
            raise ModuleNotFoundError("No module named {0}", name={0!r})

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder of what is no dataset, or not quite."""
    atdata.write_samples([{"n": 1}], tmp_path / "n.tar")
    (tmp_path / "n.tar.gz").write_bytes(gzip.compress((tmp_path / "n.tar").read_bytes()))
    (tmp_path / "cut.tar").write_bytes((tmp_path / "n.tar").read_bytes()[:700])
    (tmp_path / "empty.tar").touch()
    (tmp_path / "nothing").mkdir()
    (tmp_path / "badtypes.py").write_text(TYPES)
    with tarfile.open(tmp_path / "foreign.tar", "w") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    return tmp_path


FOREIGN = (
    "Malformed sample: 'msgpack' field not found; its first member is 'a.txt'. "
    "Write samples with atdata.write_samples, or with sample.as_wds and a WebDataset writer"
)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["head", "foreign.tar"], FOREIGN),
        (["stats", "foreign.tar"], FOREIGN),
        (["head", "foreign.tar"], "atdata validate finds all such places"),
        (
            ["head", "n.tar", "--type", "badtypes:Bad"],
            "type Odd cannot be stored. Supported: str, int, float",
        ),
        (["head", "n.tar.gz"], "gzip-compressed; decompress it first, for example with gunzip"),
        (["head", "cut.tar"], "truncated"),
        (["head", "empty.tar"], "empty: 0 bytes is not a tar, perhaps a write or download that failed"),
        (["head", "m.tar"], "no shard at m.tar; in "),
        (["head", "n-{0..3}.tar"], "no shard at n-0.tar; in "),
        (["head", "n-{0..3.tar"], "the braces are not balanced"),
        (["head", "nothing"], "there is nothing"),
        (["head", "n.tar", "--split", "test"], "Split 'test' not found; there is 'train' (1 shard)"),
        (["head", "pipe:cat n.tar"], "would run a command in a shell"),
        (["head", "http://127.0.0.1:1/folder/"], "Give its manifest, 'http://127.0.0.1:1/folder/manifest.json'"),
        (["stats", "n.tar", "--type", "n"], "write it as package.module:Class"),
        (["index", "show", "digits"], "In a shell: atdata index list"),
        (["schema", "show", "Digit"], "In a shell: atdata schema list"),
        (["diagnose", "--index", "redis://127.0.0.1:1"], "Is the server running, and is this its address?"),
        (["diagnose", "--index", "nonsense://x"], "use sqlite:///path/of/index.sqlite3, redis://host:6379/0"),
    ],
)
def test_errors_are_one_line_with_advice(run: Run, places: Path, arguments: list[str], advice: str) -> None:
    if arguments[0] in ("index", "schema", "diagnose"):
        pytest.importorskip("atdata_local", reason="atdata-local is not installed")
    done = run(*arguments, PYTHONPATH=str(places))
    assert done.code == (2 if "--type" in arguments and "Bad" not in arguments[-1] else 1)
    assert done.out == ""
    assert advice in done.err
    if done.code == 1:
        (line,) = done.err.splitlines()
        assert line.startswith("atdata: ")


@pytest.mark.parametrize("shard", ["foreign.tar", "cut.tar", "empty.tar"])
def test_validate_and_inspect_report_what_stops_others(run: Run, places: Path, shard: str) -> None:
    checked = run("validate", shard)
    assert (checked.code, checked.err) == (1, "")
    assert checked.out.startswith(shard)
    inspected = run("inspect", shard)
    assert (inspected.code, inspected.err) == (0, "")
    assert "problem: " in inspected.out


@pytest.mark.parametrize(
    ("blocked", "arguments", "extra"),
    [
        ("PIL", ["head", "n.tar", "--image", "n"], "atdata-cli[images]"),
        ("matplotlib", ["stats", "n.tar", "--plot", "n.png"], "atdata-cli[plots]"),
        ("boto3", ["head", "s3://bucket/n.tar"], "atdata-local[s3]"),
        ("redis", ["diagnose", "--index", "redis://127.0.0.1:1"], "atdata-local[redis]"),
    ],
)
def test_a_missing_library_is_told_with_what_installs_it(
    execute: Run, tmp_path: Path, blocked: str, arguments: list[str], extra: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(blocked))
    atdata.write_samples([{"n": 1}], tmp_path / "n.tar")
    done = execute(*arguments, PYTHONPATH=str(tmp_path))
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert f"pip install '{extra}'" in line
