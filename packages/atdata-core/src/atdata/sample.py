"""Sample types: ``PackableSample``, the ``@packable`` decorator, and the untyped ``DictSample``."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeGuard, TypeVar, dataclass_transform, overload

import numpy as np

from ._rebuild import calling_post_init, made_by_dataclass, move_class_cell, with_base
from .errors import SampleTypeError
from .fields import Plan, keep_local_hints, make_plan
from .keys import new_key
from .shard.array import Buffer
from .shard.payload import bin_parts, map_head, pack_value, unpack_map

T = TypeVar("T")

_PLAN = "__atdata_plan__"


class PackableSample:
    """Base of typed samples: dataclasses that turn into msgpack bytes and back.

    Use ``@packable`` on a plain class, or inherit and apply ``@dataclass`` yourself; the second form lets type
    checkers see ``packed``, ``from_bytes`` and the other members of this class.

    ``==`` compares values, arrays included, and gives a bool: arrays are equal when dtype, shape and all elements
    are, and NaN equals NaN, so that a sample equals what comes back from storage.
    """

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _prepare(cls)

    if not TYPE_CHECKING:  # checkers know the one that dataclass() makes

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if (args or kwargs) and not dataclasses.is_dataclass(self):
                raise _undecorated(type(self))
            super().__init__(*args, **kwargs)

    def __post_init__(self) -> None:
        self._ensure_good()

    def _ensure_good(self) -> None:
        """Turn bytes in array fields into arrays: such bytes are always a stored array."""
        plan = plan_of(type(self))
        for field in plan.arrays:
            value = getattr(self, field.name)
            if isinstance(value, (bytes, bytearray, memoryview)):
                object.__setattr__(self, field.name, plan.unpack_field(field, value))

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Make a sample from an unpacked msgpack map; arrays may be stored bytes or arrays.

        Fields that the class does not have are ignored; missing ones get their defaults.

        Raises:
            FieldMismatch: a field is missing or of another type; names field, expected and found type.
            SampleDecodeError: an array cannot be parsed.
        """
        plan = plan_of(cls)
        values = plan.unpack(data)
        if not plan.plain:
            return cls(**values)
        sample = cls.__new__(cls)
        sample.__dict__.update(values)
        return sample

    @classmethod
    def from_bytes(cls, bs: bytes) -> Self:
        """Make a sample from its msgpack bytes.

        Raises:
            SampleDecodeError: not msgpack, or not a map.
            FieldMismatch: a field is missing or of another type.
        """
        return cls.from_data(unpack_map(bs))

    @classmethod
    def pick(cls, *names: str) -> type[PackableSample]:
        """A sample type with only these fields, and the lens to it.

        ``dataset.as_type(T.pick("label"))`` reads no other field of the stored samples.

        Raises:
            SampleTypeError: the class has no such field.
        """
        from .lens import Lens  # which builds on this module
        from .lens.picks import picked_type

        view: type[PackableSample] = picked_type(cls, names)  # type: ignore[arg-type]  # classes are hashable
        Lens.fields({name: name for name in names}, cls, view)
        return view

    @property
    def packed(self) -> bytes:
        """The sample as msgpack bytes.

        Raises:
            SampleTypeError: a value is not of its declared type or cannot be stored; names the field.
        """
        return b"".join(plan_of(type(self)).pack(self))

    @property
    def as_wds(self) -> dict[str, Any]:
        """The sample as WebDataset's writers take it: a new ``__key__``, and ``msgpack``."""
        return {"__key__": new_key(), "msgpack": self.packed}


MEMBERS = {name for name in vars(PackableSample) if not name.startswith("__")}


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _prepare(cls: type[Any]) -> None:
    """What a sample class needs before ``dataclass()`` looks at it; again for a class that is made anew from it."""
    inherited = (vars(base).get("__dataclass_fields__", ()) for base in cls.__mro__[1:])
    for name in itertools.chain(inspect.get_annotations(cls), *inherited):
        if name in MEMBERS:
            raise SampleTypeError(
                f"{cls.__name__}.{name}: every sample has a member {name!r}; give the field another name", field=name
            )
    for name, option, make in (("__eq__", "eq", _equality), ("__repr__", "repr", _representation)):
        own = vars(cls).get(name)
        if own is not None and not _replaceable(own):
            continue
        # dataclass() leaves alone what a class has, and its own == fails on arrays
        if _option(cls, option, True):
            setattr(cls, name, make(cls))
        elif own is not None:
            delattr(cls, name)
            if option == "eq" and vars(cls).get("__hash__", make) is None:
                del cls.__hash__  # Python takes it from classes made with a comparison
    keep_local_hints(cls)


