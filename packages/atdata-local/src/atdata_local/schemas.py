"""Schemas as an index on this machine or in a team keeps them."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from atdata.cid import generate_cid
from atdata.errors import InvalidReference, NameTaken, SchemaError, SchemaNotFound
from atdata.schema import SchemaWarning, Version, check_bump, schema_cid
from atdata.uri import LOCAL, SchemaRef, parse

from .catalog import Catalog, Draft, StoredSchema
from .catalog.rank import bump

# What a catalog keeps apart from the rest of a record.
_APART = ("version", "createdAt", "$ref")
# What may have been meant as a reference to a schema: its name, with or without a version
_NAME = re.compile(r"\w{1,100}(@[\w.+-]{1,100})?")


def now() -> str:
    """The time as records say it, such as ``2026-01-31T12:00:00.000Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class LocalSchemaField:
    """A field of a schema.

    Attributes:
        name: its name.
        field_type: its type, as the record has it.
        optional: whether it may be None.
        description: what it is, or None.
        default: its default as JSON text, or None.
    """

    name: str
    field_type: dict[str, Any]
    optional: bool = False
    description: str | None = None
    default: str | None = None


class LocalSchemaRecord(Mapping[str, Any]):
    """A published schema: its parts as properties, and the whole as a read-only dict.

    Args:
        record: the record.
    """

    __slots__ = ("_record",)

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = dict(record)

    @property
    def name(self) -> str:
        """Name of the sample type."""
        return str(self._record["name"])

    @property
    def version(self) -> str:
        """Semantic version."""
        return str(self._record["version"])

    @property
    def ref(self) -> str:
        """Its reference, ``atdata://local/sampleSchema/{name}@{version}``."""
        return str(self._record["$ref"])

    @property
    def fields(self) -> list[LocalSchemaField]:
        """Its fields, in order."""
        return [
            LocalSchemaField(
                *(field["name"], field["fieldType"], field.get("optional", False)),
                *(field.get("description"), field.get("default")),
            )
            for field in self._record["fields"]
        ]

    @property
    def description(self) -> str | None:
        """What the samples are, or None."""
        return self._record.get("description")

    @property
    def metadata(self) -> dict[str, Any] | None:
        """Whatever else was recorded, or None."""
        return self._record.get("metadata")

    @property
    def created_at(self) -> datetime:
        """When it was published."""
        return datetime.fromisoformat(self._record["createdAt"])

    @property
    def cid(self) -> str:
        """Content identifier: the same wherever the schema is published."""
        return schema_cid(self._record)

    def to_dict(self) -> dict[str, Any]:
        """The record as a dict of its own."""
        return dict(self._record)

    def __getitem__(self, key: str) -> Any:
        return self._record[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._record)

    def __len__(self) -> int:
        return len(self._record)

    def __repr__(self) -> str:
        return f"LocalSchemaRecord({self.name}@{self.version}: {', '.join(field.name for field in self.fields)})"


class SchemaNamespace:
    """The types that an index has loaded, as attributes: ``index.types.Name``."""

    def __init__(self) -> None:
        self._types: dict[str, type[Any]] = {}

    def add(self, sample_type: type[Any]) -> None:
        """Make a type an attribute, under its name; a later one of that name takes its place."""
        self._types[sample_type.__name__] = sample_type

    def __getattr__(self, name: str) -> type[Any]:
        types: dict[str, type[Any]] = self.__dict__.get("_types", {})  # pickle asks before there are any
        if name in types:
            return types[name]
        there = ", ".join(types) or "none"
        raise AttributeError(f"no type {name!r} is loaded (there is: {there}); load it with index.load_schema(ref)")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._types]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __len__(self) -> int:
        return len(self._types)

    def __repr__(self) -> str:
        return f"<types: {', '.join(self._types) or 'none loaded'}>"


