"""Shards of the older atdata (0.3 to 0.7) and of this one are read by each other, arrays and all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OLDER = os.environ.get("ATDATA_OLDER")  # a Python that has it; both are called atdata, so it cannot be this one
if OLDER is None:
    pytest.skip("ATDATA_OLDER names no Python with an older atdata; nox -s interop makes one", allow_module_level=True)
PYTHONS = {"older": OLDER, "this": sys.executable}

COMMON = """
import json, sys
import numpy as np
from numpy.typing import NDArray
import atdata

@atdata.packable
class Row:
    number: int
    score: float
    good: bool
    text: str
    raw: bytes
    tags: list[str]
    image: NDArray
    mask: NDArray | None = None
    note: str | None = None

DTYPES = ["u1", "i2", "<i4", "<i8", "<f2", "<f4", "<f8", "?", "<c8"]

def row(n):
    image = (np.arange(24).reshape(2, 3, 4) + n).astype(DTYPES[n % len(DTYPES)])
    if n % 4 == 1:
        image = image[:, :0]
    if n % 4 == 2:
        image = np.asfortranarray(image)
    return Row(number=n - 5, score=n / 3, good=n % 2 == 0, text=f"row {n} \\N{SNOWMAN}", raw=bytes(range(n)),
               tags=["a"] * (n % 3), image=image, mask=np.ones(n, bool) if n % 2 else None, note=None if n % 3 else "n")

def seen(array):
    return None if array is None else [array.shape, array.dtype.str.lstrip("=<>|"), array.tolist().__repr__()]

def show(r):
    return [r.number, r.score, r.good, r.text, bytes(r.raw).hex(), list(r.tags), seen(r.image), seen(r.mask), r.note]
"""
WRITE = COMMON + "atdata.write_samples([row(n) for n in range(27)], sys.argv[1])"
READ = COMMON + "print(json.dumps([show(r) for r in atdata.Dataset[Row](sys.argv[1]).ordered()]))"
READ_BATCH = (
    COMMON
    + """
(batch,) = atdata.Dataset[Row](sys.argv[1]).ordered(batch_size=27)
print(json.dumps([show(r) for r in batch.samples]))
"""
)
EXPECTED = COMMON + "print(json.dumps([show(row(n)) for n in range(27)]))"


def run(who: str, program: str, *arguments: Path) -> Any:
    done = subprocess.run([PYTHONS[who], "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


@pytest.mark.parametrize("reader", PYTHONS)
@pytest.mark.parametrize("writer", PYTHONS)
@pytest.mark.parametrize("program", [READ, READ_BATCH], ids=["samples", "batches"])
def test_what_one_writes_the_other_reads(writer: str, reader: str, program: str, tmp_path: Path) -> None:
    shard = tmp_path / "rows.tar"
    run(writer, WRITE, shard)
    assert run(reader, program, shard) == run(reader, EXPECTED)


def test_the_older_one_is_not_this_one() -> None:
    versions = {who: run(who, "import atdata; print('\"' + atdata.__file__ + '\"')") for who in PYTHONS}
    assert versions["older"] != versions["this"]
