"""Samples of a shard: which members they are, and where errors say they happened."""

import io
import itertools
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import webdataset as wds
from hypothesis import given, settings
from hypothesis import strategies as st
from webdataset.tariterators import group_by_keys, tar_file_expander

from atdata.errors import AtdataError, MalformedSample, ShardCorrupted
from atdata.shard.reader import Record, read_records
from atdata.shard.tar import END_OF_ARCHIVE, header, padding

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


class Trickle:
    """A stream that cannot seek and returns fewer bytes than it is asked for."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._stream = io.BytesIO(data)
        self._sizes = itertools.cycle(sizes)

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, next(self._sizes)))


def tar_of(*names: str, end: bytes = END_OF_ARCHIVE) -> bytes:
    """A shard with a member of each name; its content says which it is."""
    return b"".join(header(name, 4) + b"%04d" % n + bytes(508) for n, name in enumerate(names)) + end


def records(data: bytes) -> list[Record]:
    return list(read_records(io.BytesIO(data), "s.tar"))


def keys(data: bytes) -> list[str | None]:
    return [record.key for record in records(data)]


def test_samples_come_in_order_with_shard_key_offset_and_bytes() -> None:
    data = header("b.msgpack", 3) + b"one" + bytes(509) + header("train/a.msgpack", 0) + END_OF_ARCHIVE
    assert records(data) == [
        Record("s.tar", "b", 0, b"one"),
        Record("s.tar", "train/a", 1024, b""),
    ]


def test_the_offset_of_a_long_name_is_that_of_its_first_header() -> None:
    data = tar_of("a.msgpack", "b" * 120 + ".msgpack", "c.msgpack")
    found = records(data)
    assert [record.offset for record in found] == [0, 1024, 1024 + 4 * 512]
    assert [record.payload for record in found] == [b"0000", b"0001", b"0002"]


@pytest.mark.parametrize(
    "names",
    [
        ["a.jpg", "a.msgpack", "a.txt", "b.msgpack"],
        ["a.msgpack", "a.jpg", "b.cls", "b.msgpack"],
        ["a.msgpack", "a.seg.png", "b.jpg", "b.seg.png", "b.json", "b.msgpack"],
        ["a.msgpack", "README", "b.msgpack", "Makefile"],
        ["a.msgpack", ".hidden", ".DS_Store", "._a.msgpack", "b.msgpack"],
        ["._a.msgpack", "a.msgpack", "dir/._b.msgpack", "b.msgpack", "dir/.b.msgpack"],
        ["__meta__.json", "a.msgpack", "b.msgpack"],
        ["__index__/x.msgpack", "a.msgpack", "b.msgpack", "__more__"],
        ["a.msgpack", "b.v2/readme", "b.msgpack"],
    ],
    ids=" ".join,
)
def test_members_that_are_no_samples_are_ignored(names: list[str]) -> None:
    assert keys(tar_of(*names)) == ["a", "b"]


def test_folders_links_and_devices_are_ignored() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind in [("d.msgpack", tarfile.DIRTYPE), ("l.msgpack", tarfile.SYMTYPE), ("f.x", tarfile.FIFOTYPE)]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.msgpack" if kind == tarfile.SYMTYPE else ""
            tar.addfile(info)
        tar.addfile(tarfile.TarInfo("a.msgpack"))
    assert keys(buffer.getvalue()) == ["a"]


def test_keys_keep_folders_dots_in_folders_spaces_and_all_scripts() -> None:
    wanted = ["train/0", "./a", "v1.5/x", "with space", "日本/語", "/abs", "a" * 150]
    assert keys(tar_of(*(f"{key}.msgpack" for key in wanted))) == wanted


def test_names_in_other_encodings_give_keys_that_differ() -> None:
    blocks = []
    for name in (b"\xe9.msgpack", b"\xe8.msgpack"):
        block = bytearray(header("x" * len(name), 0))
        block[: len(name)] = name
        block[148:156] = b"        "
        block[148:156] = b"%06o\0 " % sum(block)
        blocks.append(bytes(block))
    first, second = keys(b"".join(blocks) + END_OF_ARCHIVE)
    assert first != second
    assert first.encode(errors="surrogateescape") == b"\xe9"


@pytest.mark.parametrize(
    ("names", "before", "key", "offset"),
    [
        (["a.jpg", "a.txt"], 0, "a", 0),
        (["a.msgpack", "b.jpg"], 1, "b", 1024),
        (["a.msgpack", "b.jpg", "c.msgpack"], 1, "b", 1024),
        (["a.jpg", "b.jpg", "a.msgpack"], 0, "a", 0),
        (["a.msgpack", "x/a.jpg", "a.msgpack"], 1, "x/a", 1024),
        (["a.msgpack", "x/b.jpg"], 1, "x/b", 1024),
        (["a.msgpack", "b.msgpackx"], 1, "b", 1024),
        (["a.msgpack", "README", "b.jpg", "b.txt", "c.msgpack"], 1, "b", 2048),
    ],
    ids=str,
)
def test_a_sample_without_msgpack_is_an_error_that_says_where(
    names: list[str], before: int, key: str, offset: int
) -> None:
    stream = read_records(io.BytesIO(tar_of(*names)), "s.tar")
    assert len([*itertools.islice(stream, before)]) == before
    with pytest.raises(MalformedSample, match="'msgpack' field not found") as caught:
        next(stream)
    assert (caught.value.shard, caught.value.key, caught.value.offset) == ("s.tar", key, offset)


def test_a_shard_of_files_that_belong_to_no_sample_has_no_samples() -> None:
    assert records(tar_of("README", ".hidden", "__meta__")) == []
    assert records(END_OF_ARCHIVE) == []


@pytest.mark.parametrize(
    ("data", "before", "offset"),
    [
        (b"", 0, None),
        (b"\x1f\x8b" + bytes(600), 0, 0),
        (b"no tar" * 200, 0, 0),
        (tar_of("a.msgpack", "b.msgpack", end=b""), 2, 2048),
        (tar_of("a.msgpack", "b.msgpack")[:1100], 1, 1024),
        (tar_of("a.msgpack", "b.msgpack")[:1537], 1, 1024),
        (tar_of("a.msgpack", "b.msgpack")[:1600], 2, 1024),
        (tar_of("a.msgpack", end=b"?" * 512), 1, 1024),
    ],
    ids=["empty", "gzip", "text", "no-end", "cut-header", "cut-content", "cut-padding", "junk"],
)
def test_faults_name_shard_and_offset_after_the_samples_before_them(data: bytes, before: int, offset: int) -> None:
    stream = read_records(io.BytesIO(data), "s.tar")
    assert len([*itertools.islice(stream, before)]) == before
    with pytest.raises(ShardCorrupted) as caught:
        next(stream)
    assert (caught.value.shard, caught.value.offset) == ("s.tar", offset)
    assert "shard 's.tar'" in str(caught.value)


@settings(deadline=None)
@given(st.lists(st.integers(1, 2000), min_size=1, max_size=20))
def test_streams_that_return_short_reads_give_the_same(sizes: list[int]) -> None:
    data = tar_of("a.jpg", "a.msgpack", "ü.msgpack", "README", "d/b.msgpack")
    assert list(read_records(Trickle(data, sizes), "s.tar")) == records(data)


# ------------------------------------------------------------------------------------------ WebDataset


def wds_keys(data: bytes) -> list[str]:
    files = tar_file_expander([{"url": "s.tar", "stream": io.BytesIO(data)}])
    return [sample["__key__"] for sample in group_by_keys(files) if "msgpack" in sample]


@pytest.mark.parametrize(
    "names",
    [
        ["a.msgpack", "b.msgpack"],
        ["train/a.msgpack", "./b.msgpack", "/c.msgpack", "x/y/z.msgpack"],
        ["a.jpg", "a.msgpack", "b.msgpack", "b.jpg"],
        ["v1.5/a.msgpack", "v1.5/b.msgpack"],
        ["__meta__.json", "a.msgpack"],
        ["__meta__", "__x__/a.msgpack", "b.msgpack"],
        ["__init__.msgpack", "_a.msgpack", "__b.msgpack", "c__.msgpack"],
        ["__dir/a.msgpack", "x/__meta__.msgpack", "x/__b.msgpack"],
        ["README", ".hidden", "a.msgpack"],
        ["é.msgpack", "日本.msgpack", "a b.msgpack"],
    ],
    ids=" ".join,
)
def test_keys_are_those_that_webdataset_reads(names: list[str]) -> None:
    assert keys(tar_of(*names)) == wds_keys(tar_of(*names))


segments = st.text("ab_é 0", min_size=1, max_size=5)


@settings(deadline=None)
@given(st.lists(st.lists(segments, min_size=1, max_size=2).map("/".join), min_size=1, max_size=4, unique=True))
def test_any_keys_are_those_that_webdataset_reads(stems: list[str]) -> None:
    data = tar_of(*(f"{stem}.msgpack" for stem in stems))
    assert keys(data) == wds_keys(data)


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("mtime", [None, 0, 1.5, 1_700_000_000.123456], ids=["now", "0", "1.5", "fraction"])
def test_shards_of_webdatasets_tar_writer_are_read(
    format: int, mtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarfile.TarFile, "format", format)  # the writer always takes tarfile's default
    path = tmp_path / "s.tar"
    payloads = {f"sample-{n:03}": bytes([n]) * (n * 100) for n in range(12)}
    with wds.TarWriter(str(path), mtime=mtime) as writer:
        for key, payload in payloads.items():
            writer.write({"__key__": key, "msgpack": payload, "txt": "beside"})
    assert {record.key: record.payload for record in records(path.read_bytes())} == payloads


def test_shards_of_webdatasets_shard_writer_are_read(tmp_path: Path) -> None:
    payloads = {f"{'deep/' * 25}sample-{n}": bytes([n]) * 700 for n in range(10)}
    with wds.writer.ShardWriter(str(tmp_path / "s-%d.tar"), maxcount=4, verbose=0) as writer:
        for key, payload in payloads.items():
            writer.write({"__key__": key, "msgpack": payload})
    shards = sorted(tmp_path.glob("*.tar"))
    assert len(shards) == 3
    found = [record for shard in shards for record in read_records(io.BytesIO(shard.read_bytes()), shard.name)]
    assert {record.key: record.payload for record in found} == payloads


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_shards_of_tarfile_with_fractional_mtimes_are_read(format: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for n in range(5):
            info = tarfile.TarInfo(f"{n}.msgpack")
            info.size, info.mtime, info.uid, info.uname = n, time.time() + n / 7, 1000, "ü" * 20
            tar.addfile(info, io.BytesIO(bytes(n)))
    assert [record.payload for record in records(buffer.getvalue())] == [bytes(n) for n in range(5)]


def test_every_damaged_byte_gives_samples_or_an_error_that_names_the_shard() -> None:
    good = tar_of("a.jpg", "a.msgpack", "b.msgpack")
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 0x55
        fault: AtdataError | None = None
        try:
            assert len(records(bytes(damaged))) <= 2
        except AtdataError as error:
            fault = error
        assert fault is None or fault.shard == "s.tar"


def test_padding_is_that_of_tar() -> None:
    assert [padding(size) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]
