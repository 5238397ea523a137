"""Field types that fit values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..codecs import found
from ..errors import RowError
from ..schema.kinds import DTYPES, INTEGERS, TYPES

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|nan|[+-]?inf", re.IGNORECASE)


def primitive(kind: str) -> dict[str, Any]:
    """The type of a field of ``str``, ``int``, ``float``, ``bool`` or ``bytes``."""
    return {"$type": f"{TYPES}#primitive", "primitive": kind}


def items(item: dict[str, Any]) -> dict[str, Any]:
    """The type of a field of lists."""
    return {"$type": f"{TYPES}#array", "items": item}


def ndarray(dtype: Any, where: str) -> dict[str, Any]:
    """The type of a field of arrays.

    Raises:
        RowError: schemas have no such dtype.
    """
    name = {"U": "str", "S": "bytes", "M": "datetime64", "m": "timedelta64"}.get(dtype.kind, dtype.name)
    if name not in DTYPES:
        raise RowError(f"{where} has the dtype {dtype}; fields have {', '.join(DTYPES)}")
    return {"$type": f"{TYPES}#ndarray", "dtype": name, "declared": True}


def _is_integer(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and len(text) <= 20 and int(text) in INTEGERS


def _is_float(text: str) -> bool:
    # an integer that a float would not be equal to is rather a name
    return _FLOAT.fullmatch(text) is not None and (_INTEGER.fullmatch(text) is None or _is_exact(text))


def _is_exact(text: str) -> bool:
    return len(text) <= 300 and int(float(text)) == int(text)


_TESTS: dict[str, Callable[[str], bool]] = {
    "bool": lambda text: text.lower() in ("true", "false"),
    "int": _is_integer,
    "float": _is_float,
}


class TextColumn:
    """The cells of a column of text, and what they all can be parsed as."""

    def __init__(self) -> None:
        self._kinds = [*_TESTS]
        self._missing = False
        self._seen = False

    def add(self, text: str, _where: str) -> None:
        """Look at a cell; an empty one is a missing value."""
        if not text:
            self._missing = True
        else:
            self._seen = True
            self._kinds = [kind for kind in self._kinds if _TESTS[kind](text)]

    def field(self, name: str) -> dict[str, Any]:
        """The field of a schema record."""
        kind = self._kinds[0] if self._kinds and self._seen else "str"
        return {"name": name, "fieldType": primitive(kind), "optional": self._missing and kind != "str"}


class ValueColumn:
    """The values of a column, as JSON has them, and where each kind of them was first."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._missing: str | None = None
        self._items: ValueColumn | None = None

    def add(self, value: Any, where: str) -> None:
        """Look at a value.

        Raises:
            RowError: nothing that a field could hold.
        """
        if value is None:
            self._missing = self._missing or where
            return
        kind = found(value)
        if kind not in ("bool", "int", "float", "str", "bytes", "list"):
            raise RowError(f"{where} is an object, and fields hold none; make its entries columns of their own")
        if kind == "int" and value not in INTEGERS:
            raise RowError(f"{where} is an integer of over 64 bits; write it as text")
        self._kinds.setdefault(kind, where)
        if kind == "list":
            self._items = self._items or ValueColumn()
            for item in value:
                self._items.add(item, f"an item of {where}")

    def field(self, name: str, *, optional: bool = False) -> dict[str, Any]:
        """The field of a schema record.

        Args:
            name: its name.
            optional: whether some rows do not have it.

        Raises:
            RowError: its values are of kinds that no field type has in common.
        """
        return {"name": name, "fieldType": self._type(), "optional": optional or self._missing is not None}

    def _type(self) -> dict[str, Any]:
        kinds = [*self._kinds]
        if {*kinds} == {"int", "float"}:
            kinds = ["float"]
        if len(kinds) > 1:
            places = ", ".join(f"{kind} ({where})" for kind, where in self._kinds.items())
            raise RowError(f"a field has one type; found {places}. Make them alike, or all text")
        if kinds == ["list"]:
            assert self._items is not None
            if self._items._missing is not None:
                raise RowError(f"{self._items._missing} is null, which lists have no place for")
            return items(self._items._type())
        return primitive(kinds[0] if kinds else "str")
