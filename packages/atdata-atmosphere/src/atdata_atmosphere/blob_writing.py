"""Shards on their way into a repository: copied as they are, or made anew in temporary files."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import warnings
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from atdata import Dataset
from atdata.manifest import ShardFacts, facts_of
from atdata.sources.download import Digest
from atdata.sources.url import path_of
from atdata.storing import Limits, Ready, TarStream, check, keyed_samples, schemas_for

from .errors import AtmosphereWarning, InvalidRecord
from .storage import raw_cid
from .uploads import Crew, Spool, Uploads, check_size

if TYPE_CHECKING:
    from .client import AtmosphereClient

Blob: TypeAlias = "bytes | str | os.PathLike[str]"

# Bytes of a blob that servers take which do not say how many
BLOB_LIMIT: Final = 5 << 20
# What fits into one record
MOST_SHARDS: Final = 5_000


class Writing:
    """The shards of one dataset, on their way.

    Args:
        uploads: sends them.
        wanted: how large the user wants shards to be.
        largest: bytes of the largest blob that the server takes.
        server: its URL.

    Attributes:
        limits: how large shards may be.
    """

    def __init__(self, uploads: Uploads, wanted: Limits, largest: int, server: str) -> None:
        self.limits = Limits(wanted.samples, min(wanted.bytes or largest, largest))
        self._uploads = uploads
        self._wanted = wanted
        self._largest = largest
        self._server = server
        self._told = False

    def copy(self, ds: Dataset[Any], ready: Sequence[Ready]) -> list[ShardFacts]:
        """Send shards as they are.

        Returns:
            What is known of them, under their CIDs.
        """
        check_number(len(ready))
        with Crew() as crew:
            sent = [crew.do(partial(self._copy, ds, shard, crew)) for shard in ready]
        return [future.result() for future in sent]

    def _copy(self, ds: Dataset[Any], shard: Ready, crew: Crew) -> ShardFacts:
        known = shard.facts
        cid = raw_cid(known.sha256)
        if self._uploads.find(cid) is None:
            digest = Digest(known.bytes, known.sha256)
            with _file_of(ds, shard, digest) as file:
                self._uploads.put(known.name, file, digest, stopping=crew.stopping)
        return ShardFacts(cid, known.samples, known.bytes, known.sha256, known.first_key, known.schema)

    def anew(self, ds: Dataset[Any]) -> list[ShardFacts]:
        """Make shards of all samples of a dataset, and send them meanwhile.

        Returns:
            What is known of them, under their CIDs.
        """
        schema = next(iter(schemas_for(ds)), None)
        samples = keyed_samples(ds)
        held = next(samples, None)
        sent: list[Future[ShardFacts]] = []
        with ExitStack() as spools, Crew() as crew:
            while held is not None:
                check_number(len(sent) + 1)
                spool = spools.enter_context(Spool())
                shard = TarStream(spool)
                held = shard.fill(held, samples, self.limits)
                check_size(f"the shard of the sample {shard.first_key!r}", shard.bytes, self._largest, self._server)
                if held is not None:
                    self._tell(shard)
                sent.append(crew.do(partial(self._send, spool, shard, schema, crew)))
        return [future.result() for future in sent]

    def _send(self, spool: Spool, shard: TarStream, schema: str | None, crew: Crew) -> ShardFacts:
        with spool:
            digest = spool.digest
            cid = raw_cid(digest.sha256)
            self._uploads.put(f"the shard {cid}", spool.file, digest, stopping=crew.stopping)
        return ShardFacts(cid, shard.samples, shard.bytes, digest.sha256, shard.first_key, schema)

    def _tell(self, shard: TarStream) -> None:
        """Warn if a shard ended because of what the server takes."""
        wanted = self._wanted
        by_count = wanted.samples is not None and shard.samples >= wanted.samples
        if self._told or by_count or (wanted.bytes is not None and wanted.bytes <= self._largest):
            return
        self._told = True
        warnings.warn(
            f"{self._server} takes blobs of at most {self._largest:,} bytes, so the dataset is cut into smaller shards "
            f"than {'asked for' if wanted.bytes is None else f'maxsize={wanted.bytes:,} allows'}",
            AtmosphereWarning,
            stacklevel=4,
        )


@contextmanager
def _file_of(ds: Dataset[Any], shard: Ready, digest: Digest) -> Generator[IO[bytes]]:
    """A shard as a file of this machine."""
    with ds.source.open_shard(shard.shard_id) as stream:
        if path_of(ds.source, shard.shard_id, stream) is not None:
            yield stream
            return
        with Spool() as spool:
            shutil.copyfileobj(stream, spool, 1 << 20)
            found = spool.digest
            check(shard.facts.name, spool.bytes, found.sha256, digest)
            yield spool.file


def check_number(shards: int) -> None:
    """Refuse more shards than a record can name.

    Raises:
        InvalidRecord: there are more; a ``ValueError``.
    """
    if shards > MOST_SHARDS:
        raise InvalidRecord(
            f"a record has room for {MOST_SHARDS:,} blobs, and there are more shards; make them larger, or publish "
            "parts of the dataset"
        )


def send_blobs(
    client: AtmosphereClient, blobs: Iterable[Blob], kind: str
) -> tuple[list[dict[str, Any]], list[int | None]]:
    """Send blobs that are in memory or in files, several at a time.

    Args:
        client: the account.
        blobs: bytes, or paths.
        kind: media type of the bytes.

    Returns:
        What a record refers to each with, and its number of samples where a manifest beside the file knows that.

    Raises:
        PayloadTooLarge: one is larger than the server allows; of a sequence, told before any is sent.
        InvalidRecord: more than a record can name.
    """
    largest, server, uploads = client.blob_limit(), client.server, Uploads(client)

    def send(number: int, blob: Blob) -> tuple[dict[str, Any], int | None]:
        known = None if isinstance(blob, bytes) else facts_of(Path(blob))
        with _open(blob) as file:
            digest = Digest(_size(blob), hashlib.file_digest(file, "sha256").hexdigest())
            sent = uploads.put(_name(number, blob), file, digest, kind, crew.stopping)
        return sent, known.samples if known is not None and known.sha256 == digest.sha256 else None

    def check(number: int, blob: Blob) -> None:
        check_number(number + 1)
        if largest is not None:
            check_size(_name(number, blob), _size(blob), largest, server)

    if isinstance(blobs, Sequence):
        for number, blob in enumerate(blobs):
            check(number, blob)
    sent = []
    with Crew() as crew:
        for number, blob in enumerate(blobs):
            check(number, blob)
            sent.append(crew.do(partial(send, number, blob)))
    found = [future.result() for future in sent]
    return [blob for blob, _ in found], [samples for _, samples in found]


def _name(number: int, blob: Blob) -> str:
    return f"blob {number}" if isinstance(blob, bytes) else os.fsdecode(blob)


def _size(blob: Blob) -> int:
    return len(blob) if isinstance(blob, bytes) else os.stat(blob).st_size


def _open(blob: Blob) -> io.BytesIO | io.BufferedReader:
    return io.BytesIO(blob) if isinstance(blob, bytes) else open(blob, "rb")
