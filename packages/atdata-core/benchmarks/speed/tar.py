"""Typed tar shards: our reader, and the one that people write by hand with webdataset and ormsgpack.

Each writes shards of its own and reads both its own and the other's.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ormsgpack
import webdataset as wds
from webdataset.tariterators import group_by_keys, tar_file_expander

from atdata import Dataset, write_samples

from .formats import BASELINE, OURS, SEED, Batch, Format, Pass, column
from .workloads import Workload

PATTERN = "shard-%06d.tar"


class Pipe:
    """A shard that can only be read from front to back."""

    def __init__(self, path: str) -> None:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
        self.read, self.readinto, self.close = file.read, file.readinto, file.close


class PipeSource:
    """A data source of pipes."""

    def __init__(self, shards: list[str]) -> None:
        self._shards = shards

    def list_shards(self) -> list[str]:
        return self._shards

    def open_shard(self, shard_id: str) -> Any:
        return Pipe(shard_id)


class TarFormat(Format):
    """A reader of typed tar shards."""

    @abstractmethod
    def batches(
        self, workload: Workload, shards: list[str], *, shuffle: bool = False, pipe: bool = False
    ) -> Iterable[Batch]:
        """All samples in batches; ``pipe`` reads shards as streams that cannot seek."""

    @abstractmethod
    def samples(self, workload: Workload, shards: list[str]) -> Iterable[Any]:
        """All samples one by one."""

    def passes(self, workload: Workload, folder: Path) -> dict[str, Pass]:
        ours, foreign = (shards_in(folder.with_name(name)) for name in (OURS, BASELINE))
        return {
            "ordered": partial(self.batches, workload, ours),
            "foreign": partial(self.batches, workload, foreign),
            "shuffled": partial(self.batches, workload, ours, shuffle=True),
            "samples": partial(self.samples, workload, ours),
            "stream": partial(self.batches, workload, ours, pipe=True),
        }


def shards_in(folder: Path) -> list[str]:
    """Paths of a folder's shards, in order."""
    return sorted(map(str, folder.glob("*.tar")))


class Ours(TarFormat):
    """What this project is about."""

    title = "atdata"

    def write(self, workload: Workload, folder: Path) -> None:
        samples = (workload.typed(*row) for row in workload.rows())
        write_samples(samples, folder / PATTERN, maxcount=workload.maxcount)

    def batches(
        self, workload: Workload, shards: list[str], *, shuffle: bool = False, pipe: bool = False
    ) -> Iterator[Batch]:
        dataset = Dataset.of(workload.typed, PipeSource(shards) if pipe else shards)
        size = workload.batch_size
        stream = (
            dataset.shuffled(buffer_samples=workload.buffer, batch_size=size, seed=SEED)
            if shuffle
            else dataset.ordered(batch_size=size)
        )
        lists = {name for name, field in workload.fields.items() if field.shape is None}
        for batch in stream:
            # columns are decoded when they are touched
            yield {name: batch.list(name) if name in lists else batch[name] for name in workload.fields}

    def samples(self, workload: Workload, shards: list[str]) -> Iterable[Any]:
        return Dataset.of(workload.typed, shards)

    def loader(self, workload: Workload, folder: Path, shuffle: bool, workers: int) -> Iterable[Batch]:
        """All samples in batches of tensors, made by a thread or by workers."""
        dataset, size = Dataset.of(workload.typed, shards_in(folder)), workload.batch_size
        order = {"buffer_samples": workload.buffer, "seed": SEED} if shuffle else {}
        return dataset.to_torch(size, shuffle=shuffle, num_workers=workers, **order)


class Baseline(TarFormat):
    """The shortest code that a person who knows webdataset would write: what all others are compared with."""

    title = "webdataset + ormsgpack"

    def write(self, workload: Workload, folder: Path) -> None:
        # as webdataset wrote before its version 1: a float as the time, so a PAX record before each sample
        write_with_webdataset(map(packed, workload.dicts()), folder, workload.maxcount, format="PAX_FORMAT")

    def batches(
        self, workload: Workload, shards: list[str], *, shuffle: bool = False, pipe: bool = False
    ) -> Iterable[Batch]:
        def collate(samples: list[Any]) -> Batch:
            return {name: column(workload, name, [getattr(s, name) for s in samples]) for name in workload.fields}

        opened = [_open_pipes, tar_file_expander, group_by_keys] if pipe else [wds.tarfile_to_samples()]
        if shuffle:  # shards, then samples; as many at a time as ours
            opened = [wds.shuffle(100), *opened, wds.shuffle(workload.buffer, initial=workload.buffer)]
        batched = wds.batched(workload.batch_size, collation_fn=collate)
        return wds.DataPipeline(wds.SimpleShardList(shards), *opened, _decode(workload), batched)

    def samples(self, workload: Workload, shards: list[str]) -> Iterable[Any]:
        return wds.DataPipeline(wds.SimpleShardList(shards), wds.tarfile_to_samples(), _decode(workload))


FORMATS: dict[str, TarFormat] = {OURS: Ours(), BASELINE: Baseline()}


def write_with_webdataset(payloads: Iterable[bytes], folder: Path, maxcount: int, **options: Any) -> None:
    """Write samples' msgpack bytes with webdataset's own writer."""
    with wds.ShardWriter(str(folder / PATTERN), maxcount=maxcount, verbose=0, **options) as writer:
        for number, payload in enumerate(payloads):
            writer.write({"__key__": f"{number:09}", "msgpack": payload})


def packed(sample: Mapping[str, Any]) -> bytes:
    """A sample's msgpack bytes, with arrays as ``.npy`` inside."""
    values = dict(sample)
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            buffer = io.BytesIO()
            np.save(buffer, value, allow_pickle=False)
            values[name] = buffer.getvalue()
    return ormsgpack.packb(values)


def unpacked(workload: Workload, payload: bytes) -> dict[str, Any]:
    """A sample's values from its msgpack bytes."""
    values = ormsgpack.unpackb(payload)
    for name in workload.arrays:
        if values[name] is not None:
            values[name] = np.load(io.BytesIO(values[name]), allow_pickle=False)
    return values


def _decode(workload: Workload) -> Any:
    return wds.map(lambda sample: workload.plain(**unpacked(workload, sample["msgpack"])))


def _open_pipes(shards: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for shard in shards:
        yield {**shard, "stream": Pipe(shard["url"])}
