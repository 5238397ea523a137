"""The process of the command: its streams, signals and warnings, and how it ends.

Exit codes: 0 all is well; 1 it failed, or found something wrong; 2 it was called wrongly; 130 it was interrupted;
141 nobody reads its output any more; 143 and 129 it was told to stop, or its terminal was closed.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from types import FrameType
from typing import Any, Final

from .output import plain, print_error, settings

UNREAD: Final = 141

_prepared = False


def prepare() -> None:
    """Set up the streams, signals and warnings of this process, which is the command's own."""
    global _prepared
    _prepared = True
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by >&-
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names and texts may have letters that a terminal has not
    # Told to stop, a command still removes what it has written by halves.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)
    warnings.showwarning = _show_warning


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _show_warning(message: Warning | str, category: type[Warning], *_place: Any, **_more: Any) -> None:
    if not settings.quiet:
        print_error(f"warning: {message}")


def show_logs() -> None:
    """Print what atdata's libraries log, in the command's own process: warnings, and with ``--verbose`` all."""
    if not _prepared:
        return
    import logging

    class _Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # asked each time: options behind the command are parsed later than this is set up
            if not settings.quiet and (settings.verbose or record.levelno >= logging.WARNING):
                print_error(f"{record.levelname.lower()}: {record.getMessage()}")

    handler = _Handler()
    for name in ("atdata", "atdata_local", "atdata_atmosphere"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def leave_unread() -> None:
    """Let what is still to be written go nowhere: whoever read the output has gone."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return  # a stream of a test
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def explain(error: Exception) -> str:
    """An error in one line: what it says, and where it says nothing that helps, what to do next."""
    from atdata.errors import AtdataError

    if isinstance(error, AtdataError) or (isinstance(error, ValueError) and str(error)):
        return f"{error}{_next_step(error)}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return f"{type(error).__name__}: {plain(error)}. --debug shows where"


def _next_step(error: Exception) -> str:
    """What the command offers where an error tells only what Python does."""
    from atdata.errors import EntryNotFound, MalformedSample, SampleDecodeError, SchemaNotFound, ShardCorrupted

    if "In a shell: " in str(error):
        return ""
    if isinstance(error, EntryNotFound):
        return ". In a shell: atdata index list"
    if isinstance(error, SchemaNotFound):
        return ". In a shell: atdata schema list"
    if isinstance(error, ShardCorrupted | MalformedSample | SampleDecodeError):
        return ". atdata validate finds all such places"
    return ""
