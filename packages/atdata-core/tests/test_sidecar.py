"""Sidecars: a cache of positions that is believed only where it fits its shard."""

import io
import random
import re
import shutil
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atdata
from atdata.manifest import ShardFacts, read_manifest
from atdata.manifest.sidecar import Sidecar, read_sidecar, sidecar_bytes, sidecar_name
from atdata.shard.reader import read_records

SIZE = 10_000
DIGEST = bytes(range(32))


def shard(folder: Path, sidecar: bytes | None = None, size: int = SIZE) -> Path:
    path = folder / "s.tar"
    path.write_bytes(bytes(size))
    if sidecar is not None:
        (folder / "s.tar.index").write_bytes(sidecar)
    return path


def lists(sidecar: Sidecar | None) -> tuple[list[int], list[int]]:
    assert sidecar is not None
    return sidecar.starts.tolist(), sidecar.sizes.tolist()


def facts_of(samples: int, digest: bytes = DIGEST) -> ShardFacts:
    return ShardFacts("s.tar", samples, SIZE, digest.hex(), "a")


def ignored(path: Path, reason: str, facts: ShardFacts | None = None) -> None:
    with pytest.warns(UserWarning, match=f"{re.escape(path.name)}.*is ignored.*{reason}"):
        assert read_sidecar(path, facts) is None


spans = st.lists(st.tuples(st.integers(512, SIZE), st.integers(0, SIZE)).filter(lambda span: sum(span) <= SIZE))


@settings(deadline=None)
@given(spans)
def test_positions_come_back(tmp_path_factory: Any, positions: list[tuple[int, int]]) -> None:
    starts, sizes = [start for start, _ in positions], [size for _, size in positions]
    folder = tmp_path_factory.mktemp("sidecar")
    path = shard(folder, sidecar_bytes(starts, sizes, SIZE, DIGEST))
    assert lists(read_sidecar(path)) == lists(read_sidecar(path, facts_of(len(starts)))) == (starts, sizes)
    shutil.rmtree(folder)


def test_positions_are_int64_arrays_and_the_file_is_as_documented(tmp_path: Path) -> None:
    data = sidecar_bytes([512, 2048], [7, 8], SIZE, DIGEST)
    assert data == struct.pack("<8sQ32sQ4Q", b"ATDINDEX", SIZE, DIGEST, 2, 512, 2048, 7, 8)
    found = read_sidecar(shard(tmp_path, data))
    assert (found.starts.dtype, found.sizes.dtype) == (np.int64, np.int64)


def test_a_shard_without_a_sidecar_has_none_and_nothing_is_said(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_sidecar(shard(tmp_path)) is None
        assert read_sidecar(shard(tmp_path), facts_of(1)) is None


def test_a_sidecar_of_a_shard_of_another_size_is_ignored(tmp_path: Path) -> None:
    path = shard(tmp_path, sidecar_bytes([512], [7], SIZE - 1, DIGEST))
    ignored(path, "9,999 bytes, this one has 10,000")


def test_a_sidecar_of_another_digest_than_the_manifests_is_ignored(tmp_path: Path) -> None:
    path = shard(tmp_path, sidecar_bytes([512], [7], SIZE, DIGEST))
    ignored(path, "another sha-256", facts_of(1, bytes(32)))
    assert read_sidecar(path, facts_of(1)) is not None


def test_a_sidecar_of_another_count_than_the_manifests_is_ignored(tmp_path: Path) -> None:
    ignored(shard(tmp_path, sidecar_bytes([512], [7], SIZE, DIGEST)), "number of samples", facts_of(3))


def test_truncated_and_lengthened_sidecars_are_ignored(tmp_path: Path) -> None:
    data = sidecar_bytes([512, 2048], [7, 8], SIZE, DIGEST)
    for length in range(len(data)):
        ignored(shard(tmp_path, data[:length]), "truncated")
    ignored(shard(tmp_path, data + b"\0"), "truncated")


@pytest.mark.parametrize(
    "data", [b"", b"text", bytes(56), bytes(500), b"ATDINDEX" + b"\xff" * 48, b"\xff" * 88], ids=range(6)
)
def test_garbage_is_ignored(data: bytes, tmp_path: Path) -> None:
    ignored(shard(tmp_path, data), "")


@pytest.mark.parametrize(
    ("start", "size"),
    [
        (SIZE, 1),
        (SIZE + 1, 0),
        (0, SIZE + 1),
        (1 << 62, 0),
        (0, 1 << 62),
        ((1 << 63) - 1, 1),
        ((1 << 63) - 1, (1 << 63) - 1),
        (1 << 62, 1 << 62),
        (1 << 63, 0),
        (0, 1 << 63),
        ((1 << 64) - 1, 2),
        ((1 << 64) - 512, 512),
    ],
)
def test_positions_outside_the_shard_are_ignored(start: int, size: int, tmp_path: Path) -> None:
    for starts, sizes in [([start], [size]), ([512, start, 1024], [7, size, 7])]:
        ignored(shard(tmp_path, sidecar_bytes(starts, sizes, SIZE, DIGEST)), "outside the shard")


def test_a_count_that_the_file_does_not_have_is_ignored(tmp_path: Path) -> None:
    for count in (0, 1, 3, 1 << 32, 1 << 60, (1 << 64) - 1):
        data = struct.pack("<8sQ32sQ4Q", b"ATDINDEX", SIZE, DIGEST, count, 512, 2048, 7, 8)
        ignored(shard(tmp_path, data), "truncated")


def test_a_folder_in_the_sidecars_place_is_ignored(tmp_path: Path) -> None:
    path = shard(tmp_path)
    (tmp_path / "s.tar.index").mkdir()
    ignored(path, "")


def test_damaged_sidecars_are_ignored_or_point_inside_the_shard(tmp_path: Path) -> None:
    rng = random.Random(3)
    good = sidecar_bytes([512, 2048, 4096], [7, 8, 900], SIZE, DIGEST)
    path = shard(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(200):
            damaged = bytearray(good)
            for _ in range(rng.randint(1, 3)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            (tmp_path / "s.tar.index").write_bytes(damaged)
            found = read_sidecar(path)
            if found is not None:
                ends = [start + size for start, size in zip(*lists(found), strict=True)]
                assert min(lists(found)[0]) >= 0
                assert max(ends) <= SIZE


def test_writers_leave_sidecars_that_say_where_samples_are(tmp_path: Path) -> None:
    rows = [{"n": n, "text": "x" * (n * 37)} for n in range(50)]
    atdata.write_samples(rows, tmp_path / "d-%d.tar", maxcount=20, key=lambda n, _: "long/" * (n % 40) + str(n))
    manifest = read_manifest(tmp_path)
    assert len(manifest.shards) == 3
    for name, facts in manifest.shards.items():
        data = (tmp_path / name).read_bytes()
        starts, sizes = lists(read_sidecar(tmp_path / name, facts))
        payloads = [data[start : start + size] for start, size in zip(starts, sizes, strict=True)]
        assert payloads == [record.payload for record in read_records(io.BytesIO(data), name)]
    assert sorted(path.name for path in tmp_path.glob("*.index")) == sorted(map(sidecar_name, manifest.shards))
