"""Reading shards one after another: where their samples are, or what they are, as a pass needs it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar, cast

from ..errors import AtdataError
from ..shard.blocks import BlockReader, Chunk, Where, gather_records
from ..shard.gather import Place, gather_places, large_samples
from ..shard.mapped import MappedShard
from ..shard.reader import Record
from ..sources import open_shards, public
from ..sources.url import path_of
from .order import Shuffle
from .skipping import Faults

# What is brought together at a time at most, except that it is a whole number of batches. Of small samples fewer than
# the 700 objects at which CPython looks for garbage: now and again it then walks over all that torch has made, too
_GATHER_ROWS, _GATHER_BYTES = 512, 2 << 20

Item: TypeAlias = "Place | Record"
"""A sample: where it is, on this machine; else what it is."""

T = TypeVar("T")


def read_in_order(source: Any, shards: Iterable[str]) -> Iterator[Chunk]:
    """All samples of shards, as they lie there."""
    reader = BlockReader()
    for shard, stream in open_shards(source, shards):
        with contextlib.closing(stream):
            path = path_of(source, shard, stream)
            if path is None:
                yield from reader.chunks(stream, shard)
            elif large_samples(stream.fileno()) and (mapped := _mapped(path, shard)) is not None:
                mapped.release()  # large samples are read, not looked at
                yield from gathered(_rows(mapped), 1)
            else:
                # large reads through a buffer cost a copy
                yield from reader.chunks(cast("IO[bytes]", cast("io.BufferedReader", stream).raw), shard)


def _mapped(path: Path, shard: str) -> MappedShard | None:
    """A shard that is open, mapped; None if its name is gone by now, as may happen in a cache."""
    try:
        return MappedShard(path, shard)
    except FileNotFoundError:
        return None


def _rows(shard: MappedShard, start: int = 0) -> Iterator[Place]:
    yield from zip(repeat(shard), range(start, len(shard)))
    if shard.fault is not None:
        raise shard.fault


def items(source: Any, shards: Iterable[str]) -> Iterator[Item]:
    """The samples of shards, one by one."""
    reader = BlockReader()
    for shard, stream in open_shards(source, shards):
        with contextlib.closing(stream):
            path = path_of(source, shard, stream)
            mapped = None if path is None else _mapped(path, shard)
            yield from _records(reader.chunks(stream, shard)) if mapped is None else _rows(mapped)


def kept(source: Any, shards: Iterable[str], faults: Faults) -> Iterator[Item]:
    """The samples of shards, without what cannot be read if it may be left out."""
    if faults.allowed is None:
        yield from items(source, shards)
        return
    for shard in shards:
        try:
            yield from items(source, [shard])
        except (AtdataError, OSError) as error:
            faults.bad(error, Where(public(shard), None, None))


def _records(chunks: Iterator[Chunk]) -> Iterator[Record]:
    for chunk in chunks:
        for row in range(len(chunk)):
            yield Record(*chunk.where(row), bytes(chunk.payload(row)))


def windowed(samples: Iterator[T], how: Shuffle) -> Iterator[T]:
    """Samples mixed window by window; the next window fills while one comes out, so that no more are held than one."""
    sizes = how.windows()
    window = list(islice(samples, next(sizes)))
    for number, size in enumerate(sizes):
        if not window:
            return
        order = how.permutation(len(window), number)
        ahead: list[T] = []
        each = -(-size // len(window))
        for place in order:
            if len(ahead) < size:
                ahead += islice(samples, min(each, size - len(ahead)))
            yield window[place]
        ahead += islice(samples, size - len(ahead))
        window = ahead


def gathered(samples: Iterator[Item], batch_size: int) -> Iterator[Chunk]:
    """Bring samples together, a few batches at a time."""
    size = batch_size  # at first, so that the first batch comes soon
    fault: AtdataError | None = None
    while fault is None:
        group: list[Item] = []
        try:
            group.extend(islice(samples, size))
        except AtdataError as error:
            fault = error  # extend() has kept the samples before it
        if not group:
            break
        chunk = gather(group)
        yield chunk
        size = batch_size * group_size(chunk, batch_size)
    if fault is not None:
        raise fault


def group_size(chunk: Chunk, batch_size: int) -> int:
    """How many batches to bring together at a time, now that samples like these are seen."""
    mean = max(1, len(chunk.data) // max(1, len(chunk)))
    return max(1, min(_GATHER_ROWS, _GATHER_BYTES // mean) // batch_size)


def gather(group: Sequence[Item]) -> Chunk:
    """Samples as one chunk, in the order given.

    Raises:
        ShardCorrupted: there is no sample where a sidecar says, or a file became shorter.
    """
    if Record not in map(type, group):
        return gather_places(cast("list[Place]", group))
    # of a source of local and remote shards
    return gather_records([item if isinstance(item, Record) else item[0].record(item[1]) for item in group])
