"""Where an index keeps its records: the ``Catalog`` protocol, and choosing one by URL.

A dataset entry is a *row*: a sequence in the order of ``COLUMNS``, as text, whole numbers and None, so that a long
listing decodes only what is looked at. An entry is one name together with one CID. Each name is at one of its
entries, the current one; the earlier ones are its history.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

from atdata import config
from atdata.sources import public

from ..errors import NoIndexURL
from ..places import index_file

COLUMNS: Final = (
    "cid",
    "name",
    "schema_ref",
    "data_urls",  # JSON
    "metadata",  # JSON
    "facts",  # JSON: description, tags, license, samples, bytes, shards
    "created",
    "seq",
)
# More entries than there are.
ALL: Final = 1 << 53
# A listing of everything is read in pages of so many rows.
PAGE: Final = 1000

# A server that is gone without a word is given up after so many seconds.
_TIMEOUTS: Final = {"socket_connect_timeout": 5, "socket_timeout": 30}

Row: TypeAlias = Sequence[Any]


class Term(NamedTuple):
    """What a search asks for.

    Attributes:
        token: a word in lower case, or ``#tag``, or ``@schema``.
        whole: match the whole token; False matches what begins with it.
    """

    token: str
    whole: bool


class Draft(NamedTuple):
    """A schema that is to be published.

    Attributes:
        name: name of the sample type.
        record: the record as JSON, without ``version``, ``createdAt`` and ``$ref``; equal texts are equal schemas.
        shape: digest of the fields; equal digests decode the same samples.
        created: when, as ISO 8601 text.
    """

    name: str
    record: str
    shape: str
    created: str


class StoredSchema(NamedTuple):
    """A published schema; the fields are those of ``Draft``."""

    name: str
    version: str
    record: str
    created: str


class Catalog(Protocol):
    """Where an index keeps its records. Every method is atomic among threads, processes and hosts."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    def insert(self, row: Mapping[str, Any], words: Sequence[str], name_words: Sequence[str]) -> str | None:
        """Keep an entry and move its name to it. The same name and CID again replaces what it says otherwise.

        Args:
            row: values by column, and ``digests``; ``seq`` is set here.
            words: tokens by which a search finds it.
            name_words: tokens of its name.

        Returns:
            CID of the entry at which the name was before, or None if it is new or was there already.
        """
        ...

    def by_name(self, name: str) -> Row | None:
        """The current entry of a name."""
        ...

    def by_cid(self, cid: str) -> Row | None:
        """The entry of that content; where it has several names, that of the latest."""
        ...

    def digests(self, name: str, cid: str) -> str | None:
        """The digests of an entry's shards, as JSON. They may be long, so rows do not have them."""
        ...

    def page(self, *, limit: int, after: str = "", prefix: str = "") -> list[Row]:
        """The current entry of each name that begins with ``prefix`` and sorts behind ``after``, by name."""
        ...

    def everything(self, *, limit: int, after: int = 0) -> list[Row]:
        """All entries with a ``seq`` over ``after``, replaced ones too, in the order of insertion."""
        ...

    def search(self, terms: Sequence[Term], *, limit: int, after: str = "") -> list[Row]:
        """Like ``page``, of the current entries that match every term."""
        ...

    def history(self, name: str) -> list[Row]:
        """All entries of a name, the current one last."""
        ...

    def delete(self, name: str, cid: str | None, name_words: Sequence[str]) -> bool:
        """Remove one entry of a name, or with None all. The name falls back to the entry before. False: none there."""
        ...

    def rename(self, old: str, new: str, old_words: Sequence[str], new_words: Sequence[str]) -> str:
        """Give all entries of a name another name. Returns ``"done"``, ``"missing"`` or ``"taken"``."""
        ...

    def publish(self, draft: Draft, version: str | None, *, reuse: bool) -> str | None:
        """Keep a schema.

        Args:
            draft: the schema.
            version: its version; None is a patch above the highest, or 1.0.0.
            reuse: without a version: take the highest one of the same name and shape, if there is one.

        Returns:
            Its version, or None if that version is there with another record.
        """
        ...

    def schema(self, name: str, version: str) -> StoredSchema | None:
        """A schema."""
        ...

    def latest_schema(self, name: str, *, below: str | None = None) -> StoredSchema | None:
        """The schema of the highest version, or of the highest below another."""
        ...

    def version_of_shape(self, name: str, shape: str) -> str | None:
        """The highest version of a name that has this shape."""
        ...

    def schemas(self, *, limit: int, after: tuple[str, str] = ("", "")) -> list[StoredSchema]:
        """Schemas behind a name and version, by name and precedence of version."""
        ...

    def audit(self) -> list[str]:
        """Everything that contradicts itself, one line each: dangling names, orphans, lookups of what is not there."""
        ...

    def close(self) -> None:
        """Give back files and connections; they are opened again when needed."""
        ...


