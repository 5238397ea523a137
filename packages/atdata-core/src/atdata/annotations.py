"""Annotations: which codec the values of a field have."""

from __future__ import annotations

import collections.abc
import dataclasses
import sys
import types
import typing
from typing import Any, Literal

import numpy as np

from . import codecs
from .codecs import Codec
from .errors import SampleTypeError
from .shard.array import array_to_bytes

_ANYTHING = (Any, object, None, types.NoneType)
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
        return codecs.union(list(members)), optional
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
    if not optional or codec is codecs.ANY:
        return codec
    pack, unpack = codec.pack, codec.unpack
    return codec._replace(
        text=f"{codec.text} | None",
        pack=lambda value: None if value is None else pack(value),
        unpack=lambda value: None if value is None else unpack(value),
        stored=None,
        optional=True,
    )


def _array(hint: Any) -> Codec:
    args = typing.get_args(hint)
    scalar = next(iter(typing.get_args(args[1])), None) if len(args) == 2 else None
    return codecs.array(np.dtype(scalar) if scalar in np.sctypeDict.values() else None)


def _typed_dict(cls: Any) -> Codec:
    hints = typing.get_type_hints(cls, include_extras=True)
    origins = {key: typing.get_origin(hint) for key, hint in hints.items()}
    # where annotations are text, the class itself does not know Required and NotRequired
    required = {
        key
        for key, origin in origins.items()
        if origin is typing.Required or (origin is not typing.NotRequired and key in cls.__required_keys__)
    }
    return codecs.typed_dict(describe(cls), {key: _nested(hint) for key, hint in hints.items()}, required)


def _codec_of_one(hint: Any) -> Codec | None:
    origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if hint in _ANYTHING or isinstance(hint, typing.TypeVar):
        return codecs.ANY
    if origin is Literal:
        values = [value for value in args if value is not None]
        return codecs.choice(values) if values else codecs.ANY
    if not isinstance(origin, type) or getattr(hint, "__unpacked__", False):
        return None
    if origin in codecs.PRIMITIVES:
        return codecs.PRIMITIVES[origin]
    if origin is np.ndarray:
        return _array(hint)
    if issubclass(origin, np.generic):
        return codecs.numpy_scalar(origin)
    if origin in _LISTS:
        item = _nested(args[0]) if args else codecs.ANY
        return codecs.sequence(f"list[{item.text}]" if args else "list", item, list)
    if origin is tuple:
        if hint in (tuple, typing.Tuple):  # noqa: UP006
            return codecs.sequence("tuple", codecs.ANY, tuple)
        if len(args) == 2 and args[1] is Ellipsis:
            item = _nested(args[0])
            return codecs.sequence(f"tuple[{item.text}, ...]", item, tuple)
        return codecs.fixed_tuple([_nested(arg) for arg in args])
    if origin in _DICTS:
        key, item = map(_nested, args) if args else (codecs.ANY, codecs.ANY)
        return codecs.mapping(f"dict[{key.text}, {item.text}]" if args else "dict", key, item)
    if typing.is_typeddict(origin):
        return _typed_dict(origin)
    return None
