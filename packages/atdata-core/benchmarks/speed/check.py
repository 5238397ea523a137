"""Whether a reader gives back what was written."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .formats import Pass
from .workloads import Row, Workload


class Unequal(Exception):
    """A reader's values are not those that were written, or not in the promised form."""


def checksum(row: Row) -> int:
    """A number that depends on every value of a sample and its type; another one in every process."""
    return hash(tuple(map(_value_sum, row)))


def _value_sum(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, zlib.crc32(np.ascontiguousarray(value))
    return repr(value.item() if isinstance(value, np.generic) else value)


def check(workload: Workload, mode: str, begin: Pass, written: list[int]) -> None:
    """Make one pass and compare every value with what was written.

    Args:
        workload: what was written.
        mode: the mode of the pass.
        begin: starts the pass.
        written: checksums of the written samples, in order.

    Raises:
        Unequal: says how.
    """
    rows = _rows_of_samples if mode == "samples" else _rows_of_batches
    found = [checksum(row) for row in rows(workload, begin())]
    if len(found) != len(written):
        raise Unequal(f"{len(written):,} samples were written, {len(found):,} read")
    if mode == "shuffled":
        if found == written and len(found) > 100:
            raise Unequal("samples come in the order of writing, not shuffled")
        found, written = sorted(found), sorted(written)
    differing = sum(a != b for a, b in zip(found, written, strict=True))
    if differing:
        raise Unequal(f"{differing:,} of {len(written):,} samples differ from what was written")


def _rows_of_batches(workload: Workload, batches: Iterable[Any]) -> Iterator[Row]:
    for batch in batches:
        columns = [batch[name] for name in workload.fields]
        for values in columns:
            for value in [values] if isinstance(values, np.ndarray) else values:
                _check_owned(value)
        yield from zip(*columns, strict=True)


def _rows_of_samples(workload: Workload, samples: Iterable[Any]) -> Iterator[Row]:
    for sample in samples:
        row = tuple(vars(sample)[name] for name in workload.fields)  # vars: decoded already, not on demand
        for value in row:
            _check_owned(value)
        yield row


def _check_owned(value: Any) -> None:
    if not isinstance(value, np.ndarray):
        return
    if not value.flags.writeable:
        raise Unequal("an array is read-only")
    base = value
    while isinstance(base, np.ndarray):
        base = base.base
    if not (base is None or isinstance(base, bytearray)):
        raise Unequal(f"an array lies in a {type(base).__name__}")
