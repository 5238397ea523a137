"""One pass over a dataset: which samples, in which order, from which place on, and for whom."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict

from ..decode import View
from ..errors import AtdataError, StateMismatch
from ..sources import shard_ids
from . import world
from .feed import Feed, Tally
from .groups import Deal, Group, planned
from .order import Shuffle
from .plan import Lanes, Plan, Policy, check_share
from .reading import gathered, kept, read_in_order, windowed
from .sequence import FromFiles, FromStreams, Order
from .skipping import Faults, OnError, Skip, budget
from .state import State
from .table import Leaf, Table, Tree, whole

UNKNOWN = (
    "the number of samples is not known: the shards are not on this machine, and no manifest tells. Load them with "
    "atdata.load_dataset from a place that has the manifest.json which was written with them"
)


@dataclass(frozen=True)
class Epoch:
    """What the passes of a stream have in common.

    Attributes:
        tree: the samples.
        mixing: how many shards, samples, and samples at first are mixed; None keeps their order.
        seed: what decides the order; None for another order in each pass.
        batch_size: samples per batch; None yields single samples.
        drop_last: whether to leave out a last batch that is short.
        rank: which of several processes this is; None to find out.
        world_size: how many there are; None to find out.
        policy: how samples are shared among ranks; see ``Plan``.
        skip: how many samples that cannot be read may be left out; None for none.
    """

    tree: Tree
    mixing: tuple[int, int, int] | None = None
    seed: int | None = None
    batch_size: int | None = None
    drop_last: bool = False
    rank: int | None = None
    world_size: int | None = None
    policy: Policy = "uneven"
    skip: Skip | None = None

    @cached_property
    def views(self) -> list[View]:
        """What samples are read as; several where datasets were joined."""
        return [*dict.fromkeys(leaf.view for leaf in self.tree.leaves())]

    @cached_property
    def filters(self) -> bool:
        """Whether only reading tells how many samples there are."""
        return any(view.filters for view in self.views)


class Sharing(TypedDict, total=False):
    """Who reads what, and what happens where it cannot be read; see ``Dataset.ordered``."""

    rank: int | None
    world_size: int | None
    policy: Policy
    on_error: OnError


def shared(given: Sharing) -> dict[str, Any]:
    """What ``Epoch`` has of that.

    Raises:
        TypeError, ValueError: something that there is not.
    """
    unknown = given.keys() - Sharing.__annotations__.keys()
    if unknown:
        more = ", ".join(Sharing.__annotations__)
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}; beside those of the signature there are {more}")
    rank, world_size, policy = given.get("rank"), given.get("world_size"), given.get("policy", "uneven")
    check_share(policy, rank, world_size)
    skip = budget(given.get("on_error", "raise"))
    return {"rank": rank, "world_size": world_size, "policy": policy, "skip": skip}


class Pass:
    """One pass, from its beginning or from where another one was.

    Args:
        epoch: what it is a pass over.
        number: number of the epoch.
        state: where to begin; None for the beginning.

    Attributes:
        worker: the DataLoader's worker that it is for, or None.
        faults: the samples that were left out.
        progress: how many samples of this process's part are done since it began.
    """

    def __init__(self, epoch: Epoch, number: int, state: State | None = None) -> None:
        self.faults = Faults(epoch.skip)
        self.progress = Tally()
        self._epoch = epoch
        self._number = number
        self._state = state
        self.worker = world.worker()

    # ------------------------------------------------------------------------------------ what and for whom

    @cached_property
    def _place(self) -> tuple[int, int]:
        return world.place(self._epoch.rank, self._epoch.world_size)

    @property
    def _part(self) -> tuple[int, int]:
        """Which of how many workers."""
        return (0, 1) if self.worker is None else (self.worker.number, self.worker.total)

    @cached_property
    def _shuffle(self) -> Shuffle | None:
        epoch, state = self._epoch, self._state
        if epoch.mixing is None:
            return None
        seed = state.shuffle[0] if state is not None and state.shuffle is not None else epoch.seed
        if seed is None and self._place[1] > 1:
            raise ValueError("all ranks must have one order: give shuffled() a seed, the same on each")
        if seed is None:
            seed = secrets.randbits(62) if self.worker is None else self.worker.seed
        return Shuffle(*epoch.mixing, seed, self._number)

    @cached_property
    def _table(self) -> Table | None:
        """The samples by their numbers, where those are needed or known without a scan."""
        epoch, tree = self._epoch, self._epoch.tree
        shared = self._place[1] > 1 or self.worker is not None
        if shared or self._state is not None or epoch.skip is not None or not isinstance(tree, Leaf) or not whole(tree):
            return Table.of(tree, scan=True, faults=self.faults)
        if epoch.mixing is None:
            return None
        try:
            table = Table.of(tree, scan=False)
        except (OSError, AtdataError):
            return None  # reading tells what is wrong
        return table if table is not None and table.local else None

    @cached_property
    def _known(self) -> Table:
        """The samples by their numbers.

        Raises:
            TypeError: these are not known.
        """
        table = self._table or Table.of(self._epoch.tree, scan=True, faults=self.faults)
        if table is None:
            raise TypeError(UNKNOWN)
        return table

    @cached_property
    def _plan(self) -> Plan:
        epoch, start = self._epoch, 0 if self._state is None else self._state.at
        full = epoch.drop_last and not epoch.filters
        return Plan(start, len(self._known.rows), self._place[1], epoch.batch_size or 1, epoch.policy, full)

    def _lanes(self, workers: int) -> Lanes:
        total = len(self._known.rows)
        if self._state is not None:
            return Lanes(total, *self._state.lanes)
        # what lies elsewhere is read from front to back, by each process another stretch
        return Lanes(total) if self._known.local else Lanes(total, self._place[1] * workers, self._plan.batch)

    def steps(self) -> int:
        """How many batches, or samples if there are none, this rank gets.

        Raises:
            TypeError: the number of samples is not known.
        """
        if self._epoch.filters:
            raise TypeError("how many samples a filter leaves is not known; only reading them tells")
        return self._plan.steps(self._place[0])

    # ------------------------------------------------------------------------------------ positions

    def state(self, done: int | None = None) -> State:
        """Where the pass is.

        Args:
            done: where it was when ``progress`` said so many; None for now.

        Raises:
            TypeError: the number of samples is not known.
        """
        done = self.progress.done if done is None else done
        here, plan = self._state_at_start(self._part[1]), self._plan
        if self.worker is None and plan.world_size == 1:
            return here.moved(min(plan.stop, plan.start + self._before + done))
        if self.worker is None and not self._epoch.filters:
            return here.moved(plan.stop if self.progress.over else plan.done(-(-done // plan.batch)))
        share = (plan.world_size, plan.batch, self._part[1], self._part[0])
        rank = self._place[0] if self._epoch.filters else None
        return here.within(share, rank, self._before + done, over=self.progress.over)

    def state_after(self, steps: int, workers: int) -> State:
        """Where the pass is when this rank has had some batches.

        Args:
            steps: how many.
            workers: how many workers of a loader made them.

        Raises:
            TypeError: the number of samples is not known, or a filter leaves some out.
        """
        if steps and self._epoch.filters:
            raise TypeError(
                "how many samples a filter has left out only the workers know that read them: use num_workers=0, or "
                "torchdata's StatefulDataLoader, which asks them"
            )
        return self._state_at_start(max(1, workers)).moved(self._plan.done(steps))

    def _state_at_start(self, workers: int) -> State:
        plan, shuffle = self._plan, self._shuffle
        order = None if shuffle is None else (shuffle.seed, shuffle.shards, shuffle.samples, shuffle.initial)
        lanes = self._lanes(workers)
        return State(self._known.fingerprint, plan.stop, self._number, order, (lanes.count, lanes.unit), plan.start)

    @property
    def _before(self) -> int:
        """How many samples of this process's part were done when it began."""
        return 0 if self._state is None else self._state.done

    def check(self) -> None:
        """Refuse a state that does not belong here.

        Raises:
            StateMismatch: says what differs.
        """
        state, epoch = self._state, self._epoch
        if state is None:
            return
        table = self._known
        if (state.dataset, state.samples) != (table.fingerprint, len(table.rows)):
            raise StateMismatch(
                f"the state is of another dataset: {state.samples} samples, fingerprint {state.dataset}; this one has "
                f"{len(table.rows)} and {table.fingerprint}. Names, order and sizes of the shards count, and which "
                "samples were selected"
            )
        seed, mixing = (state.shuffle[0], state.shuffle[1:]) if state.shuffle is not None else (None, None)
        if mixing != epoch.mixing or epoch.seed not in (None, seed):
            raise StateMismatch(
                f"the state is of another order: {_order(seed, mixing)}; this stream is "
                f"{_order(epoch.seed, epoch.mixing)}"
            )
        if state.share is not None:
            here = (self._place[1], epoch.batch_size or 1, self._part[1], self._part[0])
            if state.share != here or state.rank not in (None, self._place[0]):
                raise StateMismatch(
                    "the state is that of worker {3} of {2}, of {0} ranks with batches of {1}. Where their numbers are "
                    "others, give the state of the whole loader to the stream: ".format(*state.share)
                    + "stream.load_state_dict(loader.state_dict()) before a loader is made of it"
                )

    # ------------------------------------------------------------------------------------ reading

    def feed(self) -> Feed:
        """The samples."""
        epoch = self._epoch
        return Feed(self._groups(), epoch.views, self.progress, self.faults, even=epoch.policy != "uneven")

    def __iter__(self) -> Iterator[Any]:
        epoch, feed = self._epoch, self.feed()
        if epoch.batch_size is None:
            return feed.singly()
        return feed.batched(epoch.batch_size, full=epoch.drop_last)

    def _groups(self) -> Iterator[Group]:
        self.check()  # here, so that nothing is looked up before the first sample is asked for
        yield from self._whole() if self._table is None else self._planned(self._table)
        self.progress.over = True

    def _planned(self, table: Table) -> Iterator[Group]:
        plan, (rank, _), (worker, workers) = self._plan, self._place, self._part
        order = Order(table, self._shuffle, self._lanes(workers))
        source = FromFiles(table) if table.local else FromStreams(order)
        first, begun = divmod(self._before, plan.batch)
        steps = range(plan.steps(rank))[worker + first * workers :: workers]
        return planned(Deal(plan, rank, steps, begun), order, source, self._epoch.views, self.faults)

    def _whole(self) -> Iterator[Group]:
        """All samples of shards of which nothing is known; workers and ranks have shards of their own."""
        epoch, how = self._epoch, self._shuffle
        (rank, ranks), (worker, workers) = self._place, self._part
        if ranks > 1 and epoch.policy != "uneven":
            raise TypeError(f"policy={epoch.policy!r} shares by the number of samples, but {UNKNOWN}")
        leaves = [*epoch.tree.leaves()]
        if not whole(epoch.tree) or (how is not None and len(leaves) > 1):
            raise TypeError(UNKNOWN)
        for leaf in leaves:
            shards = shard_ids(leaf.source)[rank * workers + worker :: ranks * workers]
            if how is not None:
                found = windowed(kept(leaf.source, how.mix(shards), self.faults), how)
                chunks = gathered(found, epoch.batch_size or 1)
            elif self.faults.allowed is not None:
                chunks = gathered(kept(leaf.source, shards, self.faults), epoch.batch_size or 1)
            else:
                chunks = read_in_order(leaf.source, shards)
            yield from (Group([(leaf.view, chunk)]) for chunk in chunks)


def _order(seed: int | None, mixing: tuple[int, ...] | None) -> str:
    if mixing is None:
        return "in order"
    shards, number, initial = mixing
    return f"shuffled with seed={seed}, buffer_shards={shards}, buffer_samples={number}, initial={initial}"
