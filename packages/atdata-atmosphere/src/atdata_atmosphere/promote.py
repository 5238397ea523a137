"""``promote_to_atmosphere``: datasets of a local index, published on the AT Protocol network."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from atdata import Dataset, DictSample
from atdata.indexing import forget
from atdata.progress import ProgressCallback
from atdata.protocols import AbstractDataStore, AbstractIndex, IndexEntry
from atdata.sources.url import scheme_of
from atdata.uri import AtUri, DatasetRef

from .client import AtmosphereClient
from .copying import copies_in, known_facts, known_shards
from .datasets import DatasetPublisher, _record
from .errors import InvalidRecord
from .kinds import proper
from .lookup import Pins
from .reach import public_urls
from .records import DATASET, SCHEMA, wire
from .schemas import publish_once
from .storage import as_records, raw_cid, storage_for

__all__ = ["promote_to_atmosphere"]


def promote_to_atmosphere(
    local_entry: IndexEntry,
    local_index: AbstractIndex,
    atmosphere_client: AtmosphereClient,
    *,
    data_store: AbstractDataStore | None = None,
    name: str | None = None,
    description: str | None = None,
    tags: Sequence[str] | None = None,
    license: str | None = None,
    allow_private: bool = False,
    progress: ProgressCallback | None = None,
) -> str:
    """Publish a dataset of a local index.

    The record says what the entry says: name, description, tags, license, metadata, and how many samples, bytes and
    shards there are, with their digests. The schema is published unless the account has published one of its name,
    version and fields. Nothing is published twice: promoting the same again, also after an interruption, gives the
    record that is there, and uses the copies that were made.

    Args:
        local_entry: the entry.
        local_index: the index that it is from, which has its schema.
        atmosphere_client: writes the records; it must be logged in.
        data_store: where the shards are copied to, as they are; None publishes the URLs that the entry has. For a
            bucket of an S3 service other than AWS, that is the ``https`` URL of each shard there.
        name: its name, if not that of the entry; so are ``description``, ``tags`` and ``license``.
        allow_private: publish URLs that nobody else can read, too: files of this machine, plain ``http``, addresses
            that are not public. For a client with ``allow_insecure=True`` that is always so.
        progress: told how many bytes are copied, of how many.

    Returns:
        AT URI of the record.

    Raises:
        SchemaNotFound: the index does not have the schema of the entry; a ``KeyError``.
        InvalidRecord: an entry without URLs, or what no record can hold; a ``ValueError``.
        UnsafeURL: nobody else could read the shards; a ``ValueError``. Nothing is copied or published then.
        ShardCorrupted: a shard is not the one that was indexed; a ``ValueError``.
        NameTaken: the account has another schema of that name and version; a ``ValueError``.
        NotLoggedIn: there was no login; a ``ValueError``.
        AtdataError: the shards cannot be read or copied, or the account's server does not take the record.

    Examples:
        >>> from atdata.promote import promote_to_atmosphere
        >>> def promote(name, index, client):
        ...     return promote_to_atmosphere(index.get_dataset(name), index, client, license="MIT")
    """
    client, entry = atmosphere_client, local_entry
    name = entry.name if name is None else name
    DatasetRef(client.did, name)
    if not entry.data_urls:
        raise InvalidRecord(f"the entry {entry.name!r} has no data URLs, so there is nothing to publish")
    schema = local_index.get_schema(entry.schema_ref)
    given = {"description": description, "tags": tags, "license": license}
    said = {key: value if value is not None else getattr(entry, key, None) or None for key, value in given.items()}
    said["metadata"] = entry.metadata
    DatasetPublisher(client).check(name, None, said)
    private = allow_private or client.policy.allow_insecure
    size = {"samples": getattr(entry, "samples", None)}
    if data_store is None:
        store = getattr(local_index, "data_store", None)
        urls = entry.data_urls if private else public_urls(entry.data_urls, store)
        size["bytes"] = getattr(entry, "bytes", None)
        facts = _facts(entry, local_index)
        return str(_publish(client, _pin(client, schema), name, said, urls, facts, size))
    if not private:
        _check_reach(data_store)
    shards, ready = known_shards(entry, local_index, schema, progress)
    pin = _pin(client, schema)  # better refused now than after an hour of copying
    kept, made = copies_in(data_store, name, ready), list[str]()
    if kept is None:
        made = data_store.write_shards(Dataset.of(DictSample, shards), prefix=name, **_unlimited(data_store))
    try:
        urls = kept or made
        tell = getattr(data_store, "shard_facts", None)
        facts = None if tell is None else as_records(tell(urls))
        urls = urls if private else public_urls(urls, data_store)
        return str(_publish(client, pin, name, said, urls, facts, size))
    except BaseException as error:
        if made:
            forget(data_store, made, error)
        raise


def _facts(entry: IndexEntry, index: AbstractIndex) -> list[dict[str, Any]] | None:
    """What is known of each shard, as records say it."""
    known, digests = as_records(known_facts(entry, index)), getattr(entry, "digests", None)
    if known is None and digests is not None:
        return [{"digest": raw_cid(digest)} for digest in digests]
    return known


def _check_reach(store: Any) -> None:
    """Refuse a store that others cannot read, before anything is copied there."""
    url = getattr(store, "url", "")
    if scheme_of(url) in ("file", "http", "https", "s3"):
        public_urls([f"{url.rstrip('/')}/shard.tar"], store)


def _unlimited(store: Any) -> dict[str, Any]:
    """Options that keep a store from cutting shards, where it has a limit of its own."""
    taken = inspect.signature(store.write_shards).parameters
    return {option: None for option in ("maxcount", "maxsize") if option in taken}


def _pin(client: AtmosphereClient, schema: Mapping[str, Any]) -> tuple[str, str]:
    """URI and CID of a schema, which is published if it is not."""
    plain = {key: value for key, value in schema.items() if key not in ("$ref", "createdAt")}
    return Pins(client)(publish_once(client, plain, schema["version"]))


def _publish(
    client: AtmosphereClient,
    pin: tuple[str, str],
    name: str,
    said: Mapping[str, Any],
    urls: Sequence[str],
    shards: Sequence[Mapping[str, Any]] | None,
    size: Mapping[str, int | None],
) -> AtUri:
    """Write the record of a dataset, unless it is there."""
    storage, counted = storage_for(urls, shards, {client.did, client.handle})
    told = {key: count for key, count in size.items() if count is not None}
    record = _record(name, pin, storage, told | counted, said)
    there = (known.uri for known in proper(client, DATASET, client.did) if _content(known) == _content(record))
    return next(there, None) or client.create_record(DATASET, record)


def _content(record: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = wire(record)
    content.pop("createdAt", None)
    return content


def _find_existing_schema(  # pyright: ignore[reportUnusedFunction]  # users call it by this name
    client: AtmosphereClient, schema_name: str, version: str
) -> str | None:
    """AT URI of the schema of a name and version that the account has published, or None.

    Args:
        client: the account.
        schema_name: name of the sample type, with or without its module.
        version: its version.
    """
    name = schema_name.rpartition(".")[2]
    found = [r.uri for r in proper(client, SCHEMA, client.did) if (r["name"], r["version"]) == (name, version)]
    return str(found[-1]) if found else None
