"""What a schema record must be. Records come from anywhere, so nothing in one is believed before it is checked here."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Mapping
from typing import Any

from ..errors import SchemaError
from ..sample import MEMBERS
from .defaults import default_of
from .kinds import DTYPES, PRIMITIVES, TYPES
from .shown import shown
from .version import Version

MOST_FIELDS = 1_000
DEEPEST = 16
_MOST_DIMENSIONS = 64
_LONGEST_NAME, _LONGEST_TEXT = 256, 100_000
_DEEPEST_METADATA = 64


def check_record(record: Any) -> None:
    """Check a schema record that came from somewhere else.

    Keys that this version does not know are ignored, as in any record of the network.

    Raises:
        SchemaError: it describes no sample type; names the field and what is wrong with it. A ``ValueError``.
    """
    if not isinstance(record, Mapping):
        raise SchemaError(f"a schema record is a map; found {type(record).__name__}")
    try:
        _check(record)
    except SchemaError as error:
        raise SchemaError(f"schema {shown(record.get('name'))}: {error}", field=error.field) from None


def _check(record: Mapping[Any, Any]) -> None:
    check_name(record.get("name"), "the name of a class")
    Version.parse(record.get("version"))  # type: ignore[arg-type]
    for key in ("description", "createdAt", "$ref", "$type"):
        if key in record:
            _text(record[key], key)
    if "metadata" in record:
        _check_metadata(record["metadata"])
    fields = record.get("fields")
    if not isinstance(fields, list | tuple):
        raise SchemaError("it has no list of fields")
    if len(fields) > MOST_FIELDS:
        raise SchemaError(f"it has {len(fields):,} fields; a schema has at most {MOST_FIELDS:,}")
    seen: set[str] = set()
    for number, field in enumerate(fields):
        if not isinstance(field, Mapping):
            raise SchemaError(f"field {number} is a {type(field).__name__}, not a map")
        name = field.get("name")
        try:
            _check_field(field)
        except SchemaError as error:
            where = name if isinstance(name, str) else None
            raise SchemaError(f"field {number} ({shown(name)}): {error}", field=where) from None
        if name in seen:
            raise SchemaError(f"there are two fields {name!r}", field=name)
        seen.add(str(name))


def check_name(value: Any, what: str) -> None:
    """Refuse what Python does not take as a name.

    Raises:
        SchemaError: says that it cannot be ``what``.
    """
    if not isinstance(value, str) or not value:
        raise SchemaError(f"{shown(value)} cannot be {what}")
    if len(value) > _LONGEST_NAME:
        raise SchemaError(f"a name has {len(value):,} characters; the limit is {_LONGEST_NAME}")
    # Python reads names in one normal form, and what it reads another way could never be found again
    if not value.isidentifier() or unicodedata.normalize("NFKC", value) != value:
        raise SchemaError(f"{shown(value)} cannot be {what}: Python allows letters, digits and _ there")
    if keyword.iskeyword(value) or value.startswith("__"):
        raise SchemaError(f"{shown(value)} cannot be {what}: Python keeps it for itself")


def _text(value: Any, what: str, longest: int = _LONGEST_TEXT) -> None:
    if not isinstance(value, str):
        raise SchemaError(f"{what} is {type(value).__name__}, not text")
    if len(value) > longest:
        raise SchemaError(f"{what} has {len(value):,} characters; the limit is {longest:,}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SchemaError(f"{what} is not text that UTF-8 can hold") from None


def _check_metadata(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise SchemaError(f"metadata is {type(value).__name__}, not a map")
    todo: list[tuple[Any, int]] = [(value, 0)]
    while todo:
        item, depth = todo.pop()
        if depth > _DEEPEST_METADATA:
            raise SchemaError(f"metadata is nested more than {_DEEPEST_METADATA} deep")
        if isinstance(item, Mapping):
            for key in item:
                _text(key, "a key of metadata")
            todo += [(inner, depth + 1) for inner in item.values()]
        elif isinstance(item, list | tuple):
            todo += [(inner, depth + 1) for inner in item]
        elif isinstance(item, str):
            _text(item, "a text in metadata")
        elif item is not None and not isinstance(item, bool | int | float | bytes):
            raise SchemaError(f"metadata holds a {type(item).__name__}, which JSON does not have")


def _check_field(field: Mapping[Any, Any]) -> None:
    name = field.get("name")
    check_name(name, "the name of a field")
    if name in MEMBERS:
        raise SchemaError("every sample has a member of that name")
    if "description" in field:
        _text(field["description"], "its description")
    if not isinstance(field.get("optional", False), bool):
        raise SchemaError(f"optional is {shown(field['optional'])}, not true or false")
    field_type = field.get("fieldType")
    _check_type(field_type)
    if "default" in field:
        _text(field["default"], "its default")
        default_of(field)


def _check_type(given: Any) -> None:
    field_type, depth = given, 0
    while True:
        if not isinstance(field_type, Mapping):
            raise SchemaError(f"its type is {type(field_type).__name__}, not a map")
        kind = field_type.get("$type")
        if kind != f"{TYPES}#array":
            break
        depth += 1
        if depth > DEEPEST:
            raise SchemaError(f"its lists are nested more than {DEEPEST} deep")
        field_type = field_type.get("items")
    if kind == f"{TYPES}#primitive":
        if field_type.get("primitive") not in [*PRIMITIVES]:
            raise SchemaError(f"{shown(field_type.get('primitive'))} is none of the primitives {', '.join(PRIMITIVES)}")
    elif kind == f"{TYPES}#ndarray":
        _check_ndarray(field_type)
    elif kind == f"{TYPES}#ref":
        raise SchemaError(
            f"it refers to {shown(field_type.get('ref'))}; fields that hold other samples are not supported"
        )
    else:
        raise SchemaError(f"{shown(kind)} is a type that this version does not know; try pip install -U atdata-core")


def _check_ndarray(field_type: Mapping[Any, Any]) -> None:
    dtype, shape = field_type.get("dtype"), field_type.get("shape")
    if dtype not in [*DTYPES]:
        raise SchemaError(f"{shown(dtype)} is not a dtype that NumPy has everywhere; those are {', '.join(DTYPES)}")
    if not isinstance(field_type.get("declared", False), bool):
        raise SchemaError(f"declared is {shown(field_type['declared'])}, not true or false")
    dimensions = field_type.get("dimensions")
    if shape is None and dimensions is None:
        return
    if not isinstance(shape, list | tuple) or not all(type(size) is int and -1 <= size < 1 << 63 for size in shape):
        raise SchemaError(f"its shape is {shown(shape)}, not a list of sizes, in which -1 stands for any")
    if len(shape) > _MOST_DIMENSIONS:
        raise SchemaError(f"its shape has {len(shape):,} dimensions; NumPy has at most {_MOST_DIMENSIONS}")
    if dimensions is None:
        return
    if not isinstance(dimensions, list | tuple) or len(dimensions) != len(shape) or not dimensions:
        raise SchemaError(f"its dimensions are {shown(dimensions)}, not one name for each size")
    for name in dimensions:
        check_name(name, "the name of a dimension")
    if len({*dimensions}) < len(dimensions):
        raise SchemaError(f"two of its dimensions have one name: {', '.join(dimensions):.80}")
