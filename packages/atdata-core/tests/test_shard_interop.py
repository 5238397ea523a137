"""Shards that others write or read: GNU tar, Python's ``tarfile``, WebDataset."""

import io
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from numpy.typing import NDArray

import atdata
from atdata.errors import MalformedSample

# WebDataset leaves its files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def gnu_tar(*arguments: object, cwd: Path | None = None) -> bytes:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["tar", *map(str, arguments)], capture_output=True, check=True, cwd=cwd, env=environment, timeout=60
    )
    assert done.stderr == b""
    return done.stdout


def has_gnu_tar() -> bool:
    return shutil.which("tar") is not None and b"GNU tar" in gnu_tar("--version")


needs_gnu_tar = pytest.mark.skipif(not has_gnu_tar(), reason="needs GNU tar")


@atdata.packable
class Picture:
    image: NDArray[np.uint8]
    label: str
    number: int = 0


KEYS = [
    "0001",
    "train/0002",
    "日本/標籤-😀",
    "with space",
    "quote'\"",
    "long/" * 40 + "name",
    "ü" * 60,
    "tab\tnewline\n",
]


def pictures() -> list[Picture]:
    return [Picture(np.full((n, 3), n, np.uint8), f"Etikett ü{n}", n) for n in range(len(KEYS))]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.tar"
    atdata.write_samples(pictures(), path, key=lambda number, _: KEYS[number])
    return path


# -------------------------------------------------------------------------------------- ours, read by others


def test_tarfile_reads_our_shards(shard: Path) -> None:
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
        payloads = [tar.extractfile(member).read() for member in members]
    assert [member.name for member in members] == [f"{key}.msgpack" for key in KEYS]
    assert all(member.isreg() and member.mtime == 0 and member.mode == 0o644 for member in members)
    assert [Picture.from_bytes(payload) for payload in payloads] == pictures()


@needs_gnu_tar
def test_gnu_tar_lists_and_extracts_our_shards(shard: Path, tmp_path: Path) -> None:
    names = gnu_tar("--list", "--quoting-style=literal", "--null", "--file", shard).decode()
    assert names == "".join(f"{key}.msgpack\n" for key in KEYS)
    target = tmp_path / "extracted"
    target.mkdir()
    gnu_tar("--extract", "--file", shard, "--directory", target)
    found = [Picture.from_bytes((target / f"{key}.msgpack").read_bytes()) for key in KEYS]
    assert found == pictures()


@needs_gnu_tar
def test_gnu_tar_finds_our_shards_equal_to_what_it_extracted(shard: Path, tmp_path: Path) -> None:
    target = tmp_path / "extracted"
    target.mkdir()
    gnu_tar("--extract", "--file", shard, "--directory", target)
    assert gnu_tar("--compare", "--file", shard, "--directory", target) == b""


def test_webdataset_reads_our_shards(shard: Path) -> None:
    found = list(wds.WebDataset(str(shard), shardshuffle=False))
    assert [sample["__key__"] for sample in found] == KEYS
    assert [Picture.from_bytes(sample["msgpack"]) for sample in found] == pictures()
    dataset = atdata.Dataset[Picture](shard)
    assert [dataset.wrap(sample) for sample in found] == pictures()


# -------------------------------------------------------------------------------------- others', read by us


def read_back(path: Any) -> list[Picture]:
    """The samples in order, after making sure that all ways of reading agree."""
    dataset = atdata.Dataset[Picture](path)
    found = list(dataset)
    assert list(dataset.ordered()) == found
    assert [sample for batch in dataset.ordered(batch_size=3) for sample in batch] == found
    assert [number for batch in dataset.ordered(batch_size=3) for number in batch.number] == [p.number for p in found]
    assert sorted(picture.number for picture in dataset.shuffled(seed=1)) == sorted(p.number for p in found)
    return found


def test_our_own_shards_read_back(shard: Path) -> None:
    assert read_back(shard) == pictures()


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("mtime", [None, 0.0, 1_700_000_000.25], ids=["now", "zero", "fraction"])
def test_shards_of_webdatasets_shard_writer_are_read(
    format: int, mtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarfile.TarFile, "format", format)  # the writer always takes tarfile's default
    expected = [Picture(np.full((4, 4), n, np.uint8), str(n), n) for n in range(50)]
    with wds.writer.ShardWriter(str(tmp_path / "p-%06d.tar"), maxcount=20, mtime=mtime, verbose=0) as writer:
        for picture in expected:
            writer.write(picture.as_wds)
    assert len(list(tmp_path.glob("*.tar"))) == 3
    assert read_back(f"{tmp_path}/p-{{000000..000002}}.tar") == expected


def test_members_that_webdataset_writes_beside_ours_are_ignored(tmp_path: Path) -> None:
    with wds.TarWriter(str(tmp_path / "p.tar")) as writer:
        for picture in pictures():
            writer.write({**picture.as_wds, "txt": "caption", "cls": 3, "json": {"a": 1}})
    assert read_back(tmp_path / "p.tar") == pictures()


