"""What happens to samples that cannot be read: an error, or a report and the next one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from ..errors import AtdataError
from ..shard.blocks import Where


@dataclass(frozen=True)
class Skip:
    """How many samples a pass may leave out because they cannot be read; one more is an error.

    Attributes:
        total: at most so many in all.
        consecutive: at most so many one after another: a shard that is missing, say, is no matter of single samples.
    """

    total: int = 1000
    consecutive: int = 100


OnError: TypeAlias = "Literal['raise', 'skip'] | Skip"


class Skipped(NamedTuple):
    """A sample that was left out.

    Attributes:
        shard: its shard, or None if unknown.
        key: its key, or None if unknown.
        offset: where its header begins, or None if unknown.
        reason: the error that reading it gave.
    """

    shard: str | None
    key: str | None
    offset: int | None
    reason: str


class SampleSkipped(UserWarning):
    """A sample was left out because it cannot be read."""


def budget(on_error: OnError) -> Skip | None:
    """How much may be skipped; None for nothing.

    Raises:
        ValueError: ``on_error`` is something else.
    """
    if isinstance(on_error, Skip):
        return on_error
    if on_error not in ("raise", "skip"):
        raise ValueError(
            f"on_error is {on_error!r}; it must be 'raise', 'skip' or atdata.Skip(total=..., consecutive=...)"
        )
    return Skip() if on_error == "skip" else None


class Faults:
    """The samples that a pass leaves out.

    Args:
        allowed: how many may be; None for none.

    Attributes:
        skipped: those that were.
    """

    def __init__(self, allowed: Skip | None) -> None:
        self.allowed = allowed
        self.skipped: list[Skipped] = []
        self._row = 0

    def good(self) -> None:
        """A sample was read."""
        self._row = 0

    def bad(self, error: Exception, where: Where | None = None) -> None:
        """A sample could not be read.

        Raises:
            Exception: the error, if no more may be left out.
        """
        self._row += 1
        if self.allowed is None:
            raise error
        known: Any = where or Where(None, None, None)
        shard, key, offset = (getattr(error, name, None) or getattr(known, name) for name in Where._fields)
        reason = str(error.args[0]) if isinstance(error, AtdataError) and error.args else str(error)
        found = Skipped(shard, key, offset, f"{type(error).__name__}: {reason}")
        if len(self.skipped) >= self.allowed.total or self._row > self.allowed.consecutive:
            error.add_note(
                f"{len(self.skipped):,} samples were skipped before this one; on_error allows {self.allowed.total:,}, "
                f"and {self.allowed.consecutive:,} one after another"
            )
            raise error
        self.skipped.append(found)
        warnings.warn(f"skipped sample {key!r} of {shard!r}: {found.reason}", SampleSkipped, stacklevel=2)
