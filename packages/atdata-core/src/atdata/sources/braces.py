"""Brace patterns in URLs, ``data-{000..009}.tar`` or ``{train,test}.tar``: measured before they are expanded."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterator

from braceexpand import braceexpand

from ..errors import UnsafeURL
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


def expand(pattern: str) -> list[str]:
    """All URLs of a pattern, in order; a pattern without braces is returned as it is.

    Raises:
        UnsafeURL: it stands for over a million URLs, or is longer or nested deeper than any sensible pattern.
        ValueError: its braces are not balanced.
    """
    if "{" not in pattern and "}" not in pattern:
        return [pattern]
    try:
        count, characters = _measure(pattern, 0)
    except ValueError as error:
        error.args = (f"{public(pattern)!r:.200}: {error}",)
        raise
    if count > LIMIT:
        many = f"{count:,}" if count < _ENOUGH else f"over {_ENOUGH:,}"
        raise UnsafeURL(f"{public(pattern)!r:.200} stands for {many} URLs; at most {LIMIT:,} are expanded")
    if characters > _MAX_CHARACTERS:
        raise UnsafeURL(f"{public(pattern)!r:.200} stands for too much text: URLs of {characters:,} characters")
    return list(braceexpand(pattern, escape=_ESCAPE))


def _marks(pattern: str) -> Iterator[tuple[int, str, int]]:
    """Braces and commas that are not escaped: position, which, and how deep in braces it leads."""
    level = 0
    for match in _MARKS.finditer(pattern):
        mark = match[0]
        level += (mark == "{") - (mark == "}")
        if len(mark) == 1:
            yield match.start(), mark, level


def _measure(pattern: str, depth: int) -> tuple[int, int]:
    """How many URLs a pattern stands for, and about how many characters they have, without making them."""
    if depth > _MAX_DEPTH:
        raise UnsafeURL(f"braces nested over {_MAX_DEPTH} deep")
    count, characters, start, level = 1, 0, 0, 0
    for position, mark, level in _marks(pattern):  # noqa: B007
        if mark == "{" and level == 1:
            characters += count * (position - start)
            start = position
        elif mark == "}" and level == 0:
            group = _measure_group(pattern[start + 1 : position], depth + 1)
            characters = min(characters * group[0] + group[1] * count, _ENOUGH)
            count = min(count * group[0], _ENOUGH)
            start = position + 1
    if level:
        raise ValueError("the braces are not balanced; give a name that holds braces as a pathlib.Path")
    return count, characters + count * (len(pattern) - start)


def _measure_group(text: str, depth: int) -> tuple[int, int]:
    """The same for what stands between two braces."""
    if numbers := _NUMBERS.match(text):
        first, last, step = numbers.groups(default="1")
        width = max(map(len, numbers.groups(default="1")))
        if width > _MAX_DIGITS:
            raise UnsafeURL(f"a number of {width:,} digits")
        count = min(abs(int(last) - int(first)) // (int(step) or 1) + 1, _ENOUGH)
        return count, count * width
    if letters := _LETTERS.match(text):
        first, last, step = letters.groups(default="1")
        span = abs(_ALPHABET.index(last) - _ALPHABET.index(first))
        # a longer step goes past any span
        count = span // (int(step[-_MAX_DIGITS:]) or 1) + 1
        return count, count
    commas = [position for position, mark, level in _marks(text) if mark == "," and level == 0]
    if not commas:
        count, characters = _measure(text, depth)
        return count, characters + 2 * count
    parts = [
        _measure(text[low:high], depth)
        for low, high in zip([0, *(comma + 1 for comma in commas)], [*commas, len(text)], strict=True)
    ]
    return sum(count for count, _ in parts), sum(characters for _, characters in parts)
