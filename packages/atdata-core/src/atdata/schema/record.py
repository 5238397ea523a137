"""Sample type to schema record."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import itertools
import threading
import tokenize
import typing
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from .._generated import GeneratedType
from ..annotations import unwrapped
from ..cid import generate_cid
from ..codecs import Codec, WrongValue
from ..errors import NoSampleType, SampleTypeError, SchemaError
from ..fields import Field
from ..sample import PackableSample, plan_of
from .check import DEEPEST, check_record
from .defaults import default_text
from .kinds import DTYPES, PRIMITIVES, TYPES
from .shape import Shape
from .types import Constant

# Calling other factories may give another value each time, or do something
_EMPTY = (list, tuple, *PRIMITIVES.values())


def schema_of(
    sample_type: type,
    *,
    version: str = "1.0.0",
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The schema record of a sample type.

    Fields are described by the text in ``Annotated[..., "text"]`` or, where the class has its source at hand, by the
    text below them. Defaults are recorded, except those that a function of the user's makes, and arrays.

    Args:
        sample_type: a class made with ``@packable``.
        version: a semantic version.
        description: what the samples are; by default the docstring of the class.
        metadata: JSON-like, kept in the record as it is.

    Raises:
        SampleTypeError: a field that schemas cannot express; names it. A ``TypeError``.
        NoSampleType: not a sample type; a ``TypeError`` and a ``ValueError``.
        SchemaError: a version, name or metadata that records cannot hold; a ``ValueError``.

    Examples:
        >>> import atdata
        >>> @atdata.packable
        ... class Word:
        ...     '''One word.'''
        ...     text: str
        >>> record = atdata.schema.schema_of(Word)
        >>> record["description"], [field["name"] for field in record["fields"]]
        ('One word.', ['text'])
    """
    if not (isinstance(sample_type, type) and dataclasses.is_dataclass(sample_type)):
        raise NoSampleType(f"{sample_type!r:.120} is not a sample type; put @atdata.packable above its class statement")
    docs = _field_docs(sample_type)
    plan = plan_of(sample_type)
    record: dict[str, Any] = {"name": sample_type.__name__, "version": version}
    record["fields"] = [_field(plan.owner, field, docs.get(field.name)) for field in plan.fields]
    text = inspect.cleandoc(_own_doc(sample_type) if description is None else description)
    if text:
        record["description"] = text
    if metadata is not None:
        record["metadata"] = metadata
    check_record(record)
    return record if metadata is None else {**record, "metadata": _copied(metadata)}


