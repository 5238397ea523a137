"""What differs between two schemas, and for whom that matters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dtypes import may_convert
from .check import check_record
from .kinds import is_declared, kind_of, text_of
from .version import Version

# stored -> what else its values can be read as
_WIDER = {("bool", "int"), ("bool", "float"), ("int", "float")}


class SchemaWarning(UserWarning):
    """A schema is published that may surprise those who use the one before it."""


@dataclass(frozen=True)
class SchemaDiff:
    """What differs between two schemas. ``str()`` shows it line by line.

    Attributes:
        added: names of fields that only the newer one has.
        removed: names of fields that only the older one has.
        changed: names of fields that differ in any way, a description for example.
        breaks_readers: why those who still use the older type cannot read data of the newer one; empty if they can.
        breaks_writers: why the newer type cannot read data of those who still write the older one; empty if it can.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    breaks_readers: tuple[str, ...]
    breaks_writers: tuple[str, ...]
    _lines: tuple[str, ...]

    @property
    def compatible(self) -> bool:
        """Whether readers and writers of either schema can work with those of the other."""
        return not self.breaks_readers and not self.breaks_writers

    def __str__(self) -> str:
        lines = [*self._lines]
        for who, reasons in (("readers", self.breaks_readers), ("writers", self.breaks_writers)):
            lines += [f"breaks {who}: {reason}" for reason in reasons]
        return "\n".join(lines) or "no difference"


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> SchemaDiff:
    """What differs between the fields of two schema records.

    Raises:
        SchemaError: one of them is not a schema record.
    """
    before, after = _fields(old), _fields(new)
    added = tuple(name for name in after if name not in before)
    removed = tuple(name for name in before if name not in after)
    changed = tuple(name for name in before if name in after and before[name] != after[name])
    lines = [
        *(f"+ {_line(after[name])}" for name in added),
        *(f"- {_line(before[name])}" for name in removed),
        *(f"~ {_change(before[name], after[name])}" for name in changed),
    ]
    readers, writers = tuple(obstacles(before, after)), tuple(obstacles(after, before))
    return SchemaDiff(added, removed, changed, readers, writers, tuple(lines))


def check_bump(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Warn if a schema breaks its readers or writers and its version does not say so.

    A new major version says so; among the versions ``0.y.z`` a new minor one does, too.

    Args:
        old: the record of the highest version below the new one.
        new: the record that is to be published.

    Warns:
        SchemaWarning: says what breaks, and which version to publish instead.
    """
    found = diff(old, new)
    before, after = Version.parse(old["version"]), Version.parse(new["version"])
    announced = after.major > before.major or (after.major == 0 and after.minor > before.minor)
    if found.compatible or announced:
        return
    advised = Version(0, before.minor + 1, 0) if before.major == 0 else Version(before.major + 1, 0, 0)
    warnings.warn(
        f"{new['name']} {after} breaks what works with {before}, which its version does not tell: "
        f"{'; '.join((*found.breaks_readers, *found.breaks_writers))}. Publish it as {advised}",
        SchemaWarning,
        stacklevel=2,
    )


def _fields(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    check_record(record)
    return {field["name"]: {**field, "optional": field.get("optional", False)} for field in record["fields"]}


def _type(field: Mapping[str, Any]) -> str:
    return text_of(field["fieldType"]) + (" | None" if field["optional"] else "")


def _line(field: Mapping[str, Any]) -> str:
    default = f" = {field['default']:.80}" if "default" in field else ""
    return f"{field['name']}: {_type(field)}{default}"


def _change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    old, new = _line(before), _line(after)
    if old != new:
        return f"{old} -> {new.partition(': ')[2]}"
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return f"{old} ({', '.join(keys)})"


def obstacles(wanted: Mapping[str, Mapping[str, Any]], stored: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Why samples with the stored fields cannot be read as a type with the wanted ones."""
    for name, field in wanted.items():
        if name not in stored:
            if not field["optional"] and "default" not in field:
                yield f"{name} is missing and has no default"
        elif stored[name]["optional"] and not field["optional"]:
            yield f"{name} may be None, which {_type(field)} does not allow"
        elif not _readable(field["fieldType"], stored[name]["fieldType"]):
            yield f"{name} is {_type(stored[name])}, which does not read as {_type(field)}"


def _readable(wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    kind = kind_of(wanted)
    if kind != kind_of(stored):
        return False
    if kind == "array":
        return _readable(wanted["items"], stored["items"])
    if kind == "primitive":
        pair = stored["primitive"], wanted["primitive"]
        return pair[0] == pair[1] or pair in _WIDER
    dtypes = not is_declared(wanted) or (
        is_declared(stored) and may_convert(np.dtype(stored["dtype"]), np.dtype(wanted["dtype"]), "same-kind")
    )
    return dtypes and _fits(wanted.get("shape"), stored.get("shape"))


def _fits(wanted: list[int] | None, stored: list[int] | None) -> bool:
    if wanted is None:
        return True
    if stored is None or len(stored) != len(wanted):
        return False
    return all(size in (-1, own) for size, own in zip(wanted, stored, strict=True))
