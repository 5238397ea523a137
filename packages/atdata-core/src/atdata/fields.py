"""Field plans: what the annotations of a sample class say about storing and restoring its fields.

A plan is made once per class, on first use, and every later step (packing, unpacking, batching, schemas) reads it.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from .errors import FieldMismatch, SampleDecodeError, SampleTypeError
from .shard.array import Buffer, array_to_bytes, bytes_to_array
from .shard.payload import bin_parts, join_parts, map_head, pack_value

Kind: TypeAlias = Literal["array", "bool", "int", "float", "str", "bytes", "list", "dict", "any"]

# Equal samples should be equal bytes up to the first field whose length varies: fixed sizes come first, so a
# batch of like samples has its arrays at one stride.
_WRITE_ORDER: dict[Kind, int] = {
    kind: rank
    for rank, kinds in enumerate([("array",), ("float", "bool"), ("int",), ("str", "bytes"), ("list", "dict", "any")])
    for kind in typing.cast("tuple[Kind, ...]", kinds)
}


class _Wrong(Exception):
    """A value is not of the declared type; the field that holds it is named further up."""


class Codec(NamedTuple):
    """How values of one annotation are stored.

    Attributes:
        kind: what it is in the stored map.
        text: the annotation in words, for messages.
        pack: value -> what msgpack stores; raises when the value is of another type.
        unpack: what msgpack stored -> value; raises likewise.
        dtype: dtype that an array annotation names, or None.
        item: codec of a list's items, or None.
    """

    kind: Kind
    text: str
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]
    dtype: np.dtype[Any] | None = None
    item: Codec | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One stored field of a sample class.

    Attributes:
        name: its name, in the class and in the stored map.
        hint: its resolved annotation, ``Annotated`` metadata included.
        optional: whether None is allowed.
        codec: how its values are stored.
        default: the default value, or ``dataclasses.MISSING``.
        default_factory: makes the default value, or ``dataclasses.MISSING``.
        head: msgpack bytes of the name.
    """

    name: str
    hint: Any
    optional: bool
    codec: Codec
    default: Any
    default_factory: Any
    head: bytes

    @property
    def text(self) -> str:
        """The declared type in words, such as ``NDArray[float32] | None``."""
        return f"{self.codec.text} | None" if self.optional else self.codec.text

    @property
    def required(self) -> bool:
        """Whether stored samples must have it."""
        return self.default is MISSING and self.default_factory is MISSING


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How the samples of one class are stored and restored.

    Attributes:
        owner: name of the class, for messages.
        fields: the stored fields in the order of the class.
        by_name: the same by name.
        stored: the same in the order they are written.
        head: first bytes of the stored map.
        plain: whether an instance can be made by filling ``__dict__``: nothing runs on construction that could tell.
    """

    owner: str
    fields: tuple[Field, ...]
    by_name: Mapping[str, Field]
    stored: tuple[Field, ...]
    head: bytes
    plain: bool

    def pack(self, sample: object) -> list[Buffer]:
        """The sample's msgpack map as buffers to be written one after another; large arrays are not copied.

        Raises:
            SampleTypeError: a value that is not of its declared type or cannot be stored; names the field.
        """
        parts: list[Buffer] = []
        for field in self.stored:
            value = getattr(sample, field.name)
            try:
                if value is None and field.optional:
                    parts.append(field.head + b"\xc0")
                elif field.codec.kind == "array":
                    head, data = bin_parts(field.codec.pack(value))
                    parts += (field.head + head, data)
                else:
                    parts.append(field.head + pack_value(field.codec.pack(value)))
            except _Wrong as wrong:
                raise SampleTypeError(self._mismatch(field, value, wrong), field=field.name) from None
            except SampleTypeError as error:
                message = f"{self.owner}.{field.name}: {error}"
                raise SampleTypeError(message, field=field.name) from error
        return join_parts(self.head, parts)

    def unpack_field(self, field: Field, value: Any) -> Any:
        """A field's value from what was stored.

        Raises:
            FieldMismatch: what was stored is of another type; names both.
            SampleDecodeError: an array that cannot be parsed.
        """
        if value is None and field.optional:
            return None
        try:
            return field.codec.unpack(value)
        except _Wrong as wrong:
            raise FieldMismatch(self._mismatch(field, value, wrong), field=field.name) from None
        except SampleDecodeError as error:
            message = f"{self.owner}.{field.name}: {error}"
            raise SampleDecodeError(message, field=field.name) from error

    def _mismatch(self, field: Field, value: object, wrong: _Wrong) -> str:
        what = f"{self.owner}.{field.name}: expected {field.text}, found {found(value)}"
        return f"{what} ({wrong})" if str(wrong) else what

    def missing(self, field: Field) -> Any:
        """The default of a field that a stored sample does not have.

        Raises:
            FieldMismatch: there is no default.
        """
        if field.default is not MISSING:
            return field.default
        if field.default_factory is not MISSING:
            return field.default_factory()
        raise FieldMismatch(
            f"{self.owner}.{field.name}: expected {field.text}, found no such field in the stored "
            "sample; give it a default to read such samples",
            field=field.name,
        )

    def unpack(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """All fields from an unpacked map: unknown ones are ignored, missing ones get their defaults.

        Raises:
            FieldMismatch: a field is missing or of another type.
            SampleDecodeError: an array that cannot be parsed.
        """
        values = {}
        for field in self.fields:
            name = field.name
            values[name] = self.unpack_field(field, data[name]) if name in data else self.missing(field)
        return values


def found(value: object) -> str:
    """What a value is, in words, for messages."""
    if isinstance(value, np.ndarray):
        return f"array of dtype {value.dtype} and shape {value.shape}"
    return "None" if value is None else type(value).__name__


# ---------------------------------------------------------------------------------------------- values


def _exactly(kind: type, *also: type) -> Callable[[Any], Any]:
    """Pass values of exactly ``kind``; convert those of the ``also`` types."""

    def convert(value: Any) -> Any:
        if type(value) is kind:
            return value
        if isinstance(value, also):
            try:
                return kind(value)
            except OverflowError:
                raise _Wrong from None
        raise _Wrong

    return convert


def _primitive(kind: Kind, base: type, *also: type) -> Codec:
    convert = _exactly(base, *also)
    return Codec(kind, kind, convert, convert)


_PRIMITIVES: dict[type, Codec] = {
    bool: _primitive("bool", bool, np.bool_),
    int: _primitive("int", int, int, np.integer, np.bool_),
    float: _primitive("float", float, float, int, np.floating, np.integer),
    str: _primitive("str", str, str),
    bytes: _primitive("bytes", bytes, bytes, bytearray, memoryview),
}
_ANY = Codec("any", "Any", lambda value: value, lambda value: value)


def _pack_array(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value
    raise _Wrong


def _unpack_array(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes_to_array(value)
    if isinstance(value, np.ndarray):
        return value
    raise _Wrong


def _array(hint: Any) -> Codec:
    args = typing.get_args(hint)
    scalar = next(iter(typing.get_args(args[1])), None) if len(args) == 2 else None
    dtype = np.dtype(scalar) if scalar in np.sctypeDict.values() else None
    text = "NDArray" if dtype is None else f"NDArray[{dtype}]"
    return Codec("array", text, _pack_array, _unpack_array, dtype)


def _numpy_scalar(kind: type[np.generic]) -> Codec | None:
    families: list[tuple[type, type]] = [
        (np.bool_, bool),
        (np.integer, int),
        (np.floating, float),
        (np.str_, str),
        (np.bytes_, bytes),
    ]
    base = next((base for family, base in families if issubclass(kind, family)), None)
    # no msgpack number is as wide as a long double
    if base is None or kind is np.longdouble or kind not in np.sctypeDict.values():
        return None
    plain = _PRIMITIVES[base]

    def unpack(value: Any) -> Any:
        try:
            return kind(plain.unpack(value))
        except OverflowError:  # 300 for an int8
            raise _Wrong from None

    return Codec(plain.kind, kind.__name__, lambda value: unpack(value).item(), unpack)


def _each(step: Callable[[Any], Any], plain: type | None, value: Any) -> list[Any]:
    """Apply ``step`` to every item; lists whose items all are of exactly ``plain`` need no step."""
    if plain is not None and set(map(type, value)) <= {plain}:
        return value if type(value) is list else list(value)
    done = []
    for position, item in enumerate(value):
        try:
            done.append(step(item))
        except _Wrong as wrong:
            raise _Wrong(f"item {position} is {found(item)}" + (f", {wrong}" if str(wrong) else "")) from None
    return done


def _sequence(text: str, item: Codec, build: type[list[Any]] | type[tuple[Any, ...]]) -> Codec:
    plain = next((base for base, codec in _PRIMITIVES.items() if codec is item), None)

    def pack(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return _each(item.pack, plain, value)
        raise _Wrong

    def unpack(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return build(_each(item.unpack, plain, value))
        raise _Wrong

    return Codec("list", text, pack, unpack, item=item)


def _mapping(text: str, item: Codec) -> Codec:
    def through(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def convert(value: Any) -> Any:
            if isinstance(value, Mapping):
                return dict(zip(value, _each(step, None, value.values()), strict=True))
            raise _Wrong

        return convert

    return Codec("dict", text, through(item.pack), through(item.unpack))


def _choice(text: str, values: tuple[Any, ...]) -> Codec | None:
    base = type(values[0])
    if base not in _PRIMITIVES or any(type(value) is not base for value in values):
        return None
    plain = _PRIMITIVES[base]

    def convert(value: Any) -> Any:
        if plain.pack(value) in values:
            return value
        raise _Wrong(repr(value))

    return Codec(plain.kind, text, convert, convert)


# ----------------------------------------------------------------------------------------- annotations

_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def describe(hint: Any) -> str:
    """An annotation in words."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return str(hint).replace("typing.", "").replace("collections.abc.", "")


