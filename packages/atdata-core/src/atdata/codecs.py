"""Codecs: how values of one type are stored in a msgpack map, and restored from it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from .dtypes import DtypePolicy, agrees, may_convert
from .shard.array import bytes_to_array

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
PRIMITIVES: dict[type, Codec] = {
    bool: _primitive("bool", bool, bool, np.bool_),
    int: _primitive("int", int, int.__int__, np.integer, np.bool_),
    float: _primitive("float", float, float.__float__, int, np.floating, np.integer),
    str: _primitive("str", str, str.__str__),
    bytes: _primitive("bytes", bytes, bytes.__bytes__, bytearray, memoryview),
}
ANY = Codec("any", "Any", lambda value: value, lambda value: value)


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


def array(dtype: np.dtype[Any] | None) -> Codec:
    """The codec of arrays, of one dtype or of any."""
    text = "NDArray" if dtype is None else f"NDArray[{dtype}]"
    pack = _pack_array if dtype is None else functools.partial(_pack_declared, dtype)
    return Codec("array", text, pack, _unpack_array, dtype)


def numpy_scalar(kind: type[Any]) -> Codec | None:
    """The codec of a NumPy number or text; None if it has none."""
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
    plain = PRIMITIVES[base]
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
    return next((base for base, primitive in PRIMITIVES.items() if primitive is codec), None)


def _all_of(exact: type | None, values: Iterable[Any]) -> bool:
    """Whether no value needs a step: the common case, and far cheaper than a call for each."""
    return exact is not None and set(map(type, values)) <= {exact}


def sequence(text: str, item: Codec, build: type[list[Any]] | type[tuple[Any, ...]]) -> Codec:
    """The codec of lists, or tuples of any length, of items of one type."""
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


def fixed_tuple(items: list[Codec]) -> Codec:
    """The codec of tuples that have an item of its own type at each place."""

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


def mapping(text: str, key: Codec, item: Codec) -> Codec:
    """The codec of dicts of keys and items of one type each."""
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


def typed_dict(text: str, items: Mapping[str, Codec], required: Set[str]) -> Codec:
    """The codec of dicts that have an item of its own type under each key."""

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

    return Codec("dict", text, pack, through({key: item.unpack for key, item in items.items()}))


def union(members: list[Codec]) -> Codec:
    """The codec of values of one of several types, of which the first that takes a value has it."""
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


def choice(values: list[Any]) -> Codec | None:
    """The codec of one of some texts, numbers or the like; None where they are of several types."""
    base = type(values[0])
    if base not in PRIMITIVES or any(type(value) is not base for value in values):
        return None
    plain = PRIMITIVES[base]

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
