"""Working ahead: a thread makes the next items while the last ones are used."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

# Seconds that the end of the program waits for an item that is being made
_PATIENCE: Final = 10


class _End(NamedTuple):
    """What comes behind the last item.

    Attributes:
        fault: what ended the items; None if there were no more.
    """

    fault: BaseException | None


class _Line(Generic[T]):
    """Items on their way from one thread to another, in order and not too many.

    The queues wait without Python code, which a condition does not, and small batches feel that. A garbage collection
    that comes meanwhile may close the line, too.

    Attributes:
        closed: whether nobody takes them any more.
    """

    def __init__(self, room: int) -> None:
        self.closed = False
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()  # one for each item that may be made beyond the next
        for _ in range(room - 1):
            self._room.put(None)

    def put(self, item: T) -> bool:
        """Add an item and wait for room for the next one; whether anybody still takes items."""
        self._items.put(item)
        self._room.get()
        return not self.closed

    def end(self, fault: BaseException | None) -> None:
        """There will be no more items."""
        self._items.put(_End(fault))
        if self.closed:
            self.close()  # what was put since nobody will ever take

    def take(self) -> T:
        """Wait for an item and take it.

        Raises:
            StopIteration: there are no more.
            BaseException: what ended the items, once all before it are taken.
        """
        item = self._items.get()
        if not self.closed and not isinstance(item, _End):
            self._room.put(None)
            return item
        self._items.put(_End(None))  # for whoever waits beside, or asks again
        fault = item.fault if isinstance(item, _End) and not self.closed else None
        del item
        try:
            raise StopIteration if fault is None else fault
        finally:
            del fault  # which holds this frame

    def close(self) -> None:
        """Nobody takes items any more."""
        self.closed = True
        with suppress(Empty):
            while True:
                self._items.get_nowait()
        self._items.put(_End(None))
        self._room.put(None)


def _fill(items: Iterable[T], line: _Line[T]) -> None:
    # knows nothing of who takes the items, so that they can be garbage collected and end this
    fault: BaseException | None = None
    try:
        iterator = iter(items)
        try:
            for item in iterator:
                if not line.put(item):
                    break
                del item  # so that its memory is free when the next one is made
        finally:
            getattr(iterator, "close", lambda: None)()  # files are closed by whom they were opened
    except BaseException as error:
        fault = error
    line.end(fault)


_running: dict[threading.Thread, _Line[Any]] = {}


def _end_all() -> None:
    # a thread that is still in the code of some C++ library when the interpreter goes would abort the program
    for line in [*_running.values()]:
        line.close()
    for thread in [*_running]:
        thread.join(_PATIENCE)


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)  # where there are no threads, and locks may be held for ever


class Ahead(Iterator[T]):
    """Items that a thread makes while those before them are used.

    Exceptions come out where the item would have, with the traceback of where they were raised. Closing or forgetting
    this, or the end of the program, ends the thread.

    Args:
        items: where they come from; iterated in the thread.
        room: how many lie ready at most; 1 or more.
    """

    _process = staticmethod(os.getpid)  # by a name that is still there when a program ends

    def __init__(self, items: Iterable[T], room: int) -> None:
        self._line: _Line[T] = _Line(room)
        self._owner = self._process()
        self._thread = threading.Thread(target=_fill, args=(items, self._line), name="atdata-ahead", daemon=True)
        self._thread.start()
        for thread in [*_running]:
            if not thread.is_alive():
                _running.pop(thread, None)
        _running[self._thread] = self._line
        weakref.finalize(self, self._line.close).atexit = False

    def __next__(self) -> T:
        if self._owner != self._process():
            raise RuntimeError("this iterator belongs to the process that this one was forked from; make a new one")
        return self._line.take()

    def close(self) -> None:
        """End the thread, and wait for that."""
        # after a fork there is no thread to wait for
        if not self._line.closed and self._owner == self._process():
            self._line.close()
            if threading.current_thread() is not self._thread:  # where a garbage collection may have come, too
                self._thread.join()
