"""Datasets, published and read: where their shards are, what type their samples have, and how to check them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from atdata import Dataset
from atdata.indexing import record_of_type
from atdata.uri import AtUri

from .blob_source import split_url
from .blob_writing import Blob, send_blobs
from .client import AtmosphereClient
from .errors import InvalidRecord, WrongRecord
from .kinds import ANY_SCHEMA, Loader, check_beforehand, fetched, new_record
from .lookup import Pins
from .opening import open_record
from .records import DATASET, Record
from .schemas import publish_once
from .storage import (
    BLOBS,
    blob_storage,
    external_storage,
    facts_of,
    raw_cid,
    storage_for,
    storage_type,
    urls_in,
    urls_of,
)

if TYPE_CHECKING:
    from .lexicon.models.ac.foundation.dataset.record import Record as DatasetRecord

    _Loader = Loader[DatasetRecord]
else:
    _Loader = Loader

ST = TypeVar("ST")


class DatasetPublisher:
    """Publishes datasets: records that name a schema and say where the shards are.

    Args:
        client: writes the records; it must be logged in.
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self.client = client
        self._pin = Pins(client)

    def publish(
        self,
        dataset: Dataset[Any],
        *,
        name: str,
        schema_uri: str | AtUri | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        license: str | None = None,
        auto_publish_schema: bool = True,
        schema_version: str | None = "1.0.0",
        metadata: Mapping[str, Any] | None = None,
        rkey: str | None = None,
    ) -> AtUri:
        """Publish a dataset by the URLs of its shards. Nothing is uploaded.

        Where manifests know the shards, their digests, sizes and sample counts are published, too.

        Args:
            dataset: the dataset.
            name: what people call it.
            schema_uri: AT URI of the schema of its samples; without it, the schema is published first, unless the
                account has published one of this name, version and fields before.
            description: what it is.
            tags: words to find it by.
            license: SPDX identifier, such as ``MIT``.
            auto_publish_schema: whether the schema may be published.
            schema_version: its version then; None takes the next.
            metadata: JSON-like, bytes included.
            rkey: key of the record; by default a new one that sorts by time.

        Returns:
            Where the record is.

        Raises:
            InvalidRecord: no ``schema_uri`` and no ``auto_publish_schema``, or what no record can hold; a
                ``ValueError``.
            RecordNotFound: there is no such schema; a ``KeyError``.
            NameTaken: that version of the schema is published with other fields; a ``ValueError``.
            NotLoggedIn: there was no login; a ``ValueError``.
            AtmosphereError: as for ``AtmosphereClient.create_record``.
        """
        if schema_uri is None and not auto_publish_schema:
            raise InvalidRecord(
                "a dataset needs the schema of its samples: give schema_uri, or auto_publish_schema=True"
            )
        if dataset._changes is not None:
            raise InvalidRecord(
                f"the shards of this dataset hold other samples: it is {dataset._changes}. Publish the dataset below "
                "it, and the lens"
            )
        storage, size = external_storage(urls_of(dataset), facts_of(dataset))
        given = {"description": description, "tags": tags, "license": license, "metadata": metadata}
        if schema_uri is None:
            self._check(name, storage, size, given, rkey)
            schema_uri = publish_once(self.client, record_of_type(dataset), schema_version)
        return self._create(name, schema_uri, storage, size, given, rkey)

    def publish_with_urls(
        self,
        urls: Sequence[str],
        schema_uri: str | AtUri,
        *,
        name: str,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        license: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        rkey: str | None = None,
        shards: Sequence[Mapping[str, Any]] | None = None,
    ) -> AtUri:
        """Publish a dataset by URLs. Nothing is uploaded, and the URLs are not asked.

        Args:
            urls: URLs of the shards; in each, braces such as ``{000000..000009}`` may stand for several. Where all are
                ``at://{did}/blob/{cid}`` of the account, its server keeps these blobs from now on.
            schema_uri: AT URI of the schema of its samples.
            shards: what is known of each shard that the URLs stand for, in order: ``digest`` (its CID), ``bytes``,
                ``samples``. Of blobs ``bytes`` must be known.
            name, description, tags, license, metadata, rkey: as for ``publish``.

        Returns:
            Where the record is.

        Raises:
            UnsafeURL: a URL that would run a command, or that holds a password; a ``ValueError``.
            InvalidRecord, RecordNotFound, NotLoggedIn, AtmosphereError: as for ``publish``.
        """
        storage, size = storage_for(urls, shards, {self.client.did, self.client.handle})
        given = {"description": description, "tags": tags, "license": license, "metadata": metadata}
        return self._create(name, schema_uri, storage, size, given, rkey)

    def publish_with_blobs(
        self,
        blobs: Iterable[Blob],
        schema_uri: str | AtUri,
        *,
        name: str,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        license: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        mime_type: str = "application/x-tar",
        rkey: str | None = None,
    ) -> AtUri:
        """Upload shards into the account's own repository and publish a dataset of them.

        A server keeps blobs only while a record refers to them; if anything fails before there is one, it drops them.
        Several are sent at a time, files while they are read; what the repository has already is not sent again.

        Args:
            blobs: the shards: paths, or their bytes.
            schema_uri: AT URI of the schema of its samples.
            mime_type: what the shards are.
            name, description, tags, license, metadata, rkey: as for ``publish``.

        Returns:
            Where the record is.

        Raises:
            PayloadTooLarge: a shard is larger than the server allows; a ``ValueError``. Of a list, no other is sent.
            OSError: a file cannot be read.
            InvalidRecord, RecordNotFound, NotLoggedIn, AtmosphereError: as for ``publish``.
        """
        given = {"description": description, "tags": tags, "license": license, "metadata": metadata}
        self._check(name, {"$type": BLOBS, "blobs": [_NO_BLOB]}, {}, given, rkey)
        self._pin(schema_uri)
        storage, size = blob_storage(*send_blobs(self.client, blobs, mime_type))
        return self._create(name, schema_uri, storage, size, given, rkey)

    def check(self, name: str, schema_uri: str | AtUri | None, given: Mapping[str, Any]) -> None:
        """Say what keeps a dataset from being published, before any of its shards is stored.

        Args:
            name: what people call it.
            schema_uri: its schema; None if that is yet to be published.
            given: ``description``, ``tags``, ``license`` and ``metadata``.

        Raises:
            InvalidRecord, RecordNotFound, NotLoggedIn, AtmosphereError: as for ``publish``.
        """
        self._check(name, {"$type": BLOBS, "blobs": [_NO_BLOB]}, {}, given, None)
        if schema_uri is not None:
            self._pin(schema_uri)

    def _create(
        self,
        name: str,
        schema_uri: str | AtUri,
        storage: Mapping[str, Any],
        size: Mapping[str, Any],
        given: Mapping[str, Any],
        rkey: str | None,
    ) -> AtUri:
        self._check(name, storage, size, given, rkey)
        record = _record(name, self._pin(schema_uri), storage, size, given)
        return self.client.create_record(DATASET, record, rkey=rkey)

    def _check(
        self,
        name: str,
        storage: Mapping[str, Any],
        size: Mapping[str, Any],
        given: Mapping[str, Any],
        rkey: str | None,
    ) -> None:
        check_beforehand(self.client, DATASET, _record(name, ANY_SCHEMA, storage, size, given), rkey)


