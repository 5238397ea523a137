"""What loops of training ask for batches: passes over a stream, whose position is that of the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeAlias

from .._arguments import whole
from ..batch import SampleBatch
from ..feed.skipping import Skipped
from ..feed.stream import SampleStream
from .ahead import Ahead

Stream: TypeAlias = SampleStream[SampleBatch[Any]]
Collate: TypeAlias = Callable[[SampleBatch[Any]], Any]


class Loader:
    """Batches of a stream in another form, pass after pass.

    What was handed out is done, and what lies ready is not: a state that is saved between two steps of a training loses
    nothing and repeats nothing.

    Args:
        stream: the batches.
        prefetch: how many a thread makes ahead; 0 for none.
    """

    def __init__(self, stream: Stream, prefetch: int) -> None:
        if whole("prefetch", prefetch) < 0:
            raise ValueError(f"prefetch is {prefetch}; it must be 0 or more")
        self._stream = stream
        self._prefetch = prefetch
        self._done: int | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._stream!r})"

    def __len__(self) -> int:
        """How many batches a pass has, on this rank.

        Raises:
            TypeError: that is not known.
        """
        return len(self._stream)

    @property
    def epoch(self) -> int:
        """Number of the epoch."""
        return self._stream.epoch

    def set_epoch(self, epoch: int) -> None:
        """Have the next pass come in the order of an epoch; a position that was loaded stays if it is of that one."""
        if epoch != self.epoch:
            self._done = None
        self._stream.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Where the pass is, as something small that JSON can hold.

        Raises:
            TypeError: the number of samples is not known.
        """
        return self._stream.state_dict(self._done)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have the next pass go on where a state was taken, with any number of workers and ranks.

        Raises:
            StateMismatch: the state belongs to another dataset or another order; a ``ValueError``.
        """
        self._stream.load_state_dict(state)
        self._done = None

    @property
    def skipped(self) -> Sequence[Skipped]:
        """What the latest pass left out, with ``on_error="skip"``."""
        return self._stream.skipped

    def _made_here(self, make: Collate) -> Iterator[Any]:
        """A pass in this process.

        Args:
            make: what is made of each batch, ahead.
        """
        batches = iter(self._stream)
        self._done = 0
        made = ((make(batch), self._stream.done) for batch in batches)
        if not self._prefetch:
            yield from map(self._handed, made)
            return
        with closing(Ahead(made, self._prefetch)) as ahead:
            yield from map(self._handed, ahead)

    def _handed(self, made: tuple[Any, int]) -> Any:
        batch, self._done = made
        return batch
