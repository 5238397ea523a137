"""Names of the files of one dataset: ``data.tar``, or ``data-000000.tar`` and on."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .sources.url import URLSource, scheme_of

_NUMBER = re.compile(r"%(0?)(\d*)d")


@dataclass(frozen=True)
class ShardNames:
    """Where the files of a dataset go.

    Attributes:
        folder: their folder.
        stem: the name up to the number, or up to ``.tar`` if there is none.
        width: least digits of the number, zero-padded; None for a single shard.
        tail: the name behind the number.
    """

    folder: Path
    stem: str
    width: int | None
    tail: str = ".tar"

    @classmethod
    def of(cls, path: str | os.PathLike[str], *, numbered: bool) -> ShardNames:
        """The names that a path asks for.

        Args:
            path: ``data.tar``, ``data-%06d.tar``, or a folder.
            numbered: whether there may be several shards.

        Raises:
            ValueError: a URL, a pattern for reading, a ``~``, or a name that is not a tar's.
        """
        text = os.fspath(path)
        if not text:
            raise ValueError("'' is no path; shards are written to a folder of this machine")
        if scheme_of(text):
            raise ValueError(
                f"{text!r} is a URL; shards are written to a folder of this machine, and a store takes them from there"
            )
        if "{" in text and isinstance(path, str):
            raise ValueError(f"{text!r} is a pattern for reading; to write numbered shards use 'data-%06d.tar'")
        target = Path(path)
        if target.parts[:1] == ("~",) and not Path("~").exists():
            raise ValueError(f"{text!r}: only shells know '~'; write to os.path.expanduser({text!r})")
        if text.endswith(("/", os.sep)) or target.is_dir() or not target.suffix:
            return cls(target, "shard-", 6)
        if target.suffix != ".tar":
            raise ValueError(f"{text!r}: shards are plain tar files, named .tar; others cannot be read at random")
        if not target.name.isascii():
            try:
                target.name.encode()
            except UnicodeEncodeError:
                raise ValueError(f"{text!r}: the manifest cannot hold this name, which is not UTF-8") from None
        numbers = [*_NUMBER.finditer(target.name)]
        if numbers and "%" in _NUMBER.sub("", target.name, count=1):
            raise ValueError(f"{text!r}: a name holds one number, such as %06d, and no other %")
        if numbers:
            (number,) = numbers
            stem, tail = target.name[: number.start()], target.name[number.end() :]
            return cls(target.parent, stem, int(number[2] or 0) if number[1] else 0, tail)
        return cls(target.parent, f"{target.stem}-", 6) if numbered else cls(target.parent, target.stem, None)

    def path(self, number: int) -> Path:
        """The path of one file."""
        digits = "" if self.width is None else f"{number:0{self.width}d}"
        return self.folder / f"{self.stem}{digits}{self.tail}"

    def source(self, count: int) -> URLSource:
        """The first ``count`` shards, as a brace pattern where that says the same."""
        paths = [self.path(number) for number in range(count)]
        if count > 1:
            last = count - 1
            braces = f"{{{0:0{self.width}d}..{last:0{self.width}d}}}"
            pattern = URLSource(str(self.folder / f"{self.stem}{braces}{self.tail}"))
            if pattern.list_shards() == [str(path) for path in paths]:
                return pattern
        return URLSource(paths)
