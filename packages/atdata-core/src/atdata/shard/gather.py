"""Samples of local shards, brought together in any order.

Small samples are copied side by side. Of samples with one large array only the rest is read at first; the array's
elements go from the file straight into the batch when they are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import SampleDecodeError, ShardCorrupted
from .array import ArrayLayout, read_layout
from .blocks import Chunk, Where
from .columns import Columns, Dense, Spans
from .mapped import MappedShard
from .scan import Bytes, gather, plain_headers, stated_sizes
from .tar import BLOCK

Place: TypeAlias = "tuple[MappedShard, int]"

_IN_PARTS = hasattr(os, "preadv")  # not on Windows
# From this size on, reading a sample in parts costs less than copying it once more
_LARGE = 32 << 10


class Scattered(Chunk):
    """Samples from anywhere in local shards.

    Args:
        places: shard and row of each.
        parts: the bytes of each, from the tar header that precedes it.
        cut: as for ``Columns``.

    Raises:
        ShardCorrupted: there is no sample where a sidecar says.
    """

    def __init__(self, places: Sequence[Place], parts: list[Any], cut: tuple[str, int] | None = None) -> None:
        data = np.frombuffer(b"".join(parts), np.uint8)
        inside = np.array([*map(len, parts)], np.int64) - BLOCK
        sizes = inside + cut[1] if cut else inside
        starts = np.cumsum(inside + BLOCK) - inside
        super().__init__(data, starts, inside, cut)
        self._places = places
        headers = gather(data, starts - BLOCK, BLOCK)
        good = plain_headers(headers) & (stated_sizes(headers) == sizes)
        for row in np.flatnonzero(~good).tolist():
            if not places[row][0].scanned:
                raise ShardCorrupted(
                    "no sample where the shard's .index file says there is one; delete that file if the shard changed"
                ).at(shard=places[row][0].shard, offset=self.where(row).offset)

    def where(self, row: int) -> Where:
        shard, number = self._places[row]
        return shard.where(number)

    def payload(self, row: int) -> memoryview:
        shard, number = self._places[row]
        return shard.payload(number)


class _Files:
    """Descriptors of shards' files, for a moment: open ones are few, and a batch may be kept for long."""

    def __init__(self) -> None:
        self._open: dict[MappedShard, int | None] = {}

    def read(self, shard: MappedShard, target: memoryview, start: int) -> None:
        """Fill the target with a shard's bytes from ``start`` on.

        Raises:
            ShardCorrupted: the file became shorter.
        """
        if shard not in self._open:
            self._open[shard] = shard.reopen()
        fd = self._open[shard]
        if fd is None:  # another file has its name by now; the mapping is still the old one's
            target[:] = shard.view[start : start + len(target)]
            return
        while len(target):
            got = os.preadv(fd, [target], start)
            if not got:
                raise ShardCorrupted("truncated: the file became shorter while it was read").at(shard=shard.shard)
            target, start = target[got:], start + got

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for fd in self._open.values():
            if fd is not None:
                os.close(fd)


class _InFiles(Dense):
    """An array field whose elements are still in the files."""

    def __init__(self, layout: ArrayLayout, places: list[tuple[MappedShard, int]]) -> None:
        self.layout = layout
        self._places = places  # shard, and where in it

    def copy_into(self, rows: Bytes, low: int, high: int) -> None:
        with _Files() as files:
            for row, (shard, start) in zip(rows, self._places[low:high], strict=True):
                files.read(shard, row.data, start)

    def arrays(self, low: int, high: int) -> list[npt.NDArray[Any]]:
        dtype, shape, fortran, _ = self.layout
        made = []
        with _Files() as files:
            for shard, start in self._places[low:high]:
                array: npt.NDArray[Any] = np.empty(shape, dtype, "F" if fortran else "C")
                files.read(shard, (array.T if fortran else array).reshape(-1).view(np.uint8).data, start)
                made.append(array)
        return made


