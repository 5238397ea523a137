"""``BlobSource``: shards that are blobs in somebody's repository."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias
from urllib.parse import urlencode

from atdata import config
from atdata.errors import AtdataError, InvalidReference, ShardNotFound, ShardUnreadable
from atdata.sources import ShardSource
from atdata.sources.access import Access
from atdata.sources.cache import ShardCache
from atdata.sources.download import Body, Digest, Passing, Version
from atdata.sources.http import connector
from atdata.sources.remote import Remote

from .network import Network
from .policy import origin
from .storage import sha256_of

if TYPE_CHECKING:
    from .client import AtmosphereClient

CacheDir: TypeAlias = "str | os.PathLike[str] | Literal[False] | None"

_URL = re.compile(r"at://([^/\s?#]+)/blob/([^/\s?#]+)")
# What servers answer where they do not have a blob, or the repository is not there any more
_MISSING: Final = 400
# Bytes; a server may announce, or just send, as many as it likes
_LARGEST: Final = 16 << 30
# The cache that nobody asked for has so many bytes at most; where it could only have fewer than these, it is left out
_MOST, _LEAST = 32 << 30, 1 << 30


class NoSuchShard(InvalidReference, KeyError):
    """A source was asked for a shard that is not one of its own."""


class BlobSource(ShardSource):
    """Shards that are blobs on personal data servers, each checked against its CID.

    A blob is downloaded once and kept in a folder of bounded size; the next pass reads it there. These servers cannot
    send a part of a blob, so after a fault that can pass it comes again from its beginning, and what was read already
    is passed over.

    Args:
        blob_refs: the blobs, each a dict of its owner's ``did`` (or handle) and its ``cid``.
        pds_endpoint: URL of the server that has them all; by default the server of each owner is looked up.
        _endpoint_cache: URLs of servers by DID, for owners that need not be looked up.
        verify: ``"end"`` gives samples while a blob comes; if its bytes turn out to be others than its CID says, its
            end raises ``ShardCorrupted`` and nothing is kept. ``"before"`` gives none before all bytes are checked.
        cache_dir: folder in which blobs are kept. By default that of ``ATDATA_CACHE_DIR``, or else one of this user's;
            False for none.
        cache_bytes: how many bytes it may keep; by default 32 GiB, and in this user's folder at most half of what its
            disk has free. What was not used for longest goes first.
        timeout: seconds that connecting to a server may take, and each wait for more bytes.
        retries: how often in a row to try again after a fault that can pass.
        client: one whose network is used; by default the network that the environment names, as for
            ``AtmosphereClient.from_env``.

    Attributes:
        blob_refs: the blobs, as dicts of ``did`` and ``cid``.
        pds_endpoint: the server that was named, or None.
        verify: when blobs are checked.

    Raises:
        ValueError: no blobs, what is no reference to one, or an option that cannot be meant.

    Examples:
        >>> from atdata import BlobSource
        >>> cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
        >>> BlobSource.from_refs([{"did": "did:plc:abc123", "cid": cid}]).list_shards()
        ['at://did:plc:abc123/blob/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy']
    """

    def __init__(
        self,
        blob_refs: Sequence[Mapping[str, Any]],
        pds_endpoint: str | None = None,
        _endpoint_cache: Mapping[str, str] | None = None,
        *,
        verify: Literal["end", "before"] = "end",
        cache_dir: CacheDir = None,
        cache_bytes: int | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        client: AtmosphereClient | None = None,
    ) -> None:
        if verify not in ("end", "before"):
            raise ValueError(f"verify is {verify!r:.100}; it is 'end' or 'before'")
        if not blob_refs:
            raise InvalidReference("a source has at least one blob, and no reference was given")
        if pds_endpoint is not None:
            origin(pds_endpoint)  # better refused now than when it is asked
        self.blob_refs = [_plain(ref, None) for ref in blob_refs]
        self.pds_endpoint = pds_endpoint
        self.verify = verify
        self._endpoints = dict(_endpoint_cache or {})
        self._network = Network.from_env() if client is None else client.network
        self._owners = {url: ref["did"] for url, ref in zip(self.list_shards(), self.blob_refs, strict=True)}
        digests = {
            url: Digest(ref["size"] if type(ref.get("size")) is int else None, sha256)
            for url, ref in zip(self.list_shards(), blob_refs, strict=True)
            if (sha256 := sha256_of(url.rpartition("/")[2])) is not None
        }
        access = Access(timeout=timeout, retries=retries, keep_tls=not self._network.allow_insecure)
        self._remote = Remote(access, False, digests, _cache(cache_dir, cache_bytes))

    @classmethod
    def from_refs(
        cls,
        refs: Sequence[Mapping[str, Any]],
        *,
        pds_endpoint: str | None = None,
        did: str | None = None,
        **options: Any,
    ) -> Self:
        """A source of blobs by references of any form.

        Args:
            refs: dicts ``{"did": ..., "cid": ...}``; or such as records hold and ``upload_blob`` returns,
                ``{"$type": "blob", "ref": {"$link": ...}, ...}``, which may have a ``did``, too.
            pds_endpoint: URL of the server that has them all.
            did: the owner of those that do not say whose they are.
            options: the other arguments of the class.

        Raises:
            ValueError: no references, or what is none.
        """
        normal = [{**_plain(ref, did), "size": ref.get("size")} for ref in refs]
        return cls(normal, pds_endpoint, **options)

    @classmethod
    def from_urls(cls, urls: Iterable[str], **options: Any) -> Self:
        """A source of blobs by their ``at://{did}/blob/{cid}`` URLs.

        Args:
            urls: the URLs.
            options: the other arguments of the class.

        Raises:
            ValueError: no URLs, or one of something else.
        """
        parts = [split_url(url) for url in ([urls] if isinstance(urls, str) else urls)]
        return cls([{"did": did, "cid": cid} for did, cid in parts], **options)

    def list_shards(self) -> list[str]:
        """``at://{did}/blob/{cid}`` of all shards, in order."""
        return [blob_url(ref["did"], ref["cid"]) for ref in self.blob_refs]

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """Open one shard for reading.

        Args:
            shard_id: one of ``list_shards()``.

        Raises:
            KeyError: it is not in ``list_shards()``; the error is a ``ValueError``, too.
            ValueError: its CID is not one of bytes, so that nothing could be checked.
            ShardNotFound: the owner's server has no such blob, or no record refers to it any more.
            ShardUnreadable: it cannot be opened for another reason, or, from the stream, not be read to its end.
            ShardCorrupted: it is not what its CID says; from the end of the stream, or with ``verify="before"`` at
                once.
            IdentityError: its owner cannot be found; a ``ValueError``.
            UnsafeURL: its owner's server may not be asked; a ``ValueError``.
        """
        return self._open(shard_id, whole=self.verify == "before")

    def open_ahead(self, shard_id: str, stopping: threading.Event) -> IO[bytes]:
        """Open a shard that is read later: with a cache, all of it is downloaded and checked; see ``open_shard``.

        Args:
            shard_id: one of ``list_shards()``.
            stopping: set as soon as it is not wanted any more.
        """
        return self._open(shard_id, whole=self.verify == "before" or self._remote.cache is not None, stopping=stopping)

    def uncached(self) -> Self:
        """The same shards, read past the cache: for copies, which it would only keep once more."""
        other = copy(self)
        other._remote = replace(self._remote, cache=None)
        return other

    def _open(self, shard_id: str, *, whole: bool, stopping: threading.Event | None = None) -> IO[bytes]:
        owner = self._owners.get(shard_id)
        if owner is None:
            raise NoSuchShard(f"{shard_id!r:.200} is not a shard of {self!r}")
        if shard_id not in self._remote.digests:
            raise InvalidReference(
                f"{shard_id!r:.200} does not end in the CID of a blob: version 1, raw, SHA-256, as in bafkrei..."
            )

        def connect(position: int, version: Version) -> Body:
            return self._connect(owner, shard_id, position, version)

        try:
            if whole:
                return self._remote.fetch(shard_id, connect, stopping)
            return self._remote.download(shard_id, connect)
        except AtdataError as error:
            error.at(shard=shard_id)
            raise

    # ----------------------------------------------------------------------------------------- servers

    def _connect(self, owner: str, shard_id: str, position: int, version: Version) -> Body:
        did, server = self._find(owner)
        cid = shard_id.rpartition("/")[2]
        url = f"{server}/xrpc/com.atproto.sync.getBlob?{urlencode({'did': did, 'cid': cid})}"
        fault: Exception
        try:
            body = connector(url, self._access(owner, server), _MISSING)(position, version)
            return _bounded(body, self._remote.digests[shard_id], server)
        except Passing as passing:
            error, fault = passing.error, passing
        except ShardNotFound:
            error = fault = ShardNotFound(
                f"{server} has no blob {cid} of {owner}. A server keeps a blob only while a record refers to it"
            )
        if self._has_moved(owner, server):
            raise Passing(error, 0.0)
        raise fault

    def _find(self, owner: str) -> tuple[str, str]:
        """DID and server of an owner."""
        named = self._named(owner)
        if named is not None and owner.startswith("did:"):
            return owner, named.rstrip("/")
        from .errors import AtmosphereError

        try:
            found = self._network.client().resolve(owner)
        except AtmosphereError as error:
            if isinstance(error, OSError):
                raise Passing(error) from None  # a directory that does not answer
            raise
        return found.did, (named or found.pds).rstrip("/")

    def _named(self, owner: str) -> str | None:
        return self.pds_endpoint or self._endpoints.get(owner)

    def _access(self, owner: str, server: str) -> Access:
        """How a server is asked. One that was looked up is named by somebody else."""
        policy = self._network.policy
        ours = self._named(owner) is not None or policy.allow_insecure or origin(server) in policy.trusted
        return replace(self._remote.access, public_only=not ours)

    def _has_moved(self, owner: str, server: str) -> bool:
        """Whether the owner's repository is on another server by now."""
        if self._named(owner) is not None:
            return False
        from .errors import AtmosphereError

        client = self._network.client()
        client._directory.forget(owner)
        try:
            return client.resolve(owner).pds.rstrip("/") != server
        except AtmosphereError:
            return False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BlobSource):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return (*self.list_shards(), self.pds_endpoint, self.verify, self._network)

    def __repr__(self) -> str:
        blobs = self.list_shards()
        at = f", pds_endpoint={self.pds_endpoint!r}" if self.pds_endpoint else ""
        return f"BlobSource({blobs[0]!r}{f' and {len(blobs) - 1:,} more' if len(blobs) > 1 else ''}{at})"


