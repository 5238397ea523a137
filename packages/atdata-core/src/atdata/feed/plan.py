"""Who reads what: how an epoch, or what is left of one, is dealt to ranks and their workers. Pure functions.

The places of an epoch are cut into batches, and these are dealt in turns: to the ranks, and by each rank to its
workers. So whatever their numbers, all that is done after so many steps is the beginning of the epoch: one number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from .order import Numbers

Policy: TypeAlias = Literal["uneven", "drop_last", "pad"]


def check_share(policy: str, rank: int | None, world_size: int | None) -> None:
    """Refuse what is no policy, or no rank.

    Raises:
        ValueError: says what there is.
    """
    if policy not in get_args(Policy):
        raise ValueError(f"policy is {policy!r}; it must be one of {', '.join(map(repr, get_args(Policy)))}")
    if (rank is None) != (world_size is None):
        raise ValueError("rank and world_size go together; give both, or neither to have them found")
    if rank is not None and world_size is not None and not 0 <= rank < world_size:
        raise ValueError(f"rank is {rank} and world_size {world_size}; ranks count from 0 to world_size - 1")


@dataclass(frozen=True)
class Plan:
    """How the places from ``start`` to ``stop`` of an epoch are dealt.

    What is left after equal steps of all ranks makes one more, shared as evenly as the policy says.

    Attributes:
        start: the places before are done.
        stop: how many places the epoch has.
        world_size: how many ranks there are.
        batch: samples per batch.
        policy: ``"uneven"`` leaves nothing out, and a rank may have one sample, and then one step, more than another;
            ``"drop_last"`` leaves out what does not come out even; ``"pad"`` repeats samples instead.
        full: leave out the last batch of a rank if it is short.
    """

    start: int
    stop: int
    world_size: int = 1
    batch: int = 1
    policy: Policy = "uneven"
    full: bool = False

    @property
    def rounds(self) -> int:
        """How many steps all ranks make with a full batch each."""
        return (self.stop - self.start) // (self.world_size * self.batch)

    def rest(self, rank: int) -> range:
        """The places of a rank's last batch, which may be short or empty. With ``"pad"`` they count on from ``stop``
        where it begins again."""
        begin = self.start + self.rounds * self.world_size * self.batch
        left, ranks = self.stop - begin, self.world_size
        if self.policy == "uneven":
            low, high = left * rank // ranks, left * (rank + 1) // ranks
        else:
            each = left // ranks if self.policy == "drop_last" else -(-left // ranks)
            low, high = each * rank, each * (rank + 1)
        return range(begin + low, begin + (low if self.full and high - low < self.batch else high))

    def steps(self, rank: int) -> int:
        """How many batches a rank gets."""
        return self.rounds + (len(self.rest(rank)) > 0)

    def places(self, rank: int, steps: range) -> tuple[Numbers, Numbers]:
        """The places of some of a rank's batches, one after another, and how many each batch has.

        Args:
            rank: the rank.
            steps: numbers of its batches, below ``steps(rank)``.

        Returns:
            int64 (samples,) and int64 (batches,).
        """
        numbers = np.arange(steps.start, steps.stop, steps.step, dtype=np.int64)
        whole = numbers[numbers < self.rounds]
        first = self.start + (whole * self.world_size + rank) * self.batch
        places = (first[:, None] + np.arange(self.batch)).reshape(-1)
        sizes = np.full(len(whole), self.batch)
        if len(whole) < len(numbers):
            rest = self.rest(rank)
            places = np.concatenate((places, np.arange(rest.start, rest.stop) % max(1, self.stop)))
            sizes = np.append(sizes, len(rest))
        return places, sizes

    def done(self, steps: int) -> int:
        """The place that an epoch is at when all ranks have made so many steps."""
        return min(self.stop, self.start + steps * self.world_size * self.batch)


@dataclass(frozen=True)
class Lanes:
    """An order that lets several readers each go through a stretch of their own, from its front to its back.

    The samples are parted into as many lanes of equal length, which take turns of ``unit`` samples; what does not
    come out even follows at the end, as one more lane.

    Attributes:
        samples: how many samples there are.
        count: how many lanes.
        unit: how many samples come from one at a time.
    """

    samples: int
    count: int = 1
    unit: int = 1

    @property
    def length(self) -> int:
        """How many samples a lane has."""
        if self.count == 1:
            return self.samples
        return self.samples // (self.count * self.unit) * self.unit

    def begin(self, lane: int) -> tuple[int, int]:
        """Where a lane begins among the samples, and how many it has."""
        begin = lane * self.length
        return begin, self.length if lane < self.count else self.samples - begin

    def split(self, places: Numbers) -> tuple[Numbers, Numbers]:
        """For each place of the order its lane, and its place in that.

        Args:
            places: int64 (n,).
        """
        if self.count == 1:
            return np.zeros_like(places), places
        turn, inside = np.divmod(places, self.count * self.unit)
        lane, offset = np.divmod(inside, self.unit)
        last = places >= self.count * self.length
        place = turn * self.unit + offset
        return np.where(last, self.count, lane), np.where(last, places - self.count * self.length, place)
