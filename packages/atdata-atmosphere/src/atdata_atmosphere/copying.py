"""The shards of an index's entry: where they are, what is known of them, and copies that were made before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from atdata import URLSource, plugins
from atdata.errors import AtdataError, ShardCorrupted
from atdata.indexing import own_source
from atdata.manifest import NAME, ShardFacts
from atdata.metering import Meter, MeteredShards, MeteredStream
from atdata.progress import ProgressCallback
from atdata.protocols import AbstractIndex, IndexEntry
from atdata.schema import schema_cid
from atdata.shard.reader import read_records
from atdata.sources import public, shard_ids
from atdata.sources.trust import check_trust
from atdata.sources.url import scheme_of
from atdata.storing import Ready, known

_BLOCK = 1 << 20


def entry_source(entry: IndexEntry, index: AbstractIndex) -> Any:
    """The shards of an entry of an index of this machine or team.

    Raises:
        UnsafeURL: URLs that no entry may lead to.
        PluginNotFound: nothing that is installed reads them.
    """
    shards = URLSource(entry.data_urls).list_shards()
    check_trust(shards, of=f"the entry {entry.name!r}", local=True)
    source = own_source(getattr(index, "data_store", None), shards)
    if source is not None:
        return source
    if all(scheme_of(shard) == "s3" for shard in shards):
        return plugins.get("atdata.sources", "s3")(shards)
    return URLSource(entry.data_urls, keep_tls=True)


def known_facts(entry: IndexEntry, index: AbstractIndex) -> list[ShardFacts] | None:
    """What manifests know of the shards of an entry, without reading them; None if they do not know all.

    Raises:
        ShardCorrupted: a shard is not the one that was indexed.
    """
    try:
        source = entry_source(entry, index)
        found = [known(source, shard) for shard in shard_ids(source)]
    except (AtdataError, OSError):  # they are a help, and what reads the shards will tell what is wrong
        return None
    facts = [shard.facts for shard in found if shard is not None]
    if len(facts) < len(found):
        return None
    check_digests(entry, facts)
    return facts


def check_digests(entry: IndexEntry, facts: Sequence[ShardFacts]) -> None:
    """Refuse shards that are not those that were indexed.

    Raises:
        ShardCorrupted: names the first.
    """
    for fact, digest in zip(facts, getattr(entry, "digests", None) or (), strict=False):
        if fact.sha256 != digest:
            raise ShardCorrupted(
                f"{fact.name} has sha256 {fact.sha256}, and had {digest} when {entry.name!r} was indexed; insert the "
                "dataset anew if that is right"
            )


def known_shards(
    entry: IndexEntry, index: AbstractIndex, schema: Mapping[str, Any], progress: ProgressCallback | None = None
) -> tuple[MeteredShards, list[Ready]]:
    """The shards of an entry, and what is known of each; those that no manifest knows are read for that.

    Args:
        entry: the entry.
        index: the index that it is from.
        schema: the schema record of its samples.
        progress: told how many bytes are read, now and when the shards are.

    Raises:
        ShardCorrupted: a shard is not the one that was indexed, or no tar.
        AtdataError: a shard cannot be read.
    """
    source = entry_source(entry, index)
    shards = shard_ids(source)
    told = {shard: known(source, shard) for shard in shards}
    sizes = [ready.facts.bytes for shard in shards if (ready := told[shard]) is not None]
    meter = Meter(progress, sum(sizes) if len(sizes) == len(shards) else None)
    found = [told[shard] or _scanned(source, shard, schema, meter) for shard in shards]
    check_digests(entry, [ready.facts for ready in found])
    return MeteredShards(source, meter, found), found


def _scanned(source: Any, shard: str, schema: Mapping[str, Any], meter: Meter) -> Ready:
    """What reading a shard tells of it."""
    stream = MeteredStream(source.open_shard(shard), meter, hashlib.sha256())
    with stream:
        samples, first = scan(stream, public(shard))
    name = public(shard).rpartition("/")[2]
    facts = ShardFacts(name, samples, stream.count, stream.sha256, first, schema_cid(schema))
    return Ready(shard, facts, dict(schema))


def scan(stream: Any, shard: str) -> tuple[int, str]:
    """How many samples a shard holds, and the key of the first; it is read to its end.

    Args:
        stream: the shard.
        shard: its name, for messages.

    Raises:
        ShardCorrupted, MalformedSample: it is no shard.
    """
    samples, first = 0, ""
    for record in read_records(stream, shard):
        first = first or record.key or ""
        samples += 1
    while stream.read(_BLOCK):  # what is behind the end of the archive belongs to the shard
        pass
    return samples, first


def copies_in(store: Any, prefix: str, ready: Sequence[Ready]) -> list[str] | None:
    """URLs of copies of shards that are in a store, by their digests; None if one is missing, or the store cannot tell.

    Args:
        store: the store.
        prefix: where in it.
        ready: the shards.
    """
    if not (hasattr(store, "list_objects") and hasattr(store, "read_manifest")):
        return None
    there = dict[str, int](store.list_objects(prefix))
    copies: dict[tuple[str, int | None], str] = {}
    for url in there:
        folder, _, name = url.rpartition("/")
        manifest = store.read_manifest(url) if name == NAME else None
        for facts in () if manifest is None else manifest.shards.values():
            at = f"{folder}/{facts.name}"
            copies[facts.sha256, there.get(at)] = at
    found = [copies.get((shard.facts.sha256, shard.facts.bytes)) for shard in ready]
    urls = [url for url in found if url is not None]
    return urls if len(urls) == len(found) else None
