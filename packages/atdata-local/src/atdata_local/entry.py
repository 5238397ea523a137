"""``LocalDatasetEntry``: a dataset as an index on this machine or in a team knows it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from atdata.cid import cid_of

from .catalog import COLUMNS, Catalog, Row

# What a record's key on Redis begins with, before ":" and the CID.
REDIS_KEY_DATASET_ENTRY: Final = "{atdata}:entry"

_PLACE: Final = {column: place for place, column in enumerate(COLUMNS)}
_FACTS: Final = ("description", "tags", "license", "samples", "bytes", "shards")
_UNDERSCORED: Final = ("_name", "_schema_ref", "_data_urls", "_metadata")


class LocalDatasetEntry:
    """A dataset in an index: a name, and content that a CID identifies.

    The CID is that of the schema reference and the data URLs, so the same data have the same CID in every index.

    Args:
        name: human-readable name.
        schema_ref: reference of the schema.
        data_urls: URLs of the shards; brace patterns allowed.
        metadata: anything that JSON can hold, or None.
        facts: ``description``, ``tags``, ``license``, ``samples``, ``bytes``, ``shards``, ``digests``, ``created``.

    Raises:
        TypeError: a name, reference or list of URLs is missing or is no text; unknown keywords.
        ValueError: metadata that JSON cannot hold.
    """

    __slots__ = ("_catalog", "_digests", "_legacy_uuid", "_row")

    def __init__(
        self,
        name: str | None = None,
        schema_ref: str | None = None,
        data_urls: Sequence[str] | None = None,
        metadata: dict[str, Any] | None = None,
        _cid: str | None = None,
        _legacy_uuid: str | None = None,
        **facts: Any,
    ) -> None:
        if any(old in facts for old in _UNDERSCORED):
            warnings.warn(
                "LocalDatasetEntry(_name=...) is now LocalDatasetEntry(name=...); so are the others",
                DeprecationWarning,
                stacklevel=2,
            )
            given = (name, schema_ref, data_urls, metadata)
            name, schema_ref, data_urls, metadata = (
                facts.pop(old, value) for old, value in zip(_UNDERSCORED, given, strict=True)
            )
        urls = None if data_urls is None or isinstance(data_urls, str) else list(data_urls)
        if not (isinstance(name, str) and isinstance(schema_ref, str) and urls is not None):
            raise TypeError("LocalDatasetEntry takes a name, a schema_ref, and a list of data_urls")
        if strange := [url for url in urls if not isinstance(url, str)]:
            raise TypeError(f"data_urls are texts; found {strange[0]!r:.80}")
        if not isinstance(metadata, dict | None):
            raise TypeError(f"metadata is a dict; found {type(metadata).__name__}")
        if unknown := facts.keys() - {*_FACTS, "digests", "created"}:
            raise TypeError(f"LocalDatasetEntry does not take {', '.join(sorted(unknown))}")
        created = facts.get("created")
        values = {
            "cid": _cid or cid_of({"schema_ref": schema_ref, "data_urls": urls}),
            "name": name,
            "schema_ref": schema_ref,
            "data_urls": _json(urls, "data_urls"),
            "metadata": None if metadata is None else _json(metadata, "metadata"),
            "facts": _json({key: facts[key] for key in _FACTS if facts.get(key) is not None}, "facts"),
            "created": created.isoformat() if isinstance(created, datetime) else created,
        }
        self._row: Row = tuple(values.get(column) for column in COLUMNS)
        self._digests: list[str] | None = facts.get("digests")
        self._catalog: Catalog | None = None
        self._legacy_uuid = _legacy_uuid

    @classmethod
    def from_row(cls, row: Row, catalog: Catalog) -> LocalDatasetEntry:
        """The entry of a catalog's row, which is decoded only where it is looked at."""
        entry = cls.__new__(cls)
        entry._row = row
        entry._digests = entry._legacy_uuid = None
        entry._catalog = catalog
        return entry

    def _text(self, column: str) -> Any:
        value = self._row[_PLACE[column]]
        return value.decode() if isinstance(value, bytes) else value

    def _fact(self, name: str) -> Any:
        return json.loads(self._text("facts")).get(name)

    @property
    def name(self) -> str:
        """Human-readable name."""
        return str(self._text("name"))

    @property
    def schema_ref(self) -> str:
        """Reference of the schema."""
        return str(self._text("schema_ref"))

    @property
    def data_urls(self) -> list[str]:
        """URLs of the shards; brace patterns stand for many."""
        return list(json.loads(self._text("data_urls")))

    @property
    def metadata(self) -> dict[str, Any] | None:
        """Whatever else was recorded, or None."""
        text = self._text("metadata")
        return None if text is None else dict(json.loads(text))

    @property
    def cid(self) -> str:
        """Content identifier: the CID of the schema reference and the data URLs."""
        return str(self._text("cid"))

    @property
    def wds_url(self) -> str:
        """The first of ``data_urls``."""
        return self.data_urls[0]

    @property
    def sample_kind(self) -> str:
        """The same as ``schema_ref``."""
        return self.schema_ref

    @property
    def description(self) -> str | None:
        """What the dataset is, in words."""
        description: str | None = self._fact("description")
        return description

    @property
    def tags(self) -> list[str]:
        """Tags by which ``Index.search`` finds it."""
        return self._fact("tags") or []

    @property
    def license(self) -> str | None:
        """Its license, such as an SPDX identifier."""
        license: str | None = self._fact("license")
        return license

    @property
    def samples(self) -> int | None:
        """How many samples it has, if that was known."""
        samples: int | None = self._fact("samples")
        return samples

    @property
    def shards(self) -> int | None:
        """How many shards it has, if that was known."""
        shards: int | None = self._fact("shards")
        return shards

    @property
    def bytes(self) -> int | None:
        """Size of all shards together, if that was known."""
        size: int | None = self._fact("bytes")
        return size

    @property
    def digests(self) -> list[str] | None:
        """SHA-256 of each shard in hex, in the order of the shards, if they were known. The index is asked once."""
        if self._catalog is not None:
            text = self._catalog.digests(self.name, self.cid)
            self._digests = None if text is None else list(json.loads(text))
            self._catalog = None
        return self._digests

    @property
    def created(self) -> datetime | None:
        """When it was first inserted under this name."""
        created = self._text("created")
        return None if created is None else datetime.fromisoformat(created)

    def write_to(self, redis: Any) -> None:
        """Keep this entry on a Redis server, with all lookups, and move its name to it.

        The record is a hash at ``{REDIS_KEY_DATASET_ENTRY}:{cid}``.

        Args:
            redis: a ``redis.Redis`` or ``RedisCluster``.
        """
        from .catalog.redis import RedisCatalog
        from .entries import keep

        keep(RedisCatalog(redis), self)

    @classmethod
    def from_redis(cls, redis: Any, cid: str) -> LocalDatasetEntry:
        """The entry of a CID on a Redis server.

        Args:
            redis: a ``redis.Redis`` or ``RedisCluster``.
            cid: its content identifier.

        Raises:
            EntryNotFound: there is none.
        """
        from .catalog.redis import RedisCatalog
        from .entries import entry_of_cid

        return entry_of_cid(RedisCatalog(redis), cid)

    def as_stored(self) -> dict[str, Any]:
        """Values by column, and ``digests``, as catalogs keep them."""
        stored = {column: self._text(column) for column in COLUMNS if column != "seq"}
        return stored | {"digests": None if self.digests is None else _json(self.digests, "digests")}

    def as_dict(self) -> dict[str, Any]:
        """All that is known of it, as JSON holds it."""
        facts = {name: self._fact(name) for name in _FACTS}
        return {
            "cid": self.cid,
            "name": self.name,
            "schema_ref": self.schema_ref,
            "data_urls": self.data_urls,
            "metadata": self.metadata,
            **facts,
            "tags": self.tags,
            "digests": self.digests,
            "created": self._text("created"),
        }

    def __eq__(self, other: object) -> bool:
        return self.as_dict() == other.as_dict() if isinstance(other, LocalDatasetEntry) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.cid))

    def __repr__(self) -> str:
        known = [f"{self.shards:,} shards" if self.shards else "", f"{self.samples:,} samples" if self.samples else ""]
        facts = "".join(f", {fact}" for fact in known if fact)
        return f"LocalDatasetEntry({self.name!r}, {self.schema_ref!r}{facts}, cid={self.cid!r})"


def _json(value: Any, what: str) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()  # lone surrogates are no text
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{what} of an entry must be what JSON can hold: {error}") from error
