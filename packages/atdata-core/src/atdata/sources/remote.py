"""Shards on other machines: who gets at their bytes, and what all ways have in common."""

from __future__ import annotations

import io
import os
import re
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from ..errors import AtdataError, ShardUnreadable
from . import public
from .access import Access
from .cache import ShardCache
from .download import Connect, Digest, Download, Version
from .prefetch import stream_of

_BLOCK = 1 << 20
_HEX = re.compile("[0-9a-f]{64}")
_PLACE = re.compile("[^:/?#]+://[^/?#]*")


class Backends:
    """The sources of installed backends that read some URLs: one for each place, such as a bucket.

    Args:
        shards: all the URLs.
    """

    def __init__(self, shards: Sequence[str]) -> None:
        self._shards = shards
        self._sources: dict[str, Any] = {}

    def open(self, make: Callable[[Sequence[str]], Any], shard: str) -> IO[bytes]:
        """Open a shard with the source of its place, which ``make`` makes of all URLs there."""
        place = _place(shard)
        source = self._sources.get(place)
        if source is None:
            there = [url for url in self._shards if _place(url) == place]
            source = self._sources.setdefault(place, make(there))
        try:
            stream: IO[bytes] = source.open_shard(shard)
        except AtdataError:
            self._sources.pop(place, None)  # a new one may find other credentials
            raise
        return stream

    def __reduce__(self) -> tuple[Any, ...]:
        return Backends, (self._shards,)  # what the sources know may be secret


def _place(url: str) -> str:
    """Scheme and authority of a URL."""
    match = _PLACE.match(url)
    return match[0] if match else url


@dataclass(frozen=True)
class Remote:
    """How shards on other machines are read: the options of ``URLSource``.

    Attributes:
        access: how servers are asked.
        allow_shell: whether URLs may run programs.
        digests: what shards must be.
        cache: where they are kept, if anywhere.
        backends: who reads the schemes of other distributions.
    """

    access: Access
    allow_shell: bool
    digests: Mapping[str, Digest]
    cache: ShardCache | None
    backends: Backends = field(default_factory=lambda: Backends(()), compare=False)

    @classmethod
    def of(
        cls,
        shards: Sequence[str],
        access: Access,
        allow_shell: bool,
        digests: Mapping[str, Any] | None,
        cache_dir: str | os.PathLike[str] | None,
        cache_bytes: int | None,
    ) -> Self:
        """From what the user gave.

        Raises:
            ValueError: an option that cannot be meant.
        """
        if cache_dir is None and cache_bytes is not None:
            raise ValueError("cache_bytes says how much a cache may hold; name its folder with cache_dir")
        limit = {} if cache_bytes is None else {"limit": cache_bytes}
        cache = None if cache_dir is None else ShardCache(Path(cache_dir).absolute(), **limit)
        found = _digests(digests, frozenset(shards)) if digests else {}
        return cls(access, bool(allow_shell), found, cache, Backends(shards))

    def open(self, shard: str, scheme: str) -> IO[bytes]:
        """Open a shard.

        Args:
            shard: its URL.
            scheme: the scheme of that.

        Returns:
            A stream; a ``CachedShard`` if it is a file in the cache.

        Raises:
            AtdataError: it cannot be opened, or the cache cannot be used.
        """
        if scheme in ("http", "https"):
            from . import http

            return self.download(shard, http.connector(shard, self.access))

        from .command import PROGRAMS, open_command

        if scheme == "pipe":
            return self._stream(shard, lambda: open_command(shard, shard[len("pipe:") :]))

        from .. import plugins

        try:
            make = plugins.get("atdata.sources", scheme)
        except plugins.PluginNotFound as error:
            missing = error
        else:
            return self._stream(shard, lambda: self.backends.open(make, shard))
        if self.allow_shell and scheme in PROGRAMS:
            return self._stream(shard, lambda: open_command(shard, [*PROGRAMS[scheme], shard]))

        from . import filesystems

        connect, advice = filesystems.connector(shard, scheme)
        if connect is not None:
            return self.download(shard, connect)
        if scheme in PROGRAMS:
            program = PROGRAMS[scheme][0]
            advice += f". If {program} is installed, URLSource(url, allow_shell=True) reads it with that"
        raise plugins.PluginNotFound(f"{missing}{advice}") from None

    def _stream(self, shard: str, open_stream: Callable[[], IO[bytes]]) -> IO[bytes]:
        if self.cache is None and shard not in self.digests:
            return open_stream()
        return self.download(shard, lambda _position, _version: _Stream(open_stream()), ahead=False)

    def fetch(self, shard: str, connect: Connect, stopping: threading.Event | None = None) -> IO[bytes]:
        """Open a shard as a file that has all of it: in the cache, or a temporary one where it has no room there.

        Args:
            shard: its identifier, for which there is a digest.
            connect: opens it at a position.
            stopping: set as soon as it is not wanted any more.

        Raises:
            ShardCorrupted: it is not what its digest says.
            AtdataError: it cannot be read to its end, or the cache cannot be used.
        """
        digest, cache = self.digests[shard], self.cache
        if cache is not None and (kept := cache.find(shard, Version(), digest)):
            return kept
        download = Download(public(shard), connect, self.access.retries, digest, stopping)
        download.open()
        with closing(download):
            sink = (None if cache is None else cache.sink(shard, download.version, digest)) or _Temporary()
            try:
                block = memoryview(bytearray(_BLOCK))
                while count := download.read_into(block):
                    sink.write(block[:count])
                return sink.whole()
            finally:
                sink.discard()

    def download(self, shard: str, connect: Connect, *, ahead: bool = True) -> IO[bytes]:
        """Open a shard in a way of one's own; see ``open``.

        Args:
            shard: its identifier.
            connect: opens it at a position.
            ahead: whether a thread reads ahead.
        """
        digest, cache = self.digests.get(shard), self.cache
        if cache is not None and digest is not None and (kept := cache.find(shard, Version(), digest)):
            return kept
        download = Download(public(shard), connect, self.access.retries, digest)
        download.open()
        sink = None
        try:
            if cache is not None:
                if digest is None and (kept := cache.find(shard, download.version, None)):
                    download.close()
                    return kept
                sink = cache.sink(shard, download.version, digest)

            return stream_of(download, sink, ahead=ahead)
        except BaseException:
            download.close()
            if sink is not None:
                sink.discard()
            raise


