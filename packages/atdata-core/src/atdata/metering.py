"""How far the reading of shards is: their bytes are counted on the way to whoever reads them."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from time import monotonic
from typing import IO, Any

from .manifest import ShardFacts
from .progress import PERIOD, ProgressCallback
from .sources import ShardSource, shard_ids
from .storing import Ready, known

_BLOCK = 1 << 20


class Meter:
    """Counts bytes, in any thread, and tells how many there were: at times, at the end of a stream, and at the total.

    Args:
        progress: who is told, or None.
        total: how many there will be, or None.
    """

    def __init__(self, progress: ProgressCallback | None, total: int | None) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._due = 0.0
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        """So many bytes more; none at the end of a stream."""
        with self._lock:
            self._done += count
            if self._progress is None:
                return
            if (now := monotonic()) >= self._due or not count or self._done == self._total:
                self._progress(self._done, self._total)
                self._due = now + PERIOD


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


class MeteredShards(ShardSource):
    """The shards of a source, of each of which is known what manifests know or what else was found.

    Args:
        source: gives them.
        meter: counts the bytes that are read.
        found: what is known of them, in order; None asks the source.
    """

    def __init__(self, source: Any, meter: Meter, found: Sequence[Ready] | None = None) -> None:
        self._source, self._meter = source, meter
        self._ids = shard_ids(source)
        self._found = dict[str, Ready]() if found is None else {ready.shard_id: ready for ready in found}

    def list_shards(self) -> list[str]:
        """Their identifiers."""
        return list(self._ids)

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """A shard as it is."""
        return io.BufferedReader(MeteredStream(self._source.open_shard(shard_id), self._meter), _BLOCK)

    def facts(self, shard_id: str) -> ShardFacts | None:
        """What is known of a shard."""
        ready = self._ready(shard_id)
        return None if ready is None else ready.facts

    def schema(self, shard_id: str) -> dict[str, Any] | None:
        """The schema record of its samples, if that is known."""
        ready = self._ready(shard_id)
        return None if ready is None else ready.record

    def _ready(self, shard_id: str) -> Ready | None:
        return self._found.get(shard_id) or known(self._source, shard_id)
