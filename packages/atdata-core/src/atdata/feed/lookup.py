"""Single samples of a dataset by their numbers, and all its keys."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from ..decode import Piece, samples
from ..shard.reader import Record
from .epoch import UNKNOWN, Epoch
from .order import AHEAD, Numbers
from .reading import Item, gather
from .rows import numbers
from .sequence import FromFiles, FromStreams, Lost, Order
from .table import Table, Tree


class Lookup:
    """Single samples of a dataset by their numbers, for one process.

    Args:
        tree: what the dataset is made of.

    Attributes:
        table: its samples.
        process: the process that it was made in; streams cannot be shared with one that is forked.

    Raises:
        TypeError: the number of samples is not known.
    """

    def __init__(self, tree: Tree) -> None:
        table = Table.of(tree, scan=True)
        if table is None:
            raise TypeError(UNKNOWN)
        self.table = table
        self.process = os.getpid()
        self._views = Epoch(tree).views
        self._source = FromFiles(table) if table.local else FromStreams(Order(table, None))
        self._lock = threading.Lock()

    def _take(self, places: Numbers) -> list[Item]:
        with self._lock:
            found = self._source.take(places, numbers(self.table.rows, places))
        for item in found:
            if isinstance(item, Lost):
                raise item.error
        return cast("list[Item]", found)

    def samples(self, places: Numbers) -> list[Any]:
        """The samples at some places."""
        made: list[Any] = [None] * len(places)
        view_of = self.table.views(self._views)
        shards, _ = self.table.locate(numbers(self.table.rows, places))
        which = np.zeros(len(places), np.intp) if view_of is None else view_of[shards]
        for number in np.unique(which).tolist():
            mine = np.flatnonzero(which == number)
            chunk = gather(self._take(places[mine]))
            found = samples(self._views[number], [Piece(chunk, 0, len(chunk))])
            for place, sample in zip(mine.tolist(), found, strict=True):
                made[place] = sample
        return made

    def keys(self) -> Iterator[str]:
        """The keys of all samples, which are not read."""
        for low in range(0, len(self.table.rows), AHEAD):
            for item in self._take(np.arange(low, min(low + AHEAD, len(self.table.rows)))):
                key = item.key if isinstance(item, Record) else item[0].where(item[1]).key
                yield key or ""
