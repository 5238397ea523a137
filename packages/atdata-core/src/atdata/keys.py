"""Keys of samples: what good ones are, and new ones, unique everywhere, that sort in the order they were made."""

from __future__ import annotations

import os
import secrets
import threading
import time

from .shard.reader import SUFFIX, group_of

_lock = threading.Lock()
_last = 0
_process = ""


def _start_process() -> None:
    global _process
    _process = secrets.token_hex(8)


_start_process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_process)


def new_key() -> str:
    """A key of 32 hex digits: nanoseconds since 1970, never twice in a process, then 64 random bits of the process."""
    global _last
    with _lock:
        _last = max(_last + 1, time.time_ns())
        return f"{_last:016x}{_process}"


def check_key(key: str) -> None:
    """Refuse keys that do not come back as they went in.

    Raises:
        TypeError: it is no text.
        ValueError: a reader would take it for another.
    """
    if not isinstance(key, str):
        raise TypeError(f"a key is text; found {key!r:.100}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the key {key!r} is not text that UTF-8 can hold") from None
    misread = "." in key.rpartition("/")[2] or group_of(key + SUFFIX) is None
    if misread or "\0" in key or key.startswith(("/", "__")) or ".." in key.split("/"):
        raise ValueError(
            f"{key!r} is no key that every reader takes: it must be a relative path without '..' or NUL whose last "
            "part is not empty and has no dot, and must not start with '__'"
        )
