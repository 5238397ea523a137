"""``PDSBlobStore``: shards as blobs in the repository of an account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atdata import Dataset
from atdata.manifest import ShardFacts
from atdata.storing import Limits, NothingStored, folder_of, no_others, ready_shards

from .blob_source import BlobSource, blob_url, split_url
from .blob_writing import BLOB_LIMIT, Writing
from .client import AtmosphereClient
from .uploads import Uploads


class PDSBlobStore:
    """Shards as blobs on the personal data server of an account.

    A blob lives only while a record of the same repository refers to it. The server hides it before, drops it after
    some hours if there never is such a record, and when the last one is deleted. So write the record right after the
    shards: ``AtmosphereIndex(client, data_store=store).insert_dataset`` does both, and so does
    ``DatasetPublisher.publish_with_blobs``.

    Args:
        client: the account; it must be logged in when shards are written.

    Attributes:
        client: the account.

    Examples:
        >>> from atdata.atmosphere import AtmosphereClient, PDSBlobStore
        >>> PDSBlobStore(AtmosphereClient()).supports_streaming()
        True
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self.client = client
        self._uploads = Uploads(client)
        self._facts: dict[str, ShardFacts] = {}

    @property
    def url(self) -> str:
        """Where the store is; raises like ``AtmosphereClient.did``."""
        return f"pds://{self.client.did}"

    def write_shards(
        self,
        ds: Dataset[Any],
        *,
        prefix: str,
        maxcount: int | None = 10_000,
        maxsize: float | None = 3e9,
        cache_local: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """Send a dataset's shards. They stay only if a record refers to them soon; see the class.

        Shards that are within the limits, of which the manifest knows type and digest, and that no lens changes are
        sent as they are; others are read and made anew, in temporary files. Several are sent at a time, a little of
        each in memory. What the repository has already is not sent again, nor what an earlier call of the last half
        hour has sent that failed in the end.

        Args:
            ds: the dataset.
            prefix: checked as by other stores, and not used: blobs are called by their content.
            maxcount: at most so many samples per shard; None for any number.
            maxsize: at most so many bytes per shard, unless a single sample is larger; and never more than the server
                takes, which is 5 MiB if it does not say. Where that makes shards smaller, an ``AtmosphereWarning``
                says so.
            cache_local: as of other stores; here shards that are made anew are in temporary files in any case.
            kwargs: none; for the protocol's sake.

        Returns:
            ``at://{did}/blob/{cid}`` URLs.

        Raises:
            NotLoggedIn: there was no login; a ``ValueError``.
            TypeError: an option that there is not.
            NothingStored: the dataset has no samples; a ``RuntimeError``.
            PayloadTooLarge: a single sample is larger than the server takes; a ``ValueError``.
            InvalidRecord: more shards than a record can name; a ``ValueError``.
            ShardCorrupted: a shard is not what its manifest says.
            AtdataError: the dataset cannot be read, or the server does not take it.
        """
        no_others(kwargs)
        folder_of(prefix)
        did = self.client.did
        wanted = Limits(maxcount, None if maxsize is None else int(maxsize))
        writing = Writing(self._uploads, wanted, self.client.blob_limit() or BLOB_LIMIT, self.client.server)
        ready = ready_shards(ds, writing.limits)
        stored = writing.anew(ds) if ready is None else writing.copy(ds, ready)
        if not sum(facts.samples for facts in stored):
            raise NothingStored("the dataset has no samples, so nothing was stored")
        self._uploads.forget(facts.name for facts in stored)
        urls = [blob_url(did, facts.name) for facts in stored]
        self._facts.update(zip(urls, stored, strict=True))
        return urls

    def read_url(self, url: str) -> str:
        """The URL of a blob on its owner's server, from its ``at://{did}/blob/{cid}``.

        Raises:
            ValueError: it is something else, or its owner's server cannot be found.
        """
        return self.client.get_blob_url(*split_url(url))

    def supports_streaming(self) -> bool:
        """True: shards are read while they come."""
        return True

    def create_source(self, urls: Sequence[str], **options: Any) -> BlobSource:
        """A data source of blobs, of this account or others.

        Args:
            urls: their ``at://{did}/blob/{cid}`` URLs.
            options: as ``BlobSource`` takes them.

        Raises:
            ValueError: no URLs, or one of something else.
        """
        return BlobSource.from_urls(urls, client=self.client, **options)

    def source(self, urls: Sequence[str]) -> BlobSource:
        """The same as ``create_source(urls)``, by the name that other stores have for it."""
        return self.create_source(urls)

    def shard_facts(self, urls: Sequence[str]) -> list[ShardFacts] | None:
        """What is known of shards that this store has sent, or None if one is unknown."""
        found = [self._facts.get(url) for url in urls]
        known = [facts for facts in found if facts is not None]
        return known if len(known) == len(found) else None

    def __repr__(self) -> str:
        return f"PDSBlobStore({self.client!r})"


def open_store(url: str, *, client: AtmosphereClient | None = None, **options: Any) -> PDSBlobStore:
    """The store of ``pds://{handle or DID}``, or of ``pds://``.

    Args:
        url: the account that is logged in.
        client: one that is logged in; by default as the environment says.
        options: none.

    Raises:
        TypeError: an option.
        ValueError: there was no login, or of another account.
    """
    no_others(options)
    client = AtmosphereClient.from_env() if client is None else client
    name = url.partition("://")[2].strip("/").removeprefix("@")
    if name.lower() not in ("", client.did.lower(), client.handle.lower()):
        raise ValueError(f"{url!r:.200} is another account than {client.handle}, which is logged in")
    return PDSBlobStore(client)
