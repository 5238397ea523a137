"""Shards wherever fsspec reaches: cloud buckets, hubs, SSH servers."""

from __future__ import annotations

import contextlib
from typing import IO, Any, Final

from ..errors import (
    AtdataError,
    ShardIsDirectory,
    ShardNotFound,
    ShardPermissionError,
    ShardUnreadable,
)
from . import public
from .download import Connect, Passing, Version

# What reads this machine's files, wraps other file systems that may, or runs programs
_NOT_REMOTE: Final = {
    *("asynclocal", "asyncwrapper", "blockcache", "cached", "dask", "data", "dir", "dvc", "file"),
    *("filecache", "generic", "git", "libarchive", "local", "pyscript", "reference", "simplecache", "tar", "zip"),
}
# What fsspec needs for the schemes that are asked for most
_LIBRARIES: Final = {
    **{"abfs": "adlfs", "abfss": "adlfs", "az": "adlfs", "gcs": "gcsfs", "gs": "gcsfs", "hf": "huggingface_hub"},
    **{"s3": "s3fs", "sftp": "paramiko", "smb": "smbprotocol", "ssh": "paramiko", "webdav": "webdav4"},
}
_TAGS: Final = ("etag", "ETag", "md5Hash", "blob_id", "content_md5")
_DATES: Final = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


def connector(url: str, scheme: str) -> tuple[Connect | None, str]:
    """What opens a shard through fsspec, at any position.

    Args:
        url: where it is.
        scheme: the scheme of that.

    Returns:
        A function; or None, and what to install, as the end of a message.
    """
    if scheme in _NOT_REMOTE or "::" in url:  # which chains file systems
        return None, ""
    try:
        fsspec = _fsspec()
    except ImportError:
        if scheme not in _LIBRARIES:
            return None, ""
        return None, f"; fsspec reads it: pip install 'atdata-core[fsspec]' {_LIBRARIES[scheme]}"
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ValueError:  # not one that it knows
        return None, ""
    except ImportError as error:
        return None, f"; fsspec needs for it what is not installed: {error}"
    if getattr(kind, "local_file", False):
        return None, ""
    return lambda position, _version: _open(scheme + url[len(scheme) :], position), ""  # it knows small letters only


def matching(url: str) -> list[str]:
    """URLs of the files that a glob matches, for a scheme that has a ``connector``; itself if nobody can tell."""
    try:
        filesystem, path = _fsspec().url_to_fs(url)
        # the rest of the URL says where the file system is
        return [url.removesuffix(path) + name for name in filesystem.glob(path)] if url.endswith(path) else [url]
    except Exception as error:  # each library has its own
        fault = _fault(url, error)
    raise fault


def _fsspec() -> Any:
    from importlib import import_module  # it has no type hints, and need not be installed

    return import_module("fsspec")


def _open(url: str, position: int) -> _Body:
    try:
        filesystem, path = _fsspec().url_to_fs(url)
        facts: dict[str, Any] = filesystem.info(path)
        if facts.get("type") == "directory":
            raise IsADirectoryError
        return _Body(filesystem.open(path, "rb"), url, position, facts)
    except Exception as error:  # each library has its own
        fault = _fault(url, error)
    raise fault


def _fault(url: str, error: Exception) -> Exception:
    # their texts may hold URLs with what is secret
    if isinstance(error, FileNotFoundError):
        return ShardNotFound(f"no shard at {public(url)}")
    if isinstance(error, IsADirectoryError):
        return ShardIsDirectory(f"{public(url)} is a directory, not a shard; name its .tar files")
    if isinstance(error, PermissionError):
        return ShardPermissionError(f"{public(url)} may not be read by this user")
    if isinstance(error, AtdataError):
        return error
    cause = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    fault = ShardUnreadable(f"{public(url)} cannot be read: {cause}")
    return Passing(fault) if isinstance(error, ConnectionError | TimeoutError | EOFError) else fault


class _Body:
    """A file of fsspec, from a position on."""

    def __init__(self, file: IO[bytes], url: str, position: int, facts: dict[str, Any]) -> None:
        if position:
            file.seek(position)
        self.start = position
        tag = next((str(facts[name]) for name in _TAGS if facts.get(name)), None)
        modified = next((str(facts[name]) for name in _DATES if facts.get(name)), None)
        self.version = Version(tag, modified, facts.get("size"))
        self._file = file
        self._url = url

    def read_into(self, target: memoryview) -> int:
        try:
            data = self._file.read(len(target))
        except Exception as error:  # each library has its own
            fault = _fault(self._url, error)
        else:
            target[: len(data)] = data
            return len(data)
        raise fault

    def abort(self) -> None:
        """Not possible here: the thread ends with the block that it waits for."""

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it was only read
            self._file.close()
