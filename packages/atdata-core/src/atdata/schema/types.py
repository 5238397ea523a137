"""Schema record to sample type."""

from __future__ import annotations

import dataclasses
import json
import threading
import weakref
from collections.abc import Mapping
from typing import Annotated, Any, Optional

from numpy.typing import NDArray

from .._generated import make_type
from ..errors import SampleTypeError, SchemaError
from ..sample import PackableSample
from .check import check_record
from .defaults import default_of
from .kinds import DTYPES, PRIMITIVES, is_declared, kind_of
from .shape import Shape

_types: weakref.WeakValueDictionary[str, type[PackableSample]] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def type_of(record: Mapping[str, Any]) -> type[PackableSample]:
    """The sample type that a schema record describes: a class like one that was written by hand.

    Records of equal content give one class. It can be pickled, and so can its samples: another process makes it from
    the record. Optional fields that have no other default may be left out and are None then.

    Raises:
        SchemaError: the record describes no sample type; names the field. A ``ValueError``.

    Examples:
        >>> import atdata
        >>> from atdata.schema import schema_of, type_of
        >>> @atdata.packable
        ... class Word:
        ...     text: str
        ...     language: str = "en"
        >>> Copy = type_of(schema_of(Word))
        >>> Copy.from_bytes(Word(text="a").packed)
        Word(text='a', language='en')
    """
    check_record(record)
    own = essence(record)
    key = json.dumps(own, sort_keys=True)
    with _lock:  # two threads must not get two classes
        made = _types.get(key)
        if made is None:
            made = _types[key] = _make(own)
    return made


def essence(record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a checked record makes its type, in records and lists of its own: equal for records of equal types."""
    kept = {key: record[key] for key in ("name", "version") if key in record}
    kept["fields"] = [
        {
            "name": field["name"],
            "fieldType": _essential_type(field["fieldType"]),
            "optional": field.get("optional", False),
            **{key: field[key] for key in ("default", "description") if key in field},
        }
        for field in record["fields"]
    ]
    return kept | ({"description": record["description"]} if record.get("description") else {})


def _essential_type(field_type: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {"$type": field_type["$type"]}
    if kind_of(field_type) == "array":
        return kept | {"items": _essential_type(field_type["items"])}
    if kind_of(field_type) == "primitive":
        return kept | {"primitive": field_type["primitive"]}
    kept["dtype"] = field_type["dtype"]
    if field_type["dtype"] == "float32" and is_declared(field_type):
        kept["declared"] = True
    return kept | {key: [*field_type[key]] for key in ("shape", "dimensions") if field_type.get(key) is not None}


@dataclasses.dataclass(frozen=True)
class Constant:
    """A default that is made anew for each sample: a list of lists and plain values."""

    value: Any

    def __call__(self) -> Any:
        return [Constant(item)() for item in self.value] if isinstance(self.value, list) else self.value


def _make(record: dict[str, Any]) -> type[PackableSample]:
    fields: list[dict[str, Any]] = record["fields"]
    # all are told: what a class has from elsewhere, as it has mro(), would pass for a default
    defaults = {field["name"]: _default(field) for field in fields}
    hints = {field["name"]: _hint(field) for field in fields}
    try:
        return make_type(record["name"], hints, (type_of, (record,)), defaults=defaults, doc=record.get("description"))
    except SampleTypeError as error:
        raise SchemaError(f"schema {record['name']!r} has no form as a type: {error}", field=error.field) from error


def _default(field: Mapping[str, Any]) -> Any:
    if "default" not in field and not field["optional"]:
        return dataclasses.field()
    value = default_of(field) if "default" in field else None
    return dataclasses.field(default_factory=Constant(value)) if isinstance(value, list) else value


def _hint(field: Mapping[str, Any]) -> Any:
    hint = _python_type(field["fieldType"])
    if field["optional"]:
        hint = Optional[hint]  # noqa: UP045 (hints made at run time know no |)
    return Annotated[hint, field["description"]] if field.get("description") else hint


def _python_type(field_type: Mapping[str, Any]) -> Any:
    if kind_of(field_type) == "array":
        return list[_python_type(field_type["items"])]  # type: ignore[misc]
    if kind_of(field_type) == "primitive":
        return PRIMITIVES[field_type["primitive"]]
    scalar: Any = DTYPES[field_type["dtype"]] if is_declared(field_type) else Any
    shape = shape_of(field_type)
    return NDArray[scalar] if shape is None else Annotated[NDArray[scalar], shape]


def shape_of(field_type: Mapping[str, Any]) -> Shape | None:
    """The shape in the field type of an array."""
    if field_type.get("shape") is None:
        return None
    sizes = [None if size == -1 else size for size in field_type["shape"]]
    names = field_type.get("dimensions")
    return Shape(*sizes) if names is None else Shape(**dict(zip(names, sizes, strict=True)))
