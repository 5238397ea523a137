"""A bounded folder of remote shards that were read before, shared by any number of processes.

Each shard is one file, named by its SHA-256 where that is known, else by its URL and what the server calls its version.
A file appears whole or not at all; the access time says when it was last used. Nobody waits for another process: two
that need one shard at once both download it, and one of the equal files stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
import time
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..atomic import PREFIX, Staging, locked
from ..errors import AtdataError, ShardUnreadable
from . import public
from .download import Digest, Version

_LIMIT: Final = 32 << 30
_NAME = re.compile(r"atdata-(sha256|url)-[0-9a-f]{64}\.tar")
_BY_DIGEST = "atdata-sha256-"
_LOCK = ".atdata-cache.lock"

# Files that this process has found to be what their names say: device, inode, size and time of writing
_good: Final[set[tuple[int, int, int, int]]] = set()
_said: Final[set[str]] = set()


class CachedShard(io.BufferedReader):
    """A shard in the cache, as a stream.

    Attributes:
        path: the file; the name may go while the shard is read, its content does not.
    """

    def __init__(self, path: Path, file: io.FileIO | None = None) -> None:
        super().__init__(file or io.FileIO(path), 1 << 20)
        self.path = path


@dataclass(frozen=True)
class ShardCache:
    """Where remote shards are kept.

    Attributes:
        folder: the folder, made when it is first needed.
        limit: bytes that the shards in it may have together; those that were not used for longest go first.
    """

    folder: Path
    limit: int = _LIMIT

    def __post_init__(self) -> None:
        if not isinstance(self.limit, int) or self.limit < 1:
            raise ValueError(f"cache_bytes is {self.limit!r}; it is a number of bytes from 1 on")

    def find(self, shard: str, version: Version, digest: Digest | None) -> CachedShard | None:
        """A shard that is kept, or None.

        Args:
            shard: its identifier.
            version: what its server says of it, if it was asked.
            digest: what it must be, if that is known; damaged files are removed then.
        """
        name = _name(shard, version, digest)
        if name is None:
            return None
        path = self.folder / name
        try:
            stream = CachedShard(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        try:
            status = os.fstat(stream.fileno())
            if self._is_good(stream, status, version, digest):
                with contextlib.suppress(OSError):  # read-only, or gone meanwhile
                    os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
                if digest is None or digest.size in (None, status.st_size):
                    return stream
                stream.close()
                return None  # the size is wrong, as reading from the server will tell
        except BaseException:
            stream.close()
            raise
        stream.close()
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return None

    def _is_good(self, stream: CachedShard, status: os.stat_result, version: Version, digest: Digest | None) -> bool:
        if version.length not in (None, status.st_size):
            return False
        if digest is None or _identity(status) in _good:
            return True
        if hashlib.file_digest(stream, "sha256").hexdigest() != digest.sha256:
            return False
        stream.seek(0)
        _good.add(_identity(status))
        return True

    def sink(self, shard: str, version: Version, digest: Digest | None) -> CacheSink | None:
        """A place for a shard that is downloaded now; None if it cannot be kept.

        Raises:
            ShardUnreadable: it is larger than the limit, or the folder cannot be used.
        """
        name = _name(shard, version, digest)
        if name is None:
            host = "/".join(public(shard).split("/")[:3])
            if host not in _said:
                _said.add(host)
                warnings.warn(
                    f"shards of {host} are not cached: it gives neither an ETag, nor a modification date and a length, "
                    "that would show whether they changed; digests= would",
                    RuntimeWarning,
                    stacklevel=2,
                )
            return None
        size = version.length if version.length is not None else digest.size if digest is not None else None
        self.check(public(shard), size or 0)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / _LOCK):
                staging = Staging(self.folder)  # which removes what killed downloads have left
                if self._make_room(size or 0):
                    return CacheSink(self, staging, public(shard), name, size)
                staging.discard()  # others download into all the room there is
                return None
        except AtdataError:
            raise
        except OSError as error:
            raise self._unusable(error) from error

    def check(self, shard: str, size: int) -> None:
        """Refuse what has no room at all.

        Raises:
            ShardUnreadable: the shard is larger than the limit.
        """
        if size > self.limit:
            raise ShardUnreadable(
                f"{shard} has {size:,} bytes or more, and cache_bytes={self.limit:,} has no room for it; raise "
                "cache_bytes, or leave out cache_dir to read without a cache"
            )

    def held(self) -> int:
        """Bytes of the shards that it keeps, and of those on their way into it."""
        return sum(status.st_size for _, status in self._files())

    def _make_room(self, size: int) -> bool:
        """Remove shards until there is room for another. The lock is held."""
        files = list(self._files())
        total = size + sum(status.st_size for _, status in files)
        for path, status in sorted(files, key=lambda item: item[1].st_atime_ns):
            if total <= self.limit:
                break
            if path.parent == self.folder:  # else it is being downloaded
                with contextlib.suppress(OSError):  # Windows keeps what is being read
                    path.unlink()
                    total -= status.st_size
        return total <= self.limit

    def _files(self) -> Generator[tuple[Path, os.stat_result]]:
        """The cache's own files, those that are being downloaded too."""
        for folder in (self.folder, *self.folder.glob(f"{PREFIX}*")):
            try:
                names = os.listdir(folder)
            except OSError:  # a download that has ended meanwhile
                continue
            for path in (folder / name for name in names if _NAME.fullmatch(name)):
                with contextlib.suppress(OSError):  # gone meanwhile
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode):
                        yield path, status

    def _unusable(self, error: OSError) -> ShardUnreadable:
        return ShardUnreadable(
            f"cache_dir {str(self.folder)!r:.300} cannot be used: {error.strerror or error}; make room there, lower "
            "cache_bytes, or name another folder"
        )