def _is_plain(cls: Any) -> bool:
    """Whether making an instance runs no code of the user's, so that filling ``__dict__`` equals calling it."""
    fields = _fields(cls)
    return (
        made_by_dataclass(vars(cls).get("__init__"))
        and all(field.init for field in fields)
        and cls.__post_init__ is PackableSample.__post_init__
        and cls._ensure_good is PackableSample._ensure_good
        and cls.__new__ is object.__new__
        and type(cls).__call__ is type.__call__
        and (cls.__dict__["__dataclass_params__"].frozen or cls.__setattr__ is object.__setattr__)
        and cls.__dictoffset__ != 0
        and not any(hasattr(inspect.getattr_static(cls, field.name, None), "__set__") for field in fields)
    )


def is_sample_type(given: Any) -> TypeGuard[type[Any]]:
    """Whether it is a class whose instances turn into msgpack bytes and back."""
    return isinstance(given, type) and hasattr(given, "from_data") and hasattr(given, "packed")


def _undecorated(cls: type) -> SampleTypeError:
    return SampleTypeError(f"{cls.__name__} is not a sample type; put @atdata.packable above its class statement")


def plan_of(cls: type) -> Plan:
    """The field plan of a sample class, made on first use and kept.

    Raises:
        SampleTypeError: not a dataclass, an annotation that cannot be resolved, or a field that cannot be stored.
    """
    plan: Plan | None = cls.__dict__.get(_PLAN)
    if plan is not None:
        return plan
    own = "__dataclass_params__" in cls.__dict__
    # a subclass that adds no field, only methods perhaps, is what its base is
    alike = own or not inspect.get_annotations(cls)
    if not (issubclass(cls, PackableSample) and dataclasses.is_dataclass(cls) and alike):
        raise _undecorated(cls)
    plan = make_plan(cls, own and _is_plain(cls))
    setattr(cls, _PLAN, plan)
    return plan


def packed_parts(sample: Any) -> Sequence[Buffer]:
    """The msgpack bytes of a sample of any type, in pieces that are to be written one after another.

    Raises:
        SampleTypeError: a value is not of its declared type or cannot be stored; names the field.
    """
    return plan_of(type(sample)).pack(sample) if isinstance(sample, PackableSample) else (bytes(sample.packed),)


def _option(cls: type, name: str, default: bool) -> bool:
    """A dataclass option of the class itself, ``default`` where ``dataclass()`` has not been applied."""
    return getattr(vars(cls).get("__dataclass_params__"), name, default)


def _replaceable(method: Any) -> bool:
    """Whether ``dataclass()`` or this module made the method, not the author of the class."""
    method = inspect.unwrap(method)
    return made_by_dataclass(method) or getattr(method, "__module__", None) == __name__


def _equality(cls: type[Any]) -> Callable[[Any, Any], Any]:
    def __eq__(self: Any, other: Any) -> Any:
        if not _option(cls, "eq", False):
            return super(cls, self).__eq__(other)
        if type(self) is not type(other):
            return NotImplemented
        return all(
            values_equal(getattr(self, field.name), getattr(other, field.name))
            for field in _fields(self)
            if field.compare
        )

    return __eq__


