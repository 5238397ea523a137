"""Objects written in parts by several threads: there whole or not at all, and never over another."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Protocol, Self

from atdata.errors import AtdataError, ShardExists, ShardNotFound, ShardPermissionError, ShardUnreadable
from atdata.sources.download import Digest
from atdata.storing import check

from .errors import Unsupported
from .requests import Bucket

# Bytes of a part. S3 takes 10,000 parts, so that they grow: 8 TiB are reached with all of them
PART: Final = 8 << 20
_GROW: Final = 1000
THREADS: Final = 6
# What an object says of itself: by which attempt to write it, and as what, for copies say it, too
_MARK: Final = "atdata-write"
# Seconds after which somebody may take a writer for dead, and its shards for leftovers
_LONG: Final = 3600.0


class Bytes(Protocol):
    """A stream that fills memory, as binary files do."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read some bytes; 0 at the end."""
        ...


class Uploads:
    """Objects on their way into a bucket. Leaving it with an error, or ``undo``, removes those that were written.

    Memory is bounded: at most ``THREADS + 2`` parts are on their way.

    Args:
        bucket: the bucket.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._attempt = secrets.token_hex(16)
        self._begun = time.time()
        self.senders = ThreadPoolExecutor(THREADS, "atdata-upload")
        self.hasher = ThreadPoolExecutor(1, "atdata-hasher")
        self.room = threading.Semaphore(THREADS + 2)
        self.ids: dict[str, str] = {}
        self._keys: list[str] = []
        self._failed = threading.Event()

    def create(self, key: str) -> Upload:
        """Begin an object."""
        self._keys.append(key)
        return Upload(self, key)

    @property
    def failed(self) -> bool:
        """Whether something went wrong, so that the rest need not be sent."""
        return self._failed.is_set()

    def fail(self) -> None:
        """Let what is under way end soon."""
        self._failed.set()

    def undo(self) -> None:
        """Remove all objects and parts that were written here.

        Raises:
            AtdataError: some remain; the error names the first.
        """
        self.fail()
        self.close()
        problem: AtdataError | None = None
        for key in self._keys:
            try:
                self._remove(key)
            except AtdataError as error:
                problem = problem or error
        self._keys.clear()
        if problem is not None:
            raise problem

    def _remove(self, key: str) -> None:
        if key in self.ids:
            self._abort(key, self.ids[key])
        if self.is_ours(key):
            self.bucket.ask("delete_object", key=key, doing="removed")
        # one may have been begun though the answer got lost; not everybody may list them
        with contextlib.suppress(ShardPermissionError):
            found = self.bucket.ask("list_multipart_uploads", doing="listed", Prefix=key)
            for upload in found.get("Uploads", []):
                self._abort(upload["Key"], upload["UploadId"])

    def _abort(self, key: str, upload_id: str) -> None:
        with contextlib.suppress(ShardNotFound):  # complete, or gone
            self.bucket.ask("abort_multipart_upload", key=key, doing="removed", UploadId=upload_id)

    def is_ours(self, key: str) -> bool:
        """Whether an object is there, and was written here."""
        for _ in range(3):  # headers have no checksum, and what is ours must not be left behind
            try:
                found = self.bucket.ask("head_object", key=key)
            except ShardNotFound:
                return False
            if found.get("Metadata", {}).get(_MARK) == self.metadata(key)[_MARK]:
                return True
        return False

    def metadata(self, key: str) -> dict[str, str]:
        """What an object that is written here says of itself."""
        return {_MARK: f"{self._attempt} {_place(self.bucket, key)}"}

    def check(self) -> None:
        """See that all is there still: what was begun long ago may have been swept away.

        Raises:
            ShardUnreadable: something is not.
        """
        if time.time() - self._begun > _LONG:
            for key in self._keys:
                if not self.is_ours(key):
                    raise ShardUnreadable(f"{self.bucket.url(key)} was removed while others were written; write again")

    def keep(self) -> None:
        """Let all that was written so far stay, whatever happens."""
        self._keys.clear()

    def close(self) -> None:
        """Wait until no thread is at work."""
        self.senders.shutdown(cancel_futures=True)
        self.hasher.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            self.close()
            return
        try:
            self.undo()
        except AtdataError as left:
            error.add_note(f"some of what was written before could not be removed again: {left}")


class Upload:
    """An object on its way. One thread writes it."""

    def __init__(self, uploads: Uploads, key: str) -> None:
        self.bytes = 0
        self._uploads = uploads
        self._bucket = uploads.bucket
        self._key = key
        self._id: str | None = None
        self._parts: list[Future[dict[str, Any]]] = []
        self._digest = hashlib.sha256()
        self._part = bytearray()
        self._filled = 0

    def write(self, data: Any) -> None:
        """Append bytes, which are copied."""
        rest = memoryview(data).cast("B")
        while len(rest):
            room = self._room()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            self._advance(count)
            rest = rest[count:]

    def read_from(self, stream: Bytes) -> None:
        """Append all bytes of a stream."""
        while count := stream.readinto(self._room()):
            self._advance(count)

    def _room(self) -> memoryview:
        """Where the next bytes go; a full part is sent before."""
        if self._filled == len(self._part):
            if self._part:
                self._send()
            size = PART << len(self._parts) // _GROW
            if len(self._part) != size:
                self._part = bytearray(size)
        return memoryview(self._part)[self._filled :]

    def _advance(self, count: int) -> None:
        self._filled += count
        self.bytes += count

    def _send(self) -> None:
        for part in self._parts:
            if part.done() and not part.cancelled() and (fault := part.exception()) is not None:
                raise fault
        if self._id is None:
            arguments = {"Metadata": self._uploads.metadata(self._key), "ChecksumAlgorithm": "CRC32"}
            answer = self._bucket.ask("create_multipart_upload", key=self._key, doing="written", **arguments)
            self._id = self._uploads.ids[self._key] = answer["UploadId"]
        number, body = len(self._parts) + 1, self._take()
        self._parts.append(self._submit(body, lambda: self._send_part(number, body)))

    def _take(self) -> bytes:
        self._uploads.room.acquire()
        body = bytes(memoryview(self._part)[: self._filled])
        self._filled = 0
        return body

    def _submit(self, body: bytes, send: Callable[[], dict[str, Any]]) -> Future[dict[str, Any]]:
        hashed = self._uploads.hasher.submit(self._digest.update, body)

        def run() -> dict[str, Any]:
            try:
                answer = send()
                hashed.result()
            except BaseException:
                self._uploads.fail()
                raise
            finally:
                self._uploads.room.release()
            return answer

        return self._uploads.senders.submit(run)

    def _send_part(self, number: int, body: bytes) -> dict[str, Any]:
        if self._uploads.failed:
            raise AtdataError("another part failed")
        arguments = {"UploadId": self._id, "PartNumber": number, **checked(body)}
        answer = self._bucket.ask("upload_part", key=self._key, doing="written", **arguments)
        sums = {"ChecksumCRC32": arguments["ChecksumCRC32"]} if answer.get("ChecksumCRC32") else {}
        return {"PartNumber": number, "ETag": answer["ETag"], **sums}

    def finish(self, expected: Digest | None = None) -> Digest:
        """Make it an object. Returns what it is.

        Args:
            expected: what it must be.

        Raises:
            ShardExists: there is an object of that key.
            ShardCorrupted: it is not what it must be.
        """
        return self.finish_later(expected)()

    def finish_later(self, expected: Digest | None = None) -> Callable[[], Digest]:
        """The same in two steps, so that others can be begun meanwhile: call what it returns."""
        if self._id is None:
            body = self._take()
            whole = self._submit(body, lambda: self._put(body))
            self._part = bytearray()
            return lambda: self._result([whole], expected)
        if self._filled:
            number, rest = len(self._parts) + 1, self._take()
            self._parts.append(self._submit(rest, lambda: self._send_part(number, rest)))
        self._part = bytearray()
        return lambda: self._complete(expected)

    def _put(self, body: bytes) -> dict[str, Any]:
        metadata = self._uploads.metadata(self._key)
        return self._once("put_object", Metadata=metadata, IfNoneMatch="*", **checked(body))

    def _complete(self, expected: Digest | None) -> Digest:
        found = self._result(self._parts, expected)
        parts = {"Parts": [part.result() for part in self._parts]}
        self._once("complete_multipart_upload", UploadId=self._id, MultipartUpload=parts, IfNoneMatch="*")
        return found

    def _once(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Create the object; what was done though the answer got lost is not done twice."""
        try:
            answer: dict[str, Any] = self._bucket.ask(operation, key=self._key, doing="written", **arguments)
        except (ShardExists, ShardNotFound):
            if not self._uploads.is_ours(self._key):
                raise
            return {}
        except Unsupported:
            if "IfNoneMatch" not in arguments:
                raise
            # a server without conditions; names hold a random part, so that nobody else writes this one
            return self._once(operation, **{name: value for name, value in arguments.items() if name != "IfNoneMatch"})
        return answer

    def _result(self, sent: list[Future[dict[str, Any]]], expected: Digest | None) -> Digest:
        for part in sent:  # each waits until it is hashed
            part.result()
        return check(self._bucket.url(self._key), self.bytes, self._digest.hexdigest(), expected)


def is_written_here(bucket: Bucket, key: str) -> bool:
    """Whether an object is there, and was written by an ``Upload`` as what it is; copies were not."""
    try:
        found = bucket.ask("head_object", key=key)
    except ShardNotFound:
        return False
    return str(found.get("Metadata", {}).get(_MARK, "")).endswith(f" {_place(bucket, key)}")


def _place(bucket: Bucket, key: str) -> str:
    return hashlib.sha256(bucket.url(key).encode()).hexdigest()[:16]


def checked(body: bytes) -> dict[str, Any]:
    """Content as boto3 takes it, with a checksum that the server compares: not all check what is signed."""
    return {"Body": body, "ChecksumCRC32": base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()}
