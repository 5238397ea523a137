"""Reading ahead: a thread that downloads while the shard is used, in bounded memory."""

from __future__ import annotations

import io
import os
import threading
from typing import IO, TYPE_CHECKING, Final, Protocol

from ..errors import ShardUnreadable
from .download import Download

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Bytes between the two threads at most
_AHEAD: Final = 8 << 20
# Bytes asked for at a time: many, since a busy consumer lets the thread run only now and then
_PIECE: Final = 1 << 20
# For reads of a few bytes; large ones go around it
_BUFFER: Final = 128 << 10


class Sink(Protocol):
    """Where else the bytes of a shard go."""

    def write(self, data: memoryview) -> None:
        """Take the next bytes."""
        ...

    def publish(self) -> None:
        """The shard is complete, and what it must be."""
        ...

    def discard(self) -> None:
        """Let go of all; called at the end in any case."""
        ...


def stream_of(download: Download, sink: Sink | None, *, ahead: bool) -> IO[bytes]:
    """A download as a stream.

    Args:
        download: the download, open.
        sink: where else its bytes go.
        ahead: whether a thread reads ahead; it ends when the stream is closed or forgotten.
    """
    kind = _Prefetched if ahead else _Direct
    return io.BufferedReader(kind(download, sink), _BUFFER)


def _read(download: Download, sink: Sink | None, target: memoryview) -> int:
    count = download.read_into(target)
    if sink is not None:
        if count:
            sink.write(target[:count])
        else:
            sink.publish()
    return count


class _Ring:
    """Bytes on their way from one thread to another."""

    def __init__(self, size: int) -> None:
        self._buffer = memoryview(bytearray(size))
        self._written = 0
        self._taken = 0
        self._ended = False
        self._closed = False
        self._fault: BaseException | None = None
        self._changed = threading.Condition(threading.Lock())

    def room(self) -> memoryview:
        """Wait for a place for bytes; an empty one if nobody takes them any more."""
        with self._changed:
            while self._written - self._taken == len(self._buffer) and not self._closed:
                self._changed.wait()
            if self._closed:
                return self._buffer[:0]
            start = self._written % len(self._buffer)
            room = len(self._buffer) - (self._written - self._taken)
            return self._buffer[start : start + min(room, _PIECE)]

    def wrote(self, count: int) -> None:
        """There are bytes at the place that ``room`` gave."""
        with self._changed:
            self._written += count
            self._changed.notify()

    def end(self, fault: BaseException | None) -> None:
        """There will be no more bytes."""
        with self._changed:
            self._ended, self._fault = True, fault
            self._changed.notify()

    def take(self, target: memoryview) -> int:
        """Wait for bytes and take what fits; 0 at the end. The fault that ended them is raised behind them."""
        with self._changed:
            while self._written == self._taken and not self._ended:
                self._changed.wait()
            if self._written == self._taken and self._fault is not None:
                raise self._fault
            start = self._taken % len(self._buffer)
            count = min(len(target), self._written - self._taken)
        # the lock is not needed to copy: the other thread does not touch bytes that are not taken
        first = min(count, len(self._buffer) - start)
        target[:first] = self._buffer[start : start + first]
        target[first:count] = self._buffer[: count - first]
        with self._changed:
            self._taken += count
            self._changed.notify()
        return count

    def close(self) -> None:
        """Nobody takes bytes any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()


def _fetch(download: Download, ring: _Ring, sink: Sink | None) -> None:
    # knows nothing of the stream, so that the stream can be garbage collected and end this
    fault: BaseException | None = None
    try:
        try:
            while len(room := ring.room()) and (count := _read(download, sink, room)):
                ring.wrote(count)
        finally:
            download.close()
            if sink is not None:
                sink.discard()
    except BaseException as error:
        fault = error
    ring.end(fault)


class ThreadedStream(io.RawIOBase):
    """A stream that threads of this process fill. Closing it, or forgetting it, ends them.

    Args:
        name: its shard's name, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._owner = os.getpid()

    def take(self, target: memoryview) -> int:
        """Wait for bytes and take what fits; 0 at the end."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the threads."""
        raise NotImplementedError

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Wait for bytes and take what fits; 0 at the end.

        Raises:
            ShardUnreadable: this is a fork of the process that opened the stream.
        """
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self._owner != os.getpid():
            raise ShardUnreadable(f"{self._name} was opened in another process; open it anew in this one")
        return self.take(memoryview(buffer).cast("B"))

    def close(self) -> None:
        """End the threads, if they are of this process."""
        # after a fork, connections, threads and locks are still the parent's
        if not self.closed and self._owner == os.getpid():
            self.stop()
        super().close()


class _Prefetched(ThreadedStream):
    """A download that a thread makes."""

    def __init__(self, download: Download, sink: Sink | None) -> None:
        super().__init__(download.name)
        self._download = download
        self._ring = _Ring(_AHEAD)
        arguments = (download, self._ring, sink)
        threading.Thread(target=_fetch, args=arguments, name="atdata-prefetch", daemon=True).start()

    def take(self, target: memoryview) -> int:
        return self._ring.take(target)

    def stop(self) -> None:
        self._ring.close()
        self._download.stop()


class _Direct(io.RawIOBase):
    """A download that is made as it is read."""

    def __init__(self, download: Download, sink: Sink | None) -> None:
        self._download = download
        self._sink = sink

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return _read(self._download, self._sink, memoryview(buffer).cast("B"))

    def close(self) -> None:
        if not self.closed:
            self._download.close()
            if self._sink is not None:
                self._sink.discard()
        super().close()
