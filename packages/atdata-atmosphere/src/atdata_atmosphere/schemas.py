"""Schemas of sample types, published and read."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from atdata.cid import generate_cid
from atdata.errors import InvalidReference, NameTaken
from atdata.schema import Version, check_bump, check_record, next_version, schema_of
from atdata.uri import AtUri

from .client import AtmosphereClient
from .errors import RecordExists
from .kinds import Loader, new_record
from .lookup import created, shape, versions_of
from .records import SCHEMA

if TYPE_CHECKING:
    from .lexicon.models.ac.foundation.dataset.sample_schema import Record as SchemaRecord

    _Loader = Loader[SchemaRecord]
else:
    _Loader = Loader


class SchemaPublisher:
    """Publishes the schemas of sample types.

    Args:
        client: writes the records; it must be logged in.

    Examples:
        >>> from atdata.atmosphere import AtmosphereClient, SchemaPublisher
        >>> publisher = SchemaPublisher(AtmosphereClient())
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self.client = client

    def publish(
        self,
        sample_type: type,
        *,
        name: str | None = None,
        version: str = "1.0.0",
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        rkey: str | None = None,
    ) -> AtUri:
        """Publish the schema of a sample type.

        Args:
            sample_type: a class made with ``@packable``.
            name: its name; by default that of the class.
            version: a semantic version.
            description: what the samples are; by default the docstring of the class.
            metadata: JSON-like, bytes included.
            rkey: key of the record; by default a new one that sorts by time.

        Returns:
            Where the record is.

        Raises:
            SampleTypeError: a field that schemas cannot express; a ``TypeError``.
            NoSampleType, SchemaError: no sample type, or no such version or name; a ``ValueError``.
            NotLoggedIn: there was no login; a ``ValueError``.
            AtmosphereError: as for ``AtmosphereClient.create_record``.
        """
        schema = schema_of(sample_type, version=version, description=description, metadata=metadata)
        if name is not None:
            schema["name"] = name
            check_record(schema)
        return self.client.create_record(SCHEMA, new_record(SCHEMA, schema), rkey=rkey)


class SchemaLoader(_Loader):
    """Reads schemas from anybody's repository; ``atdata.schema.type_of(schema)`` makes sample types of them."""

    collection = SCHEMA


_TRIES = 10


def publish_once(
    client: AtmosphereClient, schema: Mapping[str, Any], version: str | None = None, told: Collection[str] = ()
) -> AtUri:
    """Publish a schema, unless the account's repository has one of its name, version and fields already.

    Programs that do so at the same time get the same record, and no version is given to different fields.

    Args:
        client: writes the record; it must be logged in.
        schema: the record; its own version does not count.
        version: a semantic version; None takes the highest one that has these fields, or else the next.
        told: keys, such as ``description``, that must be equal, too.

    Returns:
        Where the record is.

    Raises:
        NameTaken: that version was published with other fields; a ``ValueError``.
        InvalidRecord, NotLoggedIn, AtmosphereError: as for ``AtmosphereClient.create_record``.

    Warns:
        SchemaWarning: it breaks readers or writers of the version before, and its version does not say so.
    """
    name, fields = schema["name"], shape(schema)
    wanted = None if version is None else Version.parse(version)
    tries = 0
    while True:
        tries += 1
        there = versions_of(client, name, client.did)
        number = wanted or Version.parse(next_version(str(known) for known, _ in there))
        new = new_record(SCHEMA, {**schema, "version": str(number)})
        same = [found for found in there if wanted in (None, found[0]) and shape(found[1]) == fields]
        equal = [found for found in same if all(found[1].get(key) == new.get(key) for key in told)]
        if equal:
            highest = max(known for known, _ in equal)
            return min((record for known, record in equal if known == highest), key=created).uri
        others = [record.uri for known, record in there if known == number and shape(record) != fields]
        if others:
            raise NameTaken(
                f"{name}@{number} is published at {others[0]} with other fields; publish this one as a new version, or "
                "with version=None as the next"
            )
        before = max((found for found in there if found[0] < number), key=lambda found: found[0], default=None)
        if before is not None:
            check_bump(before[1], new)
        rkey = None if same or tries == _TRIES else _key(client.did, name, number)
        with contextlib.suppress(RecordExists):  # somebody else publishes it, too: look again
            return client.create_record(SCHEMA, new, rkey=rkey)


def _key(did: str, name: str, version: Version) -> str:
    """The key of a version of a schema, so that it is written once."""
    key = f"{name}.{version}"
    try:
        AtUri(did, SCHEMA, key)
    except InvalidReference:
        return generate_cid({"name": name, "version": str(version)})
    return key
