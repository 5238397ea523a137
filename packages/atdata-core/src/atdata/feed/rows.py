"""Which samples of a dataset are meant: numbers of samples, picked lazily and without memory where they are regular."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from .order import Numbers, Permutation, key_of

Rows: TypeAlias = "range | Numbers"
"""Numbers of samples among all that the shards hold, in the order in which they come."""


class Pick(Protocol):
    """A step from some rows to fewer, or to others."""

    def __call__(self, rows: Rows) -> Rows: ...


def numbers(rows: Rows, places: Numbers) -> Numbers:
    """The rows at the given places."""
    return rows.start + rows.step * places if isinstance(rows, range) else rows[places]


@dataclass(frozen=True)
class Between:
    """The rows of a slice."""

    start: int | None
    stop: int | None
    step: int | None = None

    def __call__(self, rows: Rows) -> Rows:
        return rows[self.start : self.stop : self.step]


@dataclass(frozen=True)
class Chosen:
    """Some rows by their numbers, in that order.

    Raises:
        IndexError: from calling it: there are not so many rows.
    """

    wanted: tuple[int, ...] | Numbers

    def __call__(self, rows: Rows) -> Rows:
        places = np.asarray(self.wanted, np.int64)
        beyond = places[(places < -len(rows)) | (places >= len(rows))]
        if len(beyond):
            raise IndexError(f"there is no sample {beyond[0]}; the dataset has {len(rows):,}")
        return numbers(rows, np.where(places < 0, places + len(rows), places))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chosen) and np.array_equal(self.wanted, other.wanted)

    __hash__ = None  # type: ignore[assignment]


def chosen(wanted: Any) -> Chosen:
    """Rows by a sequence of numbers, or by a mask of booleans as NumPy has them.

    Raises:
        TypeError: neither.
    """
    places = np.asarray(wanted if isinstance(wanted, np.ndarray | Sequence) else list(wanted))
    if places.dtype == bool and places.ndim == 1:
        raise TypeError("a mask of booleans selects nothing; give the numbers: np.flatnonzero(mask)")
    if places.ndim != 1 or (len(places) and places.dtype.kind not in "iu"):
        raise TypeError(f"samples are selected by a list of integers; found {wanted!r:.100}")
    return Chosen(places.astype(np.int64))


@dataclass(frozen=True)
class Share:
    """The rows of one part of a random split, in their order.

    Attributes:
        low: where the part begins among all rows in random order, from 0 to 1.
        high: where it ends.
        seed: decides who is in which part.
    """

    low: Fraction
    high: Fraction
    seed: int

    def __call__(self, rows: Rows) -> Rows:
        low, high = (round(part * len(rows)) for part in (self.low, self.high))
        return numbers(rows, _chance(len(rows), low, high, self.seed))


@lru_cache(maxsize=8)  # the rows are asked for in every pass
def _chance(count: int, low: int, high: int, seed: int) -> Numbers:
    return np.sort(Permutation(count, key_of(seed))(np.arange(low, high)))


def shares(parts: Sequence[float], seed: int) -> list[Share]:
    """The parts of a split; what they leave is the last.

    Raises:
        ValueError: they are not between 0 and 1, or more than 1 together.
    """
    exact = [Fraction(str(operator.mul(part, 1.0))) for part in parts]
    if not exact or min(exact) <= 0 or sum(exact) > 1:
        raise ValueError(f"a split takes fractions above 0 that make at most 1 together; found {list(parts)}")
    exact += [Fraction(1) - sum(exact)] if sum(exact) < 1 else []
    ends = [sum(exact[:count], Fraction(0)) for count in range(len(exact) + 1)]
    return [Share(low, high, seed) for low, high in pairwise(ends)]


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several, one after another."""
    ranges = [part for part in parts if isinstance(part, range) and len(part)]
    if len(ranges) == sum(len(part) > 0 for part in parts):
        ends = pairwise(ranges)
        if all(a.step == b.step == 1 and a.stop == b.start for a, b in ends):
            return range(ranges[0].start, ranges[-1].stop, ranges[0].step) if ranges else range(0)
    return np.concatenate([np.asarray(part, np.int64) for part in parts])


def woven(parts: Sequence[Rows], weights: Sequence[float] | None, seed: int) -> Rows:
    """The rows of several, mixed evenly: any stretch has of each about its weight.

    Without weights all rows are in it; with them as many as there are until the first part has no more.

    Args:
        parts: the rows of each.
        weights: how much of each, in relation to the others.
        seed: decides which comes where.
    """
    sizes = [len(part) for part in parts]
    given = sizes if weights is None else [float(weight) for weight in weights]
    total = min((size / weight for size, weight in zip(sizes, given, strict=True) if weight > 0), default=0)
    counts = [min(size, round(weight * total)) for size, weight in zip(sizes, given, strict=True)]
    rows = [numbers(part, np.arange(n)) for part, n in zip(parts, counts, strict=True) if n]
    return np.concatenate(rows)[_turns(tuple(filter(None, counts)), seed)] if rows else range(0)


@lru_cache(maxsize=8)
def _turns(counts: tuple[int, ...], seed: int) -> Numbers:
    """In which order parts of so many rows take turns."""
    bits = np.random.PCG64(np.random.SeedSequence(key_of(seed)))
    # of each part, one row in each of as many equal stretches as it has rows, anywhere in it
    return np.argsort(
        np.concatenate([(np.arange(n) + bits.random_raw(n) * 2.0**-64) / n for n in counts]), kind="stable"
    )


def runs(rows: Rows, ends: Numbers) -> npt.NDArray[np.int64]:
    """Where a shard begins among rows: places, ending with the number of rows.

    Rows that go to and fro between shards are one run: they have been mixed already.

    Args:
        rows: numbers of samples.
        ends: int64 (shards,), the number behind the last sample of each shard.
    """
    if isinstance(rows, range):
        if rows.step < 0:
            return len(rows) - runs(rows[::-1], ends)[::-1]
        begins = np.append(0, ends[:-1])
        places = -((rows.start - begins) // rows.step)
        inside = places[(places > 0) & (places < len(rows))]
        return np.concatenate(([0], np.unique(inside), [len(rows)])) if len(rows) else np.zeros(1, np.int64)
    shards = np.searchsorted(ends, rows, "right")
    changes = np.flatnonzero(np.diff(shards)) + 1
    if len(changes) > len(ends):
        return np.array([0, len(rows)])
    return np.unique(np.concatenate(([0], changes, [len(rows)])))
