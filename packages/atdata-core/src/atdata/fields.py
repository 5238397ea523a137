"""Field plans: what the annotations of a sample class say about storing and restoring its fields.

A plan is made once per class, on first use, and every later step (packing, unpacking, batching, schemas) reads it.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import inspect
import itertools
import operator
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from typing import Any, TypeVar

from .annotations import codec_of
from .codecs import Codec, Kind, WrongDtype, WrongValue, converting, exact_type, found
from .dtypes import DtypePolicy
from .errors import FieldMismatch, SampleDecodeError, SampleTypeError
from .shard.array import COPIED, Buffer
from .shard.payload import bin_parts, map_head, pack_plain, pack_value

T = TypeVar("T")

_HINTS = "__atdata_hints__"

# Equal samples should be equal bytes up to the first field whose length varies: fixed sizes come first, so a
# batch of like samples has its arrays at one stride.
_WRITE_ORDER: dict[Kind, int] = {
    kind: rank
    for rank, kinds in enumerate([("array",), ("float", "bool"), ("int",), ("str", "bytes"), ("list", "dict", "any")])
    for kind in typing.cast("tuple[Kind, ...]", kinds)
}


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One stored field of a sample class.

    Attributes:
        name: its name in the class.
        hint: its resolved annotation, ``Annotated`` metadata included.
        optional: whether None is allowed.
        codec: how its values are stored.
        default: the default value, or ``dataclasses.MISSING``.
        default_factory: makes the default value, or ``dataclasses.MISSING``.
        head: msgpack bytes of the name.
        key: its name in the stored map; another one where a view reads what another type has stored.
    """

    name: str
    hint: Any
    optional: bool
    codec: Codec
    default: Any
    default_factory: Any
    head: bytes
    key: str

    @property
    def text(self) -> str:
        """The declared type in words, such as ``NDArray[float32] | None``."""
        return f"{self.codec.text} | None" if self.optional else self.codec.text

    @property
    def required(self) -> bool:
        """Whether stored samples must have it."""
        return self.default is MISSING and self.default_factory is MISSING


