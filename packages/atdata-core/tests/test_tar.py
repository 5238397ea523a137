"""Tar headers, written and parsed, with Python's ``tarfile`` as the reference."""

import contextlib
import gzip
import io
import itertools
import random
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from costs import cpu_seconds
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atdata.errors import ShardCorrupted
from atdata.shard.tar import BLOCK, END_OF_ARCHIVE, Member, TarReader, header, padding

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
GIB_8 = 8 << 30


class Trickle:
    """A stream that cannot seek and returns fewer bytes than it is asked for."""

    def __init__(self, data: bytes, sizes: Iterable[int]) -> None:
        self._stream = io.BytesIO(data)
        self._sizes = iter(sizes)

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, next(self._sizes)))


def contents(data: bytes) -> list[tuple[str, bytes]]:
    tar = TarReader(io.BytesIO(data))
    return [(member.name, tar.content(member)) for member in tar]


def tarfile_contents(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", ignore_zeros=True) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar if member.isreg()]


def padded(content: bytes) -> bytes:
    return content + bytes(padding(len(content)))


def file(name: str, content: bytes, *, size: bytes | None = None) -> bytes:
    """A member as we write it, its size field replaced if ``size`` is given."""
    block = bytearray(header(name, len(content)))
    if size is not None:
        block[124:136] = size
        stamp(block)
    return bytes(block) + padded(content)


def stamp(block: bytearray) -> None:
    """Put the right checksum into a header."""
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)


def raw(name: bytes, size: bytes = b"00000000000\0", *, kind: bytes = b"0", magic: bytes = b"", prefix: bytes = b""):
    """A header from its fields."""
    block = bytearray(BLOCK)
    block[: len(name)] = name
    block[100:124] = b"0000644\x000000000\x000000000\x00"
    block[124 : 124 + len(size)] = size
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[257 : 257 + len(magic)] = magic
    block[345 : 345 + len(prefix)] = prefix
    stamp(block)
    return bytes(block)


def extended(kind: bytes, data: bytes) -> bytes:
    """A PAX or GNU header that changes the member behind it."""
    return raw(b"extended", b"%011o\0" % len(data), kind=kind, magic=b"ustar\x0000") + padded(data)


def pax(keyword: str, value: str) -> bytes:
    body = f" {keyword}={value}\n".encode()
    length = next(n for n in itertools.count(len(body)) if n == len(body) + len(str(n)))
    return str(length).encode() + body


# --------------------------------------------------------------------------------------------- writing

plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=150)
names = plain_text.filter(lambda name: not name.endswith("/"))


@settings(deadline=None)
@given(names, st.integers(0, 1 << 60), st.integers(0, 8**11 - 1))
def test_header_is_read_back_by_tarfile(name: str, size: int, mtime: int) -> None:
    written = header(name, size, mtime)
    with tarfile.open(fileobj=io.BytesIO(written), mode="r:") as tar:
        member = tar.next()
    assert (member.name, member.size, member.mtime, member.type) == (name, size, mtime, tarfile.REGTYPE)
    assert member.offset_data == len(written)


@settings(deadline=None)
@given(names, st.integers(0, 1 << 60))
def test_header_is_read_back_by_the_reader(name: str, size: int) -> None:
    written = header(name, size)
    assert next(iter(TarReader(io.BytesIO(written)))) == Member(name, 0, len(written), size)


def test_header_is_one_ustar_block_as_tarfile_writes_it() -> None:
    info = tarfile.TarInfo("train/000042.msgpack")
    info.size, info.mtime = 12_345, 1_700_000_000
    assert header(info.name, info.size, info.mtime) == info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("a" * 99, 1),
        ("a" * 100, 1),
        ("a" * 101, 3),
        ("a" * 70 + "/" + "b" * 70, 3),
        ("ü" * 50, 3),
        ("ü" * 51, 3),
        ("日本語/标签-😀", 3),
        ("a" * 5000, 12),
    ],
)
def test_header_takes_pax_records_only_where_ustar_has_no_room(name: str, blocks: int) -> None:
    assert len(header(name, 1)) == blocks * BLOCK
    assert contents(header(name, 1) + padded(b"x") + END_OF_ARCHIVE) == [(name, b"x")]


