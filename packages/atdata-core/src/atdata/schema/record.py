"""Sample type to schema record."""

from __future__ import annotations

import inspect
from typing import Any

from ..cid import cid_of
from ..errors import SampleTypeError
from ..fields import Codec
from ..sample import plan_of

_TYPES = "ac.foundation.dataset.schemaType"
_PRIMITIVES = {"str", "int", "float", "bool", "bytes"}


def _field_type(codec: Codec) -> dict[str, Any]:
    if codec.kind in _PRIMITIVES:
        return {"$type": f"{_TYPES}#primitive", "primitive": codec.kind}
    if codec.kind == "array":
        return {"$type": f"{_TYPES}#ndarray", "dtype": str(codec.dtype or "float32")}
    if codec.kind == "list" and codec.item is not None:
        return {"$type": f"{_TYPES}#array", "items": _field_type(codec.item)}
    raise SampleTypeError(f"fields of type {codec.text} have no form in a schema")


def schema_of(sample_type: type, *, version: str = "1.0.0") -> dict[str, Any]:
    """The schema record of a sample type: ``name``, ``version``, ``fields`` and, from its docstring, ``description``.

    Raises:
        SampleTypeError: not a sample type, or a field that schemas cannot express; names it.
    """
    plan = plan_of(sample_type)
    fields = []
    for field in plan.fields:
        try:
            field_type = _field_type(field.codec)
        except SampleTypeError as error:
            raise SampleTypeError(f"{plan.owner}.{field.name}: {error}", field=field.name) from None
        fields.append({"name": field.name, "fieldType": field_type, "optional": field.optional})
    record = {"name": sample_type.__name__, "version": version, "fields": fields}
    # dataclass() makes up a docstring from the signature where there is none
    doc = inspect.cleandoc(sample_type.__dict__.get("__doc__") or "")
    if doc and not doc.startswith(f"{sample_type.__name__}("):
        record["description"] = doc
    return record


def schema_cid(record: dict[str, Any]) -> str:
    """The CID of a schema record; when and where it was published does not count."""
    return cid_of({key: value for key, value in record.items() if key not in ("createdAt", "$ref")})
