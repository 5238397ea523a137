"""The samples of a pass by their places: from files on this machine in any order, else from streams, front to back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np

from ..errors import AtdataError, ShardCorrupted
from ..sources import public
from .order import Numbers, Shuffle
from .plan import Lanes
from .reading import Item, items
from .rows import numbers, runs
from .table import OpenShards, Shard, Table

# A stream may hold a connection and some megabytes that were read ahead
_OPEN_STREAMS = 16


class Lost:
    """A sample that cannot be read, and why."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Order:
    """The order of an epoch: which sample comes at which place.

    Args:
        table: the samples.
        shuffle: how they are mixed; None for their own order.
        lanes: how places are parted; None for one lane.
    """

    def __init__(self, table: Table, shuffle: Shuffle | None, lanes: Lanes | None = None) -> None:
        self.table = table
        self.shuffle = shuffle
        self.lanes = lanes or Lanes(len(table.rows))
        bounds = runs(table.rows, table.ends)
        parts = np.arange(len(bounds) - 1)
        if shuffle is not None:
            parts = np.array([*shuffle.mix(parts.tolist())], np.int64)
        self._first = bounds[parts]
        self.ends: Numbers = np.cumsum(bounds[parts + 1] - self._first)
        """int64 (parts,), where each stretch of one shard ends in the mixed sequence."""
        self._shift = self._first - np.concatenate(([0], self.ends[:-1])) if len(parts) else parts

    def rows(self, sequence: Numbers) -> Numbers:
        """Numbers in the table of what is at some places of the sequence of mixed shards."""
        part = np.searchsorted(self.ends, sequence, "right")
        return numbers(self.table.rows, sequence + self._shift[part])

    def sequence(self, lane: int, places: Numbers) -> Numbers:
        """Where in the sequence of mixed shards the samples at some places of a lane are."""
        begin, length = self.lanes.begin(lane)
        return begin + (places if self.shuffle is None else self.shuffle.inside(places, length, lane))

    def __call__(self, places: Numbers) -> Numbers:
        """The numbers in the table of the samples at the given places of the epoch.

        Args:
            places: int64 (n,).
        """
        lane, inside = self.lanes.split(places)
        found = np.empty_like(places)
        for number in np.unique(lane).tolist():
            mine = lane == number
            found[mine] = self.sequence(number, inside[mine])
        return self.rows(found)


class Samples(Protocol):
    """Where the samples of a pass come from."""

    def take(self, places: Numbers, rows: Numbers) -> Sequence[Item | Lost]:
        """The samples at places of the epoch, and for those that cannot be read, why.

        Args:
            places: int64 (n,), ascending from call to call, in each lane.
            rows: their numbers in the table.
        """
        ...


class FromFiles:
    """Samples of local shards.

    Args:
        table: the samples.
    """

    def __init__(self, table: Table) -> None:
        self._files = OpenShards(table)

    def take(self, places: Numbers, rows: Numbers) -> Sequence[Item | Lost]:
        """The samples; their places do not matter."""
        try:
            return self._files.places(rows)
        except (AtdataError, OSError):
            return [self._one(row) for row in rows]

    def _one(self, row: Any) -> Item | Lost:
        try:
            return self._files.places(row[None])[0]
        except (AtdataError, OSError) as error:
            return Lost(error)


class FromStreams:
    """Samples of shards of which some must be read from front to back.

    Args:
        order: the order of the epoch.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._lanes: dict[int, _Lane] = {}

    def take(self, places: Numbers, rows: Numbers) -> Sequence[Item | Lost]:
        """The samples, of each lane in the order of their places."""
        lanes, inside = self._order.lanes.split(places)
        found: list[Item | Lost] = []
        for part in np.split(np.arange(len(places)), np.flatnonzero(np.diff(lanes)) + 1):
            lane = int(lanes[part[0]])
            if lane not in self._lanes:
                self._lanes[lane] = _Lane(self._order, lane)
            found += self._lanes[lane].take(inside[part])
        return found


class _Lane:
    """A lane's samples. Of a window that is mixed all are held, and of the next one as many as have come out."""

    def __init__(self, order: Order, number: int) -> None:
        self._begin, self._length = order.lanes.begin(number)
        self._order = order
        self._number = number
        self._streams = _Streams(order.table)
        self._window = range(0)
        self._held: dict[int, Item | Lost] = {}
        self._ahead: list[Item | Lost] = []

    def take(self, places: Numbers) -> list[Item | Lost]:
        if self._order.shuffle is None:
            return self._read(places)
        found: list[Item | Lost] = []
        while len(found) < len(places):
            rest = places[len(found) :]
            self._enter(int(rest[0]))
            inside = rest[: np.searchsorted(rest, self._window.stop)] if (np.diff(rest) > 0).all() else rest[:1]
            mixed = self._order.shuffle.inside(inside, self._length, self._number)
            found += map(self._held.pop, mixed.tolist())
            self._read_ahead(int(inside[-1]))
        return found

    def _enter(self, place: int) -> None:
        assert self._order.shuffle is not None
        _, start, end = self._order.shuffle.window(place)
        window = range(start, min(end, self._length))
        wanted = int(self._order.shuffle.inside(np.array([place]), self._length, self._number)[0])
        if window == self._window and wanted in self._held:
            return
        if start != self._window.stop:
            self._ahead = []
        self._ahead += self._read(np.arange(start + len(self._ahead), window.stop))
        self._held = dict(zip(window, self._ahead, strict=True))
        self._window, self._ahead = window, []

    def _read_ahead(self, place: int) -> None:
        assert self._order.shuffle is not None
        _, start, end = self._order.shuffle.window(self._window.stop)
        size = max(0, min(end, self._length) - start)
        due = size * (place + 1 - self._window.start) // len(self._window)
        if due > len(self._ahead):
            self._ahead += self._read(np.arange(start + len(self._ahead), start + due))

    def _read(self, sequence: Numbers) -> list[Item | Lost]:
        return self._streams.take(self._order.rows(self._begin + sequence))


class _Streams:
    """Shards that are open, each from front to back; what comes in turns from several is read in turns."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._open: OrderedDict[int, _Stream] = OrderedDict()

    def take(self, rows: Numbers) -> list[Item | Lost]:
        shards, inside = self._table.locate(rows)
        return [self._one(shard, row) for shard, row in zip(shards.tolist(), inside.tolist(), strict=True)]

    def _one(self, number: int, row: int) -> Item | Lost:
        stream = self._open.get(number)
        if stream is None or row < stream.at:
            stream = self._open[number] = _Stream(self._table.shards[number], self._table.count(number))
            if len(self._open) > _OPEN_STREAMS:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        try:
            found = stream.take(row)
        except (AtdataError, OSError) as error:
            return Lost(error)
        if stream.at == stream.count:
            del self._open[number]
        return found


class _Stream:
    """A shard, from front to back."""

    def __init__(self, shard: Shard, count: int) -> None:
        self.at = 0
        self.count = count
        self._name = shard.name
        self._items = items(shard.leaf.source, [shard.name])
        self._fault: Exception | None = None

    def take(self, row: int) -> Item:
        """The sample in a row that is not before the last one."""
        if self._fault is not None:
            raise self._fault
        try:
            for item in islice(self._items, row - self.at, None):
                self.at = row + 1
                return item
            raise ShardCorrupted(
                f"it has fewer than the {self.count:,} samples that its manifest says; write or publish it anew"
            ).at(shard=public(self._name))
        except (AtdataError, OSError) as error:
            self._fault = error
            raise
