"""Brace patterns in URLs, ``data-{000..009}.tar`` or ``{train,test}.tar``: measured before they are expanded."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterable, Iterator

from braceexpand import braceexpand

from ..errors import InvalidPattern, UnsafeURL
from . import public

LIMIT = 1_000_000
_MAX_CHARACTERS = 1 << 28
_MAX_DEPTH = 16
# Longer numbers cost more to parse than any sensible pattern is worth
_MAX_DIGITS = 1000
# Counting ends here, so that the numbers stay small
_ENOUGH = 10**18

# The rest of this page reads patterns exactly as the library does, its oddities included: "$" also ends before a
# newline, and a group that follows an unopened "}" is none.
_NUMBERS = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.-?(\d+))?$")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.-?(\d+))?$")
_ALPHABET = string.ascii_uppercase + string.ascii_lowercase
# On Windows a backslash separates folders
_ESCAPE = os.sep != "\\"
_MARKS = re.compile(r"\\.|[{},]" if _ESCAPE else r"[{},]", re.DOTALL)


def check(patterns: Iterable[str]) -> None:
    """Refuse patterns that stand for more than a machine should be asked to list, all together.

    Raises:
        UnsafeURL: they stand for over a million URLs, or one is longer or nested deeper than any sensible pattern.
        InvalidPattern: the braces of one are not balanced.
    """
    total, characters, names = 0, 0, []
    for pattern in filter(_has_braces, patterns):
        try:
            measured = _measure(pattern)
        except (InvalidPattern, UnsafeURL) as error:
            raise type(error)(f"{public(pattern)!r:.200}: {error}") from None
        total, characters = total + measured[0], characters + measured[1]
        names.append(pattern)
        if total > LIMIT or characters > _MAX_CHARACTERS:
            many = f"{total:,}" if total < _ENOUGH else f"over {_ENOUGH:,}"
            what = f"{many} URLs; at most {LIMIT:,} are" if total > LIMIT else "URLs so long that they are not"
            raise UnsafeURL(f"{'::'.join(map(public, names))!r:.200} stands for {what} expanded")


def expand(pattern: str) -> list[str]:
    """All URLs of a pattern that was checked, in order; a pattern without braces is returned as it is."""
    return list(braceexpand(pattern, escape=_ESCAPE)) if _has_braces(pattern) else [pattern]


def _has_braces(pattern: str) -> bool:
    return "{" in pattern or "}" in pattern


def _marks(pattern: str) -> Iterator[tuple[int, str, int]]:
    """Braces and commas that are not escaped: position, which, and how deep in braces it leads."""
    level = 0
    for match in _MARKS.finditer(pattern):
        mark = match[0]
        level += (mark == "{") - (mark == "}")
        if level > _MAX_DEPTH:
            raise UnsafeURL(f"braces nested over {_MAX_DEPTH} deep")
        if len(mark) == 1:
            yield match.start(), mark, level


def _measure(pattern: str) -> tuple[int, int]:
    """How many URLs a pattern stands for, and about how many characters they have, without making them."""
    count, characters, start, level = 1, 0, 0, 0
    for position, mark, level in _marks(pattern):
        if mark == "{" and level == 1:
            characters += count * (position - start)
            start = position
        elif mark == "}" and level == 0:
            group = _measure_group(pattern[start + 1 : position])
            characters = min(characters * group[0] + group[1] * count, _ENOUGH)
            count = min(count * group[0], _ENOUGH)
            start = position + 1
    if level:
        raise InvalidPattern("the braces are not balanced; give a name that holds braces as a pathlib.Path")
    return count, characters + count * (len(pattern) - start)


def _measure_group(text: str) -> tuple[int, int]:
    """The same for what stands between two braces."""
    if bounds := _NUMBERS.match(text) or _LETTERS.match(text):
        first, last, step = bounds.groups(default="1")
        width = max(len(first), len(last), len(step))
        if width > _MAX_DIGITS:
            raise UnsafeURL(f"a range with a number of {width:,} digits")
        place = int if bounds.re is _NUMBERS else _ALPHABET.index
        count = min(abs(place(last) - place(first)) // (int(step) or 1) + 1, _ENOUGH)
        return count, count * width
    commas = [position for position, mark, level in _marks(text) if mark == "," and level == 0]
    if not commas:
        count, characters = _measure(text)
        return count, characters + 2 * count
    parts = [
        _measure(text[low:high])
        for low, high in zip([0, *(comma + 1 for comma in commas)], [*commas, len(text)], strict=True)
    ]
    return sum(count for count, _ in parts), sum(characters for _, characters in parts)
