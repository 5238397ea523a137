"""Shards that a command writes to its standard output."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
from typing import IO, TYPE_CHECKING, Final, cast

from ..errors import ShardUnreadable
from . import public

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CURL = ["curl", "--globoff", "--fail", "--silent", "--show-error", "--location", "--connect-timeout", "30"]
# What reads a URL of a scheme, given the URL as its last argument
PROGRAMS: Final[dict[str, list[str]]] = {
    "ais": ["ais", "object", "cat"],
    "ftps": _CURL,
    "gs": ["gsutil", "cat"],
    "scp": _CURL,
    "sftp": _CURL,
}
# How long a command may take to end when asked to
_GRACE = 5.0


def open_command(shard_id: str, command: str | list[str]) -> IO[bytes]:
    """Run a command and read what it writes. Closing the stream ends the command.

    Args:
        shard_id: the shard, for messages.
        command: text for a shell, or a program and its arguments.

    Raises:
        ShardUnreadable: it cannot be run; or, from the end of the stream, it failed.
    """
    try:
        # in a session of its own, so that all that a shell starts can be ended together
        process = subprocess.Popen(
            command, shell=isinstance(command, str), stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        program = "the command" if isinstance(command, str) else command[0]
        raise ShardUnreadable(f"{public(shard_id)}: {program} cannot be run: {cause}") from error
    return io.BufferedReader(_Output(process, shard_id), 1 << 20)


class _Output(io.RawIOBase):
    """What a command writes; where that ends, the command must have succeeded."""

    def __init__(self, process: subprocess.Popen[bytes], shard_id: str) -> None:
        self._process = process
        self._output = cast("io.FileIO", process.stdout)
        self._shard_id = shard_id

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._output.readinto(buffer)
        if not count and (status := self._process.wait()):
            ended = f"ended with exit status {status}" if status > 0 else f"was ended by signal {-status}"
            name = public(self._shard_id)
            raise ShardUnreadable(f"the command of {name} {ended}").at(shard=name)
        return count

    def close(self) -> None:
        if not self.closed:
            self._output.close()
            if self._process.poll() is None:
                _end(self._process)
        super().close()


def _end(process: subprocess.Popen[bytes]) -> None:
    if os.name == "nt":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(_GRACE)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
