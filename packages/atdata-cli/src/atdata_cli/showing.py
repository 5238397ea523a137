"""Values of samples in a few letters, and as JSON."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from atdata_cli.output import plain

_WIDE = 60
_FEW = 6

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 40
_repr.maxlist = _repr.maxdict = _FEW


def number(value: float | None, *, digits: int = 6) -> str:
    """A number in few letters; nothing for None."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def shape_text(shape: tuple[int | None, ...]) -> str:
    """A shape such as ``28x28x*``, where ``*`` stands for lengths that vary; ``scalar`` without axes."""
    return "x".join("*" if size is None else str(size) for size in shape) or "scalar"


def brief(value: Any) -> str:
    """A value in a few letters: arrays are summarised, texts cut."""
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, bytes):
        return f"{len(value):,} bytes{': ' if value else ''}{value[:8].hex(' ')}{' ...' if len(value) > 8 else ''}"
    if isinstance(value, float):
        return number(value)
    text = plain(value) if isinstance(value, str) else plain(value if value is None else _repr.repr(value))
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 3]}..."


def _array(array: np.ndarray[Any, Any]) -> str:
    what = f"{array.dtype} {shape_text(array.shape)}"
    if array.size <= _FEW and array.dtype.kind in "biufcSUmM":
        return f"{what}: {plain(array.tolist())}"
    facts = _range(array)
    return what if facts is None else f"{what}: {number(facts[0])} to {number(facts[1])}, mean {number(facts[2])}"


def _range(array: np.ndarray[Any, Any]) -> tuple[Any, Any, float] | None:
    """Least, greatest and mean of the finite elements of an array of real numbers."""
    if array.dtype.kind not in "biuf":
        return None
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if not finite.size:
        return None
    with np.errstate(over="ignore"):
        return finite.min().item(), finite.max().item(), float(finite.mean(dtype=np.float64))


def jsonable(value: Any) -> Any:
    """A value for JSON: arrays are ``{"dtype", "shape", "min", "max", "mean"}``, bytes ``{"bytes"}``."""
    if isinstance(value, np.ndarray):
        low, high, mean = _range(value) or (None, None, None)
        return {"dtype": str(value.dtype), "shape": list(value.shape), "min": low, "max": high, "mean": mean}
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    return [jsonable(item) for item in value] if isinstance(value, list | tuple) else value
