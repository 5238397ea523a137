"""``AtmosphereIndexEntry``: a dataset as its record on the AT Protocol network tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from atdata.cid import generate_cid
from atdata.uri import AtUri

from .errors import WrongRecord
from .lookup import SchemaPin
from .metadata import from_record
from .storage import storage_type, urls_in


class AtmosphereIndexEntry:
    """A dataset that somebody has published.

    Args:
        uri: AT URI of the record.
        record: the record as it was written; it must be as its lexicon says.
    """

    __slots__ = ("_record", "_uri")

    def __init__(self, uri: str | AtUri, record: Mapping[str, Any]) -> None:
        self._uri = uri if isinstance(uri, AtUri) else AtUri.parse(uri)
        self._record = record

    @property
    def uri(self) -> str:
        """AT URI of the record."""
        return str(self._uri)

    @property
    def record(self) -> Mapping[str, Any]:
        """The record as it was written, fields that this version does not know included."""
        return self._record

    @property
    def name(self) -> str:
        """What its publisher calls it; any text."""
        return str(self._record["name"])

    @property
    def schema_ref(self) -> SchemaPin:
        """AT URI of the schema. Text that also knows the CID that the schema had when the dataset was published."""
        return SchemaPin.of(self._record["schemaRef"], self._record.get("schemaCid"))

    @property
    def data_urls(self) -> list[str]:
        """URLs of the shards as they were published, braces included; blobs are ``at://{did}/blob/{cid}``.

        Raises:
            WrongRecord: the shards are in no place that this version knows, or not at a proper one; a ``ValueError``.
        """
        return urls_in(self._record, self._uri)

    @property
    def storage_type(self) -> str:
        """``"external"`` for shards behind URLs, ``"blobs"`` for shards in its owner's repository.

        Raises:
            WrongRecord: neither of them; a ``ValueError``.
        """
        return storage_type(self._record, self.uri)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """Whatever else its publisher says, or None."""
        found = from_record(self._record.get("metadata"))
        if not isinstance(found, dict | None):
            raise WrongRecord(f"the metadata of {self.uri} are {type(found).__name__}, not a map")
        return found

    @property
    def description(self) -> str | None:
        """What the dataset is, in words."""
        return self._record.get("description")

    @property
    def tags(self) -> list[str]:
        """Words to find it by."""
        return list(self._record.get("tags") or [])

    @property
    def license(self) -> str | None:
        """Its license, such as an SPDX identifier."""
        return self._record.get("license")

    @property
    def samples(self) -> int | None:
        """How many samples it has, if its publisher says so."""
        return self._size("samples")

    @property
    def shards(self) -> int | None:
        """How many shards it has, if its publisher says so."""
        return self._size("shards")

    @property
    def bytes(self) -> int | None:
        """Size of all shards together, if its publisher says so."""
        return self._size("bytes")

    def _size(self, what: str) -> int | None:
        size: Mapping[str, int] = self._record.get("size") or {}
        return size.get(what)

    @property
    def created(self) -> datetime | None:
        """When its publisher says that the record was made."""
        text = self._record.get("createdAt")
        return None if text is None else datetime.fromisoformat(text)

    @property
    def cid(self) -> str:
        """Content identifier: the CID of schema reference and data URLs, the same in every index."""
        return generate_cid({"schema_ref": str(self.schema_ref), "data_urls": self.data_urls})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AtmosphereIndexEntry):
            return NotImplemented
        return self._uri == other._uri and self._record == other._record

    def __hash__(self) -> int:
        return hash(self._uri)

    def __repr__(self) -> str:
        return f"AtmosphereIndexEntry({self.name!r:.80}, {self.uri!r})"