def test_webdatasets_shards_without_our_member_are_refused(tmp_path: Path) -> None:
    with wds.TarWriter(str(tmp_path / "p.tar")) as writer:
        writer.write({"__key__": "a", "txt": "caption"})
    with pytest.raises(MalformedSample) as caught:
        list(atdata.Dataset(tmp_path / "p.tar"))
    assert (caught.value.shard, caught.value.key, caught.value.offset) == (str(tmp_path / "p.tar"), "a", 0)


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_shards_of_tarfile_with_everything_in_between_are_read(format: int, tmp_path: Path) -> None:
    path = tmp_path / "p.tar"
    shared = {"comment": "global"} if format == tarfile.PAX_FORMAT else None
    with tarfile.open(path, "w", format=format, pax_headers=shared) as tar:
        for number, picture in enumerate(pictures()):
            folder = tarfile.TarInfo(f"folder{number}/")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            link = tarfile.TarInfo(f"folder{number}/link.msgpack")
            link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
            tar.addfile(link)
            info = tarfile.TarInfo(f"folder{number}/{'n' * 12 * number}x.msgpack")
            info.size, info.mtime, info.uname = len(picture.packed), 1.5 * number, "jemand"
            tar.addfile(info, io.BytesIO(picture.packed))
    assert read_back(path) == pictures()


@needs_gnu_tar
@pytest.mark.parametrize("format", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_shards_of_gnu_tar_are_read(format: str, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / "deep" / ("er" * 40)).mkdir(parents=True)
    (folder / "deep" / "link.msgpack").symlink_to("elsewhere")
    for number, picture in enumerate(pictures()):
        name = "n" * ({"v7": 5, "ustar": 22}.get(format, 40) * (number % 4))
        place = folder / "deep" / ("er" * 40) if format == "ustar" else folder
        (place / f"{name}{number}.msgpack").write_bytes(picture.packed)
    path = tmp_path / "p.tar"
    gnu_tar("--create", f"--format={format}", "--sort=name", "--file", path, ".", cwd=folder)
    assert sorted(read_back(path), key=lambda picture: picture.number) == pictures()


@needs_gnu_tar
def test_shards_that_gnu_tar_has_joined_are_read(shard: Path, tmp_path: Path) -> None:
    joined = tmp_path / "joined.tar"
    shutil.copy(shard, joined)
    gnu_tar("--concatenate", "--file", joined, shard)
    assert read_back(joined) == pictures() * 2


def test_shards_one_after_another_in_a_file_are_read(shard: Path, tmp_path: Path) -> None:
    joined = tmp_path / "joined.tar"
    joined.write_bytes(shard.read_bytes() * 3)
    assert read_back(joined) == pictures() * 3


@needs_gnu_tar
def test_samples_that_gnu_tar_has_appended_are_read(shard: Path, tmp_path: Path) -> None:
    extra = Picture(np.zeros((1, 1), np.uint8), "extra", 99)
    (tmp_path / "extra.msgpack").write_bytes(extra.packed)
    grown = tmp_path / "grown.tar"
    shutil.copy(shard, grown)
    gnu_tar("--append", "--file", grown, "extra.msgpack", cwd=tmp_path)
    assert read_back(grown) == [*pictures(), extra]


def test_a_shard_through_a_pipe_is_read(shard: Path) -> None:
    source = atdata.URLSource(f"pipe:cat '{shard}'", allow_shell=True)
    assert list(atdata.Dataset[Picture](source)) == pictures()


# ------------------------------------------------------------------------------- streams and sizes of all kinds


class Trickle:
    """A stream that cannot seek and returns fewer bytes than it is asked for."""

    def __init__(self, data: bytes, most: int) -> None:
        self._stream = io.BytesIO(data)
        self._most = most

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, self._most))

    def close(self) -> None:
        pass


class Filling(Trickle):
    """The same, which also fills buffers."""

    def readinto(self, buffer: memoryview) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class Streamed:
    """A source of one shard that comes as a stream."""

    def __init__(self, stream: Callable[[], Any]) -> None:
        self._stream = stream

    def list_shards(self) -> list[str]:
        return ["s.tar"]

    def open_shard(self, shard_id: str) -> Any:
        return self._stream()


@pytest.mark.parametrize("kind", [Trickle, Filling])
@pytest.mark.parametrize("most", [1, 7, 511, 513, 100_000])
def test_streams_that_return_short_reads_are_read(kind: Any, most: int, shard: Path) -> None:
    data = shard.read_bytes()
    dataset = atdata.Dataset[Picture](Streamed(lambda: kind(data, most)))
    assert list(dataset) == pictures()
    assert sorted(picture.number for picture in dataset.shuffled(seed=0)) == list(range(len(KEYS)))


@pytest.mark.parametrize(
    ("count", "size"), [(3000, 10), (700, 2000), (40, 60_000), (3, 3_000_000), (1, 20_000_000)], ids=str
)
def test_shards_of_many_or_large_samples_are_read(count: int, size: int, tmp_path: Path) -> None:
    path = tmp_path / "p.tar"
    base = np.frombuffer(random.Random(0).randbytes(size), np.uint8)
    expected = [Picture(np.roll(base, n)[: size - n % 3], "x" * (n % 50), n) for n in range(count)]
    atdata.write_samples(expected, path, key=lambda number, _: "k" * (number % 97 == 5) * 120 + f"{number}")
    assert read_back(path) == expected
    for index in (tmp_path / "manifest.json", tmp_path / "p.tar.index"):
        index.unlink()
    assert read_back(path) == expected
