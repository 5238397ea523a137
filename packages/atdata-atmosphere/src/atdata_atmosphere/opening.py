"""Datasets opened from their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from atdata import Dataset, URLSource
from atdata.find import exact
from atdata.indexing import own_source
from atdata.manifest import ShardFacts
from atdata.uri import AtUri

from .blob_source import BlobSource
from .client import AtmosphereClient
from .storage import RecordSource, facts_in, sha256_of, storage_type, urls_in

ST = TypeVar("ST")


def open_record(
    client: AtmosphereClient,
    uri: AtUri,
    record: Mapping[str, Any],
    sample_type: type[ST],
    *,
    shards: Sequence[str] | None = None,
    store: object = None,
) -> Dataset[ST]:
    """The dataset that a record describes, each shard checked against its digest where the record says it.

    Args:
        client: knows servers, and which of them may be asked.
        uri: where the record is; its authority is a DID.
        record: a dataset's, as it was written.
        sample_type: what its samples are read as.
        shards: only these of its shards; blobs are ``at://{did}/blob/{cid}``.
        store: the reader's own data store, which reads what is in it.

    Raises:
        UnsafeURL: the record names what may not be read; a ``ValueError``.
        WrongRecord: shards in no known place; a ``ValueError``.
        IdentityError: the server of the shards cannot be found; a ``ValueError``.
    """
    urls, facts = urls_in(record, uri), facts_in(record, uri)
    in_repository = storage_type(record, uri) == "blobs"
    blobs = dict(zip(urls, record["storage"]["blobs"], strict=True)) if in_repository else {}
    if shards is not None:
        urls = [exact(shard) for shard in shards]
        facts = {url: facts[shard] for url, shard in zip(urls, shards, strict=True) if shard in facts}
    source = None if store is None else own_source(store, URLSource(urls).list_shards())
    if source is None and in_repository:
        source = BlobSource.from_refs([blobs[url]["blob"] for url in urls], did=uri.authority, client=client)
    elif source is None:
        source = RecordSource(urls, client.policy, f"the record {uri}", _digests(facts), client)
    return Dataset.of(sample_type, source, _known(facts))


def _digests(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int | None, str]]:
    """Sizes and digests of shards, as far as facts have them."""
    return {url: (fact.get("bytes"), sha) for url, fact in facts.items() if (sha := sha256_of(fact.get("digest")))}


def _known(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, ShardFacts]:
    """Facts on those shards of which all is known."""
    return {
        url: ShardFacts(url.rpartition("/")[2], facts[url]["samples"], size, sha, "")
        for url, (size, sha) in _digests(facts).items()
        if size is not None and "samples" in facts[url]
    }
