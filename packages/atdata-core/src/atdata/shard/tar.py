"""Tar headers, written and parsed: ustar, PAX, GNU long names and base-256 sizes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

from ..errors import ShardCorrupted

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)
_MAX_OCTAL = 8**11 - 1
# A header that claims more names than this is not one that any writer makes
_MAX_EXTENSION = 1 << 20
# Nor one that leaves so much room at the end, or makes a sample so large
_MAX_ZEROS, _MAX_CONTENT = 64 << 20, 16 << 30
_READ = 4 << 20


class Member(NamedTuple):
    """A regular file in a tar.

    Attributes:
        name: its path in the archive.
        offset: where its first header begins, in bytes from the start of the archive.
        start: where its content begins.
        size: bytes of content.
    """

    name: str
    offset: int
    start: int
    size: int


def padding(size: int) -> int:
    """Bytes from the end of ``size`` bytes of content to the next block."""
    return -size % BLOCK


# --------------------------------------------------------------------------------------------- writing


@lru_cache(maxsize=16)
def _template(mtime: int, kind: bytes) -> tuple[bytes, bytes, bytes, int]:
    """What headers have before the size, between size and checksum, and behind that; and the sum of its bytes."""
    if not 0 <= mtime <= _MAX_OCTAL:
        raise ValueError(f"mtime is {mtime}; a tar holds whole seconds from 0 to {_MAX_OCTAL:,} (the year 2242)")
    before = b"0000644\x000000000\x000000000\x00"
    between = b"\x00%011o\x00" % mtime
    behind = (kind + bytes(100) + b"ustar\x0000").ljust(BLOCK - 156, b"\x00")
    # the checksum is over the block with its own field as spaces
    return before, between, behind, sum(before) + sum(between) + sum(behind) + 8 * 0x20


def _ustar(name: bytes, size: int, mtime: int, kind: bytes) -> bytes:
    before, between, behind, rest = _template(mtime, kind)
    digits = b"%011o" % size
    total = rest + sum(name) + sum(digits)
    return b"".join((name.ljust(100, b"\x00"), before, digits, between, b"%06o\x00 " % total, behind))


def _pax_record(keyword: str, value: str) -> bytes:
    body = f" {keyword}={value}\n".encode()
    # the length counts its own digits
    length = len(body) + len(str(len(body)))
    length = len(body) + len(str(length))
    return str(length).encode() + body


def header(name: str, size: int, mtime: int = 0) -> bytes:
    """The header blocks of a regular file: plain ustar, preceded by PAX records only where that has no room.

    Args:
        name: path in the archive.
        size: bytes of content.
        mtime: modification time, whole seconds since 1970.

    Raises:
        ValueError: the time is one that tars cannot hold.
    """
    encoded = name.encode()
    fits = len(encoded) <= 100 and len(encoded) == len(name)  # no longer in bytes than in letters: ASCII
    if fits and size <= _MAX_OCTAL:
        return _ustar(encoded, size, mtime, b"0")
    records = b"" if fits else _pax_record("path", name)
    if size > _MAX_OCTAL:
        records += _pax_record("size", str(size))
    short = encoded[:100].decode("ascii", "replace").encode("ascii", "replace")
    return b"".join(
        (
            _ustar(b"PaxHeader", len(records), mtime, b"x"),
            records,
            bytes(padding(len(records))),
            _ustar(short, size if size <= _MAX_OCTAL else 0, mtime, b"0"),
        )
    )


# --------------------------------------------------------------------------------------------- parsing


class _Header(NamedTuple):
    name: str
    size: int
    kind: bytes


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, offset: int) -> int:
    """An octal number, or GNU's base-256 where the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if all(0x30 <= digit <= 0x37 for digit in digits):
        return int(digits or b"0", 8)
    raise ShardCorrupted(f"not a tar header: it has the number {field!r}").at(offset=offset)


def _refuse_gzip(block: bytes, offset: int) -> None:
    if block[:2] == b"\x1f\x8b":
        raise ShardCorrupted("gzip-compressed; decompress it first, for example with gunzip").at(offset=offset)


def _parse(block: bytes, offset: int) -> _Header:
    try:
        stated = _number(block[148:156], offset)
    except ShardCorrupted:
        _refuse_gzip(block, offset)
        raise
    rest = block[:148] + b"        " + block[156:]
    # some old writers summed signed bytes
    if stated != sum(rest) and stated != sum(byte - 256 if byte > 127 else byte for byte in rest):
        _refuse_gzip(block, offset)  # only now: a name may begin like gzip
        raise ShardCorrupted(f"not a tar header: its checksum is {sum(rest)}, it states {stated}").at(offset=offset)
    name = _text(block[:100])
    if block[257:265] == b"ustar\x0000" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    return _Header(name, _number(block[124:136], offset), block[156:157])


def _decimal(digits: bytes) -> int | None:
    return int(digits) if digits.isdigit() and len(digits) < 20 else None