def choose(place: Any, path: str | os.PathLike[str] | None, repository: str, connection: Mapping[str, Any]) -> Catalog:
    """The catalog that ``Index(...)`` asks for; see there.

    Raises:
        TypeError: several places.
        NoIndexURL: a URL that is none of an index.
    """
    if sum([place is not None, path is not None, bool(connection)]) > 1:
        raise TypeError("an index is in one place: a client or URL, or path=, or host= and its kin")
    if path is not None:
        return open_sqlite(Path(path))
    if connection:
        return open_redis(lambda client, options: client(**{**options, **connection}), repository)
    if place is None:
        url, origin = config.find("index")
        try:
            return open_catalog(url, repository) if url else open_sqlite(index_file())
        except NoIndexURL as error:
            raise NoIndexURL(f"{error}. It is what {origin} says: see atdata config") from None
    if isinstance(place, str):
        return open_catalog(place, repository)
    if isinstance(place, os.PathLike):
        return open_sqlite(Path(place))
    if not hasattr(place, "evalsha") or iscoroutinefunction(place.execute_command):
        raise TypeError(f"an index is at a URL, or on a redis.Redis or RedisCluster; found {type(place).__name__}")
    from .redis import RedisCatalog

    return RedisCatalog(place, repository)


def open_catalog(url: str, repository: str = "atdata") -> Catalog:
    """The catalog at a URL.

    Args:
        url: ``sqlite:///path/of/file`` (absolute), ``redis://host:6379/0``, ``rediss://...`` or ``unix://...``.
        repository: name of the repository on a Redis server.

    Raises:
        NoIndexURL: none of these; a ``ValueError``.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return open_sqlite(sqlite_path(rest))
    if separator and scheme in ("redis", "rediss", "unix"):
        return open_redis(lambda client, options: _from_url(client, url, options), repository)
    raise NoIndexURL(
        f"{public(url)!r} is not the URL of an index; use sqlite:///path/of/index.sqlite3, redis://host:6379/0 or "
        "rediss://host:6379/0"
    )


def sqlite_path(rest: str) -> Path:
    """The path of a ``sqlite://`` URL, given without its scheme; it is absolute, as in any URL.

    A fourth slash, which other programs have there, is the same.

    Raises:
        NoIndexURL: it has a host, a query or a fragment, or no path.
    """
    parts = urlsplit(f"sqlite://{rest}")
    path = f"/{unquote(parts.path).lstrip('/')}"
    if parts.netloc or parts.query or parts.fragment or len(path) < 2:
        raise NoIndexURL(
            f"{public(f'sqlite://{rest}')!r} names no file, or has a host, '?' or '#' (%3F and %23 in a file's name); "
            "write three slashes and an absolute path, as in sqlite:///path/of/index.sqlite3"
        )
    return Path(path[1:] if path[2:3] == ":" else path)


def open_sqlite(path: Path) -> Catalog:
    """The catalog in a file, which is made on first use."""
    from .sqlite import SQLiteCatalog

    return SQLiteCatalog(path)


def _from_url(client: Any, url: str, options: Mapping[str, Any]) -> Any:
    try:
        return client.from_url(url, **options)
    except (TypeError, ValueError):  # whose text may have the password
        raise NoIndexURL(f"{public(url)!r} cannot be understood; it is redis://user:password@host:6379/0") from None


def open_redis(connect: Callable[[Any, Mapping[str, Any]], Any], repository: str = "atdata") -> Catalog:
    """The catalog on a Redis server, or on the cluster to which it belongs.

    Args:
        connect: makes a client of the class that it is given, ``Redis`` or ``RedisCluster``, with the options given.
        repository: name of the repository there.
    """
    from .redis import RedisCatalog, redis_module

    redis = redis_module()
    # the catalog itself waits for servers that come back; a connection from before a restart is tried once more
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 1)
    client = connect(redis.Redis, {**_TIMEOUTS, "retry": retry})
    return RedisCatalog(client, repository, as_cluster=lambda: connect(redis.cluster.RedisCluster, _TIMEOUTS))
