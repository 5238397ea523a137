"""A shard on another machine, read from its first byte to its last over as many connections as that takes."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeAlias

from ..errors import AtdataError, ShardCorrupted, ShardUnreadable

# Seconds before the first retry; each further one waits twice as long
_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 60.0
_SKIP: Final = 1 << 18


class Digest(NamedTuple):
    """What a shard must be.

    Attributes:
        size: its bytes, or None if that is not known.
        sha256: the SHA-256 of its bytes, in hex.
    """

    size: int | None
    sha256: str


class Version(NamedTuple):
    """What a server says of a shard's content; None is what it does not say.

    Attributes:
        tag: its entity tag, or another text that changes with the content.
        modified: when it was last modified, in the server's words.
        length: its bytes.
    """

    tag: str | None = None
    modified: str | None = None
    length: int | None = None

    def is_of(self, other: Version) -> bool:
        """Whether both are of the same content, as far as the server says: something must be known of both."""
        if self.length is not None and other.length is not None and self.length != other.length:
            return False
        known = [(mine, its) for mine, its in zip(self, other, strict=True) if mine is not None and its is not None]
        return bool(known) and known[0][0] == known[0][1]


class Body(Protocol):
    """What one connection brings.

    Attributes:
        start: where in the shard it begins; up to where it was asked to.
        version: what of the shard is known.
    """

    start: int
    version: Version

    def read_into(self, target: memoryview) -> int:
        """Read some bytes, at least one; 0 at the end. A fault that can pass is a ``Passing``."""
        ...

    def abort(self) -> None:
        """Let a thread that waits in ``read_into`` go on."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


# Opens a shard at a position, given what is known of its version by then
Connect: TypeAlias = Callable[[int, Version], Body]


class Passing(Exception):
    """A fault that can pass. Where it does not, ``error`` is what the user sees.

    Args:
        error: the fault.
        after: seconds that the server asks to wait; None if it does not say.
    """

    def __init__(self, error: AtdataError, after: float | None = None) -> None:
        super().__init__()
        self.error = error
        self.after = after


def delay(failures: int, after: float | None) -> float:
    """Seconds to wait after so many failures in a row: as long as the server asks, or twice as long each time."""
    if after is not None:
        return min(max(after, 0.0), _LONGEST_DELAY)
    return float(min(_FIRST_DELAY * 2.0 ** min(failures - 1, 30), _LONGEST_DELAY) * random.uniform(0.5, 1.0))


def _pause(stopping: threading.Event, seconds: float) -> None:
    stopping.wait(seconds)


class Download:
    """A shard on its way. One thread reads; any thread may ``stop``.

    Args:
        name: the shard's name, for messages.
        connect: opens it at a position.
        retries: how often in a row to connect again after a fault that can pass.
        expected: what the shard must be, if that is known.
        stopping: ends it once it is set, as ``stop`` does, but for a wait for bytes, which runs into its timeout.

    Attributes:
        position: bytes that were read.
        version: what is known of its content, once it is open.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        retries: int,
        expected: Digest | None,
        stopping: threading.Event | None = None,
    ) -> None:
        self.name = name
        self.position = 0
        self.version = Version()
        self._connect = connect
        self._retries = retries
        self._expected = expected
        self._hash = hashlib.sha256() if expected else None
        self._failures = 0
        self._body: Body | None = None
        self._lock = threading.Lock()
        self._stopping = stopping if stopping is not None else threading.Event()

    def open(self) -> None:
        """Connect, so that it is known whether the shard is there.

        Raises:
            AtdataError: it cannot be opened, as its connections say.
            ShardCorrupted: its size is not what it must be.
        """
        try:
            fault = self._attempt()
            if fault is not None:
                self._recover(fault)
        except BaseException:
            self.close()
            raise

    def read_into(self, target: memoryview) -> int:
        """Read some bytes, at least one; 0 at the end, when all that is known of the shard proved true.

        Raises:
            ShardUnreadable: it cannot be read further, or changed meanwhile.
            ShardCorrupted: it is not what it must be.
        """
        while True:
            try:
                count = self._read(target)
            except Passing as passing:
                fault = passing
            else:
                break
            self._recover(fault)
        if not count:
            self._check_digest()
            return 0
        self._failures = 0
        self.position += count
        if self._hash is not None:
            self._hash.update(target[:count])
        return count

    def stop(self) -> None:
        """Let the thread that reads end soon, with an error or without."""
        self._stopping.set()
        with self._lock:
            if self._body is not None:
                self._body.abort()

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            body, self._body = self._body, None
        if body is not None:
            body.close()

    def _read(self, target: memoryview) -> int:
        if self._body is None or self._stopping.is_set():
            raise self._error("it is closed")
        count = self._body.read_into(target)
        length, position = self.version.length, self.position + count
        size = self._expected.size if self._expected else None
        if size is not None and position > size:
            raise ShardCorrupted(f"{self.name} has more than the {size:,} bytes that are expected").at(
                shard=self.name, offset=size
            )
        if length is not None and position > length:
            raise self._error(f"it has more than the {length:,} bytes that the server announced")
        if not count and length is not None and position < length:
            raise Passing(self._error(f"the connection ended {length - position:,} bytes too soon"))
        return count

    def _recover(self, fault: Passing) -> None:
        """Wait and connect again, until that works or there were too many failures."""
        again: Passing | None = fault
        while again is not None:
            self._failures += 1
            if self._failures > self._retries or self._stopping.is_set():
                raise again.error
            self.close()
            _pause(self._stopping, delay(self._failures, again.after))
            if self._stopping.is_set():
                raise again.error
            again = self._attempt()

    def _attempt(self) -> Passing | None:
        try:
            body = self._connect(self.position, self.version)
            with self._lock:
                self._body = body
            self._check_version(body)
            self._skip(body, self.position - body.start)
        except Passing as fault:
            return fault
        return None

    def _check_version(self, body: Body) -> None:
        if self.position and not self.version.is_of(body.version):
            # where nothing is said, the digest will tell
            if any(self.version) and any(body.version):
                raise self._error("it changed while it was read; read it again from the start")
            if self._expected is None:
                raise self._error("the connection broke, and nothing shows that the shard is still the same")
        if not self.position:
            self.version = body.version
        size, length = self._expected.size if self._expected else None, self.version.length
        if None not in (size, length) and size != length:
            raise ShardCorrupted(
                f"{self.name} has {length:,} bytes where {size:,} are expected; what told its digest is older or newer"
            ).at(shard=self.name, offset=min(size or 0, length or 0))

    def _skip(self, body: Body, count: int) -> None:
        """Read again what a server without ranges sends again."""
        scratch = memoryview(bytearray(min(count, _SKIP)))
        while count:
            got = body.read_into(scratch[: min(count, _SKIP)])
            if not got:
                raise Passing(self._error(f"the connection ended {count:,} bytes before where it broke"))
            count -= got

    def _check_digest(self) -> None:
        if self._expected is None or self._hash is None:
            return
        size, sha256 = self._expected
        found = self._hash.hexdigest()
        if found != sha256 or size not in (None, self.position):
            wanted = f"sha256 {sha256}" if size is None else f"{size:,} bytes with sha256 {sha256}"
            raise ShardCorrupted(
                f"{self.name} is not what it should be: {self.position:,} bytes with sha256 {found}, where {wanted} is "
                "expected"
            ).at(shard=self.name, offset=self.position)

    def _error(self, cause: str) -> ShardUnreadable:
        return ShardUnreadable(f"{self.name} cannot be read further: {cause}").at(shard=self.name)