def _unwrapped(hint: Any) -> Any:
    """The type inside ``Annotated``, ``Final``, ``NewType`` and ``type X = ...`` aliases."""
    while True:
        if typing.get_origin(hint) in (typing.Annotated, typing.Final):
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif sys.version_info >= (3, 12) and isinstance(hint, typing.TypeAliasType):
            hint = hint.__value__
        elif sys.version_info >= (3, 12) and isinstance(typing.get_origin(hint), typing.TypeAliasType):
            hint = typing.get_origin(hint).__value__[typing.get_args(hint)]  # NumPy's own NDArray[...]
        else:
            return hint


def codec_of(hint: Any) -> tuple[Codec, bool]:
    """The codec of an annotation, and whether it allows None.

    Raises:
        SampleTypeError: values of this annotation cannot be stored.
    """
    hint = _unwrapped(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = list(map(_unwrapped, typing.get_args(hint)))
        others = [member for member in members if member is not types.NoneType]
        optional = len(others) < len(members)
        if len(others) == 1:
            codec, inner = codec_of(others[0])
            return codec, optional or inner
        kinds = [codec_of(member)[0] for member in others]
        if any(codec.kind == "array" for codec in kinds):
            raise SampleTypeError("a union of an array and something else reads back ambiguously")
        return _ANY._replace(text=" | ".join(codec.text for codec in kinds)), optional
    single = _codec_of_one(hint)
    if single is None:
        advice = (
            "; nested dataclasses are not supported, move their fields into this class"
            if dataclasses.is_dataclass(hint)
            else ""
        )
        raise SampleTypeError(
            f"values of type {describe(hint)} cannot be stored{advice}. Supported: str, int, float, bool, "
            "bytes, NDArray, NumPy numbers, list, tuple, dict, Literal, Any, and each with | None"
        )
    return single, hint in (Any, object, None, types.NoneType)


def _nested(hint: Any) -> Codec:
    """The codec of an item of a list, tuple or dict."""
    codec, optional = codec_of(hint)
    pack, unpack = codec.pack, codec.unpack
    if codec.kind == "array":
        codec = codec._replace(pack=lambda value: array_to_bytes(pack(value)))
        pack = codec.pack
    if not optional or codec.kind == "any":
        return codec
    return codec._replace(
        text=f"{codec.text} | None",
        pack=lambda value: None if value is None else pack(value),
        unpack=lambda value: None if value is None else unpack(value),
    )


def _codec_of_one(hint: Any) -> Codec | None:
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if hint in (Any, object, None, types.NoneType) or isinstance(hint, typing.TypeVar):
        return _ANY
    if origin is Literal:
        return _choice(describe(hint), args)
    if not isinstance(origin, type):
        return None
    if origin in _PRIMITIVES:
        return _PRIMITIVES[origin]
    if origin is np.ndarray:
        return _array(hint)
    if issubclass(origin, np.generic):
        return _numpy_scalar(origin)
    if origin in _LISTS:
        item = _nested(args[0]) if args else _ANY
        return _sequence(f"list[{item.text}]" if args else "list", item, list)
    if origin is tuple:
        variadic = len(args) == 2 and args[1] is Ellipsis
        if variadic or len(set(args)) == 1:
            item = _nested(args[0])
        else:
            for arg in args:
                _nested(arg)  # refuses what cannot be stored
            item = _ANY
        return _sequence(describe(hint), item, tuple)
    if origin in _DICTS or typing.is_typeddict(origin):
        item = _nested(args[1]) if len(args) == 2 else _ANY
        return _mapping(describe(hint), item)
    return None


def make_plan(cls: type, hints: Mapping[str, Any], plain: bool) -> Plan:
    """The plan of a dataclass, from its resolved annotations.

    Raises:
        SampleTypeError: a field that cannot be stored; names it.
    """
    owner = cls.__name__
    fields = []
    for item in dataclasses.fields(cls):
        if not item.init:
            continue  # derived on construction, so it need not travel
        try:
            codec, optional = codec_of(hints[item.name])
        except SampleTypeError as error:
            raise SampleTypeError(f"{owner}.{item.name}: {error}", field=item.name) from None
        head = pack_value(item.name)
        fields.append(
            Field(
                item.name,
                hints[item.name],
                optional,
                codec,
                item.default,
                item.default_factory,
                head,
            )
        )
    return Plan(
        owner,
        tuple(fields),
        {field.name: field for field in fields},
        tuple(sorted(fields, key=lambda field: _WRITE_ORDER[field.codec.kind])),
        map_head(len(fields)),
        plain,
    )
