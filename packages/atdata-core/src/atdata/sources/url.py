"""``URLSource``: shards named by paths and URLs."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from ..errors import ShardIsDirectory, ShardNotFound, ShardPermissionError, UnsafeURL
from . import ShardStreams
from .braces import expand

Location: TypeAlias = "str | os.PathLike[str]"

# A single letter is a Windows drive
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")
_TIMEOUT = 60.0


class URLSource:
    """Shards at paths and URLs: local files, ``file:``, ``http(s):``, and schemes of installed backends.

    Args:
        url: a path or URL, or several. In text, brace patterns such as ``data-{000..009}.tar`` stand for many and
            ``::`` separates several; a ``pathlib.Path`` is taken letter by letter.
        allow_shell: let ``pipe:`` URLs run their command in a shell. Say so only for URLs that you typed yourself.

    Raises:
        UnsafeURL: a ``pipe:`` URL without ``allow_shell``, or a brace pattern for over a million URLs.

    Examples:
        >>> import atdata
        >>> atdata.URLSource("data-{000..002}.tar").list_shards()
        ['data-000.tar', 'data-001.tar', 'data-002.tar']
    """

    def __init__(self, url: Location | Iterable[Location], *, allow_shell: bool = False) -> None:
        given: list[Any] = [url] if isinstance(url, str | os.PathLike) else list(url)
        if not given or not all(isinstance(item, str | os.PathLike) for item in given):
            raise TypeError(f"a URL is text or a path, or a list of them; found {url!r:.200}")
        if not all(os.fspath(item) for item in given):
            raise ValueError("an empty text is no URL")
        self.allow_shell = allow_shell
        self._given = [os.fspath(item) for item in given]
        self._shards = [shard for item in given for shard in _expand(item)]
        for shard in self._shards:
            if scheme_of(shard) == "pipe" and not allow_shell:
                raise UnsafeURL(
                    f"{shard!r:.200} would run a command in a shell; if that is what you mean, use "
                    "URLSource(url, allow_shell=True)"
                )

    @property
    def url(self) -> str:
        """What was given, as one text."""
        return "::".join(self._given)

    def list_shards(self) -> list[str]:
        """Paths and URLs of all shards, in order."""
        return list(self._shards)

    @property
    def shard_list(self) -> list[str]:
        """The same as ``list_shards()``."""
        return self.list_shards()

    @property
    def shards(self) -> ShardStreams:
        """``(identifier, stream)`` of each shard, opened one by one; also works when called."""
        return ShardStreams(self.list_shards, self.open_shard)

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """Open one shard for reading.

        Raises:
            KeyError: it is not in ``list_shards()``.
            ShardNotFound, ShardIsDirectory, ShardPermissionError: it cannot be opened.
            PluginNotFound: no installed distribution reads its scheme.
        """
        if shard_id not in self._shards:
            raise KeyError(f"{shard_id!r} is not a shard of {self!r}")
        scheme = scheme_of(shard_id)
        if scheme in ("", "file"):
            return _open_file(local_path(shard_id) or Path(shard_id))
        if scheme in ("http", "https"):
            return _open_http(shard_id)
        if scheme == "pipe":
            from webdataset.gopen import gopen

            return cast("IO[bytes]", gopen(shard_id))
        from .. import plugins

        source: Any = plugins.get("atdata.sources", scheme)([shard_id])
        return cast("IO[bytes]", source.open_shard(shard_id))

    def __repr__(self) -> str:
        shown = self._given[0] if len(self._given) == 1 else f"{len(self._given)} URLs"
        return f"URLSource({shown!r})"


def _expand(item: Location) -> list[str]:
    if not isinstance(item, str):
        return [os.fspath(item)]
    if item.startswith("pipe:"):
        return expand(item)  # a command may hold "::"
    return [shard for part in item.split("::") for shard in expand(part)]


def scheme_of(url: str) -> str:
    """The scheme of a URL in lower case; empty for paths."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else ""


def local_path(url: str) -> Path | None:
    """The path that a URL names on this machine, or None if it is elsewhere."""
    scheme = scheme_of(url)
    if scheme == "file":
        parts = urllib.parse.urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise UnsafeURL(f"{url!r:.200} names a file on another machine")
        return Path(urllib.request.url2pathname(parts.path))
    return None if scheme else Path(url)


def _open_file(path: Path) -> IO[bytes]:
    try:
        # directories open for reading on some systems and fail on the first read
        if path.is_dir():
            raise IsADirectoryError
        return open(path, "rb", buffering=1 << 20)
    except FileNotFoundError as error:
        advice = "; for a glob pattern use atdata.load_dataset" if "*" in path.name else ""
        here = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
        raise ShardNotFound(f"no shard at {path}{here}{advice}") from error
    except IsADirectoryError as error:
        raise ShardIsDirectory(
            f"{path} is a directory, not a shard; name its .tar files, for example '{path}/*.tar'"
        ) from error
    except PermissionError as error:
        raise ShardPermissionError(f"{path} may not be read by this user") from error


def _open_http(url: str) -> IO[bytes]:
    request = urllib.request.Request(url, headers={"User-Agent": "atdata"})
    try:
        return cast("IO[bytes]", urllib.request.urlopen(request, timeout=_TIMEOUT))
    except urllib.error.HTTPError as error:
        kinds = {404: ShardNotFound, 410: ShardNotFound, 401: ShardPermissionError, 403: ShardPermissionError}
        kind = kinds.get(error.code)
        if kind is None:
            raise
        raise kind(f"the server answers {error.code} {error.reason} for {_public(url)}") from error


def _public(url: str) -> str:
    """A URL without what may be secret: user, password, query."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
