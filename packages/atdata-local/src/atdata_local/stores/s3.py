"""``S3DataStore``: shards in a bucket."""

from __future__ import annotations

import contextlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any
from urllib.parse import quote

from atdata import Dataset
from atdata.errors import AtdataError, ManifestError, ShardExists
from atdata.manifest import NAME, Manifest, ShardFacts, merged
from atdata.sources.download import Digest
from atdata.storing import (
    MAXSIZE,
    Keyed,
    Limits,
    NothingStored,
    Ready,
    TarStream,
    folder_of,
    keyed_samples,
    ready_shards,
    schemas_for,
    schemas_of,
    shard_names,
)

from ..s3.access import Credentials, S3Access, remember
from ..s3.errors import Unsupported
from ..s3.requests import Bucket
from ..s3.source import S3Source, parse_object, split_url
from ..s3.upload import THREADS, Upload, Uploads, checked
from .base import ShardStore
from .leftovers import Leftover, left_in_bucket, remove_from_bucket

# Writers that race for one manifest take turns; with so many turns lost something else is wrong
_TURNS = 100


class S3DataStore(ShardStore):
    """Shards in a bucket of AWS, or of a service that speaks its protocol.

    While a store is in use, ``s3://`` URLs of its bucket are read with its credentials in this process, also where
    they are given as text: ``Dataset[T](entry.data_urls)``. No message and no ``repr`` shows a key; a pickled store
    holds those that were given as a dict.

    Args:
        credentials: a dict with ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and perhaps ``AWS_ENDPOINT``,
            ``AWS_DEFAULT_REGION``, ``AWS_SESSION_TOKEN``; or the path of an ``.env`` file with these; without, boto3
            looks for credentials.
        bucket: the bucket's name; the bucket must be there.
        prefix: a folder in it, for all that is stored.
        endpoint_url: URL of the service, instead of ``AWS_ENDPOINT``; None for AWS.
        region: its region, instead of ``AWS_DEFAULT_REGION``.
        timeout: seconds that each wait for the server may take.
        retries: how often in a row to try again after a fault that can pass.

    Raises:
        ShardNotFound: there is no such ``.env`` file; a ``FileNotFoundError``.
        ValueError: no bucket, one key without the other, or an endpoint that is no URL.

    Examples:
        >>> from atdata_local import S3DataStore
        >>> store = S3DataStore({"AWS_ENDPOINT": "https://s3.example.com"}, bucket="team", prefix="datasets")
        >>> store.read_url("s3://team/datasets/a.tar")
        'https://s3.example.com/team/datasets/a.tar'
    """

    def __init__(
        self,
        credentials: Credentials = None,
        *,
        bucket: str,
        prefix: str = "",
        endpoint_url: str | None = None,
        region: str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> None:
        if not bucket or "/" in bucket:
            raise ValueError(f"{bucket!r} is not the name of a bucket; a folder in it is named by prefix=")
        given = {"endpoint": endpoint_url, "region": region, "timeout": timeout, "retries": retries}
        self.access = S3Access.of(credentials, **given)
        super().__init__(prefix)
        self.bucket = bucket
        remember(self)

    @property
    def credentials(self) -> dict[str, str]:
        """The credentials that were given, as a dict; whoever prints it shows them."""
        access = self.access
        pairs = {
            "AWS_ENDPOINT": access.endpoint,
            "AWS_ACCESS_KEY_ID": access.access_key,
            "AWS_SECRET_ACCESS_KEY": access.secret_key,
            "AWS_SESSION_TOKEN": access.session_token,
            "AWS_DEFAULT_REGION": access.region,
        }
        return {name: value for name, value in pairs.items() if value is not None}

    @property
    def url(self) -> str:
        """Where the store is."""
        return f"s3://{self.bucket}/{self._prefix}"

    def _write(self, ds: Dataset[Any], folder: str, limits: Limits, spool: bool) -> list[str]:
        bucket = self._bucket
        _current(bucket, _join(folder, NAME))  # better refused now than after an hour of copying
        ready = ready_shards(ds, limits)
        names = shard_names(ready or ())
        with Uploads(bucket) as uploads:
            if ready is not None:
                facts = _copy(ds, ready, uploads, folder, names)
                schemas: Mapping[str, dict[str, Any]] = schemas_of(ready)
            else:
                schemas = schemas_for(ds)
                making = _Making(uploads, folder, names, limits, spool=spool)
                facts = making.all(ds, next(iter(schemas), None))
            if not sum(shard.samples for shard in facts):
                raise NothingStored("the dataset has no samples, so nothing was stored")
            uploads.check()
            try:
                change_manifest(bucket, folder, facts, schemas)
            except BaseException as error:
                # it may have been written though the answer got lost
                try:
                    change_manifest(bucket, folder, [], {}, remove=[shard.name for shard in facts])
                except AtdataError as left:
                    uploads.keep()  # a manifest must not name what is gone
                    error.add_note(f"the shards are at s3://{self.bucket}/{folder} nevertheless: {left}")
                raise
        return [bucket.url(_join(folder, shard.name)) for shard in facts]

    def read_url(self, url: str, *, signed: bool = False, expires: int = 3600) -> str:
        """A URL that others can read, for one that this store gave out; all others are returned as they are.

        Args:
            url: an ``s3://`` URL of the bucket.
            signed: make one that anybody can read for some time, without credentials. Treat it as a secret.
            expires: for how many seconds; servers take up to a week.

        Returns:
            With ``signed`` an ``https:`` URL that holds a signature; without, the object's address at the endpoint, or
            for AWS the URL itself.

        Raises:
            ShardPermissionError: a signature is asked for, and there are no credentials.
        """
        try:
            bucket, key = split_url(url)
        except ValueError:
            return url
        if bucket != self.bucket:
            return url
        if signed:
            return self._signed(key, expires)
        endpoint = self.access.endpoint
        return url if endpoint is None else f"{endpoint.rstrip('/')}/{quote(bucket)}/{quote(key)}"

    def _signed(self, key: str, expires: int) -> str:
        if not 1 <= expires <= 7 * 24 * 3600:
            raise ValueError(f"expires is {expires}; it is a number of seconds, at most a week")
        client = self.access.client()
        parameters = {"Bucket": self.bucket, "Key": key}
        url: str = client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=expires)
        if "Signature=" not in url:
            from ..s3.errors import S3Denied

            raise S3Denied("without credentials nothing can be signed; set AWS_ACCESS_KEY_ID and its secret")
        return url

    def source(self, urls: Sequence[str]) -> S3Source:
        """A data source of shards of this bucket, with the store's credentials.

        Raises:
            ValueError: a URL of another bucket.
        """
        source = S3Source.from_urls(urls, _access=self.access)
        if source.bucket != self.bucket:
            raise ValueError(f"{urls[0]!r} is not in {self!r}")
        return source

    def delete_shards(self, urls: Sequence[str]) -> None:
        """Remove shards that this store gave out, and what the manifest says of them.

        Raises:
            ValueError: a URL of another bucket; then none is removed.
            AtdataError: they cannot be removed.
        """
        folders: dict[str, list[str]] = {}
        for key in self.source(urls).keys:
            folder, _, name = key.rpartition("/")
            folders.setdefault(folder, []).append(name)
        for folder, names in folders.items():
            change_manifest(self._bucket, folder, [], {}, remove=names)
            for name in names:
                self._bucket.ask("delete_object", key=_join(folder, name), doing="removed")

    def list_objects(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """``s3://`` URL and bytes of every object below a prefix, a page at a time."""
        folder = folder_of(self._prefix, prefix)
        for found in self._bucket.objects(f"{folder}/" if folder else ""):
            yield self._bucket.url(found["Key"]), int(found["Size"])

    def read_manifest(self, url: str) -> Manifest | None:
        """The manifest at a URL, or None if there is none, or somebody else's."""
        found = parse_object(self._bucket, split_url(url)[1])
        return None if found is None else found[0]

    def _leftovers(self, folder: str) -> list[Leftover]:
        return left_in_bucket(self._bucket, folder)

    def _remove(self, dead: Sequence[Leftover]) -> list[Leftover]:
        return remove_from_bucket(self._bucket, dead)

    @property
    def _bucket(self) -> Bucket:
        return Bucket(self.access, self.bucket)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        remember(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, S3DataStore):
            return NotImplemented
        return (self.access, self.bucket, self._prefix) == (other.access, other.bucket, other._prefix)

    def __hash__(self) -> int:
        return hash((self.access, self.bucket, self._prefix))

    def __repr__(self) -> str:
        prefix = f", prefix={self._prefix!r}" if self._prefix else ""
        endpoint = f", endpoint_url={self.access.endpoint!r}" if self.access.endpoint else ""
        return f"S3DataStore(bucket={self.bucket!r}{prefix}{endpoint})"


def open_store(url: str, **options: Any) -> S3DataStore:
    """The store of ``s3://bucket`` or ``s3://bucket/prefix``."""
    bucket, _, prefix = url.partition("://")[2].partition("/")
    return S3DataStore(options.pop("credentials", None), bucket=bucket, prefix=options.pop("prefix", prefix), **options)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _copy(
    ds: Dataset[Any], ready: Sequence[Ready], uploads: Uploads, folder: str, name_of: Callable[[int], str]
) -> list[ShardFacts]:
    """Send shards as they are."""
    ending: deque[Callable[[], Digest]] = deque()
    facts = []
    for number, shard in enumerate(ready):
        known = shard.facts
        name = name_of(number)
        upload = uploads.create(_join(folder, name))
        with ds.source.open_shard(shard.shard_id) as stream:
            upload.read_from(stream)
        ending.append(upload.finish_later(Digest(known.bytes, known.sha256)))
        if len(ending) > THREADS:
            ending.popleft()()
        facts.append(ShardFacts(name, known.samples, known.bytes, known.sha256, known.first_key, known.schema))
    for finish in ending:
        finish()
    return facts


class _Making:
    """Shards that are made from samples and sent meanwhile."""

    def __init__(
        self, uploads: Uploads, folder: str, name_of: Callable[[int], str], limits: Limits, *, spool: bool
    ) -> None:
        self._uploads = uploads
        self._folder = folder
        self._name_of = name_of
        self._limits = Limits(limits.samples, limits.bytes or MAXSIZE)
        self._spool = spool
        self._facts: list[Callable[[], ShardFacts]] = []

    def all(self, ds: Dataset[Any], schema: str | None) -> list[ShardFacts]:
        """Make and send shards of all samples of a dataset."""
        samples = keyed_samples(ds)
        held = next(samples, None)
        while held is not None:
            held = self._one(held, samples, schema)
        return [facts() for facts in self._facts]

    def _one(self, held: Keyed | None, samples: Iterator[Keyed], schema: str | None) -> Keyed | None:
        """Make a shard. Returns the first sample that has no room in it, or None."""
        name = self._name_of(len(self._facts))
        upload = self._uploads.create(_join(self._folder, name))
        with tempfile.TemporaryFile() if self._spool else contextlib.nullcontext() as file:
            shard = TarStream(file or upload)
            held = shard.fill(held, samples, self._limits)
            if file is not None:
                _send(file, upload)
        finish = upload.finish_later()
        count, first_key = shard.samples, shard.first_key

        def facts() -> ShardFacts:
            found = finish()
            return ShardFacts(name, count, found.size or 0, found.sha256, first_key, schema)

        self._facts.append(facts)
        return held


def _send(file: IO[bytes], upload: Upload) -> None:
    file.seek(0)
    upload.read_from(file)  # type: ignore[arg-type]


def change_manifest(
    bucket: Bucket,
    folder: str,
    shards: Sequence[ShardFacts],
    schemas: Mapping[str, dict[str, Any]],
    *,
    remove: Sequence[str] = (),
) -> None:
    """Add shards to a folder's manifest, or remove them, among writers that do the same.

    Raises:
        ManifestError: the folder has a ``manifest.json`` that is not ours, or is damaged.
        AtdataError: the server does not do it.
    """
    key = _join(folder, NAME)
    for _ in range(_TURNS):
        old, tag = _current(bucket, key)
        known = {name: old.shards[name] for name in (shard.name for shard in shards) if name in old.shards}
        if list(known.values()) == list(shards) and not any(name in old.shards for name in remove):
            return
        body = merged(old, shards, schemas, remove=remove).to_json()
        condition = {"IfMatch": tag} if tag is not None else {"IfNoneMatch": "*"}
        with contextlib.suppress(ShardExists):  # another writer was faster
            try:
                bucket.ask("put_object", key=key, doing="written", **condition, **checked(body))
            except Unsupported:
                bucket.ask("put_object", key=key, doing="written", **checked(body))
    raise ManifestError(f"{bucket.url(key)} changes faster than it can be written; try again later")


def _current(bucket: Bucket, key: str) -> tuple[Manifest, str | None]:
    """The manifest that may be replaced, and its tag; an empty one, and None, where there is no object."""
    found = parse_object(bucket, key)
    if found is None:
        return Manifest(), None
    manifest, tag = found
    if manifest is None:
        raise ManifestError(f"{bucket.url(key)} is not an atdata manifest and would be overwritten; use another prefix")
    return manifest, tag