# Stands for one that is not uploaded yet
_NO_BLOB = {"blob": {"$type": "blob", "ref": {"$link": raw_cid("00" * 32)}, "mimeType": "application/x-tar", "size": 0}}


def _record(
    name: str,
    schema: tuple[str, str | None],
    storage: Mapping[str, Any],
    size: Mapping[str, Any],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    tags = given["tags"]
    if tags is not None:
        if isinstance(tags, str) or not all(isinstance(tag, str) and 0 < len(tag) <= 128 for tag in tags):
            raise InvalidRecord(f"tags are a list of texts of up to 128 characters; found {tags!r:.100}")
        given = {**given, "tags": list(tags)}
    uri, cid = schema
    return new_record(
        DATASET, {"name": name, "schemaRef": uri, "schemaCid": cid, "storage": storage, "size": size, **given}
    )


class DatasetLoader(_Loader):
    """Reads dataset records from anybody's repository, and opens datasets from them."""

    collection = DATASET

    def get_storage_type(self, uri: str | AtUri) -> str:
        """``"external"`` for shards behind URLs, ``"blobs"`` for shards in the owner's repository.

        Raises:
            WrongRecord: neither of them, or no dataset record; a ``ValueError``.
            RecordNotFound, AtmosphereError: as for ``get``.
        """
        record = self._record(uri)
        return storage_type(record, record.uri)

    def get_urls(self, uri: str | AtUri) -> list[str]:
        """URLs of the shards as they were published, braces included.

        Raises:
            WrongRecord: the shards are not behind URLs; a ``ValueError``.
            RecordNotFound, AtmosphereError: as for ``get``.
        """
        record = self._stored(uri, "external")
        return urls_in(record, record.uri)

    def get_blobs(self, uri: str | AtUri) -> list[dict[str, Any]]:
        """What the record refers to its blobs with: ``$type``, ``ref``, ``mimeType``, ``size`` of each.

        Raises:
            WrongRecord: the shards are not blobs; a ``ValueError``.
            RecordNotFound, AtmosphereError: as for ``get``.
        """
        return [shard["blob"] for shard in self._stored(uri, "blobs")["storage"]["blobs"]]

    def get_blob_urls(self, uri: str | AtUri) -> list[str]:
        """URLs of the shards on their owner's server.

        Raises:
            WrongRecord: the shards are not blobs; a ``ValueError``.
            IdentityError: the owner's server cannot be found; a ``ValueError``.
            RecordNotFound, AtmosphereError: as for ``get``.
        """
        record = self._stored(uri, "blobs")
        return [self.client.get_blob_url(*split_url(url)) for url in urls_in(record, record.uri)]

    def get_metadata(self, uri: str | AtUri) -> dict[str, Any] | None:
        """The metadata as the publisher gave it, or None if there is none; raises like ``get``."""
        return self.get(uri).get("metadata")

    def to_dataset(self, uri: str | AtUri, sample_type: type[ST]) -> Dataset[ST]:
        """The dataset that a record describes. Its shards are read when it is iterated.

        What a record names is read over https, s3 or gs only, and not from private addresses. Where it says what the
        digest of a shard is, other bytes raise ``ShardCorrupted``.

        Args:
            uri: AT URI of the record.
            sample_type: what its samples are read as.

        Raises:
            UnsafeURL: the record names what may not be read; a ``ValueError``.
            WrongRecord: no dataset record, or shards in no known place; a ``ValueError``.
            RecordNotFound, AtmosphereError: as for ``get``.
        """
        record = self._record(uri)
        return open_record(self.client, record.uri, record, sample_type)

    def _record(self, uri: str | AtUri) -> Record:
        return fetched(self.client, uri, DATASET)

    def _stored(self, uri: str | AtUri, wanted: str) -> Record:
        """A record, if its shards are where they should be."""
        record = self._record(uri)
        found = storage_type(record, record.uri)
        if found != wanted:
            other = "get_urls()" if found == "external" else "get_blobs() or get_blob_urls()"
            raise WrongRecord(f"the shards of {uri} are in {found} storage; use {other}, or to_dataset() for any")
        return record
