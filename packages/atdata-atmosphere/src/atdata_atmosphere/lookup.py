"""Records by what people call them: schemas by name and version, datasets by name."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from atdata.errors import EntryNotFound, InvalidReference, SchemaError, SchemaNotFound
from atdata.schema import Version, check_record
from atdata.schema.types import essence
from atdata.uri import LOCAL, AtUri, DatasetRef, SchemaRef, is_reference, parse

from .client import AtmosphereClient
from .errors import SchemaChanged, WrongRecord
from .kinds import fetched, proper
from .records import DATASET, SCHEMA, Record, is_timed, record_cid


class SchemaPin(str):
    """The AT URI of a schema, and the CID that its record had when somebody referred to it.

    Attributes:
        cid: the CID, or None if it was not told.
    """

    cid: str | None = None

    @classmethod
    def of(cls, uri: str, cid: str | None) -> SchemaPin:
        """A pin from both."""
        pin = cls(uri)
        pin.cid = cid
        return pin


def find_schema(client: AtmosphereClient, ref: str | AtUri) -> Record:
    """The record of a schema, as it was written.

    Args:
        client: asks the servers.
        ref: AT URI, where a ``SchemaPin`` is checked; or ``atdata://{owner}/sampleSchema/{name}@{version}``, without
            a version the highest.

    Raises:
        InvalidReference: no reference to a schema; a ``ValueError``.
        RecordNotFound, SchemaNotFound: there is none; a ``KeyError``.
        SchemaChanged: it is not what it was when the pin was made; a ``ValueError``.
        WrongRecord: no schema, or two different ones of that name and version; a ``ValueError``.
    """
    found = ref if isinstance(ref, AtUri) else parse(ref)
    if isinstance(found, SchemaRef):
        return _named_schema(client, found)
    if not isinstance(found, AtUri):
        raise InvalidReference(f"{ref!r:.120} is no schema; those are at:// and atdata://{{owner}}/sampleSchema/...")
    record = fetched(client, found, SCHEMA)
    pin = getattr(ref, "cid", None)
    # what the server says of the CID proves nothing
    if pin is not None and (now := record_cid(record)) != pin:
        raise SchemaChanged(
            f"the schema {record.uri} was {pin} when the dataset was published, and is {now} now: its owner has "
            f"changed it. Load the dataset as a sample_type of yours, or look at it: get_schema({str(ref)!r})"
        )
    return record


def _named_schema(client: AtmosphereClient, ref: SchemaRef) -> Record:
    if ref.authority == LOCAL:
        raise SchemaNotFound(f"{str(ref)!r} is in an index of this machine or team; ask atdata.local.Index for it")
    published = versions_of(client, ref.name, ref.authority)
    wanted = ref.version or max((version for version, _ in published), default=None)
    found = [record for version, record in published if version == wanted]
    if not found:
        there = ", ".join(str(version) for version, _ in published[:20]) or "no version of it"
        raise SchemaNotFound(f"{ref.authority} has not published the schema {str(ref)!r}; there is {there}")
    if any(shape(record) != shape(found[0]) for record in found):
        several = ", ".join(str(record.uri) for record in found[:5])
        raise WrongRecord(f"{str(ref)!r} was published with different fields; name one of {several}")
    return min(found, key=created)


def versions_of(client: AtmosphereClient, name: str, repo: str) -> list[tuple[Version, Record]]:
    """The schemas of a name in a repository, with their versions; newest first. What has no version is left out."""
    found = []
    for record in proper(client, SCHEMA, repo):
        with contextlib.suppress(SchemaError):
            found += [(Version.parse(record["version"]), record)] if record["name"] == name else []
    return found


def shape(record: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The fields of a schema without their descriptions: equal where types are. None for what makes no type."""
    try:
        check_record(record)
    except SchemaError:
        return None
    fields = essence(record)["fields"]
    return [{key: value for key, value in field.items() if key != "description"} for field in fields]


def find_dataset(client: AtmosphereClient, ref: str | AtUri) -> Record:
    """The record of a dataset, as it was written.

    Args:
        client: asks the servers; only to find a bare name must it be logged in.
        ref: AT URI, ``@{owner}/{name}``, or the name of a dataset of the account's own. Of several records with one
            name it is the newest.

    Raises:
        InvalidReference: no reference to a dataset; a ``ValueError``.
        RecordNotFound, EntryNotFound: there is none; a ``KeyError``.
        WrongRecord: it is no dataset; a ``ValueError``.
    """
    found = ref if isinstance(ref, AtUri) else parse(ref) if is_reference(ref) else DatasetRef(client.did, ref)
    if isinstance(found, AtUri):
        return fetched(client, found, DATASET)
    if not isinstance(found, DatasetRef):
        raise InvalidReference(f"{ref!r:.120} is no dataset; those are '@handle/name', at:// records and bare names")
    if found.authority == LOCAL:
        raise EntryNotFound(f"{str(found)!r} is in an index of this machine or team; ask atdata.local.Index for it")
    newest: Record | None = None
    for record in proper(client, DATASET, found.authority):
        if record["name"] == found.name:
            newest = record if newest is None else max(newest, record, key=created)
            if is_timed(record.uri.rkey):
                break  # what follows is older; keys of other kinds have come before
    if newest is None:
        raise EntryNotFound(
            f"{found.authority} has published no dataset {found.name!r}; list_datasets(repo={found.authority!r}) tells "
            f"what is there. In a shell: atdata atmosphere ls @{found.authority}"
        )
    return newest


def created(record: Mapping[str, Any]) -> str:
    """When a record says that it was made; sorts by time."""
    return str(record.get("createdAt", ""))


class Pins:
    """Schemas as records name them: by the owner's DID, and with the CID that they have now. Each is looked up once."""

    def __init__(self, client: AtmosphereClient) -> None:
        self._client = client
        self._known: dict[str, tuple[str, str]] = {}

    def __call__(self, ref: str | AtUri) -> tuple[str, str]:
        """URI and CID of a schema; raises like ``find_schema``."""
        if str(ref) not in self._known:
            record = find_schema(self._client, ref)
            self._known[str(ref)] = (str(record.uri), record_cid(record))
        return self._known[str(ref)]
