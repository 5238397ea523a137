"""Versions of schemas, as https://semver.org says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import SchemaError
from .shown import shown

_LONGEST = 128
_NUMBER = r"(0|[1-9]\d*)"
_PART = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Version:
    """A version. ``<`` and its kin go by precedence, to which build metadata does not count; ``==`` by everything.

    Attributes:
        major: goes up with a change that breaks readers or writers.
        minor: goes up with other changes of the fields.
        patch: goes up with changes that touch no field.
        prerelease: what stands behind ``-``, such as ``rc.1``, or empty; such a version comes before that without it.
        build: what stands behind ``+``, or empty.

    Examples:
        >>> from atdata.schema import Version
        >>> Version.parse("1.10.0") > Version.parse("1.9.0") > Version.parse("1.9.0-rc.1")
        True
    """

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    build: str = ""

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(str(self)):
            raise SchemaError(f"{str(self)!r:.80} is not a version such as '1.0.0'")

    @classmethod
    def parse(cls, text: str) -> Version:
        """A version from its text.

        Raises:
            SchemaError: not a semantic version; a ``ValueError``.
        """
        match = _VERSION.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST else None
        if match is None:
            raise SchemaError(f"{shown(text)} is not a version: three numbers are needed, such as '1.0.0'")
        major, minor, patch, prerelease, build = match.groups()
        return cls(int(major), int(minor), int(patch), prerelease or "", build or "")

    @property
    def next_patch(self) -> Version:
        """The version of the next change that touches no field."""
        return Version(self.major, self.minor, self.patch + 1)

    @property
    def _precedence(self) -> tuple[Any, ...]:
        # numbers come before words; a version without a pre-release comes after all of them
        parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease.split(".")]
        return self.major, self.minor, self.patch, *((0, parts) if self.prerelease else (1,))

    def __lt__(self, other: Version) -> bool:
        return self._precedence < other._precedence

    def __le__(self, other: Version) -> bool:
        return self._precedence <= other._precedence

    def __gt__(self, other: Version) -> bool:
        return self._precedence > other._precedence

    def __ge__(self, other: Version) -> bool:
        return self._precedence >= other._precedence

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return text + (f"-{self.prerelease}" if self.prerelease else "") + (f"+{self.build}" if self.build else "")


def next_version(published: Iterable[str]) -> str:
    """The version that a schema gets when nobody says which: the highest one's next patch, or ``1.0.0``.

    Args:
        published: the versions that its name has already.
    """
    versions = [*map(Version.parse, published)]
    return str(max(versions).next_patch) if versions else "1.0.0"
