"""How far the reading of shards is."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import IO, Any, TypeAlias

# Told how many bytes are done, of how many; None where nobody knows
Progress: TypeAlias = "Callable[[int, int | None], object]"


class Meter:
    """Counts bytes, in any thread, and tells how many there were.

    Args:
        progress: who is told, or None.
        total: how many there will be, or None.
    """

    def __init__(self, progress: Progress | None, total: int | None) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        """So many bytes more."""
        with self._lock:
            self._done += count
            if self._progress is not None:
                self._progress(self._done, self._total)


class MeteredStream(io.RawIOBase):
    """A stream that is counted and hashed while it is read.

    Args:
        stream: the stream; it is closed with this one.
        meter: counts its bytes.
        digest: a hash of ``hashlib``, or None.

    Attributes:
        count: bytes that were read.
    """

    def __init__(self, stream: IO[bytes], meter: Meter, digest: Any = None) -> None:
        self._stream, self._meter, self._digest = stream, meter, digest
        self.count = 0

    @property
    def sha256(self) -> str:
        """Digest in hex of what was read."""
        digest: str = self._digest.hexdigest()
        return digest

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of files."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        if self._digest is not None:
            self._digest.update(data)
        self.count += len(data)
        self._meter.advance(len(data))
        return len(data)

    def close(self) -> None:
        """As of files."""
        self._stream.close()
        super().close()