def _pax_records(data: bytes, offset: int) -> dict[str, str]:
    records = {}
    start = 0
    while data[start : start + 1].strip(b"\0"):
        space = data.find(b" ", start, start + 20)
        length = _decimal(data[start:space]) if space > 0 else None
        stop = start + (length or 0)
        keyword, equals, value = data[space + 1 : stop - 1].partition(b"=")
        if not length or not equals or stop > len(data) or data[stop - 1] != 0x0A:
            raise ShardCorrupted("a PAX record cannot be parsed").at(offset=offset)
        records[keyword.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        start = stop
    if data[start:].strip(b"\0"):
        raise ShardCorrupted("PAX records with something behind them").at(offset=offset)
    return records


class Readable(Protocol):
    """What a shard is read from: fewer bytes than asked for are fine, none mean the end."""

    def read(self, size: int, /) -> bytes: ...


class TarReader:
    """Walk the regular files of a tar stream from front to back; no seeking.

    Several archives one after another read as one. A stream that ends before any end-of-archive block was cut.

    Args:
        stream: a binary file-like object; only ``read`` is used.
        position: where the stream begins in the archive, in bytes; there must be a header there.
    """

    def __init__(self, stream: Readable, position: int = 0) -> None:
        self._stream = stream
        self._position = position
        self._unread = 0

    def _take(self, size: int, what: str, offset: int) -> bytes:
        """Exactly ``size`` bytes. Read piece by piece, so that a false size costs no memory."""
        pieces = []
        wanted = size
        while wanted:
            piece = self._stream.read(min(wanted, _READ))
            if not piece:
                raise ShardCorrupted(
                    f"truncated: {what} needs {size:,} bytes, the shard ends after {size - wanted:,} of them"
                ).at(offset=offset)
            pieces.append(piece)
            wanted -= len(piece)
        self._position += size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _skip_content(self, offset: int) -> None:
        while self._unread:
            self._unread -= len(self._take(min(self._unread, _READ), "the rest of a member", offset))

    def content(self, member: Member) -> bytes:
        """The content of the member that was just yielded.

        Raises:
            ShardCorrupted: the stream ends inside it.
        """
        if member.size > _MAX_CONTENT:
            raise ShardCorrupted(f"member {member.name!r} claims to have {member.size:,} bytes").at(
                offset=member.offset
            )
        data = self._take(member.size, f"member {member.name!r}", member.offset)
        self._unread -= member.size
        return data

    def _next_block(self) -> bytes | None:
        offset, pieces, wanted = self._position, [], BLOCK
        while wanted and (piece := self._stream.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        if 0 < wanted < BLOCK:
            block = b"".join(pieces)
            _refuse_gzip(block, offset)
            what = "truncated: the shard ends inside a tar header"
            if not offset:
                what = f"no tar: {len(block)} bytes, and a tar has {BLOCK} at least; is it the right file, and whole?"
            raise ShardCorrupted(what).at(offset=offset)
        self._position += BLOCK - wanted
        return b"".join(pieces) or None

    def __iter__(self) -> Iterator[Member]:
        """Yield the members in order.

        Raises:
            ShardCorrupted: not a tar, a header with a wrong checksum, or truncated.
        """
        start: int | None = None  # where the first header of the current member began
        extended: dict[str, str] = {}  # PAX and GNU headers that precede a member and change it
        shared: dict[str, str] = {}
        ended, zeros = False, 0
        while (block := self._next_block()) is not None:
            here = self._position - BLOCK
            if not block[0] and not any(block):
                ended, zeros = True, zeros + BLOCK
                if zeros > _MAX_ZEROS:
                    raise ShardCorrupted(f"{zeros:,} bytes of zeros, and no end of them").at(offset=here)
                continue
            ended, zeros = False, 0
            start = here if start is None else start
            if here - start > 4 * _MAX_EXTENSION:
                raise ShardCorrupted("extended headers, and no end of them").at(offset=start)
            head = _parse(block, here)
            if head.kind in b"xXgLK":
                if head.size > _MAX_EXTENSION:
                    raise ShardCorrupted(f"an extended header of {head.size:,} bytes").at(offset=here)
                data = self._take(head.size, "an extended header", here)
                self._take(padding(head.size), "an extended header", here)
                if head.kind in b"xX":
                    extended |= _pax_records(data, here)
                elif head.kind == b"g":
                    shared |= _pax_records(data, here)
                elif head.kind == b"L":
                    extended["path"] = _text(data)
                continue
            records, extended = {**shared, **extended}, {}
            offset, start = start, None
            name = records.get("path", head.name)
            size = head.size
            if "size" in records:
                stated = _decimal(records["size"].encode())
                if stated is None:
                    raise ShardCorrupted(f"a PAX record with the size {records['size']!r:.100}").at(offset=offset)
                size = stated
            if head.kind == b"S" or any(key.startswith("GNU.sparse.") for key in records):
                raise ShardCorrupted(f"member {name!r} is sparse, which is not supported").at(offset=offset)
            if head.kind in b"123456" and head.kind:
                continue  # links, devices and directories have no content
            self._unread = size + padding(size)
            if head.kind in (b"0", b"\0", b"7") and not name.endswith("/"):
                yield Member(name, offset, self._position, size)
            self._skip_content(offset)
        if self._position == 0:
            raise ShardCorrupted("empty: 0 bytes is not a tar, perhaps a write or download that failed")
        if not ended:
            raise ShardCorrupted("truncated: the shard ends without an end-of-archive block").at(offset=self._position)
