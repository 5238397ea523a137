"""Where shards come from: ``URLSource``, and what every source has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from ..errors import AtdataError


class ShardStreams:
    """The ``shards`` of a source: iterate it, or call it and iterate the result.

    Each iteration opens the shards anew, one by one; the consumer closes them.
    """

    def __init__(self, list_shards: Callable[[], list[str]], open_shard: Callable[[str], IO[bytes]]):
        self._list_shards = list_shards
        self._open_shard = open_shard

    def __iter__(self) -> Iterator[tuple[str, IO[bytes]]]:
        for shard_id in self._list_shards():
            yield shard_id, self._open_shard(shard_id)

    def __call__(self) -> Iterator[tuple[str, IO[bytes]]]:
        return iter(self)


def _member(source: Any, name: str) -> Any:
    """A member that some sources have as a property and others as a method."""
    value = getattr(source, name)
    # a ShardStreams is both; iterating it is the same
    return value() if callable(value) and not isinstance(value, ShardStreams) else value


def check_source(source: Any) -> None:
    """Refuse what is no data source, saying what it lacks.

    Raises:
        TypeError: it has no list of shards, or no way to open one.
    """
    if not any(hasattr(source, name) for name in ("list_shards", "shard_list", "shards")):
        raise TypeError(
            f"a dataset's source is a URL, a path, a list of paths, or an object with list_shards() and "
            f"open_shard(shard_id); {type(source).__name__} has no list_shards"
        )
    if not any(hasattr(source, name) for name in ("open_shard", "shards")):
        raise TypeError(f"{type(source).__name__} has neither open_shard(shard_id) nor shards")


def shard_ids(source: Any) -> list[str]:
    """Identifiers of a source's shards, from whichever member it has for that."""
    for name in ("list_shards", "shard_list"):
        if hasattr(source, name):
            return list(_member(source, name))
    names = []
    for shard_id, stream in _member(source, "shards"):
        stream.close()
        names.append(shard_id)
    return names


def open_shards(source: Any, ids: Iterable[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Open shards of a source in the given order, from whichever member it has for that.

    Raises:
        KeyError: the source has no such shard.
    """
    if hasattr(source, "open_shard"):
        for shard_id in ids:
            try:
                stream = source.open_shard(shard_id)
            except AtdataError as error:
                error.at(shard=shard_id)
                raise
            yield shard_id, stream
        return
    for wanted in ids:
        for shard_id, stream in _member(source, "shards"):
            if shard_id == wanted:
                yield shard_id, stream
                break
            stream.close()
        else:
            raise KeyError(f"{source!r} has no shard {wanted!r}")
