"""Schema records as JSON Schema, for programs that know nothing of atdata.

Bytes are base64 there and arrays are nested lists. What JSON Schema has no word for stands under ``x-atdata``, which
other programs ignore and which makes the way back exact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import SchemaError
from .check import check_record
from .kinds import is_declared, kind_of

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OWN = "x-atdata"

_PRIMITIVES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
}


def to_json_schema(record: Mapping[str, Any]) -> dict[str, Any]:
    """A schema record as JSON Schema, draft 2020-12, of a sample written as a JSON object.

    Raises:
        SchemaError: not a schema record.
    """
    check_record(record)
    fields = record["fields"]
    return {
        "$schema": _DRAFT,
        "title": record["name"],
        **_described(record),
        "type": "object",
        "properties": {field["name"]: _property(field) for field in fields},
        "required": [field["name"] for field in fields if not field.get("optional") and "default" not in field],
        _OWN: {key: value for key, value in record.items() if key not in ("name", "description", "fields")},
    }


def from_json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema record that ``to_json_schema`` made a JSON Schema from.

    Raises:
        SchemaError: it was not made by ``to_json_schema``, or has been changed since.
    """
    try:
        fields = [{"name": name, **given[_OWN], **_described(given)} for name, given in schema["properties"].items()]
        record = {"name": schema["title"], **schema[_OWN], "fields": fields, **_described(schema)}
    except (AttributeError, KeyError, TypeError):
        raise SchemaError(f"this JSON Schema was not made by to_json_schema: it lacks {_OWN!r} or more") from None
    if to_json_schema(record) != schema:
        raise SchemaError(f"this JSON Schema says something else than its own {_OWN!r}; edit the sample type instead")
    return record


def _described(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": part["description"]} if "description" in part else {}


def _property(field: Mapping[str, Any]) -> dict[str, Any]:
    made = _json_type(field["fieldType"])
    if field.get("optional"):
        made = {"anyOf": [made, {"type": "null"}]}
    if "default" in field:
        made = {**made, "default": json.loads(field["default"])}
    own = {key: value for key, value in field.items() if key not in ("name", "description")}
    return {**made, **_described(field), _OWN: own}


def _json_type(field_type: Mapping[str, Any]) -> dict[str, Any]:
    if kind_of(field_type) == "primitive":
        return {**_PRIMITIVES[field_type["primitive"]]}
    if kind_of(field_type) == "array":
        return {"type": "array", "items": _json_type(field_type["items"])}
    if field_type.get("shape") is None:
        return {"type": "array"}
    made = _element(field_type)
    for size in reversed(field_type["shape"]):
        made = {"type": "array", "items": made, **({} if size == -1 else {"minItems": size, "maxItems": size})}
    return made


def _element(ndarray: Mapping[str, Any]) -> dict[str, Any]:
    dtype = np.dtype(ndarray["dtype"])
    if not is_declared(ndarray) or dtype.kind == "c":
        return {}
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}
    return {"type": {"b": "boolean", "f": "number"}.get(dtype.kind, "string")}
