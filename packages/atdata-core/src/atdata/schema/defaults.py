"""Defaults of fields as text.

Records of the AT Protocol hold no floats, and one key of theirs has one type. So a default is the text of its JSON, in
which bytes are base64 and the floats that JSON lacks are ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Container, Mapping
from typing import Any, TypeVar

from ..errors import SchemaError
from .kinds import INTEGERS, PRIMITIVES, kind_of
from .shown import shown

T = TypeVar("T")

_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def default_text(field_type: Mapping[str, Any], value: Any) -> str | None:
    """A default as it stands in a record; None for what has no such form: arrays, and integers over 64 bits."""
    try:
        return json.dumps(to_json(field_type, value), ensure_ascii=False)
    except SchemaError:
        return None


def default_of(field: Mapping[str, Any]) -> Any:
    """The default in a field of a record, which has one.

    Raises:
        SchemaError: it is not of the field's type.
    """
    try:
        found = json.loads(field["default"])
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"its default {shown(field['default'])} is not JSON: {error}") from None
    if found is None and field.get("optional"):
        return None
    return from_json(field["fieldType"], found)


def to_json(field_type: Mapping[str, Any], value: Any) -> Any:
    """A value of a field type as JSON has it.

    Raises:
        SchemaError: arrays, and integers over 64 bits, have no such form.
    """
    if kind_of(field_type) == "array":
        return [to_json(field_type["items"], item) for item in value]
    kind = field_type.get("primitive")
    if kind is None or (kind == "int" and value not in INTEGERS):
        raise SchemaError(f"{shown(value)} has no form as a default")
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "float" and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def from_json(field_type: Mapping[str, Any], found: Any) -> Any:
    """A value of a checked field type from JSON.

    Raises:
        SchemaError: it is of another type, or cannot be stored.
    """
    try:
        if kind_of(field_type) == "array" and isinstance(found, list):
            return [from_json(field_type["items"], item) for item in found]
        return _primitive(field_type.get("primitive"), found)
    except ValueError:
        raise SchemaError(f"its default {shown(found)} is not of its type") from None


def _primitive(kind: str | None, found: Any) -> Any:
    if kind == "bytes" and isinstance(found, str):
        return base64.b64decode(found, validate=True)
    if kind == "float" and isinstance(found, str):
        return _FLOATS[_one_of(found, _FLOATS)]
    if type(found) is int and kind in ("int", "float"):
        return PRIMITIVES[kind](_one_of(found, INTEGERS))
    if type(found) is not PRIMITIVES.get(kind or "") or found in (math.inf, -math.inf) or found != found:
        raise ValueError
    if isinstance(found, str):
        found.encode()
    return found


def _one_of(found: T, allowed: Container[T]) -> T:
    if found not in allowed:
        raise ValueError
    return found
