"""The shard after the one that is being read: opened while the last bytes of that are on their way."""

from __future__ import annotations

import io
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future

Stream = io.BufferedReader


class _Turn:
    """One shard.

    Attributes:
        number: its number.
        coming: whether all of it is on its way.
        taken: whether somebody reads it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.coming = False
        self.taken = False
        self.stream: Future[Stream] = Future()


class Ahead:
    """Opens the shards of a source, and ahead of time the one that will come next if they go on as they began.

    Args:
        count: how many shards there are.
        open_stream: opens one, by its number; the other argument is to be called when all of it is on its way.
    """

    def __init__(self, count: int, open_stream: Callable[[int, Callable[[], None]], Stream]) -> None:
        self._count = count
        self._open_stream = open_stream
        self._lock = threading.Lock()
        self._last, self._step, self._steady = -1, 1, True
        self._next: _Turn | None = None

    def open(self, number: int) -> Stream:
        """A shard, whether or not it is open already."""
        with self._lock:
            step = number - self._last
            self._last, self._step, self._steady = number, step, step == self._step
            turn, self._next = self._next, None
        if turn is not None and turn.number != number:
            turn.stream.add_done_callback(_close)
            turn = None
        if turn is None:
            turn = _Turn(number)
            self._run(turn)
        stream = turn.stream.result()
        with self._lock:
            turn.taken = True
            coming = turn.coming
        if coming:
            self._open_next(turn)
        return stream

    def _run(self, turn: _Turn) -> None:
        # weak, so that a source that nobody needs any more takes what it opened ahead with it
        this = weakref.ref(self)

        def coming() -> None:
            ahead = this()
            if ahead is not None:
                ahead._is_coming(turn)

        try:
            turn.stream.set_result(self._open_stream(turn.number, coming))
        except BaseException as error:
            turn.stream.set_exception(error)

    def _is_coming(self, turn: _Turn) -> None:
        with self._lock:
            turn.coming = True
            taken = turn.taken
        if taken:
            self._open_next(turn)

    def _open_next(self, turn: _Turn) -> None:
        with self._lock:
            number = turn.number + self._step
            idle = self._next is None and self._steady and turn.number == self._last
            if not idle or not 0 <= number < self._count:
                return
            following = self._next = _Turn(number)
        threading.Thread(target=self._run, args=(following,), name="atdata-s3-ahead", daemon=True).start()


def _close(opened: Future[Stream]) -> None:
    if opened.exception() is None:
        opened.result().close()
