"""All samples of a dataset as one list: which shard each is in, and where in it."""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..decode import View
from ..errors import AtdataError, ShardCorrupted
from ..manifest import ShardFacts
from ..manifest.count import Folders, known_count, readable_count, scanned_count
from ..shard.blocks import Where
from ..shard.gather import Place
from ..shard.mapped import MappedShard
from ..sources import ShardSource, open_shards, public, shard_ids
from ..sources.url import path_of
from .order import Numbers
from .rows import Pick, Rows, joined, woven
from .skipping import Faults

# Mapped at a time: before Python 3.13 each holds a descriptor, of which most systems give a process 1024
_OPEN_SHARDS = 500


@dataclass(frozen=True)
class Leaf:
    """Samples of one source.

    Attributes:
        source: the data source.
        view: what they are read as.
        known: facts about shards on other machines, by identifier.
        picks: which of them, and in what order.
    """

    source: Any
    view: View
    known: Mapping[str, ShardFacts] = field(default_factory=dict)
    picks: tuple[Pick, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """Itself."""
        yield self

    def seen(self, changed: Callable[[View], View]) -> Leaf:
        """The same samples, read as something else."""
        return replace(self, view=changed(self.view))


@dataclass(frozen=True)
class Joint:
    """Samples of several, one after another or mixed.

    Attributes:
        parts: where they come from.
        weights: how much of each part is mixed in; None for all.
        seed: what decides how they are mixed; None for one after another.
        picks: which of them, and in what order.
    """

    parts: tuple[Tree, ...]
    weights: tuple[float, ...] | None = None
    seed: int | None = None
    picks: tuple[Pick, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """The sources, in order."""
        for part in self.parts:
            yield from part.leaves()

    def seen(self, changed: Callable[[View], View]) -> Joint:
        """The same samples, read as something else."""
        return replace(self, parts=tuple(part.seen(changed) for part in self.parts))


Tree: TypeAlias = "Leaf | Joint"


def whole(tree: Tree) -> bool:
    """Whether all samples are meant, one after another."""
    if tree.picks or isinstance(tree, Leaf):
        return not tree.picks
    return tree.seed is None and all(map(whole, tree.parts))


class JoinedSource(ShardSource):
    """The shards of several datasets as one data source.

    Args:
        tree: what the datasets are made of.
    """

    def __init__(self, tree: Joint) -> None:
        self._sources = [leaf.source for leaf in tree.leaves()]

    def list_shards(self) -> list[str]:
        """Identifiers of all shards, in order."""
        return [shard for source in self._sources for shard in shard_ids(source)]

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """Open one shard, of the first source that has it.

        Raises:
            KeyError: none has it.
        """
        for source in self._sources:
            if shard_id in shard_ids(source):
                ((_, stream),) = open_shards(source, [shard_id])
                return stream
        raise KeyError(f"{public(shard_id)!r} is in none of {len(self._sources)} sources")


class Shard(NamedTuple):
    """A shard of a dataset.

    Attributes:
        name: its identifier in its source.
        leaf: where it belongs to.
    """

    name: str
    leaf: Leaf

    @property
    def path(self) -> Path | None:
        """Where it is on this machine, if it is."""
        return path_of(self.leaf.source, self.name)


class Table:
    """The samples of a dataset, numbered through all shards.

    Args:
        shards: all shards.
        counts: how many samples each holds.
        rows: the numbers of those that are meant, in order.

    Attributes:
        ends: int64 (shards,), the number behind the last sample of each shard.
    """

    def __init__(self, shards: Sequence[Shard], counts: Sequence[int], rows: Rows | None = None) -> None:
        self.shards = shards
        self.ends: Numbers = np.cumsum(np.asarray(counts, np.int64))
        self.begins: Numbers = self.ends - counts
        self.rows: Rows = range(int(self.ends[-1]) if len(self.ends) else 0) if rows is None else rows

    @classmethod
    def of(cls, tree: Tree, *, scan: bool, faults: Faults | None = None) -> Table | None:
        """The table of a dataset.

        Args:
            tree: what the dataset is made of.
            scan: whether local shards of which nothing is known are scanned.
            faults: told of shards that are missing or damaged, if that is no error.

        Returns:
            None where the number of samples in a shard is not known.

        Raises:
            OSError: a local shard is not there.
            ShardCorrupted, MalformedSample: a shard that was scanned is damaged.
        """
        folders = Folders()
        shards: list[Shard] = []
        counts: list[int] = []
        stretches = []
        for leaf in tree.leaves():
            begin = sum(counts)
            for name in shard_ids(leaf.source):
                shards.append(Shard(name, leaf))
                count = _count(shards[-1], scan, faults, folders)
                if count is None:
                    return None
                counts.append(count)
            stretches.append(range(begin, sum(counts)))
        return cls(shards, counts, _rows(tree, iter(stretches)))

    @cached_property
    def local(self) -> bool:
        """Whether all shards are files on this machine."""
        return all(shard.path is not None for shard in self.shards)

    @cached_property
    def fingerprint(self) -> str:
        """What tells this dataset from others: its shards' names and sizes, wherever they lie, and which samples."""
        digest = blake2b(digest_size=8)
        for shard, end in zip(self.shards, self.ends.tolist(), strict=True):
            digest.update(f"{public(shard.name).replace(chr(92), '/').rpartition('/')[2]}\0{end}\0".encode())
        rows = self.rows
        digest.update(repr(rows).encode() if isinstance(rows, range) else np.ascontiguousarray(rows, "<i8").data)
        return digest.hexdigest()

    def count(self, shard: int) -> int:
        """How many samples a shard has."""
        return int(self.ends[shard] - self.begins[shard])

    def views(self, views: Sequence[View]) -> npt.NDArray[np.intp] | None:
        """For each shard, which of the views its samples are read as; None if there is one."""
        return np.array([views.index(shard.leaf.view) for shard in self.shards]) if len(views) > 1 else None

    def locate(self, rows: Numbers) -> tuple[Numbers, Numbers]:
        """For each number of a sample that of its shard, and its row in there."""
        shards = np.searchsorted(self.ends, rows, "right")
        return shards, rows - self.begins[shards]


def _count(shard: Shard, scan: bool, faults: Faults | None, folders: Folders) -> int | None:
    path = shard.path
    if path is None:
        facts = shard.leaf.known.get(shard.name)
        return None if facts is None else facts.samples
    try:
        status = _status(shard, path)
        known = known_count(path, status, folders)
        return scanned_count(path, shard.name, status) if known is None and scan else known
    except (AtdataError, OSError) as error:
        if faults is None or faults.allowed is None:
            raise
        facts = folders.facts(path)
        if facts is not None:
            return facts.samples
        faults.bad(error, Where(shard.name, None, None))  # nobody will miss what is behind it
        return readable_count(path, shard.name)


def _status(shard: Shard, path: Path) -> os.stat_result:
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            return status
    except (OSError, ValueError):
        pass
    shard.leaf.source.open_shard(shard.name).close()  # which says best what is wrong
    return os.stat(path)


def _rows(tree: Tree, stretches: Iterator[range]) -> Rows:
    if isinstance(tree, Leaf):
        rows: Rows = next(stretches)
    else:
        parts = [_rows(part, stretches) for part in tree.parts]
        rows = joined(parts) if tree.seed is None else woven(parts, tree.weights, tree.seed)
    for pick in tree.picks:
        rows = pick(rows)
    return rows


class OpenShards:
    """Samples of a table whose shards are all on this machine, in any order.

    Args:
        table: the table.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._open: OrderedDict[int, MappedShard] = OrderedDict()

    def places(self, rows: Numbers) -> list[Place]:
        """Where samples are.

        Args:
            rows: their numbers, int64 (n,).

        Raises:
            ShardNotFound, ShardPermissionError, ShardUnreadable: a shard cannot be opened.
            ShardCorrupted: it is damaged, or holds another number of samples than its manifest says.
        """
        shards, inside = self._table.locate(rows)
        wanted = {number: self._shard(number) for number in np.unique(shards).tolist()}
        for number, shard in wanted.items():
            if shard.fault is not None and inside[shards == number].max() >= len(shard):
                raise shard.fault
        return [*zip(map(wanted.__getitem__, shards.tolist()), inside.tolist(), strict=True)]

    def _shard(self, number: int) -> MappedShard:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        shard = self._mapped(number)
        self._open[number] = shard
        if len(self._open) > _OPEN_SHARDS:
            self._open.popitem(last=False)
        return shard

    def _mapped(self, number: int) -> MappedShard:
        shard = self._table.shards[number]
        path = shard.path
        assert path is not None
        try:
            mapped = MappedShard(path, shard.name)
        except OSError:
            shard.leaf.source.open_shard(shard.name).close()  # which says best what is wrong
            raise
        expected = self._table.count(number)
        if len(mapped) > expected or (len(mapped) < expected and mapped.fault is None):
            raise ShardCorrupted(
                f"it holds {len(mapped):,} samples and its manifest or index says {expected:,}; if it was "
                "written anew meanwhile, open the dataset anew"
            ).at(shard=shard.name)
        return mapped