class Others:
    """The fields of a class that hold no array.

    Attributes:
        fields: the fields, in the order they are written.
        names: their names.
        types: the types of values that need no conversion, if every field has one and they are few; else None.
    """

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self.names = tuple(field.name for field in fields)
        exact = [exact_type(field.codec) for field in fields]
        self.types = tuple(exact) if len(exact) < 16 and None not in exact else None
        self._get = operator.attrgetter(*self.names) if fields else None

    def values_of(self, sample: object) -> tuple[Any, ...]:
        """The values of the fields."""
        if self._get is None:
            return ()
        values = self._get(sample)
        return values if len(self.names) > 1 else (values,)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How the samples of one class are stored and restored.

    Attributes:
        owner: name of the class, for messages.
        fields: the stored fields in the order of the class.
        by_name: the same by name.
        arrays: those that hold an array; they are written first.
        others: the rest, in the order they are written.
        head: first bytes of the stored map.
        plain: whether an instance can be made by filling ``__dict__``: nothing runs on construction that could tell.
    """

    owner: str
    fields: tuple[Field, ...]
    by_name: Mapping[str, Field]
    arrays: tuple[Field, ...]
    others: Others
    head: bytes
    plain: bool

    def pack(self, sample: object) -> list[Buffer]:
        """The sample's msgpack map as buffers to be written one after another; large arrays are not copied.

        Raises:
            SampleTypeError: a value that is not of its declared type or cannot be stored; names the field.
        """
        small: list[Buffer] = [self.head]
        parts: list[Buffer] = []
        for field in self.arrays:
            value = getattr(sample, field.name)
            if value is None and field.optional:
                small.append(field.head + b"\xc0")
                continue
            head, data = self._pack_with(field, value, bin_parts)
            small += (field.head, head)
            if len(data) < COPIED:
                small.append(data)
            else:
                parts += (b"".join(small), data)
                small = []
        small.append(self._pack_others(sample))
        parts.append(b"".join(small))
        return parts

    def _pack_others(self, sample: object) -> bytes:
        """The fields that hold no array."""
        values = self.others.values_of(sample)
        if tuple(map(type, values)) == self.others.types:
            try:
                return pack_plain(dict(zip(self.others.names, values, strict=True)))
            except TypeError:
                pass  # one by one, which finds the value that is wrong
        packed: list[bytes] = []
        for field, value in zip(self.others.fields, values, strict=True):
            is_none = value is None and field.optional
            packed += (field.head, b"\xc0" if is_none else self._pack_with(field, value, pack_value))
        return b"".join(packed)

    def _pack_with(self, field: Field, value: Any, step: Callable[[Any], T]) -> T:
        try:
            return step(field.codec.pack(value))
        except WrongValue as wrong:
            no_array = step is bin_parts and isinstance(value, list | tuple)
            advice = "; np.asarray makes an array of it" if no_array else ""
            raise SampleTypeError(f"{self._mismatch(field, value, wrong)}{advice}", field=field.name) from None
        except SampleTypeError as error:
            raise SampleTypeError(f"{self.owner}.{field.name}: {error}", field=field.name) from error

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
        except WrongValue as wrong:
            raise FieldMismatch(self._mismatch(field, value, wrong), field=field.name) from None
        except SampleDecodeError as error:
            message = f"{self.owner}.{field.name}: {error}"
            raise SampleDecodeError(message, field=field.name) from error

    def _mismatch(self, field: Field, value: object, wrong: WrongValue) -> str:
        given = wrong.array if isinstance(wrong, WrongDtype) else value
        what = f"{self.owner}.{field.name}: expected {field.text}, found {found(given)}"
        return f"{what} ({wrong})" if str(wrong) else what

    def missing(self, field: Field, stored: Iterable[str] = ()) -> Any:
        """The default of a field that a stored sample does not have.

        Args:
            field: the field.
            stored: names of those that the sample has, for the error.

        Raises:
            FieldMismatch: there is no default.
        """
        if field.default is not MISSING:
            return field.default
        if field.default_factory is not MISSING:
            return field.default_factory()
        there = f", which has {', '.join(stored):.300}" if stored else ""
        raise FieldMismatch(
            f"{self.owner}.{field.name}: expected {field.text}, found no such field in the stored "
            f"sample{there}; give it a default to read such samples",
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
            key = field.key
            values[field.name] = self.unpack_field(field, data[key]) if key in data else self.missing(field, data)
        return values

    def reading(self, dtypes: DtypePolicy) -> Plan:
        """The plan that reads what may have been stored by another type: optional fields may be missing there.

        Args:
            dtypes: which arrays are converted to their declared dtype.
        """
        fields = tuple(_reading(field, dtypes) for field in self.fields)
        if all(map(operator.is_, fields, self.fields)):
            return self
        return dataclasses.replace(self, fields=fields, by_name={field.name: field for field in fields})

    def picking(self, picks: Mapping[str, str], source: Plan | None) -> Plan:
        """The plan that makes samples of this class of some fields of what another has stored.

        Args:
            picks: the source's field for fields of this class; what is not picked is left to the class's defaults.
            source: the plan of the class that was stored; None where no class is known.
        """
        if source is None:
            if all(picks.get(field.name) == field.name for field in self.fields):
                return self
            picked = [dataclasses.replace(field, key=picks[field.name]) for field in self.fields if field.name in picks]
        else:
            names = (field.name for field in self.fields if field.name in picks)
            picked = [dataclasses.replace(source.by_name[picks[name]], name=name) for name in names]
        plain = self.plain and (source is None or source.plain) and len(picked) == len(self.fields)
        return dataclasses.replace(
            self, fields=tuple(picked), by_name={field.name: field for field in picked}, plain=plain
        )


def _reading(field: Field, dtypes: DtypePolicy) -> Field:
    codec = converting(field.codec, dtypes)
    default = None if field.optional and field.required else field.default
    same = codec is field.codec and default is field.default
    return field if same else dataclasses.replace(field, codec=codec, default=default)


def make_plan(cls: Any, plain: bool) -> Plan:
    """The plan of a dataclass.

    Raises:
        SampleTypeError: a field that cannot be stored; names it. Its cause is a NameError or an AttributeError where
            an annotation names what is not defined, or not yet.
    """
    owner = cls.__name__
    stored = dataclasses.fields(cls)
    for name, item in cls.__dataclass_fields__.items():
        if item not in stored and _is_initvar(cls, item):
            raise SampleTypeError(f"{owner}.{name}: an InitVar is not kept, so it cannot be restored", field=name)
    # what is derived on construction need not travel
    fields = tuple(_field(cls, item) for item in stored if item.init)
    ordered = sorted(fields, key=lambda field: _WRITE_ORDER[field.codec.kind])
    return Plan(
        owner,
        fields,
        {field.name: field for field in fields},
        tuple(field for field in ordered if field.codec.kind == "array"),
        Others(tuple(field for field in ordered if field.codec.kind != "array")),
        map_head(len(fields)),
        plain,
    )


def _is_initvar(cls: type, item: dataclasses.Field[Any]) -> bool:
    with contextlib.suppress(Exception):  # a ClassVar may say anything
        hint = _hint(cls, item)
        return hint is dataclasses.InitVar or isinstance(hint, dataclasses.InitVar)
    return False


def _field(cls: type, item: dataclasses.Field[Any]) -> Field:
    where = f"{cls.__name__}.{item.name}"
    try:
        hint = _hint(cls, item)
        codec, optional = codec_of(hint)
    except SampleTypeError as error:
        raise SampleTypeError(f"{where}: {error}", field=item.name) from None
    except NameError as error:
        message = f"{where}: the annotation names {error.name!r}, which is not defined where the class is; define"
        raise SampleTypeError(f"{message} or import it at module level", field=item.name) from error
    except RecursionError:
        raise SampleTypeError(f"{where}: the type holds itself; use dict, list or Any", field=item.name) from None
    except Exception as error:  # text may be any expression
        message = f"{where}: the annotation {item.type!r} cannot be read: {error}"
        raise SampleTypeError(message, field=item.name) from error
    optional = optional or item.default is None  # `x: NDArray = None` means it, whatever the annotation says
    return Field(item.name, hint, optional, codec, item.default, item.default_factory, pack_value(item.name), item.name)


# ----------------------------------------------------------------------------------------- annotations


def _hint(cls: type, item: dataclasses.Field[Any]) -> Any:
    """The resolved annotation of a field, with the names that are known where it was declared."""
    declared = next(
        base for base in reversed(cls.__mro__) if vars(base).get("__dataclass_fields__", {}).get(item.name) is item
    )
    kept = vars(declared).get(_HINTS, {})
    return kept[item.name] if item.name in kept else _resolved(declared, item.type, {})


def keep_local_hints(cls: type) -> None:
    """Resolve annotations that can only be resolved now: with names of the functions around the class statement."""
    for base in cls.__mro__:
        names = {} if _HINTS in vars(base) else local_names(base)
        if not names:
            continue
        hints = {}
        for name, annotation in inspect.get_annotations(base).items():
            with contextlib.suppress(Exception):  # perhaps a name that comes later; told on first use
                hints[name] = _resolved(base, annotation, names)
        setattr(base, _HINTS, hints)


def local_names(made: Any) -> dict[str, Any]:
    """What the code around a class or function statement defines, as far as it is running, and its module does not."""
    around = getattr(made, "__qualname__", "").split(".<locals>.")[:-1]
    scopes = {*itertools.accumulate(around, "{}.<locals>.{}".format)} or {"<module>"}
    module_name = getattr(made, "__module__", None)
    module = sys.modules.get(module_name or "")
    names: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_qualname in scopes and frame.f_globals.get("__name__") == module_name:
            # exec() may give code other globals than those of the module it claims
            beyond = {} if module and frame.f_globals is vars(module) else frame.f_globals
            names = {**beyond, **(frame.f_locals if around else {}), **names}
        frame = frame.f_back
    return names


def _resolved(cls: type, annotation: Any, local_names: Mapping[str, Any]) -> Any:
    """An annotation from the body of a class, evaluated if it is text."""
    if isinstance(annotation, type):
        return annotation
    module = sys.modules.get(cls.__module__)
    parameters = {parameter.__name__: parameter for parameter in getattr(cls, "__type_params__", ())}
    # The body comes last: a default that is named as a type must not hide that type
    scopes = (vars(cls), vars(builtins), vars(module) if module else {}, parameters, local_names)
    names = {name: value for scope in scopes for name, value in scope.items()}
    stand_in = type(cls.__name__, (), {"__annotations__": {"it": annotation}})
    return typing.get_type_hints(stand_in, names, {}, include_extras=True)["it"]
