"""How long operations tell how far they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any, Protocol, TypeAlias, TypeVar

from ._extras import import_extra
from .errors import AtdataError

T = TypeVar("T")

PERIOD = 0.1  # seconds between two calls


class ProgressCallback(Protocol):
    """What a long operation calls: at most ten times a second, and once more at its end.

    An exception that it raises stops the operation, which then leaves nothing behind.
    """

    def __call__(self, done: int, total: int | None, /) -> object:
        """Be told that ``done`` samples, or bytes, of ``total`` are done; None if nobody knows how many there are."""


Progress: TypeAlias = "bool | ProgressCallback | None"
"""A callable; True for a bar on stderr, if that is a terminal; None or False for silence."""


def known_total(dataset: Any) -> int | None:
    """How many samples a dataset has, if that is known: what is wrong with it, reading tells."""
    with contextlib.suppress(OSError, AtdataError, TypeError, IndexError):
        total: int | None = dataset.num_samples
        return total
    return None


def counted(
    items: Iterable[T],
    progress: Progress,
    total: Callable[[], int | None],
    size: Callable[[T], int] = lambda _: 1,
    unit: str = " samples",
) -> Iterable[T]:
    """The items, while ``progress`` is told how many are done.

    Args:
        items: samples, or batches of them.
        progress: whom to tell.
        total: gives how many samples there are; asked only if somebody is told.
        size: how many samples an item is.
        unit: what a bar calls them; it counts ``B`` in thousands.

    Raises:
        BackendNotInstalled: ``progress`` is True and tqdm is not installed.
    """
    if progress is None or progress is False:
        return items
    return _counted(items, _Bar(unit) if progress is True else progress, total(), size)


def _counted(items: Iterable[T], tell: ProgressCallback, total: int | None, size: Callable[[T], int]) -> Iterator[T]:
    done, due = 0, 0.0
    for item in items:
        yield item
        done += size(item)
        if (now := monotonic()) >= due:
            tell(done, total)
            due = now + PERIOD
    tell(done, total)


class _Bar:
    """A bar of tqdm's on stderr; nothing where that is no terminal."""

    def __init__(self, unit: str) -> None:
        self._tqdm = import_extra("tqdm", "progress").tqdm
        self._unit = unit
        self._bar: Any = None

    def __call__(self, done: int, total: int | None, /) -> None:
        if self._bar is None:
            self._bar = self._tqdm(total=total, unit=self._unit, unit_scale=self._unit == "B", disable=None)
        self._bar.update(done - self._bar.n)
