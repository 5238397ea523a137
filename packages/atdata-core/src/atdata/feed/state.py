"""Where an epoch is: what ``state_dict()`` gives and ``load_state_dict()`` takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ..errors import StateMismatch

_FORMAT = "atdata-stream"


@dataclass(frozen=True)
class State:
    """A position in an epoch, a few numbers.

    Attributes:
        dataset: fingerprint of the dataset.
        samples: how many it has.
        epoch: number of the epoch.
        shuffle: seed, and how many shards, samples, and samples at first are mixed; None for the dataset's own order.
        lanes: number and unit of the lanes of the order.
        at: the place before which all is done, on all ranks.
        share: number of ranks, batch size, number of workers, and which worker; of a state of one worker.
        rank: which rank, if the others are not at the same place.
        done: how many samples that worker, or rank, has read since ``at``.
        over: whether it has nothing left; other ranks may have.
    """

    dataset: str
    samples: int
    epoch: int
    shuffle: tuple[int, int, int, int] | None
    lanes: tuple[int, int]
    at: int
    share: tuple[int, ...] | None = None
    rank: int | None = None
    done: int = 0
    over: bool = False

    def moved(self, at: int) -> State:
        """All ranks at a place."""
        return replace(self, at=at)

    def within(self, share: tuple[int, ...], rank: int | None, done: int, *, over: bool) -> State:
        """One worker after so many samples."""
        return replace(self, share=share, rank=rank, done=done, over=over)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {"format": _FORMAT, "version": 1, **values}

    @classmethod
    def of(cls, given: Any) -> State:
        """The state that a dict holds: one of our own, or that of a ``StatefulDataLoader`` over one of our streams.

        Raises:
            StateMismatch: neither, or of a newer version; or its workers are not at one place.
        """
        found = [*_states(given)]
        if not found:
            raise StateMismatch(f"that is no state of a stream of samples, nor of a loader of one: {given!r:.200}")
        states = [cls._parsed(each) for each in found]
        if found[0] is given:
            return states[0]
        return _together(states, _number(given, "_steps_since_snapshot"))

    @classmethod
    def _parsed(cls, given: Mapping[str, Any]) -> State:
        if given.get("version") != 1:
            raise StateMismatch(
                f"the state has version {given.get('version')!r}; this atdata reads version 1: upgrade it with "
                "pip install -U atdata-core"
            )
        try:
            values: dict[str, Any] = {field.name: given[field.name] for field in fields(cls)}
            # JSON has no tuples
            values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
            state = cls(**values)
            lanes = state.lanes
            share, shuffle = ((0,) * 4 if each is None else each for each in (state.share, state.shuffle))
            numbers = [state.at, state.samples, state.done, state.epoch, *lanes, *share, *shuffle]
            good = (
                all(type(number) is int for number in numbers)
                and (len(lanes), len(share), len(shuffle)) == (2, 4, 4)
                and 0 <= state.at <= state.samples
                and state.done >= 0
                and all(0 < number < 1 << 31 for number in lanes)
            )
        except (KeyError, TypeError) as error:
            raise StateMismatch(f"the state is damaged, {error!r}: {given!r:.300}") from error
        if not good:
            raise StateMismatch(f"the state is damaged: {given!r:.300}")
        return state


def _states(given: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(given, Mapping):
        if given.get("format") == _FORMAT:
            yield given
        else:
            for _, value in sorted(given.items(), key=lambda item: _natural(item[0])):
                yield from _states(value)


def _natural(key: Any) -> tuple[int, str]:
    """Workers in the order of their numbers: ``worker_2`` before ``worker_10``."""
    return len(str(key)), str(key)


def _number(given: Any, name: str) -> int:
    value = given.get(name, 0) if isinstance(given, Mapping) else 0
    return value if isinstance(value, int) else 0


def _together(states: list[State], since: int) -> State:
    """The state of all workers of a loader."""
    first = states[0]
    if first.share is None:
        return first
    ranks, batch, workers, _ = first.share
    shares = [(ranks, batch, workers, number) for number in range(workers)]
    steps = [-(-state.done // batch) for state in states]
    turns = [len(range(number, sum(steps), workers)) for number in range(workers)]
    alike = {replace(state, share=None, done=0, over=False) for state in states}
    if len(alike) > 1 or first.rank is not None or [state.share for state in states] != shares or steps != turns:
        raise StateMismatch(
            "the workers of that loader are not at one place of the epoch, as with a filter or where the loader makes "
            "batches of single samples. Give the state to a loader with as many workers; or let the stream make the "
            "batches: dataset.shuffled(batch_size=...), and batch_size=None for the loader"
        )
    over = all(state.over for state in states)
    at = first.samples if over else min(first.samples, first.at + (sum(steps) + since) * ranks * batch)
    return replace(first, at=at, share=None, done=0, over=False)
