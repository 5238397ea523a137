"""Brace patterns in URLs, ``data-{000..009}.tar`` or ``{train,test}.tar``: counted before they are expanded."""

from __future__ import annotations

import os
import re

from braceexpand import braceexpand

from ..errors import UnsafeURL

LIMIT = 1_000_000
_MAX_DEPTH = 16
_NUMBERS = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.-?(\d+))?")
_LETTERS = re.compile(r"[A-Za-z]\.\.[A-Za-z](?:\.\.-?\d+)?")
# As the library does; on Windows a backslash separates folders
_ESCAPE = os.sep != "\\"


def expand(pattern: str) -> list[str]:
    """All URLs of a pattern, in order; a pattern without braces is returned as it is.

    Raises:
        UnsafeURL: it stands for over a million URLs, or is nested deeper than any sensible pattern.
        ValueError: its braces are not balanced.
    """
    if "{" not in pattern and "}" not in pattern:
        return [pattern]
    total = _count(pattern, 0)
    if total > LIMIT:
        raise UnsafeURL(f"{pattern!r:.200} stands for {total:,} URLs; at most {LIMIT:,} are expanded")
    try:
        return list(braceexpand(pattern, escape=_ESCAPE))
    except ValueError:
        raise ValueError(
            f"the braces of {pattern!r:.200} are not balanced; give a name that holds braces as a pathlib.Path"
        ) from None


def _groups(text: str, separators: str) -> list[str]:
    """Split at top-level separators: ``{}`` gives the contents of brace groups, ``,`` the alternatives."""
    parts, depth, start, position = [], 0, 0, 0
    while position < len(text):
        letter = text[position]
        if letter == "\\" and _ESCAPE:
            position += 1
        elif letter == "{":
            if depth == 0 and separators == "{}":
                start = position + 1
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0 and separators == "{}":
                parts.append(text[start:position])
        elif letter == "," and depth == 0 and separators == ",":
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]] if separators == "," else parts


def _count(pattern: str, depth: int) -> int:
    """How many URLs a pattern stands for, without making them."""
    if depth > _MAX_DEPTH:
        raise UnsafeURL(f"a brace pattern nested over {_MAX_DEPTH} deep")
    total = 1
    for group in _groups(pattern, "{}"):
        if numbers := _NUMBERS.fullmatch(group):
            first, last, step = numbers.groups()
            if max(map(len, (first, last, step or ""))) > 20:
                raise UnsafeURL(f"a brace pattern with the range {group!r:.100}")
            total *= abs(int(last) - int(first)) // (int(step or 1) or 1) + 1
        elif _LETTERS.fullmatch(group):
            total *= 52
        else:
            total *= sum(_count(part, depth + 1) for part in _groups(group, ","))
    return total
