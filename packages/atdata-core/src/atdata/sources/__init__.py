"""What every source of shards has in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import IO, Any

from ..errors import AtdataError

# The words of a command that say which shard it reads
_FILES = re.compile(r"[^\s'\"|;<>=]*(?:://|\.tar)[^\s'\"|;<>]*")


def public(name: str) -> str:
    """A shard's identifier without what may be secret, for messages; local paths and URLs stay as they are.

    URLs lose user, password, query and fragment. A command may hold a secret anywhere, so of a ``pipe:`` URL only
    the files and URLs that it reads are left.
    """
    scheme = name[:5].lower()
    if scheme == "pipe:":
        return " ".join(["pipe:...", *map(_without_secrets, _FILES.findall(name[5:]))])
    if scheme == "file:":
        return re.sub("^file://[^/]*@", "file://", name, flags=re.IGNORECASE)
    return _without_secrets(name) if re.match("[^/]*://", name) else name


def _without_secrets(url: str) -> str:
    return re.split("[?#]", "://".join(map(_without_user, url.split("://"))), maxsplit=1)[0]


def _without_user(text: str) -> str:
    authority, slash, path = text.partition("/")
    if "@" in authority:
        return authority.rpartition("@")[2] + slash + path
    _, colon, port = authority.rpartition(":")
    # a password with a "/" that should have been percent-encoded
    return path.rpartition("@")[2] if colon and not port.isdigit() and "@" in path else text


class ShardStreams:
    """The ``shards`` of a source: iterate it, or call it and iterate the result.

    Each iteration opens the shards anew, one by one; the consumer closes them.
    """

    def __init__(self, source: ShardSource) -> None:
        self._source = source

    def __iter__(self) -> Iterator[tuple[str, IO[bytes]]]:
        for shard_id in self._source.list_shards():
            yield shard_id, self._source.open_shard(shard_id)

    def __call__(self) -> Iterator[tuple[str, IO[bytes]]]:
        return iter(self)


class ShardSource(ABC):
    """A source of which two methods tell all; a ``DataSource``."""

    @abstractmethod
    def list_shards(self) -> list[str]:
        """Identifiers of all shards, in order."""

    @abstractmethod
    def open_shard(self, shard_id: str) -> IO[bytes]:
        """Open one shard for reading."""

    @property
    def url(self) -> str:
        """The URLs of all shards, as one text."""
        return "::".join(self.list_shards())

    @property
    def shard_list(self) -> list[str]:
        """The same as ``list_shards()``."""
        return self.list_shards()

    @property
    def shards(self) -> ShardStreams:
        """``(identifier, stream)`` of each shard, opened one by one; also works when called."""
        return ShardStreams(self)


def _has(source: Any, name: str) -> bool:
    # a property is not evaluated: it may ask a server
    return hasattr(type(source), name) or hasattr(source, name)


def _member(source: Any, name: str) -> Any:
    """A member that some sources have as a property and others as a method."""
    value = getattr(source, name)
    # a ShardStreams is both; iterating it is the same
    return value() if callable(value) and not isinstance(value, ShardStreams) else value


def check_source(source: Any) -> None:
    """Refuse what is no data source, saying what it lacks.

    Raises:
        TypeError: it has no list of shards, or no way to open one; or it is a class.
    """
    if isinstance(source, type):
        raise TypeError(f"{source.__name__} is a class; a dataset's source is an instance, {source.__name__}(...)")
    if not any(_has(source, name) for name in ("list_shards", "shard_list", "shards")):
        raise TypeError(
            f"a dataset's source is a URL, a path, a list of paths, or an object with list_shards() and "
            f"open_shard(shard_id); {type(source).__name__} has no list_shards"
        )
    if not any(_has(source, name) for name in ("open_shard", "shards")):
        raise TypeError(f"{type(source).__name__} has neither open_shard(shard_id) nor shards")


def shard_ids(source: Any) -> list[str]:
    """Identifiers of a source's shards, from whichever member it has for that.

    Raises:
        TypeError: what it gives is not a list of texts.
    """
    for name in ("list_shards", "shard_list"):
        if _has(source, name):
            given = _member(source, name)
            ids = [given] if isinstance(given, str) else list(given)
            if isinstance(given, str) or not all(isinstance(shard_id, str) for shard_id in ids):
                raise TypeError(f"{name} of {type(source).__name__} is not a list of texts: {ids[:3]!r:.200}")
            return ids
    names = []
    for shard_id, stream in _member(source, "shards"):
        stream.close()
        names.append(shard_id)
    return names


def open_shards(source: Any, ids: Iterable[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Open shards of a source in the given order, from whichever member it has for that.

    Yields:
        The shard's name for messages, without secrets; for local shards, it is the identifier. And the stream.

    Raises:
        KeyError: the source has no such shard.
    """
    if not _has(source, "open_shard"):
        yield from _pick(source, ids)
        return
    if _has(source, "open_ahead"):
        from .ahead import opened

        yield from ((public(shard_id), stream) for shard_id, stream in opened(source, ids))
        return
    for shard_id in ids:
        try:
            stream = source.open_shard(shard_id)
        except AtdataError as error:
            error.at(shard=public(shard_id))
            raise
        yield public(shard_id), stream


def _pick(source: Any, ids: Iterable[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Find shards among those that a source opens one after another, starting again for those gone by."""
    pairs: Iterator[tuple[str, IO[bytes]]] = iter(())
    for wanted in ids:
        stream = _find(pairs, wanted)
        if stream is None:
            pairs = iter(_member(source, "shards"))
            stream = _find(pairs, wanted)
        if stream is None:
            raise KeyError(f"{type(source).__name__} has no shard {public(wanted)!r}")
        yield public(wanted), stream


def _find(pairs: Iterator[tuple[str, IO[bytes]]], wanted: str) -> IO[bytes] | None:
    for shard_id, stream in pairs:
        if shard_id == wanted:
            return stream
        stream.close()
    return None
