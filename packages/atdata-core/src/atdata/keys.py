"""Sample keys that are unique across processes and hosts and sort in the order they were made."""

from __future__ import annotations

import os
import secrets
import threading
import time

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
