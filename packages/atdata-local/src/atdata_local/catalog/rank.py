"""Versions as text that sorts by their precedence, so that databases can order them."""

from __future__ import annotations

from typing import Final

from atdata.schema import Version

FIRST: Final = "1.0.0"
_DIGITS: Final = 15  # Lua counts exactly to here


def rank(version: str) -> str:
    """Text that sorts as semantic versions do; build metadata comes last, as a tie-break.

    Raises:
        ValueError: no version, or a number of over 15 digits.
    """
    parsed = Version.parse(version)
    numbers = ".".join(_number(str(part), version) for part in (parsed.major, parsed.minor, parsed.patch))
    parts = parsed.prerelease.split(".") if parsed.prerelease else []
    # numbers come before words, and "-" before "~": a pre-release before its release
    words = "".join(f"{'0' + _number(part, version) if part.isdigit() else '1' + part}\x01" for part in parts)
    return f"{numbers}{'-' if parts else '~'}{words}{f'+{parsed.build}' if parsed.build else ''}"


def _number(text: str, version: str) -> str:
    if len(text) > _DIGITS:
        raise ValueError(f"version {version!r} has a number of over {_DIGITS} digits")
    return text.zfill(_DIGITS)


def bump(version: str) -> str:
    """The version of the next patch."""
    return str(Version.parse(version).next_patch)