@pytest.mark.parametrize(("size", "blocks"), [(0, 1), (GIB_8 - 1, 1), (GIB_8, 3), (1 << 62, 3)])
def test_header_states_sizes_of_8_gib_and_more_in_a_pax_record(size: int, blocks: int) -> None:
    written = header("a.msgpack", size)
    assert len(written) == blocks * BLOCK
    with tarfile.open(fileobj=io.BytesIO(written), mode="r:") as tar:
        assert tar.next().size == size


@pytest.mark.parametrize("length", [*range(85, 125), *range(975, 1005), *range(9980, 9995)])
def test_pax_records_count_their_own_length(length: int) -> None:
    name = "é" + "n" * (length - 2)
    assert tarfile_contents(header(name, 1) + padded(b"x") + END_OF_ARCHIVE) == [(name, b"x")]


def test_header_is_the_same_each_time_and_dated_1970_unless_told_otherwise() -> None:
    assert header("é.msgpack", 7) == header("é.msgpack", 7) == header("é.msgpack", 7, 0)
    with tarfile.open(fileobj=io.BytesIO(header("a.msgpack", 7)), mode="r:") as tar:
        member = tar.next()
    assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")


@pytest.mark.parametrize("mtime", [-1, -(8**11), 8**11, 1 << 40])
def test_an_mtime_that_ustar_has_no_room_for_never_damages_the_archive(mtime: int) -> None:
    try:
        written = header("a.msgpack", 1, mtime)
    except ValueError:
        return
    assert len(written) % BLOCK == 0
    with tarfile.open(fileobj=io.BytesIO(written), mode="r:") as tar:
        assert tar.next().mtime == mtime


# --------------------------------------------------------------------------------------------- reading


@dataclass
class Entry:
    """What one member of a generated archive is."""

    name: str
    kind: bytes
    content: bytes
    mtime: float
    uid: int
    linkname: str
    pax: dict[str, str] = field(default_factory=dict)


segments = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=60)
# names of other encodings, as tarfile passes them on
foreign_segments = st.binary(min_size=1, max_size=20).map(
    lambda data: data.translate(None, b"\0/").decode("utf-8", "surrogateescape") or "x"
)
paths = st.lists(segments | foreign_segments, min_size=1, max_size=6).map("/".join)
entries = st.builds(
    Entry,
    name=paths,
    kind=st.sampled_from(
        [tarfile.REGTYPE] * 6
        + [tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
    ),
    content=st.binary(max_size=40) | st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK]).map(bytes),
    mtime=st.integers(0, 8**11 - 1) | st.floats(0, 2e9),
    uid=st.integers(0, 8**7 - 1),
    linkname=st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=130),
    pax=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="=\0"), max_size=8).map("TEST.{}".format),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
        max_size=2,
    ),
)


def archive(format: int, members: list[Entry], shared: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, pax_headers=shared) as tar:
        for entry in members:
            info = tarfile.TarInfo(entry.name)
            info.type, info.mtime, info.uid, info.pax_headers = entry.kind, entry.mtime, entry.uid, entry.pax
            if entry.kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = entry.linkname
            if entry.kind in tarfile.REGULAR_TYPES:
                info.size = len(entry.content)
            try:
                tar.addfile(info, io.BytesIO(entry.content))
            except ValueError:  # ustar has no room for every name
                assume(False)
    return buffer.getvalue()


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
@settings(deadline=None)
@given(members=st.lists(entries, max_size=4))
def test_reads_whatever_tarfile_writes(format: int, members: list[Entry]) -> None:
    data = archive(format, members)
    found = list(TarReader(io.BytesIO(data)))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        expected = [Member(m.name, m.offset, m.offset_data, m.size) for m in tar if m.isreg()]
    assert found == expected
    assert contents(data) == tarfile_contents(data)


@settings(deadline=None)
@given(members=st.lists(entries, min_size=1, max_size=3), shared=st.dictionaries(st.just("comment"), plain_text))
def test_reads_archives_with_a_global_pax_header(members: list[Entry], shared: dict[str, str]) -> None:
    data = archive(tarfile.PAX_FORMAT, members, shared)
    assert contents(data) == tarfile_contents(data)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*FORMATS.values()]), st.lists(entries, max_size=2)), min_size=2, max_size=3))
