"""Metadata of any kind in records, whose values are few: no floats, no large integers, no keys with ``$``.

What the protocol lacks is wrapped as the lexicon ``ac.foundation.dataset.defs`` says, and unwrapped when it is read.
All else stays as it is, so other programs can read it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from .errors import InvalidRecord
from .records import _SAFE_INTEGER, NAMESPACE, unpadded, wire

_DECIMAL, _JSON = f"{NAMESPACE}.defs#decimal", f"{NAMESPACE}.defs#json"
_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBER = re.compile(r"-?[0-9]{1,4300}(\.[0-9]+)?([eE][+-]?[0-9]{1,9})?")


def to_record(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as a record holds it.

    Args:
        metadata: JSON-like: dicts with text keys, lists, text, numbers, bytes, booleans, None.

    Raises:
        InvalidRecord: a value that is none of these; says where.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidRecord(f"metadata is a map, not {type(metadata).__name__}")
    try:
        wrapped: dict[str, Any] = wire(_wrapped(metadata), "metadata")
    except (RecursionError, ValueError) as error:
        if isinstance(error, InvalidRecord):
            raise
        raise InvalidRecord(f"metadata cannot be written down: {error}") from None
    return wrapped


def from_record(value: Any) -> Any:
    """Metadata from a record; what is not wrapped, or not as the lexicon says, stays as it is."""
    if isinstance(value, list):
        return [from_record(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("$type") == _DECIMAL and isinstance(text := value.get("value"), str):
        return _number(text, value)
    if value.get("$type") == _JSON and isinstance(text := value.get("text"), str):
        return _map(text, value)
    if value.keys() == {"$bytes"} and isinstance(text := value["$bytes"], str):
        try:
            return unpadded(text)
        except ValueError:
            return value
    return {key: from_record(item) for key, item in value.items()}


def _wrapped(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return {"$type": _DECIMAL, "value": _text(value)}
    if isinstance(value, int) and abs(value) > _SAFE_INTEGER:
        return {"$type": _DECIMAL, "value": str(value)}
    if isinstance(value, list | tuple):
        return [_wrapped(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = {key: _wrapped(item) for key, item in value.items()}
    # keys that the protocol keeps for itself, and one that JavaScript does
    if any(isinstance(key, str) and (key.startswith("$") or key == "__proto__") for key in inner):
        return {"$type": _JSON, "text": json.dumps(wire(inner, "metadata"), ensure_ascii=False)}
    return inner


def _text(value: float) -> str:
    if math.isfinite(value):
        return float.__repr__(value)  # subclasses have their own
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _number(text: str, otherwise: Any) -> Any:
    if text in _NAMES:
        return _NAMES[text]
    match = _NUMBER.fullmatch(text)
    if match is None:
        return otherwise
    return float(text) if match[1] or match[2] else int(text)


def _map(text: str, otherwise: Any) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return otherwise
    # its own keys are not wrappers, whatever they are called
    return {key: from_record(item) for key, item in found.items()} if isinstance(found, dict) else otherwise
