"""What is in a store, and whether it is what its manifests say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from atdata.errors import AtdataError
from atdata.manifest import NAME, Manifest, ShardFacts
from atdata.manifest.sidecar import sidecar_name
from atdata.metering import Meter, MeteredStream
from atdata.shard.payload import unpack_map
from atdata.shard.reader import read_records

from .disk import DiskDataStore
from .leftovers import Leftover
from .s3 import S3DataStore

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Kept:
    """A shard that is in a store, or that a manifest in it names.

    Attributes:
        url: where it is.
        bytes: its size; None if it is not there.
        facts: what its manifest knows of it; None if no manifest names it.
        left: whether a writer has left it that did not finish.
    """

    url: str
    bytes: int | None
    facts: ShardFacts | None
    left: bool = False

    @property
    def problem(self) -> str | None:
        """What can be said without reading it; None if nothing is wrong."""
        if self.left:
            return "an orphan: its writer died or is still at work; what is a day old goes with: atdata store sweep"
        if self.bytes is None:
            return "a manifest names it, and it is not there"
        if self.facts is None:
            return "no manifest names it: its writer was interrupted, or is still at work, or was another program"
        if self.bytes != self.facts.bytes:
            return f"it has {self.bytes:,} bytes where the manifest says {self.facts.bytes:,}"
        return None


def survey(store: DiskDataStore | S3DataStore, prefix: str = "", left: Sequence[Leftover] = ()) -> list[Kept]:
    """All shards below a prefix, by URL.

    Args:
        store: the store.
        prefix: the prefix.
        left: what writers have left, to be told as that.

    Raises:
        ManifestError: a manifest that cannot be understood.
    """
    there = dict(store.list_objects(prefix))
    facts: dict[str, ShardFacts] = {}
    for url in there:
        folder, _, name = url.rpartition("/")
        if name == NAME:
            manifest = store.read_manifest(url) or Manifest()
            facts |= {f"{folder}/{shard}": known for shard, known in manifest.shards.items()}
    sidecars = {sidecar_name(url) for url in there}
    orphans = {orphan.url: orphan.bytes for orphan in left if orphan.url not in facts}
    shards = [url for url in there if not url.endswith(f"/{NAME}") and url not in sidecars]
    urls = sorted({*shards, *facts, *orphans})
    return [Kept(url, there.get(url, orphans.get(url)), facts.get(url), url in orphans) for url in urls]


def examine(store: DiskDataStore | S3DataStore, shard: Kept, meter: Meter) -> str | None:
    """Read a shard to its end. Returns what is wrong with it, or None.

    Digest, number of samples and their first key are compared with the manifest; every sample must be a msgpack map.

    Args:
        store: the store.
        shard: the shard.
        meter: counts the bytes that are read.
    """
    if shard.problem is not None or shard.facts is None:
        return shard.problem
    facts = shard.facts
    samples, first = 0, ""
    try:
        with MeteredStream(store.source([shard.url]).open_shard(shard.url), meter, hashlib.sha256()) as stream:
            for record in read_records(stream, shard.url):
                unpack_map(record.payload)
                first = first or record.key or ""
                samples += 1
            while stream.read(_BLOCK):
                pass
    except AtdataError as error:
        return str(error)
    found = stream.sha256
    if found != facts.sha256:
        return f"it has sha256 {found} where the manifest says {facts.sha256}"
    if (samples, first) != (facts.samples, facts.first_key):
        said = f"{facts.samples:,} from {facts.first_key!r} on"
        return f"it has {samples:,} samples from {first!r} on where the manifest says {said}"
    return None
