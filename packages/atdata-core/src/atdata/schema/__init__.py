"""Schemas: sample types as records that travel without their code."""

from .changes import SchemaDiff, SchemaWarning, check_bump, diff
from .check import check_record
from .json_schema import from_json_schema, to_json_schema
from .record import schema_cid, schema_of
from .shape import Shape
from .types import type_of
from .upgrade import upgrade_lens
from .version import Version, next_version

__all__ = [
    "SchemaDiff",
    "SchemaWarning",
    "Shape",
    "Version",
    "check_bump",
    "check_record",
    "diff",
    "from_json_schema",
    "next_version",
    "schema_cid",
    "schema_of",
    "to_json_schema",
    "type_of",
    "upgrade_lens",
]