def open_urls(urls: Sequence[str], **options: Any) -> BlobSource:
    """The source of ``at:`` URLs that a dataset names."""
    return BlobSource.from_urls(urls, **options)


def blob_url(did: str, cid: str) -> str:
    """What a blob is called as a shard."""
    return f"at://{did}/blob/{cid}"


def split_url(url: str) -> tuple[str, str]:
    """Owner and CID of a blob's URL.

    Raises:
        InvalidReference: it is something else; a ``ValueError``.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise InvalidReference(f"{url!r:.200} is not the URL of a blob: at://{{did}}/blob/{{cid}}")
    return found[1], found[2]


def _plain(ref: Mapping[str, Any], did: str | None) -> dict[str, str]:
    """A reference as ``did`` and ``cid``."""
    if not isinstance(ref, Mapping):
        raise InvalidReference(f"a blob is referred to by a dict of 'did' and 'cid'; found {ref!r:.200}")
    link = ref.get("ref")
    cid = link.get("$link") if isinstance(link, Mapping) else ref.get("cid")
    if not isinstance(cid, str) or not cid:
        raise InvalidReference(f"{ref!r:.200} has neither a 'cid' nor a 'ref' with '$link'")
    owner = ref.get("did") or did
    if not isinstance(owner, str):
        raise InvalidReference(f"{ref!r:.200} does not say whose blob it is; add its 'did', or from_refs(..., did=...)")
    owner, cid = split_url(blob_url(owner, cid))
    return {"did": owner, "cid": cid}


def _bounded(body: Body, digest: Digest, server: str) -> Body:
    """What a server sends, if it will end.

    Raises:
        ShardUnreadable: nobody says how long it is, or it would be longer than any blob.
    """
    size = body.version.length if digest.size is None else digest.size
    if size is not None and size <= _LARGEST:
        return body
    body.close()
    cause = "does not say how many bytes a blob has" if size is None else f"says that a blob has {size:,} bytes"
    raise ShardUnreadable(f"{server} {cause}; no blob is read that may have more than {_LARGEST:,}")


def _cache(folder: CacheDir, limit: int | None) -> ShardCache | None:
    if folder is False:
        if limit is not None:
            raise ValueError("cache_bytes says how much a cache may hold, and cache_dir=False that there is none")
        return None
    folder = folder or config.get("cache")
    if not folder:
        return _own_cache(limit)
    path = Path(folder).expanduser().absolute()
    return ShardCache(path) if limit is None else ShardCache(path, limit)


def _own_cache(limit: int | None) -> ShardCache | None:
    """The cache that nobody asked for; None where it would be in the way."""
    from platformdirs import user_cache_path

    folder = user_cache_path("atdata") / "blobs"
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return None
    if limit is None:
        limit = min(_MOST, (shutil.disk_usage(there).free + ShardCache(folder).held()) // 2)
        if limit < _LEAST:
            return None
    return ShardCache(folder, limit)
