"""The field types of schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

TYPES = "ac.foundation.dataset.schemaType"
INTEGERS = range(-(1 << 63), 1 << 64)  # what msgpack stores
PRIMITIVES: dict[str, type[Any]] = {"str": str, "int": int, "float": float, "bool": bool, "bytes": bytes}
DTYPES: dict[str, type[np.generic]] = {
    name: np.dtype(name).type
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128", "datetime64", "timedelta64", "str", "bytes"),
    )
}


def kind_of(field_type: Mapping[str, Any]) -> str:
    """What a checked field type is: ``primitive``, ``ndarray``, ``array`` or ``ref``."""
    return str(field_type["$type"]).removeprefix(f"{TYPES}#")


def text_of(field_type: Mapping[str, Any]) -> str:
    """A checked field type in words, such as ``list[NDArray[float32]]``."""
    kind = kind_of(field_type)
    if kind == "array":
        return f"list[{text_of(field_type['items'])}]"
    if kind == "ndarray":
        shape = f", shape {tuple(field_type['shape'])}" if field_type.get("shape") is not None else ""
        return (f"NDArray[{field_type['dtype']}]" if is_declared(field_type) else "NDArray") + shape
    return str(field_type["primitive"] if kind == "primitive" else field_type["ref"])


def is_declared(ndarray: Mapping[str, Any]) -> bool:
    """Whether the dtype of an array field was declared: float32 also stands for arrays of any dtype."""
    return ndarray["dtype"] != "float32" or bool(ndarray.get("declared"))
