"""Where shards are: how records say so, and what may be read of what they say."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from atdata import Dataset, URLSource
from atdata.errors import InvalidReference, UnsafeURL
from atdata.manifest import ShardFacts
from atdata.sources import public
from atdata.sources.braces import check, expand
from atdata.sources.trust import check_trust, is_public
from atdata.sources.url import parts_of, scheme_of
from atdata.uri import AtUri, BlobRef, parse

from .errors import AtmosphereWarning, InvalidRecord, WrongRecord
from .policy import Policy, origin
from .records import NAMESPACE, cid_bytes, cid_text, json_size

if TYPE_CHECKING:
    from .blob_source import BlobSource
    from .client import AtmosphereClient

EXTERNAL, BLOBS = f"{NAMESPACE}.storageExternal", f"{NAMESPACE}.storageBlobs"
_MOST_LOCATIONS = 10_000
_FACTS_BYTES = 100_000
_REMOTE = ("https", "s3", "gs", "at")
TAR = "application/x-tar"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
# CIDv1, codec raw, hash sha2-256, 32 bytes
_RAW = b"\x01\x55\x12\x20"


def storage_for(
    urls: Sequence[str], shards: Sequence[Mapping[str, Any]] | None, owner: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a record says where shards are, and how large the dataset is: blobs of the owner's are referred to.

    Args:
        urls: URLs of the shards, or ``at://{did}/blob/{cid}``.
        shards: what is known of each shard, in order.
        owner: what whoever writes the record is called.

    Raises:
        InvalidRecord, UnsafeURL: as for ``external_storage``; or blobs of unknown size.
    """
    blobs = [ref for url in urls if (ref := _blob(url)) is not None and ref.authority in owner]
    if not blobs or len(blobs) < len(urls):
        return external_storage(urls, shards)
    if shards is None or len(shards) != len(blobs) or not all("bytes" in shard for shard in shards):
        raise InvalidRecord(f"of each of the {len(blobs):,} blobs the size must be known: shards=[{{'bytes': ...}}]")
    refs = [
        {"$type": "blob", "ref": {"$link": ref.cid}, "mimeType": TAR, "size": shard["bytes"]}
        for ref, shard in zip(blobs, shards, strict=True)
    ]
    return blob_storage(refs, [shard.get("samples") for shard in shards])


def _blob(url: str) -> BlobRef | None:
    try:
        ref = parse(url) if url.startswith("at://") else None
    except InvalidReference:
        return None
    return ref if isinstance(ref, BlobRef) else None


