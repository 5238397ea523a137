"""In which order the samples of an epoch come: pure functions of sizes, seed and epoch that need no memory.

A pass takes the shards in mixed order, which makes one long sequence of samples, and mixes windows of that sequence.
Any place of the pass is computed by itself: nothing before it is read, drawn or kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import isqrt
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

T = TypeVar("T")

# Places that are computed at a time: NumPy takes as long for a hundred
AHEAD = 8192
_ROUNDS = 4
_SHIFTS = tuple(map(np.uint64, (30, 27, 31)))
_FACTORS = tuple(map(np.uint64, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)))


def key_of(*numbers: int) -> list[int]:
    """Any integers as a key; ``SeedSequence`` takes those from 0 on."""
    return [2 * n if n >= 0 else -2 * n - 1 for n in numbers]


class Picks:
    """Random numbers that are the same on every machine and in every version, for a seed and an epoch."""

    def __init__(self, seed: int, epoch: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key_of(seed, epoch)))

    def below(self, limit: int, count: int) -> list[int]:
        """``count`` numbers from 0 to ``limit`` - 1."""
        numbers: list[int] = (self._bits.random_raw(count) % np.uint64(limit)).tolist()
        return numbers

    def permutation(self, count: int) -> Numbers:
        """The numbers from 0 to ``count`` - 1 in random order."""
        return np.argsort(self._bits.random_raw(count), kind="stable")


def mixed(items: Iterable[T], size: int, picks: Picks) -> Iterator[T]:
    """Items in random order, mixing up to ``size`` at a time."""
    source = iter(items)
    buffer = list(islice(source, size))
    while more := list(islice(source, min(size, 1024))):  # no more ahead than the buffer holds
        for item, pick in zip(more, picks.below(len(buffer), len(more)), strict=True):
            yield buffer[pick]
            buffer[pick] = item
    for pick in picks.permutation(len(buffer)).tolist():
        yield buffer[pick]


class Permutation:
    """The numbers below ``size`` in random order, each computed when it is asked for.

    A number is split into two digits, and each digit is shifted by a keyed hash of the other, in turns: a Feistel
    network over mixed radices, whose range is hardly larger than ``size``. What falls beyond goes through again.

    Args:
        size: how many numbers.
        key: decides the order; any integers from 0 on.
    """

    def __init__(self, size: int, key: Iterable[int]) -> None:
        self._size = size
        self._high = np.uint64(isqrt(max(size, 1) - 1) + 1)
        self._low = np.uint64(-(-size // int(self._high)))
        self._keys = np.random.SeedSequence([*key]).generate_state(2 * _ROUNDS, np.uint64)

    def __call__(self, numbers: Numbers) -> Numbers:
        """What is at the given places of the order: int64, of the same shape as ``numbers`` (n,)."""
        found = self._shift(numbers.astype(np.uint64))
        while len(beyond := np.flatnonzero(found >= self._size)):
            found[beyond] = self._shift(found[beyond])
        return found.astype(np.int64)

    def __iter__(self) -> Iterator[int]:
        for start in range(0, self._size, AHEAD):
            yield from self(np.arange(start, min(start + AHEAD, self._size))).tolist()

    def _shift(self, numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        high, low = np.divmod(numbers, self._low)
        for first, second in self._keys.reshape(-1, 2):
            high = (high + _hash(low, first)) % self._high
            low = (low + _hash(high, second)) % self._low
        return high * self._low + low


def _hash(numbers: npt.NDArray[np.uint64], key: np.uint64) -> npt.NDArray[np.uint64]:
    """32 bits of SplitMix64, so that adding a digit cannot overflow."""
    bits = numbers ^ key
    bits = (bits ^ (bits >> _SHIFTS[0])) * _FACTORS[0]
    bits = (bits ^ (bits >> _SHIFTS[1])) * _FACTORS[1]
    return bits >> np.uint64(32)


@dataclass(frozen=True)
class Shuffle:
    """How a pass is shuffled.

    Attributes:
        shards: how many shards are mixed at a time.
        samples: how many samples are mixed at a time.
        initial: how many samples must be at hand before the first comes out.
        seed: what decides the order together with ``epoch``.
        epoch: number of the pass.
    """

    shards: int
    samples: int
    initial: int
    seed: int
    epoch: int

    def mix(self, shards: Iterable[T]) -> Iterator[T]:
        """Shards in mixed order."""
        return mixed(shards, self.shards, Picks(self.seed, self.epoch))

    @cached_property
    def _first(self) -> list[int]:
        """Sizes of the first windows. They double from ``initial`` on; the one behind the first full one is of any
        size, so that windows end elsewhere in each epoch."""
        sizes = [min(self.initial, self.samples)]
        while sizes[-1] < self.samples:
            sizes.append(min(2 * sizes[-1], self.samples))
        return [*sizes, 1 + Picks(self.seed, ~self.epoch).below(self.samples, 1)[0]]

    def windows(self) -> Iterator[int]:
        """The sizes of all windows; the last of a sequence is cut off where that ends."""
        yield from self._first
        while True:
            yield self.samples

    def window(self, place: int) -> tuple[int, int, int]:
        """The window that a place is in: its number, where it starts, where the next one does."""
        start = 0
        for number, size in enumerate(self._first):
            if place < start + size:
                return number, start, start + size
            start += size
        more = (place - start) // self.samples
        start += more * self.samples
        return len(self._first) + more, start, start + self.samples

    def permutation(self, size: int, window: int, lane: int = 0) -> Permutation:
        """How a window of so many samples is mixed."""
        return Permutation(size, [*key_of(self.seed, self.epoch), window, lane])

    def inside(self, places: Numbers, length: int, lane: int = 0) -> Numbers:
        """Which samples of a sequence of ``length`` come at the given places of the pass.

        Args:
            places: int64 (n,).
            length: how many samples the sequence has.
            lane: which of several sequences it is.
        """
        found = np.empty_like(places)
        todo = np.arange(len(places))
        while len(todo):
            number, start, end = self.window(int(places[todo[0]]))
            mine = (places[todo] >= start) & (places[todo] < end)
            window = self.permutation(min(end, length) - start, number, lane)
            found[todo[mine]] = start + window(places[todo[mine]] - start)
            todo = todo[~mine]
        return found