class Skeletons(Scattered):
    """Samples of which one array's elements, alike in all, stay in the files.

    Args:
        places: shard and row of each.
        name: the array field.
        begin: where its elements begin in each sample.
        width: how many bytes they are.
    """

    def __init__(self, places: Sequence[Place], name: str, begin: int, width: int) -> None:
        parts = []
        with _Files() as files:
            for shard, row in places:
                start, size = shard.starts[row], shard.sizes[row]
                part = bytearray(BLOCK + size - width)
                inside = memoryview(part)
                files.read(shard, inside[: BLOCK + begin], start - BLOCK)
                files.read(shard, inside[BLOCK + begin :], start + begin + width)
                parts.append(part)
        super().__init__(places, parts, (name, width))
        self._begin = begin

    @classmethod
    def of(cls, places: Sequence[Place]) -> Skeletons | None:
        """The samples in parts, if they are large and each has the same large array in the same place."""
        shard, row = places[0]
        found = _largest_array(shard, row) if _IN_PARTS and shard.sizes[row] >= _LARGE else None
        if found is None or any(s.sizes[r] < found[1] + found[2] for s, r in places):
            return None
        chunk = cls(places, *found)
        return chunk if chunk._alike(found[0]) else None

    def spans(self, name: str, low: int, high: int) -> list[memoryview]:
        if self._cut is None or name != self._cut[0]:
            return super().spans(name, low, high)
        field = self._walked[0][name]
        assert isinstance(field, Spans)
        begin, size = int(field.starts[0] - self.starts[0]), int(field.sizes[0])
        return [self.payload(row)[begin : begin + size] for row in range(low, high)]

    def _alike(self, name: str) -> bool:
        field = self._walked[0].get(name)
        if not isinstance(field, Spans) or self._cut is None:
            return False
        head = self._begin - int(field.starts[0] - self.starts[0])  # bytes of the array's own header
        if ((field.starts - self.starts) != self._begin - head).any() or (field.sizes != head + self._cut[1]).any():
            return False
        headers = gather(self.data, field.starts, head)
        if (headers != headers[0]).any():
            return False
        try:
            layout = read_layout(headers[0].data, int(field.sizes[0]))
        except SampleDecodeError:
            return False
        if layout.start != head:
            return False
        places = [(shard, shard.starts[row] + self._begin) for shard, row in self._places]
        self._arrays[name] = _InFiles(layout, places)
        return True


def _largest_array(shard: MappedShard, row: int) -> tuple[str, int, int] | None:
    """The array that is most of a sample: field, where its elements begin in the sample, their bytes."""
    payload = shard.payload(row)
    one = Columns(np.frombuffer(payload, np.uint8), np.zeros(1, np.int64), np.array([len(payload)]))
    for name, start, size in one.bins():
        if 2 * size > len(payload):
            try:
                layout = read_layout(payload[start : start + size])
            except SampleDecodeError:
                return None
            return (name, start + layout.start, layout.nbytes) if layout.nbytes else None
    return None


def large_samples(fd: int) -> bool:
    """Whether the first sample of a local shard is large."""
    if not _IN_PARTS:
        return False
    start = os.pread(fd, 3 * BLOCK, 0)
    if start[156:157] == b"x":  # what this says of the member takes one block, mostly
        start = start[2 * BLOCK :]
    if len(start) < BLOCK:
        return False
    header = np.frombuffer(start[:BLOCK], np.uint8)[None]
    return bool(plain_headers(header)[0] and stated_sizes(header)[0] >= _LARGE)


def gather_places(places: Sequence[Place]) -> Scattered:
    """Samples of local shards as one chunk, in the order given.

    Raises:
        ShardCorrupted: there is no sample where a sidecar says, or a file became shorter.
    """
    for shard in {shard for shard, _ in places}:
        shard.check()
    parts = Skeletons.of(places)
    if parts is not None:
        return parts
    spans = [s.view[s.starts[row] - BLOCK : s.starts[row] + s.sizes[row]] for s, row in places]
    return Scattered(places, spans)