def test_archives_one_after_another_read_as_one(parts: list[tuple[int, list[Entry]]]) -> None:
    data = b"".join(archive(format, members) for format, members in parts)
    assert contents(data) == tarfile_contents(data)


def test_a_name_may_begin_as_gzip_does() -> None:
    data = archive(
        tarfile.GNU_FORMAT, [Entry(name="\x1f\udc8b.msgpack", kind=b"0", content=b"y", mtime=0, uid=0, linkname="")]
    )
    assert data.startswith(b"\x1f\x8b")
    assert contents(data) == tarfile_contents(data)


@settings(deadline=None)
@given(st.lists(entries, max_size=3), st.lists(st.integers(1, 700), min_size=1, max_size=50))
def test_streams_that_return_short_reads_give_the_same(members: list[Entry], sizes: list[int]) -> None:
    data = archive(tarfile.PAX_FORMAT, members)
    tar = TarReader(Trickle(data, itertools.cycle(sizes)))
    assert [(member.name, tar.content(member)) for member in tar] == contents(data)


def test_a_stream_that_returns_one_byte_at_a_time_gives_the_same() -> None:
    data = file("a.msgpack", b"x" * 700) + file("ü.msgpack", b"") + END_OF_ARCHIVE
    tar = TarReader(Trickle(data, itertools.repeat(1)))
    assert [(member.name, tar.content(member)) for member in tar] == [("a.msgpack", b"x" * 700), ("ü.msgpack", b"")]


def test_content_that_is_not_asked_for_is_skipped() -> None:
    data = b"".join(file(f"{n}.msgpack", bytes(700 * n)) for n in range(4)) + END_OF_ARCHIVE
    tar = TarReader(io.BytesIO(data))
    found = [tar.content(member) if member.name.startswith("2") else member.size for member in tar]
    assert found == [0, 700, bytes(1400), 2100]


@pytest.mark.parametrize("blanks", [0, 1, 2, 5])
def test_blank_blocks_between_members_are_skipped(blanks: int) -> None:
    data = file("a", b"1") + bytes(blanks * BLOCK) + file("b", b"2") + END_OF_ARCHIVE
    assert contents(data) == [("a", b"1"), ("b", b"2")]


def test_an_archive_may_end_with_a_single_blank_block() -> None:
    assert contents(file("a", b"1") + bytes(BLOCK)) == [("a", b"1")]


def test_base_256_sizes_are_read() -> None:
    data = file("a", b"x" * 600, size=b"\x80" + (600).to_bytes(11, "big")) + file("b", b"y") + END_OF_ARCHIVE
    assert contents(data) == tarfile_contents(data) == [("a", b"x" * 600), ("b", b"y")]


@pytest.mark.parametrize(
    "size", [b"3 \0", b"        3 \0", b"3", b"000000000003", b"\0", b"00000000003 "], ids=lambda size: repr(size)[2:-1]
)
def test_octal_sizes_are_read_in_every_padding(size: bytes) -> None:
    data = file("a", b"xyz"[: int(size.strip(b" \0") or b"0", 8)], size=size.ljust(12, b"\0")) + END_OF_ARCHIVE
    assert contents(data) == tarfile_contents(data)


def test_the_ustar_prefix_is_part_of_the_name() -> None:
    data = raw(b"c.msgpack", magic=b"ustar\x0000", prefix=b"a/b") + END_OF_ARCHIVE
    assert contents(data) == [("a/b/c.msgpack", b"")]


@pytest.mark.parametrize("magic", [b"", b"ustar  \0"], ids=["v7", "gnu"])
def test_other_formats_have_other_things_where_ustar_has_the_prefix(magic: bytes) -> None:
    data = raw(b"c.msgpack", magic=magic, prefix=b"01234567012\0") + END_OF_ARCHIVE
    assert contents(data) == [("c.msgpack", b"")]


def test_v7_headers_are_read_and_their_folders_skipped() -> None:
    data = raw(b"dir/", kind=b"\0") + raw(b"dir/a.msgpack", b"00000000003\0", kind=b"\0") + padded(b"xyz")
    assert contents(data + END_OF_ARCHIVE) == [("dir/a.msgpack", b"xyz")]


def test_links_that_state_a_size_have_no_content() -> None:
    links = b"".join(raw(b"link", b"00000001000\0", kind=kind, magic=b"ustar\x0000") for kind in (b"1", b"2"))
    assert contents(links + file("a", b"x") + END_OF_ARCHIVE) == [("a", b"x")]


