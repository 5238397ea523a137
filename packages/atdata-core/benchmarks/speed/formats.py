"""What a format is here: it writes a workload, and reads it in several modes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .workloads import Workload

# A batch maps every field to its values: an array, or a list where there are no arrays to stack.
Batch: TypeAlias = Mapping[str, Any]
# Starts a pass, which yields batches, or instances of a dataclass.
Pass: TypeAlias = Callable[[], Iterable[Any]]

# Names, and folders, of the two formats that are always there.
OURS, BASELINE = "atdata", "webdataset"

SEED = 0


class Format(ABC):
    """A way to keep samples on disk.

    Attributes:
        title: what tables call it.
    """

    title: str

    @abstractmethod
    def write(self, workload: Workload, folder: Path) -> None:
        """Write all samples into an empty folder."""

    @abstractmethod
    def passes(self, workload: Workload, folder: Path) -> dict[str, Pass]:
        """By mode, what starts a pass over the samples in a folder. Arrays own their memory and are writable."""


class RowFormat(Format):
    """A format that is read sample by sample."""

    @abstractmethod
    def rows(self, workload: Workload, folder: Path, shuffle: bool) -> Iterable[Mapping[str, Any]]:
        """All samples as dicts; arrays may be read-only."""

    def passes(self, workload: Workload, folder: Path) -> dict[str, Pass]:
        def batches(shuffle: bool) -> Iterator[Batch]:
            rows = (row for row in self.rows(workload, folder, shuffle))  # some iterators start over at every iter()
            while batch := list(islice(rows, workload.batch_size)):
                yield {name: column(workload, name, [row[name] for row in batch]) for name in workload.fields}

        def samples() -> Iterator[Any]:
            for row in self.rows(workload, folder, shuffle=False):
                yield workload.plain(**{name: writable(row[name]) for name in workload.fields})

        return {"ordered": lambda: batches(False), "shuffled": lambda: batches(True), "samples": samples}


class ColumnFormat(Format):
    """A format that is read in batches of columns."""

    @abstractmethod
    def batches(self, workload: Workload, folder: Path, shuffle: bool) -> Iterable[Batch]:
        """All samples in batches."""

    def passes(self, workload: Workload, folder: Path) -> dict[str, Pass]:
        def samples() -> Iterator[Any]:
            for batch in self.batches(workload, folder, shuffle=False):
                columns = [batch[name] for name in workload.fields]
                # numbers of a sample are Python's own
                flat = [values.tolist() if getattr(values, "ndim", 0) == 1 else values for values in columns]
                yield from map(workload.plain, *flat)

        return {
            "ordered": lambda: self.batches(workload, folder, shuffle=False),
            "shuffled": lambda: self.batches(workload, folder, shuffle=True),
            "samples": samples,
        }


def column(workload: Workload, name: str, values: list[Any]) -> Any:
    """A field's values in a batch."""
    return np.stack(values) if workload.fields[name].shape is not None else [writable(value) for value in values]


def writable(value: Any) -> Any:
    """The value, or a copy of an array that may not be written to."""
    return value.copy() if isinstance(value, np.ndarray) and not value.flags.writeable else value
