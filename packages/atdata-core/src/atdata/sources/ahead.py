"""Shards that are opened before they are read: while one is used, the next are on their way."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import IO, Final, Protocol

# Shards that are opened beside the one that is read
AHEAD: Final = 3


class AheadSource(Protocol):
    """A source that can be told which shards will be read next."""

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """Open a shard that is read now."""
        ...

    def open_ahead(self, shard_id: str, stopping: threading.Event) -> IO[bytes]:
        """Open a shard that is read later; may take as long as it takes to have all of it.

        Args:
            shard_id: its identifier.
            stopping: set as soon as it is not wanted any more.
        """
        ...


def opened(source: AheadSource, ids: Iterable[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Open shards of a source in the given order, some of them ahead.

    Yields:
        Identifier and stream. What opening it raises is raised when it is its turn.
    """
    openings: deque[_Opening] = deque()

    def open_first(shard_id: str, _stopping: threading.Event) -> IO[bytes]:
        return source.open_shard(shard_id)

    open_stream: Callable[[str, threading.Event], IO[bytes]] = open_first
    try:
        for shard_id in ids:
            openings.append(_Opening(shard_id, open_stream))
            open_stream = source.open_ahead
            if len(openings) > AHEAD:
                yield openings.popleft().take()
        while openings:
            yield openings.popleft().take()
    finally:
        for opening in openings:
            opening.stop()


class _Opening:
    """A shard that a thread opens."""

    def __init__(self, shard_id: str, open_stream: Callable[[str, threading.Event], IO[bytes]]) -> None:
        self._shard_id = shard_id
        self._stopping = threading.Event()
        self._stream: Future[IO[bytes]] = Future()
        threading.Thread(target=self._run, args=(open_stream,), name="atdata-ahead", daemon=True).start()

    def _run(self, open_stream: Callable[[str, threading.Event], IO[bytes]]) -> None:
        try:
            self._stream.set_result(open_stream(self._shard_id, self._stopping))
        except BaseException as error:
            self._stream.set_exception(error)

    def take(self) -> tuple[str, IO[bytes]]:
        """Identifier and stream, as soon as it is open."""
        try:
            return self._shard_id, self._stream.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Close it, whether or not it is open already."""
        self._stopping.set()
        self._stream.add_done_callback(_close)


def _close(opened: Future[IO[bytes]]) -> None:
    if opened.exception() is None:
        opened.result().close()