def test_members_of_unknown_kinds_are_skipped_with_their_content() -> None:
    label = raw(b"label", b"00000001000\0", kind=b"V", magic=b"ustar  \0") + bytes(BLOCK)
    assert contents(label + file("a", b"x") + END_OF_ARCHIVE) == [("a", b"x")]


def test_a_pax_size_overrides_that_of_the_header() -> None:
    data = extended(b"x", pax("size", "5")) + file("a", b"12345", size=b"00000000000\0") + END_OF_ARCHIVE
    assert contents(data) == tarfile_contents(data) == [("a", b"12345")]


def test_gnu_long_names_and_long_links_are_read() -> None:
    name, target = "n" * 300, "t" * 300
    data = (
        extended(b"K", target.encode() + b"\0")
        + extended(b"L", b"link\0")
        + raw(b"short", kind=b"2", magic=b"ustar  \0")
        + extended(b"L", name.encode() + b"\0")
        + file("short", b"x")
        + END_OF_ARCHIVE
    )
    assert contents(data) == [(name, b"x")]


def test_an_extended_header_changes_only_the_next_member() -> None:
    data = extended(b"x", pax("path", "long")) + file("short", b"1") + file("other", b"2") + END_OF_ARCHIVE
    assert contents(data) == [("long", b"1"), ("other", b"2")]


def test_checksums_over_signed_bytes_are_accepted() -> None:
    block = bytearray(raw("ü".encode()))
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in block)
    assert contents(bytes(block) + END_OF_ARCHIVE) == [("ü", b"")]


# ---------------------------------------------------------------------------------------------- faults


def corrupted(data: bytes, match: str | None = None) -> ShardCorrupted:
    with pytest.raises(ShardCorrupted, match=match) as caught:
        contents(data)
    return caught.value


def test_every_changed_header_byte_is_noticed() -> None:
    good = file("a.msgpack", b"x" * 10) + END_OF_ARCHIVE
    for place in (place for place in range(BLOCK) if not 148 <= place < 156):
        for flip in (0x01, 0x80, 0xFF):
            bad = bytearray(good)
            bad[place] ^= flip
            assert corrupted(bytes(bad)).offset == 0


def test_a_changed_checksum_is_noticed_or_means_the_same() -> None:
    good = file("a.msgpack", b"x" * 10) + END_OF_ARCHIVE
    for place, value in itertools.product(range(148, 156), range(256)):
        bad = bytearray(good)
        bad[place] = value
        found: object = None
        with contextlib.suppress(ShardCorrupted):
            found = contents(bytes(bad))
        assert found in (None, contents(good))


def test_a_fault_in_a_later_header_names_its_offset() -> None:
    error = corrupted(file("a", b"x" * 600) + b"?" * BLOCK + END_OF_ARCHIVE, "not a tar header")
    assert error.offset == 3 * BLOCK


@pytest.mark.parametrize("size", [b"8", b"-1", b"0x10", b"1 2", b"\xff" * 12, b"1_0"], ids=repr)
def test_sizes_that_are_no_numbers_are_refused(size: bytes) -> None:
    assert corrupted(file("a", b"", size=size.ljust(12, b"\0")) + END_OF_ARCHIVE).offset == 0


@pytest.mark.parametrize("size", ["²", "9" * 5000, "-1", "", "1.5", "+1", " 1", "0x1", "1_0"])
def test_pax_sizes_that_are_no_numbers_are_refused(size: str) -> None:
    data = extended(b"x", pax("size", size)) + file("a", b"x") + END_OF_ARCHIVE
    assert corrupted(data).offset == 0


@pytest.mark.parametrize(
    "records",
    [
        b"no length",
        b"5 a=b",
        b"7 a=b\n",
        b"4 a=\n",
        b"6 a b\n",
        b"0 a=b\n",
        b"-6 a=b\n",
        b" a=b\n",
        b"99999999999999999999 a=b\n",
        b"6 a=b\n\0\0junk",
    ],
    ids=repr,
)
def test_pax_records_that_cannot_be_parsed_are_refused(records: bytes) -> None:
    data = extended(b"x", records) + file("a", b"x") + END_OF_ARCHIVE
    assert corrupted(data, "PAX").offset == 0


