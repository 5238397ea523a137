"""Shards written by one process are read by others: GNU tar, Python's tarfile, WebDataset, and atdata again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WRITER = """
import sys
import numpy as np
from numpy.typing import NDArray
import atdata

@atdata.packable
class Row:
    number: int
    text: str
    image: NDArray[np.float32]

first, path = int(sys.argv[1]), sys.argv[2]
def row(n):
    return Row(number=n, text=f"row {n} \\N{SNOWMAN}", image=np.full((2, 3), n, np.float32))

atdata.write_samples((row(n) for n in range(first, first + 30)), path, maxcount=10)
"""

# Each reader prints, for each sample of the shard it is given, a line of JSON: number, text, and the image's shape,
# dtype and sum.
SHOW = """
import io, json, sys
import numpy as np
import ormsgpack

def show(payload):
    fields = ormsgpack.unpackb(payload)
    image = np.load(io.BytesIO(fields["image"]), allow_pickle=False)
    print(json.dumps([fields["number"], fields["text"], image.shape, image.dtype.str, float(image.sum())]))
"""
READERS = {
    "tarfile": """
import tarfile
with tarfile.open(sys.argv[1]) as shard:
    for member in shard:
        assert member.name.endswith(".msgpack"), member.name
        show(shard.extractfile(member).read())
""",
    "webdataset": """
import webdataset
for sample in webdataset.WebDataset(sys.argv[1], shardshuffle=False):
    show(sample["msgpack"])
""",
    "GNU tar": """
import subprocess
names = subprocess.run(["tar", "-tf", sys.argv[1]], check=True, capture_output=True, text=True).stdout.splitlines()
for name in names:
    show(subprocess.run(["tar", "-xOf", sys.argv[1], name], check=True, capture_output=True).stdout)
""",
    "atdata": """
import atdata
for sample in atdata.Dataset(sys.argv[1]).ordered():
    show(sample.packed)
""",
}


GNU_TAR = pytest.mark.skipif(
    "GNU" not in subprocess.run(["tar", "--version"], capture_output=True, text=True).stdout,
    reason="the tar of this machine is not GNU tar",
)


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def expected(first: int) -> list[object]:
    return [[n, f"row {n} \N{SNOWMAN}", [2, 3], "<f4", 6.0 * n] for n in range(first, first + 10)]


@pytest.mark.parametrize("reader", ["atdata", pytest.param("GNU tar", marks=GNU_TAR), "tarfile", "webdataset"])
def test_another_program_reads_what_we_write(reader: str, tmp_path: Path) -> None:
    output(python(WRITER, 0, tmp_path / "rows.tar"))
    shards = sorted(tmp_path.glob("*.tar"))
    assert [shard.name for shard in shards] == [f"rows-{n:06d}.tar" for n in range(3)]
    for number, shard in enumerate(shards):
        lines = output(python(SHOW + READERS[reader], shard)).splitlines()
        assert [json.loads(line) for line in lines] == expected(10 * number)


@GNU_TAR
def test_gnu_tar_writes_what_we_read(tmp_path: Path) -> None:
    output(python(WRITER, 0, tmp_path / "rows.tar"))
    members = tmp_path / "members"
    members.mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "rows-000000.tar", "-C", members], check=True)
    again = tmp_path / "again" / "rows.tar"
    again.parent.mkdir()
    names = sorted(path.name for path in members.iterdir())
    for form in ("gnu", "posix", "ustar", "v7"):
        subprocess.run(["tar", f"--format={form}", "-cf", again, "-C", members, *names], check=True)
        lines = output(python(SHOW + READERS["atdata"], again)).splitlines()
        assert [json.loads(line) for line in lines] == expected(0), form


def test_processes_that_write_into_one_folder_leave_one_manifest(tmp_path: Path) -> None:
    writers = [python(WRITER, 30 * n, tmp_path / f"part{n}.tar") for n in range(4)]
    for writer in writers:
        output(writer)
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    facts = {shard["name"]: shard for shard in manifest["shards"]}
    assert set(facts) == {path.name for path in tmp_path.glob("*.tar")}
    assert len(facts) == 12
    for name, shard in facts.items():
        assert shard["samples"] == 10
        assert shard["bytes"] == (tmp_path / name).stat().st_size
