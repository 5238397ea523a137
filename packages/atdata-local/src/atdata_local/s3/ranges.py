"""An object as one stream: over one connection where that is fast, else in several ranges at a time."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import time
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any, Final

from atdata.errors import ShardCorrupted, ShardExists, ShardUnreadable
from atdata.sources.download import Body, Digest, Download, Passing, Version
from atdata.sources.prefetch import ThreadedStream

from .errors import fault_of
from .requests import Bucket

# Bytes of a range, and how many are at hand or on their way: the most memory that a stream takes is their product
RANGE: Final = 8 << 20
AHEAD: Final = 8
# The same over one connection that is fast: what is used soon is in the processor's cache still
_FEW: Final = 4
# Bytes asked of a connection at a time: many, since each time costs something; few after it broke, since what it has
# brought of them before it breaks again is lost
_BLOCK: Final = 2 << 20
_SMALL_BLOCK: Final = 64 << 10
# Bytes per second from which on one connection is enough, and how many bytes of an object tell that
_FAST: Final = 150e6
_TELLING: Final = 4 << 20
# The end of an object whose size is not known yet
_WHOLE: Final = 1 << 50
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")

# Opens some ranges of an object in one request: the first and the last of them
_OpenRange = Callable[[int, int], Download]
# Opens a part of an object: its first byte, the byte behind its last, and the object's tag if that is known
_Get = Callable[[int, int, "str | None"], "RangeBody"]


class RangeBody:
    """What one connection brings of a range.

    Attributes:
        start: where it begins, from the beginning of the range.
        version: the object's tag, and the bytes of the range.
        total: bytes of the whole object.
        block: how many bytes are asked for at a time.
    """

    def __init__(self, stream: Any, start: int, version: Version, total: int, fault: Callable[[Exception], Exception]):
        self.start = start
        self.version = version
        self.total = total
        self.block = _BLOCK
        self._stream = stream
        self._fill = _filler(stream)
        self._fault = fault

    def read_into(self, target: memoryview) -> int:
        try:
            return self._fill(target[: self.block])
        except Exception as error:  # of several libraries
            fault = self._fault(error)
        raise fault

    def abort(self) -> None:
        """Not possible from another thread: the one that waits goes on with the next bytes, or the timeout."""

    def close(self) -> None:
        self._stream.close()


def _filler(stream: Any) -> Callable[[memoryview], int]:
    """What fills memory with the next bytes of a body.

    That is the response below urllib3's, where there is one: urllib3 makes a copy first.
    """
    outer: Any = getattr(stream, "_raw_stream", None)
    inner = getattr(outer, "_fp", None)
    if not isinstance(inner, HTTPResponse):

        def fill(target: memoryview) -> int:
            data: bytes = stream.read(len(target))
            target[: len(data)] = data
            return len(data)

        return fill

    def fill_directly(target: memoryview) -> int:
        count = inner.readinto(target)
        if inner.isclosed():
            outer.release_conn()  # for the next request
        return count

    return fill_directly


class _Empty:
    """What stands for the body of an object without bytes."""

    def read(self, _size: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


class Link:
    """What the streams of one source share: memory, and whether one connection is all that their server needs.

    Attributes:
        slow: whether one connection is slower than this machine can read; None before that is known.
    """

    def __init__(self) -> None:
        self.slow: bool | None = None
        self._free: list[bytearray] = []

    def take(self) -> bytearray:
        """Memory for a range; such that was used before costs much less."""
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(RANGE)

    def give(self, buffer: bytearray) -> None:
        """Give it back; nothing refers to it any more."""
        if len(self._free) < AHEAD:
            self._free.append(buffer)


def open_object(
    bucket: Bucket, key: str, expected: Digest | None, link: Link | None = None, then: Callable[[], None] | None = None
) -> io.BufferedReader:
    """Open an object for reading from front to back.

    Args:
        bucket: its bucket.
        key: its key.
        expected: what it must be, if that is known.
        link: what it shares with other streams.
        then: called when all of it is on its way, from another thread.

    Raises:
        AtdataError: it cannot be opened.
        ShardCorrupted: its size is not what it must be.
    """
    name = bucket.url(key)

    def get(start: int, end: int, tag: str | None) -> RangeBody:
        return _get(bucket, key, name, start, end, tag)

    link = link or Link()
    whole = link.slow is False  # one connection will do for all of it
    first = _Range(name, get, 0, _WHOLE if whole else RANGE, None, bucket.access.retries)
    total = first.total
    try:
        if expected is not None and expected.size not in (None, total):
            raise ShardCorrupted(
                f"{name} has {total:,} bytes where {expected.size:,} are expected; its manifest is older or newer"
            ).at(shard=name, offset=min(total, expected.size or 0))
        window = _Window(total, expected is not None, first.opened, link, then)

        def open_range(number: int, last: int) -> Download:
            if number == 0:
                return first.download
            start, end = number * RANGE, min((last + 1) * RANGE, total)
            return _Range(name, get, start, end, first.tag, bucket.access.retries).download

        last = window.count - 1 if whole else 0
        digest = None if expected is None else expected.sha256
        return io.BufferedReader(_Ranges(name, window, open_range, last, digest), 128 << 10)
    except BaseException:
        first.download.close()
        raise


def _get(bucket: Bucket, key: str, name: str, start: int, end: int, tag: str | None) -> RangeBody:
    same = {} if tag is None else {"IfMatch": tag}
    try:
        answer = bucket.ask_once("get_object", key=key, Range=f"bytes={start}-{end - 1}", **same)
    except ShardExists:
        raise ShardUnreadable(f"{name} changed while it was read; read it again from the start") from None
    except ShardUnreadable as error:
        if start or " 416 " not in str(error):
            raise
        return RangeBody(_Empty(), 0, Version(None, None, 0), 0, lambda error: error)
    stream, found = answer["Body"], answer.get("ETag")
    part = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
    if part is None and "ContentLength" not in answer:  # the header was changed on its way
        stream.close()
        raise Passing(ShardUnreadable(f"{name} cannot be read: the server does not say how long it is"))
    first, last, total = map(int, part.groups()) if part else (0, int(answer["ContentLength"]) - 1, -1)
    total = last + 1 if total < 0 else total
    if first != start or last + 1 != min(end, total) or (tag is not None and found != tag):
        stream.close()
        cause = "it changed while it was read" if first == start else "the server does not send ranges of it"
        raise ShardUnreadable(f"{name} cannot be read: {cause}")

    def fault(error: Exception) -> Exception:
        return fault_of(error, bucket.access, bucket.name, key)

    return RangeBody(stream, 0, Version(found, None, last + 1 - start), total, fault)


class _Range:
    """One range on its way.

    Attributes:
        total: bytes of the object.
        tag: the object's tag.
        opened: when its first byte was on its way; ``time.monotonic()``.

    Args:
        name: the object's name.
        get: opens its ranges.
        start: its first byte.
        end: the byte behind its last.
        tag: the object's tag, if that is known.
        retries: as of ``Download``.
    """

    def __init__(self, name: str, get: _Get, start: int, end: int, tag: str | None, retries: int) -> None:
        self.total = 0
        self.tag = tag
        self.opened = 0.0

        def connect(position: int, version: Version) -> Body:
            body = get(start + position, end, self.tag)
            self.total, self.tag, self.opened = body.total, body.version.tag, time.monotonic()
            body.start = position
            body.block = _SMALL_BLOCK if position else _BLOCK
            body.version = Version(self.tag, None, (body.version.length or 0) + position)
            return body

        self.download = Download(name, connect, retries, None)
        self.download.open()


class _Window:
    """The part of an object that is on its way: fetched by some threads, hashed by one, taken by another."""

    def __init__(self, total: int, hashing: bool, opened: float, link: Link, then: Callable[[], None] | None) -> None:
        self.total = total
        self.opened = opened
        self.count = max(1, -(-total // RANGE))
        self.link = link
        self.lock = threading.Lock()
        self.came = threading.Condition(self.lock)
        self.room = threading.Condition(self.lock)
        self.buffers: dict[int, memoryview] = {}
        self.filled: dict[int, int] = {}
        self.taken = 0
        self.hashed = 0 if hashing else total
        self.next = 0
        self.closed = False
        self.fault: BaseException | None = None
        self._then = then
        self.many = False

    def start(self, open_range: _OpenRange, last: int) -> None:
        """Start to fetch, with the first range, whose request goes to ``last``."""
        _start(_fetch, self, open_range, last)
        if self.link.slow:
            self.hurry(open_range)

    def hurry(self, open_range: _OpenRange) -> None:
        """Fetch over more connections from now on."""
        with self.lock:
            if self.many:
                return
            self.many = True
            self.room.notify_all()
        for _ in range(min(AHEAD, self.count) - 1):
            _start(_fetch, self, open_range)

    def claim(self, wanted: int | None = None) -> tuple[int, memoryview] | None:
        """Wait until the next range may be fetched, and give it and its memory; None if there is no more to do.

        Args:
            wanted: the only range that will do.
        """
        with self.lock:
            while not self._ended(wanted):
                if self.next < min(self.taken, self.hashed) // RANGE + (AHEAD if self.many else _FEW):
                    return self._begin()
                self.room.wait()
        return None

    def _ended(self, wanted: int | None) -> bool:
        over = self.closed or self.fault is not None or self.next == self.count
        return over or wanted not in (None, self.next)

    def _begin(self) -> tuple[int, memoryview]:
        size = min(RANGE, self.total - self.next * RANGE)
        # a small object must not take the memory of a large one
        buffer = self.link.take() if self.total > RANGE // 2 else bytearray(size)
        self.buffers[self.next] = memoryview(buffer)[:size]
        self.filled[self.next] = 0
        self.next += 1
        if self.next == self.count and self._then is not None:
            _start(self._then)
        return self.next - 1, self.buffers[self.next - 1]

    def wrote(self, number: int, count: int) -> bool:
        """There are more bytes in a range. Returns whether anybody wants the rest."""
        with self.lock:
            self.filled[number] += count
            self.came.notify_all()
            return not self.closed and self.fault is None

    def fail(self, fault: BaseException) -> None:
        """There will be no more bytes."""
        with self.lock:
            self.fault = self.fault or fault
            self.came.notify_all()
            self.room.notify_all()

    def wait(self, position: int) -> memoryview:
        """Bytes at a position, up to the end of their range; none at the end, or when the stream is closed."""
        number, offset = divmod(position, RANGE)
        with self.lock:
            while not self.closed and position < self.total and self.filled.get(number, 0) <= offset:
                if self.fault is not None:
                    raise self.fault
                self.came.wait()
            if self.closed or position >= self.total:
                return memoryview(b"")
            return self.buffers[number][offset : self.filled[number]]

    def advance(self, *, taken: int = 0, hashed: int = 0) -> None:
        """Bytes were taken, or hashed; ranges of which all were both are forgotten."""
        with self.lock:
            before = min(self.taken, self.hashed) // RANGE
            self.taken += taken
            self.hashed += hashed
            after = min(self.taken, self.hashed) // RANGE
            for number in range(before, after):
                self._forget(number)
            if after > before:
                self.room.notify_all()
            if self.hashed == self.total:
                self.came.notify_all()

    def _forget(self, number: int) -> None:
        buffer = self.buffers.pop(number).obj
        del self.filled[number]
        if isinstance(buffer, bytearray) and len(buffer) == RANGE:
            self.link.give(buffer)

    def close(self) -> None:
        """Nobody takes bytes any more."""
        with self.lock:
            self.closed = True
            if min(self.taken, self.hashed) == self.total:  # else some thread may be writing into them
                for number in list(self.buffers):
                    self._forget(number)
            self.buffers.clear()
            self.came.notify_all()
            self.room.notify_all()


def _fetch(window: _Window, open_range: _OpenRange, last: int | None = None) -> None:
    """Fetch ranges until there are no more.

    Args:
        window: where to; this knows nothing of the stream, so that the stream can be garbage collected and end it.
        open_range: opens ranges in one request.
        last: the last range of the first request, if that is decided.
    """
    try:
        claimed = window.claim()
        while claimed is not None:
            if last is None:
                last = claimed[0] if window.link.slow else window.count - 1
            download = open_range(claimed[0], last)
            try:
                while claimed is not None:
                    number, target = claimed
                    _fill(window, number, target, download, open_range)
                    # others may have taken what this request goes on with
                    claimed = window.claim(number + 1) if number < last else None
            finally:
                download.close()
            claimed, last = window.claim(), None
    except BaseException as error:
        window.fail(error.error if isinstance(error, Passing) else error)


def _fill(window: _Window, number: int, target: memoryview, download: Download, open_range: _OpenRange) -> None:
    # what others fetch meanwhile takes a part of the link, and bytes that waited for us came faster than they seem
    telling = number == 0 or not window.many
    position, begun = 0, time.monotonic() if number else window.opened
    while position < len(target):
        count = download.read_into(target[position:])
        position += count
        if not window.wrote(number, count):
            return
        if telling and position >= _TELLING:
            telling = False
            window.link.slow = position < _FAST * (time.monotonic() - begun)
            if window.link.slow:
                window.hurry(open_range)


def _hash(window: _Window, digest: Any, name: str, expected: str) -> None:
    position = 0
    try:
        while data := window.wait(position):
            digest.update(data)
            position += len(data)
            if position == window.total and digest.hexdigest() != expected:
                raise ShardCorrupted(
                    f"{name} is not what it should be: it has sha256 {digest.hexdigest()} where {expected} is expected"
                ).at(shard=name, offset=position)
            window.advance(hashed=len(data))
    except BaseException as error:
        window.fail(error)


class _Ranges(ThreadedStream):
    """An object as a stream."""

    def __init__(self, name: str, window: _Window, open_range: _OpenRange, last: int, sha256: str | None) -> None:
        super().__init__(name)
        self._window = window
        window.start(open_range, last)
        if sha256 is not None:
            _start(_hash, window, hashlib.sha256(), name, sha256)

    def take(self, target: memoryview) -> int:
        window = self._window
        data = window.wait(window.taken)
        count = min(len(target), len(data))
        target[:count] = data[:count]
        if count:
            window.advance(taken=count)
        else:
            self._check()
        return count

    def _check(self) -> None:
        """Wait until all bytes are hashed."""
        window = self._window
        with window.lock:
            while window.hashed < window.total and window.fault is None:
                window.came.wait()
            if window.fault is not None:
                raise window.fault

    def stop(self) -> None:
        self._window.close()


def _start(run: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=run, args=arguments, name="atdata-s3", daemon=True).start()