def _totals(shards: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Samples and bytes of all shards together, where those of each are known."""
    found: dict[str, int] = {}
    for key in ("samples", "bytes"):
        counted = [shard[key] for shard in shards if key in shard]
        if not all(type(count) is int and count >= 0 for count in counted):
            raise InvalidRecord(f"{key} of shards are counts; found {counted!r:.100}")
        found |= {key: sum(counted)} if len(counted) == len(shards) else {}
    return found


def external_storage(
    urls: Sequence[str], shards: Sequence[Mapping[str, Any]] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a record says where shards are, and how large the dataset is.

    Args:
        urls: URLs of the shards; braces may stand for several.
        shards: what is known of each shard, in order.

    Raises:
        InvalidRecord: no URLs, too many, or facts on another number of shards.
        UnsafeURL: a URL that would run a command, that holds a password, or that stands for over a million shards.
    """
    if isinstance(urls, str) or not all(isinstance(url, str) and url for url in urls):
        raise InvalidRecord(f"urls is a list of texts; found {urls!r:.100}")
    if not 0 < len(urls) <= _MOST_LOCATIONS:
        raise InvalidRecord(
            f"there are {len(urls):,} URLs; a record takes 1 to {_MOST_LOCATIONS:,}, each of which may stand for "
            "many: data-{000000..999999}.tar"
        )
    for url in urls:
        _check_public(url)
    check(list(urls))
    counts = [sum(1 for _ in expand(url)) for url in urls]
    size: dict[str, Any] = {"shards": sum(counts)}
    locations: list[dict[str, Any]] = [{"url": url} for url in urls]
    if shards is not None:
        if len(shards) != sum(counts):
            raise InvalidRecord(f"the URLs stand for {sum(counts):,} shards, and facts are given on {len(shards):,}")
        size |= _totals(shards)
        if json_size([dict(shard) for shard in shards]) > _FACTS_BYTES:
            warnings.warn(
                f"the digests of {len(shards):,} shards are too much for one record and are left out; fewer, larger "
                "shards have room",
                AtmosphereWarning,
                stacklevel=4,
            )
        else:
            facts = iter(shards)
            for location, count in zip(locations, counts, strict=True):
                location["shards"] = [dict(next(facts)) for _ in range(count)]
    return {"$type": EXTERNAL, "locations": locations}, size


def _check_public(url: str) -> None:
    """Refuse what must not be published; warn of what others cannot read."""
    scheme = scheme_of(url)
    if scheme == "pipe":
        raise UnsafeURL(f"{public(url)!r:.200} is a command; no reader of a record runs one")
    if scheme and "@" in url.partition("://")[2].partition("/")[0]:
        raise UnsafeURL(f"{public(url)!r:.200} holds a user or a password, which everybody could read")
    if scheme not in _REMOTE:
        warnings.warn(
            f"{public(url)!r:.200} is published as it is, and nobody else can read it: others need https, s3, gs or at",
            AtmosphereWarning,
            stacklevel=5,
        )


def urls_of(dataset: Dataset[Any]) -> list[str]:
    """The shards of a dataset as they were given, in patterns where that is the same."""
    shards = dataset.list_shards()
    given = parts_of(dataset.url) if isinstance(dataset.source, URLSource) else shards
    return given if [shard for url in given for shard in expand(url)] == shards else shards


def facts_of(dataset: Dataset[Any]) -> list[dict[str, Any]] | None:
    """What manifests know of the shards of a dataset, as records say it; None if they do not know all."""
    return as_records(dataset._facts())


def as_records(facts: Sequence[ShardFacts] | None) -> list[dict[str, Any]] | None:
    """Facts on shards as records say them."""
    if facts is None:
        return None
    return [{"digest": raw_cid(fact.sha256), "bytes": fact.bytes, "samples": fact.samples} for fact in facts]


def raw_cid(sha256: str) -> str:
    """The CID of bytes from their SHA-256 in hex: what a blob of them is called."""
    return cid_text(_RAW + bytes.fromhex(sha256))


def sha256_of(cid: Any) -> str | None:
    """The SHA-256 in hex from the CID of bytes; None for what is no such CID."""
    try:
        data = cid_bytes(cid)
    except (TypeError, ValueError):
        return None
    return data[4:].hex() if cid.startswith("b") and data.startswith(_RAW) and len(data) == 36 else None


def storage_type(record: Mapping[str, Any], where: object) -> str:
    """``"external"`` for shards behind URLs, ``"blobs"`` for shards in the owner's repository.

    Args:
        record: a dataset's.
        where: its URI, for messages.

    Raises:
        WrongRecord: neither of them.
    """
    kind = record["storage"].get("$type")
    known = {EXTERNAL: "external", BLOBS: "blobs"}
    if kind not in known:
        raise WrongRecord(
            f"{where} keeps its shards in {kind!r:.100}, which this version does not know; try pip install -U "
            "atdata-atmosphere"
        )
    return known[kind]


def urls_in(record: Mapping[str, Any], uri: AtUri) -> list[str]:
    """URLs of the shards of a dataset as they were published, braces included; blobs are ``at://{did}/blob/{cid}``.

    Args:
        record: the dataset's.
        uri: where it is; its authority is a DID.

    Raises:
        WrongRecord: the shards are in no place that this version knows.
        InvalidReference: a blob whose CID is none.
    """
    storage = record["storage"]
    if storage_type(record, uri) == "external":
        return [location["url"] for location in storage["locations"]]
    return [str(BlobRef(uri.authority, shard["blob"]["ref"]["$link"])) for shard in storage["blobs"]]


def facts_in(record: Mapping[str, Any], uri: AtUri) -> dict[str, Mapping[str, Any]]:
    """What a record says of the shards of a dataset, by their URLs; see ``urls_in``.

    Raises:
        WrongRecord: it says so of another number of shards than there are.
        UnsafeURL: URLs that stand for over a million shards.
    """
    urls, storage = urls_in(record, uri), record["storage"]
    if storage["$type"] == BLOBS:
        return dict(zip(urls, map(_blob_facts, storage["blobs"]), strict=True))
    found: dict[str, Mapping[str, Any]] = {}
    for location in storage["locations"]:
        facts = location.get("shards")
        if facts:
            shards = URLSource(location["url"]).list_shards()
            if len(facts) != len(shards):
                told = f"{len(shards):,} shards, with {len(facts):,} facts"
                raise WrongRecord(f"{location['url']!r:.200} stands for {told}")
            found |= zip(shards, facts, strict=True)
    return found


def _blob_facts(shard: Mapping[str, Any]) -> dict[str, Any]:
    blob = shard["blob"]
    facts = {"digest": blob["ref"]["$link"], "bytes": blob.get("size"), "samples": shard.get("samples")}
    return {key: value for key, value in facts.items() if value is not None}


def blob_storage(
    blobs: Sequence[Mapping[str, Any]], samples: Sequence[int | None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a record says that shards are blobs beside it, and how large the dataset is.

    Args:
        blobs: what refers to each blob.
        samples: how many samples each holds, where that is known.
    """
    shards = [
        {"blob": dict(blob), **({} if count is None else {"samples": count})}
        for blob, count in zip(blobs, samples, strict=True)
    ]
    size = {"shards": len(blobs), "bytes": sum(blob.get("size", 0) for blob in blobs)}
    known = [count for count in samples if count is not None]
    return {"$type": BLOBS, "blobs": shards}, size | ({"samples": sum(known)} if len(known) == len(blobs) else {})


class RecordSource(URLSource):
    """Shards whose URLs come from a record: anybody may have written them.

    Args:
        urls: URLs, with braces.
        policy: which servers may be asked.
        of: what names the URLs, for messages.
        digests: as for ``URLSource``.
        client: knows the network of ``at:`` URLs; by default the environment names it.

    Raises:
        UnsafeURL: a URL that may not be read.
    """

    def __init__(
        self,
        urls: Sequence[str],
        policy: Policy,
        of: str,
        digests: Mapping[str, tuple[int | None, str]] | None = None,
        client: AtmosphereClient | None = None,
    ) -> None:
        secure = not policy.allow_insecure
        super().__init__(urls, digests=digests, keep_tls=secure, public_only=secure)
        check_trust(self.list_shards(), of=of, insecure=policy.allow_insecure)
        for server in {"/".join(shard.split("/", 3)[:3]) for shard in self.list_shards()}:
            _check_server(server, secure, of)
        blobs = [shard for shard in self.list_shards() if scheme_of(shard) == "at"]
        self._blobs = _blob_source(blobs, client) if blobs else None

    def _open(self, shard_id: str) -> IO[bytes]:
        blobs = self._blobs if scheme_of(shard_id) == "at" else None
        return super()._open(shard_id) if blobs is None else blobs.open_shard(shard_id)


def _blob_source(urls: Sequence[str], client: AtmosphereClient | None) -> BlobSource:
    from .blob_source import BlobSource  # which needs what is here

    return BlobSource.from_urls(urls, client=client)


def _check_server(server: str, secure: bool, of: str) -> None:
    """Refuse what cannot be the beginning of a shard's URL, as far as can be said without asking anybody.

    Raises:
        UnsafeURL: it holds a user or password, names no bucket, or is at no public address.
    """
    scheme, _, name = server.partition("://")
    if scheme.lower() == "at":
        return
    if "@" in name:
        raise UnsafeURL(f"{of} names shards with a user or a password, at {public(server)!r:.200}")
    if scheme.lower() in ("s3", "gs") and not _BUCKET.fullmatch(name):
        raise UnsafeURL(f"{of} names shards in {name!r:.200}, which is no bucket")
    if scheme.lower() == "https" and secure and not _may_be_public(origin(server)[1]):
        raise UnsafeURL(f"{of} names shards at {public(server)!r:.200}, which is no public address")


def _may_be_public(host: str) -> bool:
    """What can be said without asking for the address of a name."""
    try:
        return is_public(host)
    except ValueError:
        return host != "localhost"
