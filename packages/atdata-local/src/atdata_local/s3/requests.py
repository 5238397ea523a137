"""Requests to an S3 server, again where a fault can pass."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from atdata.errors import ShardNotFound
from atdata.sources.download import Passing, delay

from .access import S3Access
from .errors import fault_of

T = TypeVar("T")


class Bucket:
    """The operations of one bucket.

    Args:
        access: how it is reached.
        name: its name.
        client: a boto3 client to use instead of the access's own.
    """

    def __init__(self, access: S3Access, name: str, client: Any = None) -> None:
        self.access = access
        self.name = name
        self._client = client

    @property
    def client(self) -> Any:
        """The boto3 client of this process."""
        return self._client or self.access.client()

    def ask(self, operation: str, *, key: str = "", doing: str = "read", **arguments: Any) -> Any:
        """Call an operation of the boto3 client, as often as the access allows.

        Args:
            operation: its name.
            key: the object's key, or empty where the operation takes none.
            doing: what is tried, in the past tense, for messages.
            arguments: the others that it takes.

        Raises:
            AtdataError: it cannot be done; see ``fault_of``.
        """
        return self._again(lambda: self.ask_once(operation, key=key, doing=doing, **arguments))

    def url(self, key: str) -> str:
        """The ``s3://`` URL of an object."""
        return f"s3://{self.name}/{key}"

    def objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        """What the server tells of every object whose key begins so, a page at a time."""
        return self._pages("list_objects_v2", "Contents", {"ContinuationToken": "NextContinuationToken"}, Prefix=prefix)

    def uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        """The same of every upload in parts that is not complete."""
        marks = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
        return self._pages("list_multipart_uploads", "Uploads", marks, Prefix=prefix)

    def parts(self, key: str, upload: str) -> Iterator[dict[str, Any]]:
        """The same of every part of an upload; none if it is complete or gone."""
        marks = {"PartNumberMarker": "NextPartNumberMarker"}
        with contextlib.suppress(ShardNotFound):
            yield from self._pages("list_parts", "Parts", marks, Key=key, UploadId=upload)

    def _pages(self, operation: str, found: str, marks: dict[str, str], **arguments: Any) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = {"IsTruncated": True}
        while page.get("IsTruncated"):
            following = {mark: page[name] for mark, name in marks.items() if name in page}
            page = self.ask(operation, doing="listed", **arguments, **following)
            yield from page.get(found, [])

    def fetch(self, key: str) -> tuple[bytes, str]:
        """A small object as a whole, and its tag."""
        found = self._again(lambda: self._fetch(key))
        for _ in range(self.access.retries):
            if hashlib.md5(found[0], usedforsecurity=False).hexdigest() == found[1].strip('"'):
                break
            # not all tags are such digests; but what comes twice is what is there
            before, found = found, self._again(lambda: self._fetch(key))
            if before == found:
                break
        return found

    def _fetch(self, key: str) -> tuple[bytes, str]:
        answer = self.ask_once("get_object", key=key)
        try:
            with answer["Body"] as body:
                return body.read(), str(answer.get("ETag", ""))
        except Exception as error:  # of several libraries
            fault = fault_of(error, self.access, self.name, key)
        raise fault

    def _again(self, attempt: Callable[[], T]) -> T:
        failures = 0
        while True:
            try:
                return attempt()
            except Passing as passing:
                fault = passing
            failures += 1
            if failures > self.access.retries:
                raise fault.error
            time.sleep(delay(failures, fault.after))

    def ask_once(self, operation: str, *, key: str = "", doing: str = "read", **arguments: Any) -> Any:
        """The same, once.

        Raises:
            Passing: a fault that can pass.
            AtdataError: it cannot be done.
        """
        if key:
            arguments["Key"] = key
        try:
            answer = getattr(self.client, operation)(Bucket=self.name, **arguments)
        except Exception as error:  # boto3 lets errors of several libraries through
            fault = fault_of(error, self.access, self.name, key, doing=doing)
        else:
            self.access.is_good()
            return answer
        raise fault
