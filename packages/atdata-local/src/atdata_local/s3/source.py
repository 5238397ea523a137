"""``S3Source``: shards in a bucket."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import IO, Any, Self

from atdata.errors import ManifestError, ShardNotFound
from atdata.manifest import NAME, Manifest, ShardFacts, parse_manifest
from atdata.sources import ShardSource
from atdata.sources.braces import check, expand
from atdata.sources.download import Digest

from .access import Credentials, S3Access, access_to
from .ahead import Ahead
from .errors import NoSuchBucket, NotPermitted
from .ranges import Link, open_object
from .requests import Bucket


class S3Source(ShardSource):
    """Shards in one bucket of AWS, or of a service that speaks its protocol.

    Large shards are read by several connections at a time, with at most 64 MiB ahead of the reader; after a fault
    that can pass, reading goes on where it broke. Where a ``manifest.json`` beside a shard knows its digest, that is
    checked: a shard that is something else raises ``ShardCorrupted`` at its end, or before.

    No message and no ``repr`` shows a key. A pickled source holds those that were given as text, for it must work
    where it is unpickled; of keys from a file it holds the file's name.

    Args:
        bucket: the bucket's name.
        keys: keys of the shards.
        endpoint: URL of the service; None for AWS.
        access_key: access key ID; without it, boto3 looks for credentials, and asks as the public if it finds none.
        secret_key: secret access key.
        region: its region.
        endpoint_url: the same as ``endpoint``.
        session_token: session token of temporary keys.
        digests: SHA-256 in hex by key, of shards that are to be checked; None takes those of the manifests, and an
            empty dict checks nothing.
        timeout: seconds that each wait for the server may take.
        retries: how often in a row to try again after a fault that can pass.

    Raises:
        ValueError: no bucket, one key without the other, or an endpoint that is no URL.

    Examples:
        >>> from atdata_local import S3Source
        >>> source = S3Source("my-datasets", ["train/shard-000.tar"], endpoint="https://s3.example.com")
        >>> source.list_shards()
        ['s3://my-datasets/train/shard-000.tar']
    """

    def __init__(
        self,
        bucket: str,
        keys: Sequence[str],
        endpoint: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        region: str | None = None,
        _client: Any = None,
        *,
        endpoint_url: str | None = None,
        session_token: str | None = None,
        digests: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        _access: S3Access | None = None,
    ) -> None:
        if not bucket or "/" in bucket:
            raise ValueError(f"{bucket!r} is not the name of a bucket")
        if isinstance(keys, str) or not all(isinstance(key, str) and key for key in keys):
            raise TypeError(f"keys is a list of texts; found {keys!r:.200}")
        self.bucket = bucket
        self.keys = list(keys)
        self._access = _access or S3Access(
            endpoint=endpoint or endpoint_url,
            region=region,
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
            timeout=timeout,
            retries=retries,
        )
        self._digests = None if digests is None else dict(digests)
        self._client = _client
        self._ahead: tuple[int, Ahead] | None = None

    @classmethod
    def from_urls(
        cls,
        urls: Iterable[str],
        *,
        endpoint: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        region: str | None = None,
        **options: Any,
    ) -> Self:
        """A source of ``s3://bucket/key`` URLs, in which brace patterns stand for many.

        Args:
            urls: the URLs, all of one bucket.
            endpoint: as of the class, and so are all others.
            access_key: access key ID.
            secret_key: secret access key.
            region: the region.
            options: the other arguments of the class.

        Raises:
            ValueError: what is no such URL, or URLs of several buckets.
        """
        given = [urls] if isinstance(urls, str) else list(urls)
        check(given)
        parts = [split_url(url) for pattern in given for url in expand(pattern)]
        buckets = list(dict.fromkeys(bucket for bucket, _ in parts))
        if len(buckets) != 1:
            found = "no URLs" if not buckets else f"URLs of the buckets {', '.join(buckets)}"
            raise ValueError(f"a source is of one bucket; found {found}. Make one source for each")
        return cls(buckets[0], [key for _, key in parts], endpoint, access_key, secret_key, region, **options)

    @classmethod
    def from_credentials(cls, credentials: Credentials, bucket: str, keys: Sequence[str]) -> Self:
        """A source with credentials as ``S3DataStore`` takes them.

        Args:
            credentials: a dict with ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and perhaps ``AWS_ENDPOINT``,
                ``AWS_DEFAULT_REGION``, ``AWS_SESSION_TOKEN``; or the path of an ``.env`` file with these.
            bucket: the bucket's name.
            keys: keys of the shards.
        """
        return cls(bucket, keys, _access=S3Access.of(credentials))

    @property
    def endpoint(self) -> str | None:
        """URL of the service, or None for AWS."""
        return self._access.endpoint

    def list_shards(self) -> list[str]:
        """``s3://`` URLs of all shards, in order."""
        return [f"s3://{self.bucket}/{key}" for key in self.keys]

    def open_shard(self, shard_id: str) -> IO[bytes]:
        """Open one shard for reading.

        Args:
            shard_id: one of ``list_shards()``.

        Raises:
            KeyError: it is not in ``list_shards()``.
            ShardNotFound: there is no such bucket or object.
            ShardPermissionError: the server refuses these credentials; says which of them is wrong, and how.
            ShardUnreadable: it cannot be opened for another reason, or, from the stream, not be read to its end.
            ShardCorrupted: it is not what its digest says; mostly from the end of the stream.
        """
        if shard_id not in self._known:
            raise KeyError(f"{shard_id!r} is not a shard of {self!r}")
        owner, ahead = self._ahead or (0, None)
        if ahead is None or owner != os.getpid():  # what was opened before a fork is the parent's
            ahead = Ahead(len(self.keys), self._open)
            self._ahead = os.getpid(), ahead
        return ahead.open(self._known[shard_id])

    def _open(self, number: int, then: Callable[[], None]) -> io.BufferedReader:
        key = self.keys[number]
        return open_object(self._bucket, key, self._expected(key), self._link, then)

    def facts(self, shard_id: str) -> ShardFacts | None:
        """What the manifest beside a shard knows of it, or None.

        Raises:
            ManifestError: there is a manifest that cannot be understood.
        """
        folder, _, name = self.keys[self._known[shard_id]].rpartition("/")
        manifest = self._manifest(folder)
        return manifest.shards.get(name) if manifest is not None else None

    def schema(self, shard_id: str) -> dict[str, Any] | None:
        """The schema record that the manifest beside a shard has for it, or None."""
        facts = self.facts(shard_id)
        manifest = self._manifest(self.keys[self._known[shard_id]].rpartition("/")[0])
        return manifest.schemas.get(facts.schema or "") if facts is not None and manifest is not None else None

    def _expected(self, key: str) -> Digest | None:
        if self._digests is not None:
            sha256 = self._digests.get(key)
            return None if sha256 is None else Digest(None, sha256.lower())
        facts = self.facts(f"s3://{self.bucket}/{key}")
        return None if facts is None else Digest(facts.bytes, facts.sha256)

    def _manifest(self, folder: str) -> Manifest | None:
        if folder not in self._manifests:
            try:
                self._manifests[folder] = read_manifest(self._bucket, folder)
            except ManifestError as error:
                raise ManifestError(f"{error}. To read the shards without it, pass digests={{}}") from error
            except NotPermitted:
                self._manifests[folder] = None  # so servers answer, too, if what may not be listed is not there
        return self._manifests[folder]

    @cached_property
    def _known(self) -> dict[str, int]:
        return {shard: number for number, shard in enumerate(self.list_shards())}

    @cached_property
    def _manifests(self) -> dict[str, Manifest | None]:
        return {}

    @cached_property
    def _link(self) -> Link:
        return Link()

    @property
    def _bucket(self) -> Bucket:
        return Bucket(self._access, self.bucket, self._client)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("bucket", "keys", "_access", "_digests")
        return {name: vars(self)[name] for name in kept} | {"_client": None, "_ahead": None}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, S3Source):
            return NotImplemented
        return (self.bucket, self.keys, self._access) == (other.bucket, other.keys, other._access)

    def __hash__(self) -> int:
        return hash((self.bucket, *self.keys))

    def __repr__(self) -> str:
        shards = f"{len(self.keys)} key{'s'[: len(self.keys) != 1]}"
        at = f", endpoint={self.endpoint!r}" if self.endpoint else ""
        return f"S3Source({self.bucket!r}, {shards}{at})"


