"""Checks of arguments that many functions take."""

from __future__ import annotations

import operator


def whole(name: str, value: int) -> int:
    """A whole number, NumPy's too, as an ``int``.

    Raises:
        TypeError: it is none; names the argument.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number; found {value!r:.100}") from None


def positive(name: str, value: int) -> int:
    """A whole number of at least 1.

    Raises:
        TypeError: no whole number; names the argument.
        ValueError: below 1; names the argument.
    """
    count = whole(name, value)
    check_limit(name, count)
    return count


def check_limit(name: str, value: float | None) -> None:
    """Refuse a limit that nothing meets; one may be written as 1e9, and None is none.

    Raises:
        TypeError: no number; names the argument.
        ValueError: below 1; names the argument.
    """
    if value is None:
        return
    if not (value if isinstance(value, float) else whole(name, value)) >= 1:  # NaN, too
        raise ValueError(f"{name} is {value}; it must be 1 or more")
