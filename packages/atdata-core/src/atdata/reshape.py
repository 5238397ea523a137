"""Datasets cut anew: in other shards, in parts, or joined. Samples are copied as they are stored, under their keys."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .copying import copy_shards, originals
from .dataset import Dataset
from .errors import AtdataError, EmptyDataset, SampleTypeError
from .feed.order import Picks
from .naming import ShardNames
from .progress import Progress, counted, known_total
from .schema import diff, schema_of
from .schema.record import schema_by_cid
from .storing import MAXSIZE
from .write import ShardWriter

T = TypeVar("T")

# So many shards and samples are mixed at a time, as Dataset.shuffled does
_SHARDS, _SAMPLES = 100, 10_000


def reshard(
    dataset: Dataset[T],
    path: str | os.PathLike[str],
    *,
    maxcount: int | None = None,
    maxsize: int | None = MAXSIZE,
    seed: int | None = None,
    overwrite: bool = False,
    progress: Progress = None,
) -> Dataset[T]:
    """Write a dataset's samples into other shards; all of them or, after an exception, none.

    Args:
        dataset: the dataset.
        path: as for ``ShardWriter``.
        maxcount: at most so many samples per shard.
        maxsize: at most so many bytes per shard, unless a single sample is larger.
        seed: mix the samples as ``shuffled(seed=...)`` does; None keeps their order.
        overwrite: replace shards of the same names.
        progress: told how many samples are written; see ``atdata.progress``.

    Raises:
        EmptyDataset: there are no samples.
        ShardExists: there is a shard of that name and ``overwrite`` is not set.
        AtdataError: the dataset cannot be read.
    """
    with ShardWriter(path, dataset.sample_type, maxcount=maxcount, maxsize=maxsize, overwrite=overwrite) as writer:
        for key, payload in counted(_stored(dataset, seed), progress, lambda: known_total(dataset)):
            _write(writer, key, payload)
    return writer.dataset


def join(datasets: Sequence[Dataset[Any]], path: str | os.PathLike[str], *, progress: Progress = None) -> Dataset[Any]:
    """Copy the shards of datasets of one sample type into one dataset, byte by byte and in order.

    Args:
        datasets: the datasets.
        path: as for ``ShardWriter``; the shards are numbered.
        progress: told how many bytes are copied; see ``atdata.progress``.

    Raises:
        SampleTypeError: their sample types differ; says in what.
        ShardExists: there is a shard of that name.
        AtdataError: a dataset cannot be read, or a shard is not what its manifest says.
    """
    for dataset in datasets[1:]:
        _refuse_others(datasets[0], dataset)
    names = ShardNames.of(path, numbered=True)
    shards = [shard for dataset in datasets for shard in originals(dataset)]
    copy_shards(shards, names.folder, lambda number: names.path(number).name, progress=progress)
    return Dataset.of(datasets[0].sample_type, names.source(len(shards)))


def _refuse_others(first: Dataset[Any], other: Dataset[Any]) -> None:
    a, b = first.sample_type, other.sample_type
    if a is b or (schema_by_cid(a) and [*schema_by_cid(a)] == [*schema_by_cid(b)]):
        return
    try:
        difference = "; ".join(str(diff(schema_of(a), schema_of(b))).splitlines())
    except AtdataError:
        difference = f"{a.__name__} and {b.__name__}"
    raise SampleTypeError(f"a dataset has samples of one type, and those of {other.url!r:.200} differ: {difference}")


def split(
    dataset: Dataset[T],
    folder: str | os.PathLike[str],
    parts: Mapping[str, float | int | None],
    *,
    seed: int = 0,
    maxcount: int | None = None,
    maxsize: int | None = MAXSIZE,
    overwrite: bool = False,
    progress: Progress = None,
) -> dict[str, Dataset[T]]:
    """Divide a dataset by chance into parts, which keep the order of its samples.

    Args:
        dataset: the dataset. It is read to its end once more where no manifest tells how many samples there are.
        folder: where the shards of each part go, as ``train-000000.tar`` and on.
        parts: for each part a fraction (a float of 0 to 1), a number of samples (an int), or None for the rest.
        seed: decides which samples go where, the same on every machine.
        maxcount: at most so many samples per shard.
        maxsize: at most so many bytes per shard, unless a single sample is larger.
        overwrite: replace shards of the same names.
        progress: told how many samples are written; see ``atdata.progress``.

    Returns:
        The parts by name.

    Raises:
        ValueError: parts that cannot be; says why.
        EmptyDataset: a part gets no sample.
        ShardExists: there is a shard of that name and ``overwrite`` is not set.
        AtdataError: the dataset cannot be read.
    """
    total = known_total(dataset)
    if total is None:
        total = sum(1 for _ in _stored(dataset))
    part_of = _assign(sizes_of(parts, total), total, seed)
    target = Path(folder)
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(
                ShardWriter(
                    target / f"{name}-%06d.tar",
                    dataset.sample_type,
                    maxcount=maxcount,
                    maxsize=maxsize,
                    overwrite=overwrite,
                )
            )
            for name in parts
        ]
        stored = counted(_stored(dataset), progress, lambda: total)
        for part, (key, payload) in zip(part_of.data, stored, strict=True):
            if part < len(writers):
                _write(writers[part], key, payload)
    return {name: writer.dataset for name, writer in zip(parts, writers, strict=True)}


def sizes_of(parts: Mapping[str, float | int | None], total: int) -> list[int]:
    """How many samples each part gets; what fractions leave over by rounding goes to the last of them.

    Raises:
        ValueError: parts that cannot be; says why.
        EmptyDataset: a part would get none.
    """
    fractions = sum(value for value in parts.values() if isinstance(value, float))
    rests = sum(value is None for value in parts.values())
    if not parts or rests > 1 or any(value is not None and value <= 0 for value in parts.values()):
        raise ValueError(f"parts are fractions or numbers over 0, and one may be the rest; found {dict(parts)}")
    if fractions > 1 + 1e-9:
        raise ValueError(f"the fractions are {fractions:g} together, and there is only 1")
    sizes = [round(value * total) if isinstance(value, float) else value or 0 for value in parts.values()]
    left = total - sum(sizes)
    values = [*parts.values()]
    if rests:
        sizes[values.index(None)] = left
    elif abs(fractions - 1) < 1e-9:
        sizes[max(n for n, value in enumerate(values) if isinstance(value, float))] += left
    for name, size in zip(parts, sizes, strict=True):
        if size < 1 or sum(sizes) > total:
            asked = ", ".join(f"{part} {count:,}" for part, count in zip(parts, sizes, strict=True))
            raise EmptyDataset(f"{total:,} samples do not divide so: {asked}; ask for less, or leave {name} out")
    return sizes


def _assign(sizes: Sequence[int], total: int, seed: int) -> npt.NDArray[np.uint16]:
    """The part of each sample, or their number for what goes nowhere."""
    order = Picks(seed, 0).permutation(total)
    part_of = np.full(total, len(sizes), np.uint16)
    for part, (end, size) in enumerate(zip(np.cumsum(sizes).tolist(), sizes, strict=True)):
        part_of[order[end - size : end]] = part
    return part_of


def _stored(dataset: Dataset[Any], seed: int | None = None) -> Iterator[tuple[str | None, bytes]]:
    """The samples of a dataset as they are stored, each with its key."""
    feed = dataset._feed(None if seed is None else (_SHARDS, _SAMPLES, _SAMPLES), seed)
    if dataset._remade is None:
        return ((where.key, payload) for where, payload in feed.stored())
    return ((key, sample.packed) for key, sample in feed.keyed())


def _write(writer: ShardWriter[Any], key: str | None, payload: bytes) -> None:
    try:
        writer.write_stored(payload, key=key)
    except ValueError:  # a foreign key, or one that the shard has already
        writer.write_stored(payload)
