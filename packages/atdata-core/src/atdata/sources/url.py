"""``URLSource``: shards named by paths and URLs."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeAlias
from urllib.parse import unquote

from ..errors import (
    AtdataError,
    ShardIsDirectory,
    ShardNotFound,
    ShardPermissionError,
    ShardUnreadable,
    UnsafeURL,
)
from . import ShardSource, public
from .access import Access, Headers
from .braces import check, expand
from .cache import CachedShard
from .remote import Remote

Location: TypeAlias = "str | os.PathLike[str]"

# A single letter is a Windows drive; "data-10:30.tar" is a name
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://|(file|pipe):", re.IGNORECASE)
# What separates several URLs, but not the "::" of an IPv6 address, behind which a "]" ends the host
_BETWEEN = re.compile(r"::(?![\w.:%~-]*\](?:[:/?#]|$))")


class URLSource(ShardSource):
    """Shards at paths and URLs: local files, ``file:``, ``http(s):``, and schemes of installed backends or fsspec.

    Two sources are equal if they list the same shards and have the same options. No message and no ``repr`` shows
    headers, tokens, passwords or queries; a pickled source holds them, for it must work where it is unpickled.

    Args:
        url: a path or URL, or several. In text, brace patterns such as ``data-{000..009}.tar`` stand for many and
            ``::`` separates several; a ``pathlib.Path`` is taken letter by letter.
        allow_shell: let ``pipe:`` URLs run their command in a shell, and ``gs:``, ``ais:``, ``sftp:``, ``ftps:`` and
            ``scp:`` run the program that reads them. Say so only for URLs that you typed yourself.
        digests: what remote shards must be, by what ``list_shards()`` calls them: the SHA-256 of the whole shard in
            hex, or a pair of its size in bytes and that. A shard that is something else raises ``ShardCorrupted`` at
            its end, or before. Shards on this machine are not checked.
        timeout: seconds that connecting to an HTTP server may take, and each wait for more bytes.
        retries: how often in a row to try again after a fault that can pass; reading goes on where it broke.
        headers: HTTP headers of every request, or a callable that returns them anew for each, called by any thread.
            Like ``token`` they go to the servers that the URLs name, never to another that a redirect leads to.
        token: bearer token of every HTTP request.
        proxy: URL of a proxy for HTTP; empty for none. By default ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` of
            the environment decide.
        keep_tls: follow no redirect from ``https`` to ``http``, for URLs that somebody else wrote.
        public_only: talk to no server, by a redirect neither, whose address is private, loopback or link-local;
            likewise.
        cache_dir: folder in which remote shards that were read to their end are kept, for the next time.
        cache_bytes: how many bytes it may keep, 32 GiB by default; those that were not used for longest go first.

    Raises:
        TypeError: neither text nor a path, nor several of them.
        ValueError: an empty text, braces that are not balanced, or an option that cannot be meant.
        UnsafeURL: a ``pipe:`` URL without ``allow_shell``, or a brace pattern for over a million URLs.

    Examples:
        >>> import atdata
        >>> atdata.URLSource("data-{000..002}.tar").list_shards()
        ['data-000.tar', 'data-001.tar', 'data-002.tar']
    """

    def __init__(
        self,
        url: Location | Iterable[Location],
        *,
        allow_shell: bool = False,
        digests: Mapping[str, str | tuple[int | None, str]] | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        headers: Headers | None = None,
        token: str | None = None,
        proxy: str | None = None,
        keep_tls: bool = False,
        public_only: bool = False,
        cache_dir: Location | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        given: list[Any] = list(url) if isinstance(url, Iterable) and not isinstance(url, str | os.PathLike) else [url]
        if not given or not all(isinstance(item, str | os.PathLike) for item in given):
            raise TypeError(f"a URL is text or a path, or a list of them; found {url!r:.200}")
        access = Access(
            timeout=timeout,
            retries=retries,
            headers=headers,
            token=token,
            proxy=proxy,
            keep_tls=keep_tls,
            public_only=public_only,
        )
        self._given = [item if isinstance(item, str) else _literal(item) for item in given]
        parts = [part for item in given if isinstance(item, str) for part in parts_of(item)]
        if not all(parts):
            raise ValueError("an empty text is no URL")
        check(parts)
        self._shards: list[str] = []
        for item in given:
            self._shards += _expand(item) if isinstance(item, str) else [_literal(item)]
        for shard in self._shards:
            if scheme_of(shard) == "pipe" and not allow_shell:
                raise UnsafeURL(
                    f"{public(shard)!r:.200} would run a command in a shell; if that is what you mean, use "
                    "URLSource(url, allow_shell=True)"
                )
        self._remote = Remote.of(self._shards, access, allow_shell, digests, cache_dir, cache_bytes)

    @property
    def allow_shell(self) -> bool:
        """Whether URLs may run programs."""
        return self._remote.allow_shell

    @property
    def url(self) -> str:
        """What was given, as one text."""
        return "::".join(self._given)

    def list_shards(self) -> list[str]:
        """Paths and URLs of all shards, in order."""
        return list(self._shards)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._shards)

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """Open one shard for reading.

        Args:
            shard_id: one of ``list_shards()``.

        Raises:
            KeyError: it is not in ``list_shards()``.
            ShardNotFound, ShardIsDirectory, ShardPermissionError: as they say.
            ShardUnreadable: it cannot be opened for another reason, or, from the stream, not be read to its end.
            ShardCorrupted: it is not what its digest says; mostly from the end of the stream.
            UnsafeURL: a ``file:`` URL of another machine.
            PluginNotFound: nothing that is installed reads its scheme; says what to install.
        """
        if shard_id not in self._known:
            raise KeyError(f"{public(str(shard_id))!r} is not a shard of {self!r}")
        try:
            return self._open(shard_id)
        except AtdataError as error:
            error.at(shard=public(shard_id))
            raise

    def _open(self, shard_id: str) -> IO[bytes]:
        path = local_path(shard_id)
        if path is not None:
            return _open_file(path)
        return self._remote.open(shard_id, scheme_of(shard_id))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, URLSource):
            return NotImplemented
        return self._shards == other._shards and self._remote == other._remote

    def __hash__(self) -> int:
        return hash((*self._shards, self.allow_shell))

    def __repr__(self) -> str:
        first = "::".join(map(public, parts_of(self._given[0])))
        return f"URLSource({first if len(self._given) == 1 else f'{len(self._given)} URLs'!r})"


def parts_of(text: str) -> list[str]:
    """The URLs that ``::`` separates in a text; a command is one, whatever it holds."""
    return [text] if scheme_of(text) == "pipe" else _BETWEEN.split(text)


def _expand(text: str) -> list[str]:
    shards = [shard for part in parts_of(text) for shard in expand(part)]
    return [_literal(shard) if _is_file_of_that_name(shard) else shard for shard in shards]


def _is_file_of_that_name(shard: str) -> bool:
    return "://" not in shard and scheme_of(shard) in ("file", "pipe") and os.path.lexists(shard)


def _literal(path: Location) -> str:
    """The text of a path, such that it cannot be taken for a URL."""
    text = os.fsdecode(path)
    return os.path.join(os.curdir, text) if scheme_of(text) else text


def scheme_of(url: str) -> str:
    """The scheme of a URL in lower case; empty for paths."""
    match = _SCHEME.match(url)
    return (match[1] or match[2]).lower() if match else ""


def path_of(source: object, shard_id: str, stream: object = None) -> Path | None:
    """Where a shard is a plain file on this machine; None if it is not, or if the source has its own way to open it.

    Args:
        source: its source.
        shard_id: its identifier.
        stream: the shard, if it is open already: it may be a file in the cache.
    """
    if isinstance(stream, CachedShard):
        return stream.path
    if not isinstance(source, URLSource) or type(source).open_shard is not URLSource.open_shard:
        return None
    return local_path(shard_id)


def local_path(url: str) -> Path | None:
    """The path that a URL names on this machine, or None if it is elsewhere.

    Raises:
        UnsafeURL: a ``file:`` URL of another machine.
    """
    scheme = scheme_of(url)
    if scheme != "file":
        return None if scheme else Path(url)
    path = url[len("file:") :]
    if path.startswith("//"):
        authority, slash, path = path[2:].partition("/")
        if authority.lower() not in ("", "localhost"):
            raise UnsafeURL(f"{public(url)!r:.200} names a file on another machine")
        path = slash + path
    if os.name == "nt":
        from urllib.request import url2pathname  # knows drives

        return Path(url2pathname(path))
    return Path(unquote(path, errors="surrogateescape"))


class _BelowFile(ShardNotFound, NotADirectoryError):
    """A shard does not exist, because a file is where one of its folders should be."""


class _ImpossibleName(ShardNotFound, ValueError):
    """A shard does not exist, because no file can have its name."""


_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


def _open_file(path: Path) -> IO[bytes]:
    shown = f"{path!s:.300}"
    try:
        mode = os.stat(path).st_mode
        # directories open for reading on some systems and fail on the first read, pipes wait for a writer
        if stat.S_ISDIR(mode):
            raise IsADirectoryError
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "a device")
            raise ShardUnreadable(f"{shown} is {kind}, not a file; to read what a command writes, use a pipe: URL")
        return open(path, "rb", buffering=1 << 20)
    except FileNotFoundError as error:
        advice = "; for a glob pattern use atdata.load_dataset" if "*" in path.name else ""
        raise ShardNotFound(f"no shard at {shown}{_looked_in(path)}{advice}") from error
    except NotADirectoryError as error:
        raise _BelowFile(f"no shard at {shown}{_looked_in(path)}: part of its path is a file, not a folder") from error
    except IsADirectoryError as error:
        raise ShardIsDirectory(
            f"{shown} is a directory, not a shard; name its .tar files, for example '{shown}/*.tar'"
        ) from error
    except PermissionError as error:
        raise ShardPermissionError(f"{shown} may not be read by this user") from error
    except AtdataError:
        raise
    except OSError as error:
        raise ShardUnreadable(f"{shown} cannot be opened: {error.strerror}") from error
    except ValueError as error:
        raise _ImpossibleName(f"no file can be named {shown!r}: {error}") from error


def _looked_in(path: Path) -> str:
    if not path.is_absolute():
        # the current folder may be gone
        with contextlib.suppress(OSError):
            return f" (looked in {Path.cwd()})"
    return ""
