"""From the places of a pass to groups of samples, some whole batches at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from ..decode import View
from ..errors import AtdataError
from ..shard.blocks import Chunk
from .order import AHEAD, Numbers
from .plan import Plan
from .reading import Item, gather, group_size
from .sequence import Lost, Order, Samples
from .skipping import Faults


@dataclass(frozen=True)
class Group:
    """Samples that were brought together.

    Attributes:
        parts: the samples of each view, in order.
        which: for each sample the part that it is of; None where there is one part.
        sizes: how many samples each batch has, of whole batches; None where they lie as they do.
        holes: places among them, in order, of samples that cannot be read and are not in the parts.
    """

    parts: Sequence[tuple[View, Chunk]]
    which: Sequence[int] | None = None
    sizes: Sequence[int] | None = None
    holes: Sequence[int] = ()

    def order(self) -> list[int]:
        """For each sample the part that it is of."""
        return [*self.which] if self.which is not None else [0] * sum(len(chunk) for _, chunk in self.parts)

    def rows(self) -> Iterator[tuple[int, int]]:
        """For each sample the part that it is of, and its row in that."""
        rows = [0] * len(self.parts)
        for part in self.order():
            yield part, rows[part]
            rows[part] += 1


@dataclass(frozen=True)
class Deal:
    """What of a plan is for this process.

    Attributes:
        plan: the plan.
        rank: whose batches.
        steps: which of them.
        begun: how many samples of the first are done.
    """

    plan: Plan
    rank: int
    steps: range
    begun: int = 0

    @property
    def even(self) -> bool:
        """Whether a sample that is left out is replaced, by the one before it, so that ranks stay in step."""
        return self.plan.policy != "uneven"

    def places(self) -> Iterator[tuple[Numbers, Numbers]]:
        """Places of the epoch, many at a time, and how many each batch has. The first ones come alone, and soon."""
        each = max(1, AHEAD // self.plan.batch)
        begun = self.begun
        for part in (self.steps[:1], *(self.steps[low : low + each] for low in range(1, len(self.steps), each))):
            if part:
                places, sizes = self.plan.places(self.rank, part)
                places, sizes[0], begun = places[begun:], sizes[0] - begun, 0
                if len(places):
                    yield places, sizes


def planned(deal: Deal, order: Order, source: Samples, views: Sequence[View], faults: Faults) -> Iterator[Group]:
    """The samples of a process's part, some whole batches at a time."""
    size = 1
    salvage = _Salvage(deal.even, views, faults)
    view_of = order.table.views(views)
    for places, sizes in deal.places():
        rows = order(places)
        which: list[int] = [] if view_of is None else view_of[order.table.locate(rows)[0]].tolist()
        ends = np.cumsum(sizes).tolist()
        first = low = 0
        while first < len(ends):
            last = min(first + size, len(ends))
            high = ends[last - 1]
            found = source.take(places[low:high], rows[low:high])
            group = _grouped(found, which[low:high], sizes[first:last].tolist(), views)
            if group is None:
                yield from salvage.groups(found, which[low:high], sizes[first:last].tolist())
            else:
                salvage.last = (cast("Item", found[-1]), which[high - 1] if which else 0)
                faults.good()
                size = group_size(group.parts[0][1], deal.plan.batch)
                yield group
                del group  # its memory may be used again
            first, low = last, high


def _grouped(
    found: Sequence[Item | Lost], which: Sequence[int], sizes: Sequence[int], views: Sequence[View]
) -> Group | None:
    """Samples brought together; None if one of them cannot be read."""
    if Lost in map(type, found):
        return None
    items = cast("Sequence[Item]", found)
    try:
        if not which:
            return Group([(views[0], gather(items))], None, sizes)
        present = sorted({*which})
        parts = [(views[n], gather([item for item, of in zip(items, which, strict=True) if of == n])) for n in present]
        return Group(parts, [present.index(n) for n in which], sizes)
    except AtdataError:
        return None


class _Salvage:
    """What can be read of samples of which some cannot."""

    def __init__(self, even: bool, views: Sequence[View], faults: Faults) -> None:
        self.last: tuple[Item, int] | None = None
        self._even = even
        self._views = views
        self._faults = faults

    def groups(self, found: Sequence[Item | Lost], which: Sequence[int], sizes: Sequence[int]) -> Iterator[Group]:
        """The samples that can be read, batch by batch.

        Raises:
            Exception: why one cannot be read, behind the batches before it, if it may not be left out.
        """
        tested = _tested(found)
        of = [*(which or [0] * len(tested))]
        if self._even and self.last is None:  # nothing before the first: what comes next stands for it
            self.last = next(((x, n) for x, n in zip(tested, of, strict=True) if not isinstance(x, Lost)), None)
        low = 0
        for size in sizes:
            kept = []
            holes = []
            for place in range(low, low + size):
                item = tested[place]
                if not isinstance(item, Lost):
                    self._faults.good()
                    self.last = item, of[place]
                else:
                    self._faults.bad(item.error)
                    if not self._even:
                        holes.append(place - low)
                        continue
                    if self.last is None:
                        raise item.error
                kept.append(self.last)
            low += size
            items, views = [item for item, _ in kept], [n for _, n in kept] if which else []
            group = _grouped(items, views, [size], self._views) if kept else Group([], None, [size])
            if group is not None:
                yield replace(group, holes=holes)


def _tested(found: Sequence[Item | Lost]) -> Sequence[Item | Lost]:
    """The same, with those marked, too, that are only found lost when they are brought together."""
    good = [item for item in found if not isinstance(item, Lost)]
    try:
        if good:
            gather(good)
    except AtdataError as error:
        if len(found) == 1:
            return [Lost(error)]
        return [tested for item in found for tested in _tested([item])]
    return found
