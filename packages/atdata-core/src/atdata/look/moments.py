"""Moments and histograms of numbers that come bit by bit: one pass, and memory that does not grow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 64
# So many numbers are looked at together; as float64 they stay in the processor's cache
_SLICE = 1 << 18


@dataclass(frozen=True)
class Histogram:
    """How many numbers lie in bins of equal width.

    Attributes:
        edges: where the bins begin, and where the last one ends.
        counts: how many numbers each bin has; one at an inner edge is in the bin that begins there.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Numbers:
    """What numbers there are. NaN and infinities are counted and left out of all else.

    Attributes:
        count: how many are finite.
        min: the least, as it is stored.
        max: the greatest.
        mean: their mean.
        std: their standard deviation, the root of the mean square distance from the mean.
        not_finite: how many are NaN or infinite.
        histogram: how they are distributed, if that was asked for.
    """

    count: int
    min: int | float
    max: int | float
    mean: float
    std: float
    not_finite: int
    histogram: Histogram | None = None


class Moments:
    """Counts numbers of any real dtype.

    Args:
        histogram: whether to make a histogram, too.
    """

    def __init__(self, *, histogram: bool = False) -> None:
        self._count = self._not_finite = 0
        self._mean = self._squares = 0.0  # squares of distances from the mean, summed
        self._min: int | float = math.inf
        self._max: int | float = -math.inf
        self._bins = _Bins() if histogram else None

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count the elements of an array of bools, integers or floats, whatever its shape."""
        flat = values.ravel("K")
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, flat.size, _SLICE):
                self._add(flat[start : start + _SLICE])

    def _add(self, part: npt.NDArray[Any]) -> None:
        if part.dtype.kind == "f" and not (finite := np.isfinite(part)).all():
            self._not_finite += int(part.size - np.count_nonzero(finite))
            part = part[finite]
        elif part.dtype.kind == "b":
            part = part.view(np.uint8)
        if not part.size:
            return
        low, high = part.min().item(), part.max().item()
        self._min, self._max = min(self._min, low), max(self._max, high)
        numbers = part.astype(np.float64)
        if self._bins is not None:
            self._bins.add(numbers, low, high)
        # Chan, Golub and LeVeque: moments of parts to moments of the whole, without cancellation
        mean = float(numbers.mean())
        numbers -= mean
        delta, total = mean - self._mean, self._count + part.size
        self._squares += float(numbers @ numbers) + delta * delta * (self._count * part.size / total)
        self._mean += delta * (part.size / total)
        self._count = total

    def result(self) -> Numbers | None:
        """What was counted; None if there was no finite number."""
        if not self._count:
            return None
        std = math.sqrt(self._squares / self._count)
        histogram = None if self._bins is None else self._bins.result()
        return Numbers(self._count, self._min, self._max, self._mean, std, self._not_finite, histogram)


class _Bins:
    """Equal bins over a range that doubles, two old bins becoming one, when a number lies outside it."""

    def __init__(self) -> None:
        self._low = self._width = 0.0
        self._counts = np.zeros(BINS, np.int64)

    def add(self, numbers: npt.NDArray[np.float64], low: int | float, high: int | float) -> None:
        if not self._width:
            whole = isinstance(low, int)
            self._low = float(low)
            # a little more than the range, which leaves the greatest inside; integers get bins of whole width
            self._width = (
                float(math.ceil((high - low + 1) / BINS)) if whole else (high - low) / BINS * (1 + 1e-9) or 1.0
            )
        while low < self._low:
            self._low -= BINS * self._width
            self._widen(BINS // 2)
        while high >= self._low + BINS * self._width:
            self._widen(0)
        bins = ((numbers - self._low) / self._width).astype(np.int64)
        self._counts += np.bincount(bins.clip(0, BINS - 1), minlength=BINS)

    def _widen(self, start: int) -> None:
        pairs = self._counts.reshape(-1, 2).sum(axis=1)
        self._counts = np.zeros(BINS, np.int64)
        self._counts[start : start + BINS // 2] = pairs
        self._width *= 2

    def result(self) -> Histogram:
        edges = (self._low + self._width * number for number in range(BINS + 1))
        return Histogram(tuple(edges), tuple(self._counts.tolist()))
