"""Blobs on their way into a repository: read from files while they are sent, several at a time."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self, TypeVar

from atdata.errors import AtdataError, ShardCorrupted
from atdata.shard.array import Buffer
from atdata.sources.download import Digest

from .errors import PayloadTooLarge, RecordNotFound, RecordRefused, ServerFault
from .storage import TAR, raw_cid

if TYPE_CHECKING:
    from .client import AtmosphereClient

T = TypeVar("T")

# Blobs that are sent at a time
THREADS: Final = 4
_BLOCK: Final = 256 << 10
# Seconds; servers keep what no record refers to for an hour or longer
_FRESH: Final = 1800.0


class Stopped(AtdataError):
    """A blob is not sent to its end, since another one failed."""


def _never() -> bool:
    return False


class Content:
    """The bytes of a file as a request sends them: from the first one, each time that it is sent.

    Args:
        name: what it is, for messages.
        file: holds them.
        size: how many there are.
        stopping: tells whether to send no more.
    """

    def __init__(self, name: str, file: IO[bytes], size: int, stopping: Callable[[], bool] = _never) -> None:
        self._name = name
        self._file = file
        self._size = size
        self._stopping = stopping

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        left = self._size
        self._file.seek(0)
        while left and (block := self._file.read(min(_BLOCK, left))):
            if self._stopping():
                raise Stopped(f"{self._name} was not sent to its end")
            left -= len(block)
            yield block
        if left:
            raise ShardCorrupted(f"{self._name} has {left:,} of its {self._size:,} bytes less by now")


class Spool:
    """A temporary file that knows what is in it. Close it when it is not needed any more.

    Attributes:
        file: the file.
        bytes: how many were written.
    """

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(buffering=1 << 20)  # noqa: SIM115 (close() does it)
        self.bytes = 0
        self._digest = hashlib.sha256()

    def write(self, data: Buffer) -> None:
        """Append bytes.

        Raises:
            OSError: the disk is full.
        """
        try:
            self.file.write(data)
        except OSError as error:
            cause = f"{error.strerror}: a shard is made there; make room, or name another folder with TMPDIR"
            raise OSError(error.errno, cause, tempfile.gettempdir()) from error
        self._digest.update(data)
        self.bytes += len(data)

    @property
    def digest(self) -> Digest:
        """What was written."""
        return Digest(self.bytes, self._digest.hexdigest())

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Uploads:
    """Puts blobs into the repository of an account. What is there already is not sent again.

    Args:
        client: the account.
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self._client = client
        # what was sent, and when, of blobs to which no record may refer yet: the server does not tell of those
        self._sent: dict[str, tuple[float, dict[str, Any]]] = {}

    def find(self, cid: str) -> dict[str, Any] | None:
        """What a record refers to a blob with that is there already; None for one that is not.

        Raises:
            AtmosphereError: the server cannot be asked.
        """
        when, blob = self._sent.get(cid, (0.0, None))
        if blob is not None and time.monotonic() < when + _FRESH:
            return blob
        try:
            told = self._client._blob_headers(cid)
        except (RecordNotFound, RecordRefused):
            return None
        size = told.get("content-length", "")
        kind = told.get("content-type", TAR)
        return {"$type": "blob", "ref": {"$link": cid}, "mimeType": kind, "size": int(size)} if size.isdigit() else None

    def put(
        self, name: str, file: IO[bytes], digest: Digest, kind: str = TAR, stopping: Callable[[], bool] = _never
    ) -> dict[str, Any]:
        """Send a blob, unless it is there already.

        Args:
            name: what it is, for messages.
            file: holds it.
            digest: what it is; with its size.
            kind: media type of the bytes.
            stopping: tells whether to send no more.

        Returns:
            What a record refers to it with.

        Raises:
            ShardCorrupted: the file holds something else.
            PayloadTooLarge: it is larger than the server allows; a ``ValueError``.
            AtmosphereError: the server does not take it.
        """
        cid = raw_cid(digest.sha256)
        blob = self.find(cid)
        if blob is None:
            blob = self._client._send_blob(Content(name, file, digest.size or 0, stopping), kind)
            # the server has hashed what it got
            if (told := blob["ref"].get("$link")) != cid:
                raise _wrong(name, file, digest, told)
            self._sent[cid] = time.monotonic(), blob
        return blob

    def forget(self, cids: Iterable[str]) -> None:
        """Leave it to records whether blobs are there."""
        for cid in cids:
            self._sent.pop(cid, None)


def _wrong(name: str, file: Any, digest: Digest, told: object) -> Exception:
    """The error for a blob that the server calls otherwise than expected."""
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()
    if found == digest.sha256:
        return ServerFault(f"the server calls {name} {told!r:.100}, and what was sent has the CID {raw_cid(found)}")
    return ShardCorrupted(
        f"{name} has sha256 {found} where {digest.sha256} is expected; it has changed since, or is damaged"
    )


def check_size(name: str, size: int, largest: int, server: str) -> None:
    """Refuse a blob that a server would not take.

    Raises:
        PayloadTooLarge: it is too large; a ``ValueError``.
    """
    if size > largest:
        raise PayloadTooLarge(f"{name} has {size:,} bytes, and {server} takes blobs of at most {largest:,}")


class Crew:
    """Threads that do jobs until one fails. At the end of ``with`` all jobs are done, or the first fault is raised.

    Args:
        size: how many threads; two more jobs may wait.
    """

    def __init__(self, size: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(size, "atdata-upload")
        self._room = threading.Semaphore(size + 2)
        self._fault: BaseException | None = None

    def stopping(self) -> bool:
        """Whether something has failed, so that the rest need not be done."""
        return self._fault is not None

    def do(self, job: Callable[[], T]) -> Future[T]:
        """Have a job done; waits while too many wait already.

        Raises:
            BaseException: the fault of an earlier job.
        """
        self._room.acquire()
        if self._fault is not None:
            raise self._fault

        def run() -> T:
            try:
                return job()
            except BaseException as error:
                self._fault = self._fault or error
                raise
            finally:
                self._room.release()

        return self._threads.submit(run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fault = self._fault or error
        try:
            self._threads.shutdown(cancel_futures=self._fault is not None)
        except BaseException as interrupt:
            self._fault = interrupt  # lets the threads end soon
            self._threads.shutdown(cancel_futures=True)
            raise
        if error is None and self._fault is not None:
            raise self._fault
