"""One pass over a dataset: which shards, in which order, shuffled and batched how."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from .batch import SampleBatch
from .errors import AtdataError
from .shard.reader import Record, read_records
from .sources import open_shards, shard_ids

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
        sample_type: type of the samples.
        shuffle: how to shuffle; None keeps the order of shards and samples.
        batch_size: samples per batch; None yields single samples.
        drop_last: whether to leave out a last batch that is short.
    """

    source: Any
    sample_type: type[Any]
    shuffle: Shuffle | None = None
    batch_size: int | None = None
    drop_last: bool = False

    def __call__(self) -> Iterator[Any]:
        records = self._records()
        if self.batch_size is None:
            return map(decoder(self.sample_type), records)
        return self._batches(records, self.batch_size)

    def _records(self) -> Iterator[Record]:
        shards = own_share(shard_ids(self.source))
        if self.shuffle is None:
            return _read(self.source, shards)
        how = self.shuffle
        # text seeds are hashed with sha-512: the same on every machine
        rng = random.Random() if how.seed is None else random.Random(f"{how.seed}:{how.epoch}")
        order = shuffled(shards, how.shards, how.shards, rng)
        return shuffled(_read(self.source, order), how.samples, how.initial, rng)

    def _batches(self, records: Iterator[Record], size: int) -> Iterator[SampleBatch[Any]]:
        while batch := list(islice(records, size)):
            if len(batch) == size or not self.drop_last:
                yield SampleBatch.from_records(self.sample_type, batch)


def _read(source: Any, shards: Iterable[str]) -> Iterator[Record]:
    for shard, stream in open_shards(source, shards):
        with contextlib.closing(stream):
            yield from read_records(stream, shard)


def decoder(sample_type: type[Any]) -> Callable[[Record], Any]:
    """What turns a stored sample into one of this type; its errors say where the sample is."""
    from_bytes = sample_type.from_bytes

    def decode(record: Record) -> Any:
        try:
            return from_bytes(record.payload)
        except AtdataError as error:
            error.at(shard=record.shard, key=record.key, offset=record.offset)
            raise

    return decode


def own_share(shards: Sequence[str]) -> Sequence[str]:
    """The shards that this process should read: all of them, or a DataLoader worker's part."""
    torch = sys.modules.get("torch")
    worker = torch.utils.data.get_worker_info() if torch is not None else None
    return shards if worker is None else shards[worker.id :: worker.num_workers]


def shuffled(items: Iterable[T], size: int, initial: int, rng: random.Random) -> Iterator[T]:
    """Items in random order, mixing up to ``size`` at a time once ``initial`` are at hand."""
    buffer: list[T] = []
    initial = min(initial, size)
    source = iter(items)
    for item in source:
        buffer.append(item)
        if len(buffer) < initial:
            continue
        # a buffer that starts small grows while items come out
        if len(buffer) < size:
            buffer.extend(islice(source, 1))
        pick = rng.randrange(len(buffer))
        buffer[pick], buffer[-1] = buffer[-1], buffer[pick]
        yield buffer.pop()
    rng.shuffle(buffer)
    yield from buffer