def _representation(cls: type[Any]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:
        if not _option(cls, "repr", False):
            return str(super(cls, self).__repr__())
        shown = (f"{field.name}={short_repr(getattr(self, field.name))}" for field in _fields(self) if field.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    return __repr__


def values_equal(a: Any, b: Any) -> bool:
    """Whether two field values are equal: arrays by dtype, shape and elements, containers item by item."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return _arrays_equal(a, b)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(values_equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(values_equal(a[key], b[key]) for key in a)
    return bool(a == b) or (a != a and b != b)


def _arrays_equal(a: Any, b: Any) -> bool:
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return False
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind in "fcmM":
        return bool(np.array_equal(a, b, equal_nan=True))
    # record dtypes may hold NaN in any field; their bytes decide
    return bool(np.array_equal(a, b)) or (a.dtype.names is not None and a.tobytes() == b.tobytes())


def short_repr(value: object) -> str:
    """A value on one line: large arrays and bytes as what they are, not what they hold."""
    if isinstance(value, np.ndarray) and (value.size > 8 or value.ndim > 1):
        return f"ndarray({value.dtype}, {value.shape})"
    if isinstance(value, bytes) and len(value) > 64:
        return f"<{len(value):,} bytes>"
    return repr(value)


@overload
@dataclass_transform(field_specifiers=(dataclasses.field,))
def packable(cls: type[T], /) -> type[T]: ...
@overload
@dataclass_transform(field_specifiers=(dataclasses.field,))
def packable(
    *,
    init: bool = True,
    repr: bool = True,
    eq: bool = True,
    order: bool = False,
    unsafe_hash: bool = False,
    frozen: bool = False,
    match_args: bool = True,
    kw_only: bool = False,
    slots: bool = False,
    weakref_slot: bool = False,
) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(dataclasses.field,))
def packable(cls: type[Any] | None = None, /, **options: Any) -> Any:
    """Make a class a sample type: a dataclass that also inherits ``PackableSample``.

    Works bare (``@packable``) and with the options of ``dataclasses.dataclass`` (``@packable(frozen=True)``).
    The class keeps its name, bases, methods and inherited fields. One that is a dataclass already keeps its options.

    Raises:
        SampleTypeError: a field whose type cannot be stored, or whose name every sample has a member of; names it.
            Annotations that are not defined yet are looked at on first use instead.

    Examples:
        >>> import numpy as np
        >>> from numpy.typing import NDArray
        >>> import atdata
        >>> @atdata.packable
        ... class Point:
        ...     name: str
        ...     position: NDArray[np.float32]
        >>> point = Point(name="a", position=np.zeros(2, np.float32))
        >>> Point.from_bytes(point.packed) == point
        True
    """

    def decorate(cls: type[Any]) -> Any:
        made: Any = cls if issubclass(cls, PackableSample) else with_base(cls, PackableSample)
        _prepare(made)
        if "__dataclass_params__" not in vars(made):
            made = dataclasses.dataclass(**options)(made)
            _prepare(made)  # with slots=True it is another class now
        elif options:
            raise SampleTypeError(f"{cls.__name__} is a dataclass already; give its options to @dataclass")
        elif "__init__" in vars(made):
            made.__init__ = calling_post_init(made.__init__)
        if made is not cls:
            move_class_cell(cls, made)
        try:
            plan_of(made)
        except SampleTypeError as error:
            if not isinstance(error.__cause__, NameError | AttributeError):  # those may resolve later
                raise
        return made

    if cls is not None and not inspect.isclass(cls):
        raise SampleTypeError(f"@packable decorates classes, not {type(cls).__name__}")
    return decorate if cls is None else decorate(cls)


class DictSample:
    """A sample of any fields: what datasets yield when no type is named.

    Fields are read as attributes (``sample.label``) or items (``sample["label"]``). Arrays are the stored bytes;
    a sample type turns them into arrays.
    """

    __slots__ = ("_data",)
    _data: dict[str, Any]

    def __init__(self, _data: dict[str, Any] | None = None, **kwargs: Any) -> None:
        object.__setattr__(self, "_data", kwargs if _data is None else {**_data, **kwargs})

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> DictSample:
        """Wrap an unpacked msgpack map."""
        sample = cls()
        sample._data = data if type(data) is dict else dict(data)
        return sample

    @classmethod
    def from_bytes(cls, bs: bytes) -> DictSample:
        """Make a sample from msgpack bytes.

        Raises:
            SampleDecodeError: not msgpack, or not a map with text keys.
        """
        return cls.from_data(unpack_map(bs))

    @property
    def packed(self) -> bytes:
        """The sample as msgpack bytes; arrays among its values are stored as arrays.

        Raises:
            SampleTypeError: a value that cannot be stored; names the field.
        """
        parts: list[Buffer] = [map_head(len(self._data))]
        for name, value in self._data.items():
            if type(name) is not str:
                raise SampleTypeError(f"DictSample: names of fields are text; found {name!r}")
            try:
                parts.append(pack_value(name))
                parts += bin_parts(value) if isinstance(value, np.ndarray) else (pack_value(value),)
            except SampleTypeError as error:
                raise SampleTypeError(f"DictSample.{name}: {error}", field=name) from error
        return b"".join(parts)

    @property
    def as_wds(self) -> dict[str, Any]:
        """The sample as WebDataset's writers take it: a new ``__key__``, and ``msgpack``."""
        return {"__key__": new_key(), "msgpack": self.packed}

    def keys(self) -> list[str]:
        """Field names."""
        return list(self._data)

    def values(self) -> list[Any]:
        """Field values."""
        return list(self._data.values())

    def items(self) -> list[tuple[str, Any]]:
        """Pairs of field name and value."""
        return list(self._data.items())

    def get(self, key: str, default: Any = None) -> Any:
        """The field's value, or ``default`` if there is no such field."""
        return self._data.get(key, default)

    def to_dict(self) -> dict[str, Any]:
        """A copy of the fields as a dict."""
        return dict(self._data)

    def __getattr__(self, name: str) -> Any:
        if name != "_data":  # not set yet while unpickling
            try:
                return self._data[name]
            except KeyError:
                raise AttributeError(self._lacks(name)) from None
        raise AttributeError(name)

    def __getitem__(self, key: str) -> Any:
        try:
            return self._data[key]
        except KeyError:
            raise KeyError(self._lacks(key)) from None

    def _lacks(self, name: object) -> str:
        return f"no field {name!r}; this sample has {', '.join(map(str, self._data)) or 'none'}"

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DictSample):
            return NotImplemented
        return values_equal(self._data, other._data)

    __hash__ = None  # type: ignore[assignment]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._data]

    def __repr__(self) -> str:
        return f"DictSample({', '.join(f'{k}={short_repr(v)}' for k, v in self._data.items())})"
