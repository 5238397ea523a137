"""Codecs: how the values of one annotation are stored in a msgpack map, and restored from it."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import itertools
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from .dtypes import DtypePolicy, agrees, may_convert
from .errors import SampleTypeError
from .shard.array import array_to_bytes, bytes_to_array

Kind: TypeAlias = Literal["array", "bool", "int", "float", "str", "bytes", "list", "dict", "any"]
Step: TypeAlias = Callable[[Any], Any]


class WrongValue(Exception):
    """A value is not of the declared type; the field that holds it is named further up."""


class WrongDtype(WrongValue):
    """An array has a dtype that the declared one cannot be made of.

    Attributes:
        array: the array.
    """

    def __init__(self, array: Any, message: str) -> None:
        super().__init__(message)
        self.array = array


class Codec(NamedTuple):
    """How values of one annotation are stored.

    Attributes:
        kind: what it is in the stored map.
        text: the annotation in words, for messages.
        pack: value -> what msgpack stores; raises when the value is of another type.
        unpack: what msgpack stored -> value; raises likewise.
        dtype: dtype that an array annotation names, or None.
        item: codec of a list's items, or None.
        stored: the msgpack type whose values ``unpack`` returns as they are, or None.
        notes: what ``Annotated`` says of an array.
        convert: what ``unpack`` does to arrays of another dtype than the declared one, or None.
        optional: whether None is allowed; told of items only, since a field says it itself.
    """

    kind: Kind
    text: str
    pack: Step
    unpack: Step
    dtype: np.dtype[Any] | None = None
    item: Codec | None = None
    stored: str | None = None
    notes: tuple[Any, ...] = ()
    convert: Step | None = None
    optional: bool = False


def found(value: object) -> str:
    """What a value is, in words, for messages."""
    if isinstance(value, np.ndarray):
        return f"array of dtype {value.dtype} and shape {value.shape}"
    return "None" if value is None else type(value).__name__


# ---------------------------------------------------------------------------------------------- values


def _exactly(kind: type, own: Step, *also: type) -> Step:
    """Pass values of exactly ``kind``; convert those of its subclasses with ``own``, those of the ``also`` types."""

    def convert(value: Any) -> Any:
        if type(value) is kind:
            return value
        if isinstance(value, kind):
            return own(value)
        if isinstance(value, also):
            try:
                return kind(value)
            except OverflowError:
                raise WrongValue from None
        raise WrongValue

    return convert


def _primitive(kind: Kind, base: type, own: Step, *also: type) -> Codec:
    convert = _exactly(base, own, *also)
    return Codec(kind, kind, convert, convert, stored="bin" if kind == "bytes" else kind)


# A subclass may say anything in its own __str__ or __int__, enumerations do: what counts is the value that it is
_PRIMITIVES: dict[type, Codec] = {
    bool: _primitive("bool", bool, bool, np.bool_),
    int: _primitive("int", int, int.__int__, np.integer, np.bool_),
    float: _primitive("float", float, float.__float__, int, np.floating, np.integer),
    str: _primitive("str", str, str.__str__),
    bytes: _primitive("bytes", bytes, bytes.__bytes__, bytearray, memoryview),
}
_ANY = Codec("any", "Any", lambda value: value, lambda value: value)


def _pack_array(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value
    raise WrongValue


def _pack_declared(declared: np.dtype[Any], value: Any) -> Any:
    value = _pack_array(value)
    # what would not be read as the declared dtype should not be written
    if value.dtype is declared or value.dtype.hasobject or may_convert(value.dtype, declared, "same-kind"):
        return value
    raise WrongDtype(value, f"convert it with .astype({declared.name!r}), or declare what it is")


def _unpack_array(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes_to_array(value)
    if isinstance(value, np.ndarray):
        return value
    raise WrongValue


def _array(hint: Any) -> Codec:
    args = typing.get_args(hint)
    scalar = next(iter(typing.get_args(args[1])), None) if len(args) == 2 else None
    dtype = np.dtype(scalar) if scalar in np.sctypeDict.values() else None
    text = "NDArray" if dtype is None else f"NDArray[{dtype}]"
    pack = _pack_array if dtype is None else functools.partial(_pack_declared, dtype)
    return Codec("array", text, pack, _unpack_array, dtype)


def _numpy_scalar(kind: type[Any]) -> Codec | None:
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
    limits = np.iinfo(kind) if base is int else None

    def unpack(value: Any) -> Any:
        value = plain.unpack(value)
        if limits is not None and not limits.min <= value <= limits.max:
            raise WrongValue(f"{value} is out of its range")
        try:
            with np.errstate(over="raise"):
                return kind(value)
        except FloatingPointError:
            raise WrongValue(f"{value} is out of its range") from None

    return Codec(plain.kind, kind.__name__, lambda value: plain.pack(unpack(value)), unpack)


def _apply(steps: Iterable[Step], values: Iterable[Any], names: Iterable[Any], what: str = "item") -> list[Any]:
    """Apply a step to each value; the names tell the values apart in messages."""
    done = []
    for step, value, name in zip(steps, values, names, strict=False):
        try:
            done.append(step(value))
        except WrongValue as wrong:
            raise WrongValue(f"{what} {name!r} is {found(value)}" + (f", {wrong}" if str(wrong) else "")) from None
    return done


def exact_type(codec: Codec) -> type | None:
    """The class whose own instances the codec passes as they are, or None."""
    return next((base for base, primitive in _PRIMITIVES.items() if primitive is codec), None)


def _all_of(exact: type | None, values: Iterable[Any]) -> bool:
    """Whether no value needs a step: the common case, and far cheaper than a call for each."""
    return exact is not None and set(map(type, values)) <= {exact}


def _sequence(text: str, item: Codec, build: type[list[Any]] | type[tuple[Any, ...]]) -> Codec:
    exact = exact_type(item)

    def through(step: Step) -> Step:
        def convert(value: Any) -> Any:
            if not isinstance(value, (list, tuple)):
                raise WrongValue
            if not _all_of(exact, value):
                value = _apply(itertools.repeat(step), value, itertools.count())
            return value if type(value) is build else build(value)

        return convert

    return Codec("list", text, through(item.pack), through(item.unpack), item=item)


def _fixed_tuple(items: list[Codec]) -> Codec:
    def through(steps: list[Step]) -> Step:
        def convert(value: Any) -> Any:
            if not isinstance(value, (list, tuple)):
                raise WrongValue
            if len(value) != len(steps):
                raise WrongValue(f"its length is {len(value)}, not {len(steps)}")
            return tuple(_apply(steps, value, itertools.count()))

        return convert

    texts = [item.text for item in items]
    return Codec(
        "list",
        f"tuple[{', '.join(texts) or '()'}]",
        through([item.pack for item in items]),
        through([item.unpack for item in items]),
        item=items[0] if len(set(texts)) == 1 else None,
    )


def _mapping(text: str, key: Codec, item: Codec) -> Codec:
    exact_key, exact_item = exact_type(key), exact_type(item)

    def through(key_step: Step, step: Step) -> Step:
        def convert(value: Any) -> Any:
            if not isinstance(value, Mapping):
                raise WrongValue
            keys: Iterable[Any] = value
            items: Iterable[Any] = value.values()
            exact = _all_of(exact_key, keys), _all_of(exact_item, items)
            if all(exact) and type(value) is dict:
                return value
            if not exact[0]:
                keys = _apply(itertools.repeat(key_step), keys, keys, "key")
            if not exact[1]:
                items = _apply(itertools.repeat(step), items, itertools.count())
            return dict(zip(keys, items, strict=True))

        return convert

    return Codec("dict", text, through(key.pack, item.pack), through(key.unpack, item.unpack))


def _typed_dict(cls: Any) -> Codec:
    hints = typing.get_type_hints(cls, include_extras=True)
    items = {key: _nested(hint) for key, hint in hints.items()}
    origins = {key: typing.get_origin(hint) for key, hint in hints.items()}
    # where annotations are text, the class itself does not know Required and NotRequired
    required = {
        key
        for key, origin in origins.items()
        if origin is typing.Required or (origin is not typing.NotRequired and key in cls.__required_keys__)
    }

    def through(steps: dict[str, Step]) -> Step:
        def convert(value: Any) -> Any:
            if not isinstance(value, Mapping):
                raise WrongValue
            for key in sorted(required - value.keys()):
                raise WrongValue(f"it has no {key!r}")
            keys = [key for key in value if key in steps]
            items = _apply([steps[key] for key in keys], [value[key] for key in keys], keys)
            return dict(zip(keys, items, strict=True))

        return convert

    convert = through({key: item.pack for key, item in items.items()})

    def pack(value: Any) -> Any:
        packed = convert(value)
        for key in value.keys() - packed.keys():
            raise WrongValue(f"{key!r} is none of its keys")
        return packed

    return Codec("dict", describe(cls), pack, through({key: item.unpack for key, item in items.items()}))


def _union(members: list[Codec]) -> Codec:
    exact = {exact_type(member) for member in members}

    def through(steps: list[Step]) -> Step:
        def convert(value: Any) -> Any:
            if type(value) in exact:
                return value  # an int in a float | int stays one
            for step in steps:
                try:
                    return step(value)
                except WrongValue:
                    continue
            raise WrongValue

        return convert

    pack, unpack = through([member.pack for member in members]), through([member.unpack for member in members])
    return Codec("any", " | ".join(member.text for member in members), pack, unpack)


def _choice(values: list[Any]) -> Codec | None:
    base = type(values[0])
    if base not in _PRIMITIVES or any(type(value) is not base for value in values):
        return None
    plain = _PRIMITIVES[base]

    def convert(value: Any) -> Any:
        chosen = plain.pack(value)
        if chosen in values:
            return chosen
        raise WrongValue(repr(value))

    return Codec(plain.kind, f"Literal[{', '.join(map(repr, values))}]", convert, convert)


def converting(codec: Codec, policy: DtypePolicy) -> Codec:
    """The codec that restores arrays in the dtype that they are declared with; the same one, if none are.

    Args:
        codec: a codec that restores arrays in the dtype that they are stored in.
        policy: which differences are allowed.
    """
    convert = _conversion(codec, policy)
    if convert is None:
        return codec
    unpack = codec.unpack
    return codec._replace(unpack=lambda value: convert(unpack(value)), convert=convert)


def _conversion(codec: Codec, policy: DtypePolicy) -> Step | None:
    if codec.kind == "array" and codec.dtype is not None:
        return functools.partial(_converted, codec.dtype, policy)
    each = _conversion(codec.item, policy) if codec.kind == "list" and codec.item is not None else None
    if each is None:
        return None
    return lambda values: type(values)(value if value is None else each(value) for value in values)


def _converted(declared: np.dtype[Any], policy: DtypePolicy, array: Any) -> Any:
    if agrees(array.dtype, declared):
        return array
    if not may_convert(array.dtype, declared, policy):
        raise WrongDtype(
            array, f"dtypes={policy!r} does not convert that; declare what is stored, or read with dtypes='unsafe'"
        )
    try:
        return array.astype(declared)
    except (TypeError, ValueError) as error:
        raise WrongDtype(array, str(error)) from None


# ----------------------------------------------------------------------------------------- annotations

_NOTHING = (None, types.NoneType)
_ANYTHING = (Any, object, *_NOTHING)
_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_WRAPPERS: tuple[Any, ...] = (typing.Annotated, typing.Final, typing.Required, typing.NotRequired)
if sys.version_info >= (3, 13):
    _WRAPPERS = (*_WRAPPERS, typing.ReadOnly)


def describe(hint: Any) -> str:
    """An annotation in words."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return str(hint).replace("typing.", "").replace("collections.abc.", "")


def unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type inside ``Annotated``, ``Final``, ``NewType`` and aliases, and what ``Annotated`` adds to it."""
    notes: tuple[Any, ...] = ()
    while True:
        if typing.get_origin(hint) in _WRAPPERS:
            notes += getattr(hint, "__metadata__", ())
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif sys.version_info >= (3, 12) and isinstance(hint, typing.TypeAliasType):
            hint = hint.__value__
        elif sys.version_info >= (3, 12) and isinstance(alias := typing.get_origin(hint), typing.TypeAliasType):
            # NumPy's own NDArray[...] is one. The value may name its parameters in another order
            given = dict(zip(alias.__type_params__, typing.get_args(hint), strict=False))
            wanted = getattr(alias.__value__, "__parameters__", ())
            hint = alias.__value__[tuple(given.get(name, Any) for name in wanted)] if wanted else alias.__value__
        else:
            return hint, notes


def codec_of(hint: Any) -> tuple[Codec, bool]:
    """The codec of an annotation, and whether it allows None.

    Raises:
        SampleTypeError: values of this annotation cannot be stored.
    """
    hint, notes = unwrapped(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        args = typing.get_args(hint)
        members, optionals = zip(*(codec_of(arg) for arg in args if arg is not types.NoneType), strict=True)
        optional = types.NoneType in args or any(optionals)
        if len(members) == 1:
            return _noted(members[0], notes), optional
        if any(member.kind == "array" for member in members):
            raise SampleTypeError("a union of an array and something else reads back ambiguously")
        return _union(list(members)), optional
    single = _codec_of_one(hint)
    if single is None:
        advice = (
            "; nested dataclasses are not supported, move their fields into this class"
            if dataclasses.is_dataclass(hint)
            else ""
        )
        raise SampleTypeError(
            f"values of type {describe(hint)} cannot be stored{advice}. Supported: str, int, float, bool, "
            "bytes, NDArray, NumPy numbers, list, tuple, dict, TypedDict, Literal, Any, and each with | None"
        )
    optional = hint in _ANYTHING or (typing.get_origin(hint) is Literal and None in typing.get_args(hint))
    return _noted(single, notes), optional


def _noted(codec: Codec, notes: tuple[Any, ...]) -> Codec:
    # other codecs are told apart by identity
    return codec._replace(notes=codec.notes + notes) if notes and codec.kind == "array" else codec


def _nested(hint: Any) -> Codec:
    """The codec of an item of a list, tuple or dict."""
    codec, optional = codec_of(hint)
    if codec.kind == "array":
        pack_array = codec.pack
        codec = codec._replace(pack=lambda value: array_to_bytes(pack_array(value)))
    if not optional or codec is _ANY:
        return codec
    pack, unpack = codec.pack, codec.unpack
    return codec._replace(
        text=f"{codec.text} | None",
        pack=lambda value: None if value is None else pack(value),
        unpack=lambda value: None if value is None else unpack(value),
        stored=None,
        optional=True,
    )


def _codec_of_one(hint: Any) -> Codec | None:
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if hint in _ANYTHING or isinstance(hint, typing.TypeVar):
        return _ANY
    if origin is Literal:
        values = [value for value in args if value is not None]
        return _choice(values) if values else _ANY
    if not isinstance(origin, type) or getattr(hint, "__unpacked__", False):
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
        if hint in (tuple, typing.Tuple):  # noqa: UP006
            return _sequence("tuple", _ANY, tuple)
        if len(args) == 2 and args[1] is Ellipsis:
            item = _nested(args[0])
            return _sequence(f"tuple[{item.text}, ...]", item, tuple)
        return _fixed_tuple([_nested(arg) for arg in args])
    if origin in _DICTS:
        key, item = map(_nested, args) if args else (_ANY, _ANY)
        return _mapping(f"dict[{key.text}, {item.text}]" if args else "dict", key, item)
    if typing.is_typeddict(origin):
        return _typed_dict(origin)
    return None
