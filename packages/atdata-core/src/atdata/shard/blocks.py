"""Reading a shard from front to back, in large blocks that are used again and again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np

from ..errors import AtdataError
from .columns import Columns
from .reader import SUFFIX, Record, read_records
from .scan import Bytes, Members, Positions, scan
from .tar import BLOCK

# The first block is small, so that the first batch comes soon. Later ones are as large as measures best: they should
# stay in the processor's cache, but hold many samples.
_FIRST, _USUAL, _LARGEST = 256 << 10, 4 << 20, 8 << 20
_LARGE_SAMPLE = 32 << 10
# Samples that are read one by one are handed on in groups of about this many bytes
_GROUP = 1 << 20


class Where(NamedTuple):
    """Where a sample is: name of its shard, its key, byte offset of its header; None where unknown."""

    shard: str | None
    key: str | None
    offset: int | None


class Chunk(Columns):
    """Samples in one buffer that know where they came from."""

    def where(self, row: int) -> Where:
        """Where one sample is, for messages."""
        raise NotImplementedError


class Gathered(Chunk):
    """Samples whose bytes were brought together from anywhere.

    Args:
        payloads: their bytes.
        wheres: where each was.
    """

    def __init__(self, payloads: list[Any], wheres: list[Where]) -> None:
        sizes = np.array([len(payload) for payload in payloads], np.int64)
        data = np.frombuffer(b"".join(payloads), np.uint8)
        super().__init__(data, np.cumsum(sizes) - sizes, sizes)
        self._wheres = wheres

    def __reduce__(self) -> tuple[Any, ...]:
        return Gathered, ([bytes(self.payload(row)) for row in range(len(self))], self._wheres)

    def where(self, row: int) -> Where:
        return self._wheres[row]


class Block(Chunk):
    """Samples as they lie in a piece of a shard.

    Its buffer goes back to the reader when nothing refers to the block any more.
    """

    def __init__(
        self, shard: str, position: int, data: Bytes, members: Members, buffer: Bytes, free: list[Bytes]
    ) -> None:
        super().__init__(data, members.starts, members.sizes)
        self._shard = shard
        self._position = position
        self._heads: Positions = members.heads
        self._buffer = buffer
        self._free = free

    def name(self, row: int) -> str:
        """The path of one member in the archive."""
        header = int(self.starts[row]) - BLOCK
        return bytes(self.data[header : header + 100]).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")

    def where(self, row: int) -> Where:
        offset = self._position + int(self._heads[row])
        return Where(self._shard, self.name(row)[: -len(SUFFIX)], offset)

    def __del__(self, largest: int = _LARGEST) -> None:  # when a program ends, the global name may be gone before
        if len(self._buffer) <= largest:
            self._free.append(self._buffer)


class _Rest:
    """What is left of a stream, after some of it was read already."""

    def __init__(self, start: bytes, stream: IO[bytes]) -> None:
        self._start = memoryview(start)
        self._stream = stream

    def read(self, size: int) -> bytes:
        if not len(self._start):
            return self._stream.read(size)
        piece, self._start = self._start[:size], self._start[size:]
        return bytes(piece)


class BlockReader:
    """Reads shards one after another through the same few buffers."""

    def __init__(self) -> None:
        self._free: list[Bytes] = []
        self._size = _FIRST
        self._limit = _USUAL

    def chunks(self, stream: IO[bytes], shard: str) -> Iterator[Chunk]:
        """Yield the samples of a shard in order, many at a time.

        Args:
            stream: the shard; it need not seek.
            shard: its name, for messages.

        Raises:
            ShardCorrupted, MalformedSample: as ``read_records`` says.
        """
        carry: Bytes = np.empty(0, np.uint8)
        position = 0
        previous = ""
        while True:
            buffer = self._take(2 * len(carry))
            buffer[: len(carry)] = carry
            filled, fault = _fill(stream, buffer.data, len(carry))
            data = buffer[:filled]
            members = scan(data)
            carry = data[members.end :]
            if len(members.starts):
                block = Block(shard, position, data, members, buffer, self._free)
                previous = block.name(-1)
                if block.mean_size > _LARGE_SAMPLE:
                    self._limit = _LARGEST
                yield block
                del block
            if fault is not None:  # what came before it is good
                raise fault.at(shard=shard) if isinstance(fault, AtdataError) else fault
            if not len(members.starts) and (filled < len(buffer) or (not members.wanted and filled >= BLOCK)):
                break
            position += members.end
        # from here on, 512 bytes at a time are read, which a bare file is slow at
        buffered = io.BufferedReader(stream, _GROUP) if isinstance(stream, io.FileIO) else None
        try:
            rest = _Rest(carry.tobytes(), buffered or stream)
            yield from _grouped(read_records(rest, shard, position=position, previous=previous))
        finally:
            if buffered is not None:
                buffered.detach()  # the stream is the caller's to close

    def _take(self, least: int) -> Bytes:
        size = max(self._size, least)  # one large sample makes one large block
        self._size = min(4 * self._size, self._limit)
        for index, buffer in enumerate(self._free):
            if len(buffer) >= size:
                return self._free.pop(index)
        self._free.clear()  # all too small by now
        return np.empty(size, np.uint8)


def _fill(stream: Any, target: memoryview, start: int) -> tuple[int, Exception | None]:
    """Read until the target is full or the stream ends; returns where the bytes end, and what fault stopped it."""
    readinto = getattr(stream, "readinto", None)
    while start < len(target):
        try:
            if readinto is not None:
                got = readinto(target[start:])
            else:
                piece = stream.read(len(target) - start)
                got = len(piece)
                target[start : start + got] = piece
        except Exception as error:
            return start, error
        if not got:
            break
        start += got
    return start, None


def _grouped(records: Iterator[Record]) -> Iterator[Chunk]:
    group: list[Record] = []
    size = 0
    try:
        for record in records:
            group.append(record)
            size += len(record.payload)
            if size >= _GROUP:
                yield gather_records(group)
                group, size = [], 0
    except Exception:
        # what came before the fault is good
        if group:
            yield gather_records(group)
        raise
    if group:
        yield gather_records(group)


def gather_records(records: list[Record]) -> Gathered:
    """Stored samples as one chunk."""
    return Gathered([record.payload for record in records], [Where(*record[:3]) for record in records])