def _digests(given: Mapping[str, Any], shards: Collection[str]) -> dict[str, Digest]:
    digests = {}
    for shard, value in given.items():
        if shard not in shards:
            raise ValueError(f"digests has {public(str(shard))!r:.200}, which is none of the shards")
        size, sha256 = value if isinstance(value, tuple) and len(value) == 2 else (None, value)
        good = size is None or (type(size) is int and size >= 0)
        if not good or not isinstance(sha256, str) or not _HEX.fullmatch(sha256.lower()):
            raise ValueError(
                f"the digest of {public(shard)!r:.200} is a SHA-256 in 64 hex digits, or a pair (bytes, SHA-256); "
                f"found {value!r:.200}"
            )
        digests[shard] = Digest(size, sha256.lower())
    return digests


class _Temporary:
    """A file without a name, as a place for a shard."""

    def __init__(self) -> None:
        self._file: io.FileIO | None = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (discard() does it)

    def write(self, data: memoryview) -> None:
        assert self._file is not None
        try:
            while len(data):
                data = data[self._file.write(data) :]
        except OSError as error:
            raise ShardUnreadable(
                f"the shard cannot be kept in {tempfile.gettempdir()!r}: {error.strerror}; make room there, or name "
                "another folder with TMPDIR"
            ) from error

    def whole(self) -> IO[bytes]:
        assert self._file is not None
        file, self._file = self._file, None
        file.seek(0)
        return io.BufferedReader(file, 1 << 20)

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()


class _Stream:
    """What another source reads, as the one connection of a download."""

    start = 0
    version = Version()

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream: Any = stream

    def read_into(self, target: memoryview) -> int:
        data = self._stream.read(len(target))
        target[: len(data)] = data
        return len(data)

    def abort(self) -> None:
        """Not needed: the one who reads is the one who stops."""

    def close(self) -> None:
        self._stream.close()
