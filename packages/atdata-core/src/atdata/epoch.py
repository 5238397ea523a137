"""One pass over a dataset: which shards, in which order, shuffled and batched how."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import numpy as np

from .batch import SampleBatch
from .decode import Piece, View, samples
from .errors import AtdataError
from .shard.blocks import BlockReader, Chunk, gather_records
from .shard.gather import Place, gather_places, large_samples
from .shard.mapped import MappedShard
from .shard.reader import Record
from .sources import open_shards, shard_ids
from .sources.url import path_of

# What is brought together at a time at most, except that it is a whole number of batches
_GATHER_ROWS, _GATHER_BYTES = 1024, 2 << 20

T = TypeVar("T")


@dataclass(frozen=True)
class Shuffle:
    """How a pass is shuffled.

    Attributes:
        shards: how many shards are mixed at a time.
        samples: how many samples are mixed at a time.
        initial: how many samples must be at hand before the first comes out.
        seed: what decides the order together with ``epoch``; None for another order in each pass.
        epoch: number of the pass.
    """

    shards: int
    samples: int
    initial: int
    seed: int | None
    epoch: int


@dataclass(frozen=True)
class Epoch:
    """A pass that can be made any number of times: call it for an iterator.

    Attributes:
        source: the data source.
        view: what the samples are read as.
        shuffle: how to shuffle; None keeps the order of shards and samples.
        batch_size: samples per batch; None yields single samples.
        drop_last: whether to leave out a last batch that is short.
    """

    source: Any
    view: View
    shuffle: Shuffle | None = None
    batch_size: int | None = None
    drop_last: bool = False

    def __call__(self) -> Iterator[Any]:
        pieces = (Piece(chunk, 0, len(chunk)) for chunk in self._chunks())
        if self.batch_size is None:
            return samples(self.view, pieces)
        return self._batches(pieces, self.batch_size)

    def _chunks(self) -> Iterator[Chunk]:
        shards = own_share(shard_ids(self.source))
        if self.shuffle is None:
            return _read_in_order(self.source, shards)
        how = self.shuffle
        picks = Picks(how.seed, how.epoch)
        order = mixed(shards, how.shards, how.shards, picks)
        places = mixed(_places(self.source, order), how.samples, how.initial, picks)
        return _gathered(places, self.batch_size or 1)

    def _batches(self, pieces: Iterator[Piece], size: int) -> Iterator[SampleBatch[Any]]:
        batch: list[Piece] = []
        missing = size
        for chunk, low, end in pieces:
            while low < end:
                high = min(end, low + missing)
                batch.append(Piece(chunk, low, high))
                missing -= high - low
                low = high
                if not missing:
                    yield SampleBatch.from_pieces(self.view, batch)
                    batch, missing = [], size
        if batch and not self.drop_last:
            yield SampleBatch.from_pieces(self.view, batch)


def _read_in_order(source: Any, shards: Iterable[str]) -> Iterator[Chunk]:
    reader = BlockReader()
    for shard, stream in open_shards(source, shards):
        with contextlib.closing(stream):
            path = path_of(source, shard, stream)
            if path is None:
                yield from reader.chunks(stream, shard)
            elif large_samples(stream.fileno()) and (mapped := _mapped(path, shard)) is not None:
                mapped.release()  # large samples are read, not looked at
                yield from _gathered(_rows(mapped), 1)
            else:
                # large reads through a buffer cost a copy
                yield from reader.chunks(cast("IO[bytes]", cast("io.BufferedReader", stream).raw), shard)


def _mapped(path: Path, shard: str) -> MappedShard | None:
    """A shard that is open, mapped; None if its name is gone by now, as may happen in a cache."""
    try:
        return MappedShard(path, shard)
    except FileNotFoundError:
        return None


def _rows(shard: MappedShard) -> Iterator[Place]:
    yield from zip(repeat(shard), range(len(shard)))
    if shard.fault is not None:
        raise shard.fault


def _places(source: Any, shards: Iterable[str]) -> Iterator[Place | Record]:
    """The samples of shards: where they are, on this machine; else what they are."""
    reader = BlockReader()
    for shard, stream in open_shards(source, shards):
        with contextlib.closing(stream):
            path = path_of(source, shard, stream)
            mapped = None if path is None else _mapped(path, shard)
            yield from _records(reader.chunks(stream, shard)) if mapped is None else _rows(mapped)


def _records(chunks: Iterator[Chunk]) -> Iterator[Record]:
    for chunk in chunks:
        for row in range(len(chunk)):
            yield Record(*chunk.where(row), bytes(chunk.payload(row)))


def _gathered(places: Iterator[Place | Record], batch_size: int) -> Iterator[Chunk]:
    """Bring samples together, a few batches at a time."""
    size = batch_size  # at first, so that the first batch comes soon
    fault: AtdataError | None = None
    while fault is None:
        group: list[Place | Record] = []
        try:
            group.extend(islice(places, size))
        except AtdataError as error:
            fault = error  # extend() has kept the samples before it
        if not group:
            break
        chunk = _gather(group)
        mean = max(1, len(chunk.data) // len(chunk))
        yield chunk
        size = batch_size * max(1, min(_GATHER_ROWS, _GATHER_BYTES // mean) // batch_size)
    if fault is not None:
        raise fault


def _gather(group: list[Place | Record]) -> Chunk:
    records = [item for item in group if isinstance(item, Record)]
    if not records:
        return gather_places(cast("list[Place]", group))
    if len(records) < len(group):  # a source of local and remote shards
        records = [item if isinstance(item, Record) else item[0].record(item[1]) for item in group]
    return gather_records(records)


def own_share(shards: Sequence[str]) -> Sequence[str]:
    """The shards that this process should read: all of them, or a DataLoader worker's part."""
    loading = sys.modules.get("torch.utils.data")
    worker = loading.get_worker_info() if loading is not None else None
    return shards if worker is None else shards[worker.id :: worker.num_workers]


class Picks:
    """Random numbers that are the same on every machine and in every version, for a seed and an epoch."""

    def __init__(self, seed: int | None, epoch: int) -> None:
        # any integers will do; SeedSequence takes those from 0 on
        entropy = None if seed is None else [2 * n if n >= 0 else -2 * n - 1 for n in (seed, epoch)]
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))

    def below(self, limit: int, count: int) -> list[int]:
        """``count`` numbers from 0 to ``limit`` - 1."""
        numbers: list[int] = (self._bits.random_raw(count) % np.uint64(limit)).tolist()
        return numbers

    def permutation(self, count: int) -> list[int]:
        """The numbers from 0 to ``count`` - 1 in random order."""
        order: list[int] = np.argsort(self._bits.random_raw(count), kind="stable").tolist()
        return order


def mixed(items: Iterable[T], size: int, initial: int, picks: Picks) -> Iterator[T]:
    """Items in random order, mixing up to ``size`` at a time once ``initial`` are at hand."""
    source = iter(items)
    buffer = list(islice(source, min(initial, size)))
    while len(buffer) < size:  # a buffer that starts small grows while items come out
        more = list(islice(source, 2))
        if not more:
            break
        buffer += more
        pick = picks.below(len(buffer), 1)[0]
        buffer[pick], buffer[-1] = buffer[-1], buffer[pick]
        yield buffer.pop()
    while more := list(islice(source, min(size, _GATHER_ROWS))):  # no more ahead than the buffer holds
        for item, pick in zip(more, picks.below(len(buffer), len(more)), strict=True):
            yield buffer[pick]
            buffer[pick] = item
    for pick in picks.permutation(len(buffer)):
        yield buffer[pick]
