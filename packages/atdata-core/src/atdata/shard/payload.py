"""A sample's bytes: a msgpack map of field name to value, arrays as ``bin`` values that hold ``.npy`` bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import ormsgpack

from ..errors import SampleDecodeError, SampleTypeError
from .array import Buffer, array_parts

# What msgpack has no type for is refused, not turned into something that reads back as another type.
_STRICT = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
)


def _numpy_number(value: object) -> object:
    if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.itemsize <= 8:
        return value.item()
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} has no msgpack form")


_LEAVES = frozenset((str, int, float, bool, bytes, type(None)))
_KEYS = frozenset((*_LEAVES, tuple))
_DEEP = (dict, list, tuple, ormsgpack.Ext)


def _check(value: Any) -> None:
    """Refuse what ormsgpack would turn into something else without a word."""
    if isinstance(value, ormsgpack.Ext):
        raise TypeError("extension types cannot be read back")
    if isinstance(value, dict):
        for kind in set(map(type, value)) - _KEYS:
            raise TypeError(f"a dict key of type {kind.__qualname__} would come back as another")
        value = value.values()
    if not set(map(type, value)) <= _LEAVES:
        for item in value:
            if isinstance(item, _DEEP):
                _check(item)


def pack_value(value: Any) -> bytes:
    """Any value that msgpack has a type for, as bytes; NumPy numbers become plain numbers.

    Raises:
        SampleTypeError: the value, or something in it, has no msgpack type.
    """
    try:
        if isinstance(value, _DEEP):
            _check(value)
        return ormsgpack.packb(value, default=_numpy_number, option=_STRICT)
    except (TypeError, ValueError, RecursionError) as error:
        # ormsgpack raises one class for all; the hook's own message is the cause when it refused the value
        raise SampleTypeError(str(error.__cause__ or error)) from error


def map_head(n: int) -> bytes:
    """The first bytes of a msgpack map of ``n`` entries."""
    if n < 16:
        return bytes((0x80 | n,))
    return b"\xde" + n.to_bytes(2, "big") if n < 1 << 16 else b"\xdf" + n.to_bytes(4, "big")


def _bin_head(n: int) -> bytes:
    if n < 1 << 8:
        return bytes((0xC4, n))
    if n < 1 << 16:
        return b"\xc5" + n.to_bytes(2, "big")
    if n < 1 << 32:
        return b"\xc6" + n.to_bytes(4, "big")
    raise SampleTypeError(f"a value of {n:,} bytes is over msgpack's limit of 4 GiB")


def bin_parts(value: npt.NDArray[Any] | np.generic) -> tuple[bytes, Buffer]:
    """An array as a msgpack ``bin``: everything before its elements, and its elements."""
    header, data = array_parts(value)
    return _bin_head(len(header) + len(data)) + header, data


def pack_plain(values: dict[str, Any]) -> bytes:
    """Fields of plain numbers, text and bytes, fewer than 16, as they stand in a map.

    Raises:
        TypeError: one that msgpack cannot hold; ``pack_value`` says which and why.
    """
    return ormsgpack.packb(values)[1:]  # behind the map's head, which is one byte


def unpack_map(data: Buffer) -> dict[str, Any]:
    """The map that a sample's bytes hold, arrays still as bytes.

    Raises:
        SampleDecodeError: not msgpack, or not a map with text keys.
    """
    try:
        value = ormsgpack.unpackb(data, option=ormsgpack.OPT_NON_STR_KEYS)
    except (ValueError, TypeError) as error:
        raise SampleDecodeError(f"not msgpack: {error}") from error
    if type(value) is not dict or not all(type(name) is str for name in value):
        found = type(value).__name__ if type(value) is not dict else "a map with other keys"
        raise SampleDecodeError(f"a sample is a msgpack map of field names to values; found {found}")
    return value
