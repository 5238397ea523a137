"""Loaders of tensors for training: ours beside those that come with the formats that are made for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .check import Unequal, checksum
from .formats import OURS, Batch, Format
from .measures import interleaved, is_long, pass_seconds, say
from .results import Results
from .workloads import Row, Workload

# Name -> whether to shuffle, and how many workers
MODES = {
    "ordered": (False, 0),
    "ordered, 2 workers": (False, 2),
    "shuffled": (True, 0),
    "shuffled, 2 workers": (True, 2),
}
WORKLOADS = ("W1", "W2", "W3")

torch.set_num_threads(1)


def measure(workload: Workload, formats: dict[str, Format], folder: Path, rounds: int, results: Results) -> None:
    """Whole passes of all loaders over what was written, checked and then timed."""
    written = sorted(checksum(row) for row in workload.rows())
    for mode, (shuffle, workers) in MODES.items():
        cases = {}
        for name, format in formats.items():
            loader: Callable[..., Iterable[Batch]] = format.loader  # type: ignore[attr-defined]
            begin = partial(loader, workload, folder / name, shuffle, workers)
            try:
                _check(workload, begin(), written)
            except Exception as error:
                if name == OURS:
                    raise
                say(f"{workload.name}, {mode}: {format.title} is left out: {type(error).__name__}: {error}")
            else:
                cases[name] = partial(pass_seconds, begin)
        say(f"{workload.name}, {mode}: timing {len(cases)} loaders, {rounds} rounds")
        for name, values in interleaved(cases, rounds, is_long).items():
            results.add("load", workload.name, mode, name, values)


def _check(workload: Workload, batches: Iterable[Batch], written: list[int]) -> None:
    """Compare every value of a pass with what was written, in whatever order.

    Raises:
        Unequal: they differ.
    """
    found = sorted(checksum(row) for batch in batches for row in _rows(workload, batch))
    if found != written:
        raise Unequal(f"{len(written):,} samples were written, {len(found):,} read, and they are not the same")


def _rows(workload: Workload, batch: Batch) -> Iterator[Row]:
    for name, field in workload.fields.items():
        if isinstance(batch[name], torch.Tensor) is (field.hint is str or name in workload.ragged):
            raise Unequal(f"{name} comes as {type(batch[name]).__name__}")
    return zip(*(_values(batch[name]) for name in workload.fields), strict=True)


def _values(column: Any) -> Iterable[Any]:
    if isinstance(column, torch.Tensor):
        return column.numpy()
    return [value.numpy() if isinstance(value, torch.Tensor) else value for value in column]