def open_urls(urls: Sequence[str], **options: Any) -> S3Source:
    """The source of ``s3://`` URLs that a dataset names.

    They are read with the credentials given, or else with those of the data store that this process has for their
    bucket, or else with those that boto3 finds.
    """
    if not options and urls:
        options["_access"] = access_to(split_url(urls[0])[0])
    return S3Source.from_urls(urls, **options)


def split_url(url: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` URL.

    Raises:
        ValueError: it is none.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme.lower() != "s3" or not bucket or not key:
        raise ValueError(f"{url!r:.200} is not a URL such as s3://bucket/folder/shard.tar")
    return bucket, key


def read_manifest(bucket: Bucket, folder: str) -> Manifest | None:
    """The manifest of a folder in a bucket, or None if there is none of ours.

    Raises:
        ManifestError: ours, but of a newer version or damaged.
    """
    found = parse_object(bucket, f"{folder}/{NAME}" if folder else NAME)
    return None if found is None else found[0]


def parse_object(bucket: Bucket, key: str) -> tuple[Manifest | None, str | None] | None:
    """The manifest that an object is, None for somebody else's, and its tag; None if there is no object."""
    try:
        data, tag = bucket.fetch(key)
    except NoSuchBucket:
        raise
    except ShardNotFound:
        return None
    return parse_manifest(data, bucket.url(key)), tag