def _copied(value: Any) -> Any:
    """Checked metadata in dicts and lists of its own, which is what records are made of."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [*map(_copied, value)] if isinstance(value, list | tuple) else value


def schema_cid(record: Mapping[str, Any]) -> str:
    """The CID of a schema record; when and where it was published does not count."""
    return generate_cid({key: value for key, value in record.items() if key not in ("createdAt", "$ref")})


def schema_by_cid(sample_type: type[Any]) -> dict[str, dict[str, Any]]:
    """The schema of a sample type by its CID; empty where it has no form as a schema."""
    if not issubclass(sample_type, PackableSample):
        return {}
    try:
        record = schema_of(sample_type)
    except (SampleTypeError, SchemaError):
        return {}  # dicts, for example: fine in samples, not in schemas
    return {schema_cid(record): record}


def _field(owner: str, field: Field, doc: str | None) -> dict[str, Any]:
    try:
        field_type = _field_type(field.codec)
        notes = _notes(field.hint)
        if field.codec.kind != "array" and any(isinstance(note, Shape) for note in notes):
            raise SampleTypeError("Shape is for arrays")
        default = _default(field, field_type)
    except SampleTypeError as error:
        raise SampleTypeError(f"{owner}.{field.name}: {error}", field=field.name) from None
    description = next((note for note in notes if isinstance(note, str)), doc)
    return {
        "name": field.name,
        "fieldType": field_type,
        "optional": field.optional,
        **({"default": default} if default else {}),
        **({"description": description} if description else {}),
    }


def _field_type(codec: Codec, depth: int = 0) -> dict[str, Any]:
    if codec.kind in PRIMITIVES:
        return {"$type": f"{TYPES}#primitive", "primitive": codec.kind}
    if codec.kind == "array":
        return {"$type": f"{TYPES}#ndarray", **_dtype(codec), **_shape(codec.notes)}
    if codec.kind == "list" and codec.item is not None and not codec.item.optional and depth < DEEPEST:
        return {"$type": f"{TYPES}#array", "items": _field_type(codec.item, depth + 1)}
    raise SampleTypeError(
        f"fields of type {codec.text:.120} have no form in a schema; those that have are "
        f"{', '.join(PRIMITIVES)}, NDArray, lists of them, and each with | None"
    )


def _dtype(codec: Codec) -> dict[str, Any]:
    if codec.dtype is None:
        return {"dtype": "float32"}
    if codec.dtype.name not in DTYPES:
        raise SampleTypeError(f"arrays of dtype {codec.dtype} have no form in a schema; there are {', '.join(DTYPES)}")
    # what is not declared is called float32, too
    return {"dtype": codec.dtype.name, **({"declared": True} if codec.dtype.name == "float32" else {})}


def _shape(notes: Iterable[Any]) -> dict[str, Any]:
    shape = next((note for note in notes if isinstance(note, Shape)), None)
    if shape is None:
        return {}
    sizes = [-1 if size is None else size for size in shape.sizes]
    return {"shape": sizes, **({"dimensions": [*shape.names]} if shape.names is not None else {})}


def _notes(hint: Any) -> tuple[Any, ...]:
    """What ``Annotated`` says about a field, around or inside of ``| None``."""
    hint, notes = unwrapped(hint)
    inner = typing.get_args(hint) if type(None) in typing.get_args(hint) else ()
    return notes + tuple(itertools.chain.from_iterable(map(_notes, inner)))


def _default(field: Field, field_type: Mapping[str, Any]) -> str | None:
    factory = field.default_factory
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif isinstance(factory, Constant) or (typing.get_origin(factory) or factory) in _EMPTY:
        value = factory()
    else:
        return None
    if value is None and field.optional:
        return None  # which is what optional fields are without a default
    try:
        return default_text(field_type, field.codec.pack(value))
    except WrongValue:
        raise SampleTypeError(f"its default {value!r:.80} is not of its type, {field.text}") from None


# ------------------------------------------------------------------------------------------- docstrings


def _own_doc(cls: type) -> str:
    """The docstring that the author of a class wrote."""
    doc = cls.__dict__.get("__doc__") or ""
    with contextlib.suppress(TypeError, ValueError):  # classes without a signature
        # dataclass() makes up a docstring where there is none
        if doc == cls.__name__ + str(inspect.signature(cls)).replace(" -> None", ""):
            return ""
    return str(doc)


# Python 3.11 may fail where two threads parse at once
_parsing = threading.Lock()
_docs: weakref.WeakKeyDictionary[type, dict[str, str]] = weakref.WeakKeyDictionary()


def _field_docs(cls: type) -> dict[str, str]:
    """The texts that stand below fields in the bodies of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if isinstance(base, GeneratedType) or not inspect.get_annotations(base):
            continue
        with _parsing:
            if base not in _docs:
                _docs[base] = _docs_in_source(base)
        found |= _docs[base]
    return found


def _docs_in_source(cls: type) -> dict[str, str]:
    try:
        source = inspect.getsource(cls)
        # texts in it may begin further left than the class, so that dedenting would not help
        module = ast.parse(f"if 1:\n{source}" if source[:1].isspace() else source)
    except (OSError, TypeError, SyntaxError, ValueError, tokenize.TokenError):
        return {}  # typed at a prompt, for example
    statement = next((node for node in ast.walk(module) if isinstance(node, ast.ClassDef)), None)
    if statement is None or statement.name != cls.__name__:
        return {}  # made by exec(): the place that it claims holds something else
    docs: dict[str, str] = {}
    for field, text in itertools.pairwise(statement.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                docs[name] = inspect.cleandoc(doc)
            case _:
                pass
    return docs
