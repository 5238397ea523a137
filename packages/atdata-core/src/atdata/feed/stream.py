"""``SampleStream``: what ``ordered()`` and ``shuffled()`` return."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

from webdataset.pipeline import DataPipeline

from ..errors import AtdataError
from . import world
from .epoch import Epoch, Pass
from .skipping import Skipped
from .state import State

T_co = TypeVar("T_co", covariant=True)


class Passes:
    """Where a stream begins: makes a pass whenever it is called."""

    def __init__(self, epoch: Epoch, number: int) -> None:
        self.epoch = epoch
        self.number = number
        self._state: State | None = None
        self._next: Pass | None = None
        self._latest: Pass | None = None

    def __call__(self) -> Iterator[Any]:
        self._latest = self._coming()
        self._next = self._state = None  # the pass behind that one starts from the beginning
        return iter(self._latest)

    def _coming(self) -> Pass:
        # a process that was forked, as a DataLoader's workers are, has another part
        if self._next is None or self._next.worker != world.worker():
            self._next = Pass(self.epoch, self.number, self._state)
        return self._next

    def begin(self, number: int, state: State | None = None) -> None:
        """Let the next pass be of an epoch, from a place on.

        Raises:
            StateMismatch: the place is another dataset's or order's.
        """
        coming = Pass(self.epoch, number, state)
        coming.check()
        self.number, self._state, self._next, self._latest = number, state, coming, None

    def now(self) -> Pass:
        """The pass that is on its way, or was; else the next one."""
        return self._latest or self._coming()

    def __getstate__(self) -> dict[str, Any]:
        epoch, here = self.epoch, world.group()
        if epoch.rank is None and here is not None:  # what a worker process would not know any more
            epoch = replace(epoch, rank=here[0], world_size=here[1])
        return {**self.__dict__, "epoch": epoch, "_next": None, "_latest": None}


class SampleStream(DataPipeline, Generic[T_co]):  # type: ignore[misc]
    """A ``webdataset.DataPipeline`` whose element type is known.

    It can be iterated again and again, each time from the start; ``compose``, ``with_epoch``, ``wds.WebLoader`` and
    torch's ``DataLoader`` work on it. Ranks and a DataLoader's workers each read a part of their own, and all
    together every sample once.

    Its position can be saved and loaded at any time, by ``state_dict()`` and ``load_state_dict()``. Behind stages that
    hold samples back, such as those of ``webdataset.shuffle``, it is that of what they have taken.
    """

    def __iter__(self) -> Iterator[T_co]:
        if len(self.pipeline) == 1 and self.repetitions == 1:
            return cast("Iterator[T_co]", self.pipeline[0]())  # nothing to add to what the stage yields
        return cast("Iterator[T_co]", super().__iter__())

    def compose(self, *args: Any) -> SampleStream[Any]:
        """A stream with more stages behind this one's; a stage takes an iterator and returns one."""
        made = cast("SampleStream[Any]", super().compose(*args))
        made.pipeline = [copy(made.pipeline[0]), *made.pipeline[1:]]  # positions of its own
        return made

    @property
    def _passes(self) -> Passes:
        return cast("Passes", self.pipeline[0])

    @property
    def epoch(self) -> int:
        """Number of the epoch; with the seed it decides the order."""
        return self._passes.number

    def set_epoch(self, epoch: int) -> SampleStream[T_co]:
        """Go to another epoch: the next pass is another one. Returns the stream itself.

        A position that was loaded stays if it is of that epoch.
        """
        if operator.index(epoch) != self._passes.number:
            self._passes.begin(operator.index(epoch))
        return self

    def __repr__(self) -> str:
        epoch = self._passes.epoch
        order = "in order" if epoch.mixing is None else f"shuffled, seed={epoch.seed}, epoch={self.epoch}"
        size = "" if epoch.batch_size is None else f", batch_size={epoch.batch_size}"
        types = ", ".join(view.sample_type.__name__ for view in epoch.views)
        behind = f" and {len(self.pipeline) - 1} more" if len(self.pipeline) > 1 else ""
        return f"SampleStream[{types}]({order}{size}){behind}"

    def __len__(self) -> int:
        """How many samples, or batches, a pass has on this rank.

        Raises:
            TypeError: the number of samples is not known, or there are stages behind ours.
        """
        if len(self.pipeline) > 1 or self.repetitions != 1:
            raise TypeError("stages decide how many there are")
        try:
            return Pass(self._passes.epoch, self.epoch).steps()
        except (OSError, AtdataError) as error:
            # list() asks for a length, too, and takes no other error for an answer
            raise TypeError(f"the number of samples is not known: {error}") from error

    def __bool__(self) -> bool:
        """True: whether a stream is empty is no question of its having a length."""
        return True

    @property
    def skipped(self) -> Sequence[Skipped]:
        """What the latest pass left out in this process, with ``on_error="skip"``."""
        return list(self._passes.now().faults.skipped)

    @property
    def done(self) -> int:
        """How many samples of the latest pass have come out in this process."""
        return self._passes.now().progress.done

    def state_dict(self, done: int | None = None) -> dict[str, Any]:
        """Where the pass is, in a few numbers that JSON takes.

        On any rank it is the place that all are at when they have made as many steps. In a DataLoader's worker it is
        the worker's; ``state_after`` tells where the loader is.

        Args:
            done: where it was when ``done`` was this number; None for now.

        Raises:
            TypeError: the number of samples is not known.
        """
        return self._passes.now().state(done).to_dict()

    def state_after(self, steps: int, num_workers: int = 0) -> dict[str, Any]:
        """Where a pass is that a DataLoader makes, from its beginning or from the state that was loaded before.

        Args:
            steps: how many batches, or samples if the stream has none, came out of the loader in turns of its workers.
            num_workers: how many workers it has.

        Raises:
            TypeError: the number of samples is not known, or a filter leaves some out.
        """
        return self._passes.now().state_after(operator.index(steps), num_workers).to_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue, with the next pass, from where another one was: the number of ranks, of workers and the batch
        size may be others by now, and what is left of the epoch is shared anew.

        Args:
            state: what ``state_dict()`` gave, here or elsewhere, or a ``StatefulDataLoader``'s over such a stream.

        Raises:
            StateMismatch: it is of another dataset, order or seed, or none; a ``ValueError``.
        """
        loaded = State.of(state)
        self._passes.begin(loaded.epoch, loaded)