def local_ref(ref: str) -> SchemaRef:
    """A reference to a schema of a local index.

    Raises:
        InvalidReference: no reference to a schema; a ``ValueError``.
        SchemaNotFound: one of somebody on the network.
    """
    try:
        found = parse(ref)
    except InvalidReference as error:
        if _NAME.fullmatch(ref) is None:
            raise
        raise InvalidReference(f"{error}. A schema of this index is 'atdata://local/sampleSchema/{ref}'") from None
    if not isinstance(found, SchemaRef):
        owner = getattr(found, "authority", LOCAL)
        if owner != LOCAL:
            raise SchemaNotFound(f"{ref!r} is on the network, not in this index; ask an AtmosphereIndex for it")
        raise InvalidReference(f"{ref!r} names a dataset; a schema is atdata://local/sampleSchema/Name@1.0.0")
    if found.authority != LOCAL:
        raise SchemaNotFound(f"{ref!r} is on the network, not in this index; ask an AtmosphereIndex for it")
    return found


def record_of(stored: StoredSchema) -> dict[str, Any]:
    """The record of a schema that a catalog keeps."""
    kept: dict[str, Any] = json.loads(stored.record)
    ref = SchemaRef(LOCAL, stored.name, Version.parse(stored.version))
    first = {"name": stored.name, "version": stored.version}
    return first | kept | {"createdAt": stored.created, "$ref": str(ref)}


def find_schema(catalog: Catalog, ref: str) -> dict[str, Any]:
    """The record of a schema.

    Raises:
        SchemaNotFound: there is none of that name and version; says which versions there are.
        InvalidReference: no reference to a schema.
    """
    wanted = local_ref(ref)
    latest = None
    if wanted.version is None:
        stored = catalog.latest_schema(wanted.name)
    else:
        stored = catalog.schema(wanted.name, str(wanted.version))
        latest = catalog.latest_schema(wanted.name) if stored is None else None
    if stored is None:
        there = f"its highest version there is {latest.version}" if latest else "it has no version there"
        raise SchemaNotFound(f"no schema {str(wanted)!r} in {catalog.url}; {there}")
    return record_of(stored)


def publish(catalog: Catalog, record: Mapping[str, Any], version: str | None, *, reuse: bool = False) -> str:
    """Keep a schema record under a version; None takes the next one. Returns its reference.

    Args:
        catalog: where.
        record: the record; its own version does not count.
        version: a semantic version.
        reuse: without a version, take the highest one that has these fields, if there is one.

    Raises:
        NameTaken: that version was published with other content.

    Warns:
        SchemaWarning: it breaks readers or writers of the version before, and its version does not say so; or it has a
            description, and was published without one.
    """
    kept = {key: value for key, value in record.items() if key not in _APART}
    fields = [{key: value for key, value in field.items() if key != "description"} for field in record["fields"]]
    try:
        text = json.dumps(kept, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"schema {record['name']!r}: metadata must be what JSON can hold: {error}") from error
    draft = Draft(record["name"], text, generate_cid(fields), now())
    published = catalog.version_of_shape(draft.name, draft.shape) if reuse else None
    if published is None:
        before = catalog.latest_schema(draft.name, below=version)
        if before is not None:
            number = version or bump(before.version)
            check_bump(record_of(before), {**record, "version": number})
        published = catalog.publish(draft, version, reuse=reuse)
    if published is None and version is not None and _only_lacks_description(catalog.schema(draft.name, version), kept):
        warnings.warn(
            f"{record['name']}@{version} is published in {catalog.url} without a description, and stays so; publish a "
            "new version to describe it",
            SchemaWarning,
            stacklevel=3,
        )
        published = version
    if published is None:
        raise NameTaken(
            f"{record['name']}@{version} is published in {catalog.url} with other content; publish this one as a new "
            "version, or without one for the next"
        )
    return str(SchemaRef(LOCAL, draft.name, Version.parse(published)))


def _only_lacks_description(there: StoredSchema | None, wanted: Mapping[str, Any]) -> bool:
    """Whether a schema is what is wanted but for its description, of which it has none."""
    kept = {} if there is None else json.loads(there.record)
    return not kept.get("description") and kept | {"description": wanted.get("description")} == wanted