class CacheSink:
    """A shard on its way into the cache.

    Args:
        cache: the cache; its lock is held.
        staging: where the file is made.
        shard: the shard's name, for messages.
        name: what its file will be called.
        size: its bytes, if that is known.
    """

    def __init__(self, cache: ShardCache, staging: Staging, shard: str, name: str, size: int | None) -> None:
        self._cache = cache
        self._shard = shard
        self._name = name
        self._staging = staging
        try:
            self._file = io.FileIO(self._staging.create(name), "w")
            if size is not None:
                self._file.truncate(size)  # others see what room this needs
        except BaseException:
            self._staging.discard()
            raise

    def write(self, data: memoryview) -> None:
        """Keep the next bytes.

        Raises:
            ShardUnreadable: the disk is full, or the shard is larger than the limit.
        """
        self._cache.check(self._shard, self._file.tell() + len(data))
        try:
            while len(data):
                data = data[self._file.write(data) :]
        except OSError as error:
            raise self._cache._unusable(error).at(shard=self._shard) from error

    def publish(self) -> None:
        """Give the file its name: it is complete. Further calls do nothing.

        Raises:
            ShardUnreadable: the disk is full.
        """
        if self._file.closed:
            return
        try:
            if not self._name.startswith(_BY_DIGEST):  # those are checked when a process first finds them
                os.fsync(self._file.fileno())
            _good.add(_identity(os.fstat(self._file.fileno())))
            self._file.close()
            with locked(self._cache.folder / _LOCK):
                # counts this one, whose size may not have been known before; and another process may have been faster
                if self._cache._make_room(0) and not (self._cache.folder / self._name).exists():
                    self._staging.publish(self._name, overwrite=True)
        except OSError as error:
            raise self._cache._unusable(error).at(shard=self._shard) from error

    def whole(self) -> CachedShard:
        """Give the file its name, and open it, whether or not it is pushed out at once; raises like ``publish``."""
        stream = CachedShard(self._cache.folder / self._name, self._staging.open(self._name))
        try:
            self.publish()
        except BaseException:
            stream.close()
            raise
        return stream

    def discard(self) -> None:
        """Leave nothing but what was published."""
        self._file.close()
        self._staging.discard()


def _name(shard: str, version: Version, digest: Digest | None) -> str | None:
    """What a shard's file is called; None if nothing shows which content it has."""
    if digest is not None:
        return f"{_BY_DIGEST}{digest.sha256}.tar"
    known = version.tag is not None or (version.modified is not None and version.length is not None)
    key = hashlib.sha256(repr((shard, *version)).encode("utf-8", "surrogatepass")).hexdigest()
    return f"atdata-url-{key}.tar" if known else None


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