def test_a_header_full_of_tiny_pax_records_costs_no_more_for_each_than_one_of_fewer() -> None:
    few, many = (extended(b"x", b"5 a=\n" * n) + file("a", b"x") + END_OF_ARCHIVE for n in (25_000, 200_000))
    assert contents(many) == [("a", b"x")]
    assert cpu_seconds(lambda: contents(many)) < 8 * 3 * cpu_seconds(lambda: contents(few))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_extended_headers_of_absurd_sizes_are_refused(kind: bytes) -> None:
    block = raw(b"long", b"\x80" + (1 << 62).to_bytes(11, "big"), kind=kind, magic=b"ustar\x0000")
    assert corrupted(block + END_OF_ARCHIVE, "extended header").offset == 0


def test_sparse_files_are_refused() -> None:
    assert corrupted(raw(b"a", kind=b"S", magic=b"ustar  \0") + END_OF_ARCHIVE, "sparse").offset == 0
    data = extended(b"x", pax("GNU.sparse.major", "1")) + file("a", b"x") + END_OF_ARCHIVE
    assert corrupted(data, "sparse").offset == 0


@pytest.mark.parametrize("content", [b"x", random.Random(0).randbytes(2000)], ids=["under-a-block", "over-a-block"])
def test_gzip_files_are_refused_with_advice(content: bytes) -> None:
    packed = gzip.compress(file("a.msgpack", content) + END_OF_ARCHIVE, compresslevel=1, mtime=0)
    assert corrupted(packed, "gunzip").offset == 0


def test_an_empty_file_is_refused() -> None:
    corrupted(b"", "empty")


def test_an_archive_without_members_has_none() -> None:
    assert contents(END_OF_ARCHIVE) == []


def test_an_archive_that_just_stops_is_refused_after_its_members() -> None:
    members = iter(TarReader(io.BytesIO(file("a", b"1") + file("b", b"2"))))
    assert [next(members).name, next(members).name] == ["a", "b"]
    with pytest.raises(ShardCorrupted, match="end-of-archive") as caught:
        next(members)
    assert caught.value.offset == 4 * BLOCK


def test_every_truncation_before_the_end_of_archive_is_noticed() -> None:
    data = file("a", b"x" * 20) + extended(b"x", pax("path", "é")) + file("b", b"y" * 600) + END_OF_ARCHIVE
    complete = len(data) - len(END_OF_ARCHIVE)
    for length in range(complete + BLOCK):
        if length != complete + BLOCK:
            error = corrupted(data[:length], "truncated" if length >= BLOCK else "no tar: " if length else "empty")
            assert error.offset is None or error.offset <= length
    assert contents(data[: complete + BLOCK]) == contents(data)


class Endless:
    """A stream that begins with something, and then repeats something for ever."""

    def __init__(self, start: bytes, rest: bytes) -> None:
        self._start = io.BytesIO(start)
        self._rest = rest

    def read(self, size: int) -> bytes:
        return self._start.read(size) or (self._rest * (size // len(self._rest) + 1))[:size]


def long_name() -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, BLOCK
    return info.tobuf(tarfile.GNU_FORMAT) + b"a" * BLOCK


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (Endless(header("a", 0), bytes(BLOCK)), "bytes of zeros, and no end of them"),
        (Endless(b"", long_name()), "extended headers, and no end of them"),
        (Endless(header("a", 0), b"garbage " * 64), "not a tar header"),
    ],
    ids=["zeros", "headers", "garbage"],
)
def test_streams_without_an_end_are_left(stream, says):
    with pytest.raises(ShardCorrupted, match=says):
        for _ in TarReader(stream):
            pass


def test_samples_that_claim_more_than_there_can_be_are_not_read():
    info = tarfile.TarInfo("a.msgpack")
    info.size = 1 << 40
    tar = TarReader(Endless(info.tobuf(tarfile.GNU_FORMAT), bytes(BLOCK)))
    (member,) = itertools.islice(tar, 1)
    with pytest.raises(ShardCorrupted, match=r"claims to have 1,099,511,627,776 bytes"):
        tar.content(member)


def test_padding_that_writers_leave_is_none_of_that():
    assert contents(header("a", 0) + bytes(16 << 20)) == [("a", b"")]
