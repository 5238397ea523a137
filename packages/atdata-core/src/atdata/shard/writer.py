"""Writing one shard: tar members in, a finished file and its facts out."""

from __future__ import annotations

import hashlib
import os
import sys
import weakref
from array import array
from collections.abc import Sequence
from concurrent.futures import Executor, Future

from ..atomic import Staging
from ..manifest import ShardFacts
from ..manifest.sidecar import sidecar_bytes, sidecar_name
from .array import Buffer
from .reader import SUFFIX
from .tar import BLOCK, END_OF_ARCHIVE, header, padding

_FLUSH = 1 << 20
# Bytes that are hashed at a time, in the background
_HASH = 8 << 20
_ZEROS = bytes(BLOCK)


class ShardFile:
    """A shard being written, in a staging folder until it is published.

    Its bytes are hashed, and put on disk, by two threads beside the one that writes.

    Args:
        staging: where it is made.
        name: its file name.
        hasher: an executor with one thread.
        syncer: another.
        mtime: modification time of every member, whole seconds since 1970.
    """

    def __init__(self, staging: Staging, name: str, hasher: Executor, syncer: Executor, *, mtime: int = 0) -> None:
        self.name = name
        self.bytes = 0
        self._staging = staging
        self._fd = staging.create(name)
        self._close = weakref.finalize(self, os.close, self._fd)
        self._hasher = hasher
        self._syncer = syncer
        self._mtime = mtime
        self._digest = hashlib.sha256()
        self._handed_over = 0
        self._steps: list[Future[None]] = []
        self._pending: list[Buffer] = []
        self._written = 0
        self._first_key = ""
        self._starts = array("Q")
        self._sizes = array("Q")

    @property
    def samples(self) -> int:
        """Samples added so far."""
        return len(self._starts)

    @staticmethod
    def member_bytes(key: str, size: int) -> int:
        """How much a sample of ``size`` bytes adds to a shard."""
        return len(header(key + SUFFIX, size)) + size + padding(size)

    def add(self, key: str, parts: Sequence[Buffer]) -> None:
        """Append a sample.

        Args:
            key: its key.
            parts: its msgpack bytes, in pieces; where there are several, they may change after the call.
        """
        size = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        head = header(key + SUFFIX, size, self._mtime)
        start = self.bytes + len(head)
        self._starts.append(start)
        self._sizes.append(size)
        self._first_key = self._first_key or key
        self._pending += (head, *parts, _ZEROS[: -size % BLOCK])
        self.bytes = start + size + -size % BLOCK
        # large parts are the caller's own memory, so they must be out before the caller goes on
        if self.bytes - self._written >= _FLUSH or len(parts) > 1:
            self._flush()

    def _flush(self) -> None:
        pending = self._pending
        self._pending, self._written = [], self.bytes
        _write_all(self._fd, [b"".join(pending)] if len(pending) > 64 else pending)
        if self.bytes - self._handed_over >= _HASH:
            self._steps += (
                self._hasher.submit(self._hash, self._handed_over, self.bytes),
                self._syncer.submit(os.fsync, self._fd),
            )
            self._handed_over = self.bytes

    def _hash(self, start: int, stop: int) -> None:
        # read back from the page cache: cheaper than making the writer wait
        with self._staging.open(self.name) as file:
            file.seek(start)
            while start < stop:
                block = file.read(min(stop - start, _FLUSH))
                if not block:
                    raise OSError(f"{self.name} became shorter while it was written")
                self._digest.update(block)
                start += len(block)

    def finish(self) -> None:
        """End the archive; nothing can be added any more."""
        self._pending.append(END_OF_ARCHIVE)
        self.bytes += len(END_OF_ARCHIVE)
        self._flush()
        self._steps += (
            self._hasher.submit(self._seal, self._handed_over, self.bytes),
            self._syncer.submit(self._sync),
        )

    def _sync(self) -> None:
        os.fsync(self._fd)
        self.close()

    def _seal(self, start: int, stop: int) -> None:
        self._hash(start, stop)
        sidecar = sidecar_bytes(self._starts, self._sizes, self.bytes, self._digest.digest())
        with open(self._staging.create(sidecar_name(self.name)), "wb") as file:
            file.write(sidecar)

    def close(self) -> None:
        """Let go of the file, finished or not."""
        self._close()

    def facts(self, schema: str | None) -> ShardFacts:
        """What the manifest records, once all bytes are on disk; call after ``finish``.

        Raises:
            OSError: they could not be put there.
        """
        for step in self._steps:
            step.result()  # a fault of any step is one of the shard
        return ShardFacts(self.name, self.samples, self.bytes, self._digest.hexdigest(), self._first_key, schema)

    def publish(self, *, overwrite: bool) -> None:
        """Give the shard its final name; call after ``facts``.

        Raises:
            ShardExists: the name is taken and may not be overwritten.
        """
        self._staging.publish(self.name, overwrite=overwrite)
        self._staging.publish(sidecar_name(self.name), overwrite=True)


if sys.platform == "win32":

    def _write_all(fd: int, parts: Sequence[Buffer]) -> None:
        rest = memoryview(b"".join(parts))
        while rest:
            rest = rest[os.write(fd, rest) :]

else:

    def _write_all(fd: int, parts: Sequence[Buffer]) -> None:
        """Write buffers one after another, also when the system takes only some of the bytes at once."""
        rest = [memoryview(part) for part in parts]
        while rest:
            written = os.writev(fd, rest[:512])
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if written:
                rest[0] = rest[0][written:]
