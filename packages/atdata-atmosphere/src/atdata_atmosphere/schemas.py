"""Schemas of sample types, published and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atdata.schema import check_record, schema_of
from atdata.uri import AtUri

from .client import AtmosphereClient
from .kinds import Loader, new_record
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
