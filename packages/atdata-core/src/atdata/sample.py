"""Sample types: ``PackableSample``, the ``@packable`` decorator, and the untyped ``DictSample``."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar, dataclass_transform, overload

import numpy as np

from .errors import SampleTypeError
from .fields import Plan, make_plan
from .shard.array import array_to_bytes
from .shard.keys import new_key
from .shard.payload import pack_value, unpack_map

T = TypeVar("T")

_PLAN = "__atdata_plan__"
_HINTS = "__atdata_hints__"
# Modules that stand between a class statement and our hook when a class is rebuilt on the way
_REBUILDERS = {__name__, "dataclasses", "types"}


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
        # dataclass() leaves alone what a class body defines, and its own == fails on arrays
        if "__eq__" not in cls.__dict__:
            cls.__eq__ = _equal  # type: ignore[method-assign]
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = _repr  # type: ignore[method-assign]
        hints = _local_hints(cls)
        if hints is not None:
            setattr(cls, _HINTS, hints)

    def __post_init__(self) -> None:
        self._ensure_good()

    def _ensure_good(self) -> None:
        """Turn bytes in array fields into arrays: such bytes are always a stored array."""
        for field in plan_of(type(self)).fields:
            if field.codec.kind == "array":
                value = getattr(self, field.name)
                if isinstance(value, bytes | bytearray | memoryview):
                    array = plan_of(type(self)).unpack_field(field, value)
                    object.__setattr__(self, field.name, array)

    @classmethod
    def _is_plain(cls) -> bool:
        """Whether making an instance runs no code of the user's, so that filling ``__dict__`` equals calling it."""
        params: Any = cls.__dict__["__dataclass_params__"]
        fields = _fields(cls)
        return (
            bool(params.init)
            and all(field.init for field in fields)
            and cls.__post_init__ is PackableSample.__post_init__
            and cls._ensure_good is PackableSample._ensure_good
            and cls.__new__ is object.__new__
            and (bool(params.frozen) or cls.__setattr__ is object.__setattr__)
            and not any(base.__dict__.get("__slots__") for base in cls.__mro__)
            and not any(hasattr(inspect.getattr_static(cls, field.name, None), "__set__") for field in fields)
        )

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


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def plan_of(cls: type) -> Plan:
    """The field plan of a sample class, made on first use and kept.

    Raises:
        SampleTypeError: not a dataclass, an annotation that cannot be resolved, or a field that cannot be stored.
    """
    plan: Plan | None = cls.__dict__.get(_PLAN)
    if plan is not None:
        return plan
    if not issubclass(cls, PackableSample) or "__dataclass_params__" not in cls.__dict__:
        raise SampleTypeError(f"{cls.__name__} is not a sample type; put @atdata.packable above its class statement")
    hints = dict(getattr(cls, _HINTS, {}))
    missing = {field.name for field in _fields(cls)} - hints.keys()
    if missing:
        try:
            hints |= typing.get_type_hints(cls, include_extras=True)
        except NameError as error:
            raise SampleTypeError(
                f"{cls.__name__}: an annotation names {error.name!r}, which is not defined where the class is; "
                "define or import it at module level"
            ) from error
    for name, hint in hints.items():
        if isinstance(hint, dataclasses.InitVar):
            raise SampleTypeError(f"{cls.__name__}.{name}: an InitVar is not kept, so it cannot be restored")
    plan = make_plan(cls, hints, cls._is_plain())  # pyright: ignore[reportPrivateUsage]
    setattr(cls, _PLAN, plan)
    return plan


def _local_hints(cls: type) -> dict[str, Any] | None:
    """Annotations resolved with the names of the function that the class statement stands in.

    Only there are local names at hand; None where they are not needed or do not suffice.
    """
    if not any(isinstance(hint, str) for hint in inspect.get_annotations(cls).values()):
        return None
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") in _REBUILDERS:
        frame = frame.f_back
    if frame is None or frame.f_locals is frame.f_globals:
        return None
    try:
        return typing.get_type_hints(cls, localns=dict(frame.f_locals), include_extras=True)
    except NameError:
        return None  # a forward reference: resolved on first use


def _equal(self: Any, other: Any) -> Any:
    if type(self) is not type(other):
        return NotImplemented
    if not self.__dataclass_params__.eq:
        return NotImplemented  # @dataclass(eq=False): Python falls back to identity
    return all(
        values_equal(getattr(self, field.name), getattr(other, field.name)) for field in _fields(self) if field.compare
    )


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


def _repr(self: Any) -> str:
    if not self.__dataclass_params__.repr:
        return object.__repr__(self)
    shown = (f"{field.name}={short_repr(getattr(self, field.name))}" for field in _fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


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
    The class keeps its name, bases, methods and inherited fields.

    Raises:
        SampleTypeError: a field whose type cannot be stored; names it. Annotations that are not defined yet are
            looked at on first use instead.

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

    def decorate(cls: type[Any]) -> type[Any]:
        made = dataclasses.dataclass(**options)(_with_base(cls))
        try:
            plan_of(made)
        except SampleTypeError as error:
            if not isinstance(error.__cause__, NameError):  # a forward reference may resolve later
                raise
        return made

    if cls is not None and not inspect.isclass(cls):
        raise SampleTypeError(f"@packable decorates classes, not {type(cls).__name__}")
    return decorate if cls is None else decorate(cls)


def _with_base(cls: type[Any]) -> type[Any]:
    """The same class with ``PackableSample`` behind its own bases."""
    if issubclass(cls, PackableSample):
        return cls
    bases = tuple(base for base in cls.__bases__ if base is not object)
    body = {name: value for name, value in cls.__dict__.items() if name not in ("__dict__", "__weakref__")}
    made = types.new_class(
        cls.__name__,
        (*bases, PackableSample),
        {"metaclass": type(cls)},
        lambda namespace: namespace.update(body),
    )
    # super() without arguments finds its class through this cell, which the compiler tied to the class we replace
    for value in body.values():
        for function in (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fset"))):
            if inspect.isfunction(function) and "__class__" in function.__code__.co_freevars:
                cells = function.__closure__ or ()
                cells[function.__code__.co_freevars.index("__class__")].cell_contents = made
    return made


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
        data = {}
        for name, value in self._data.items():
            try:
                data[name] = array_to_bytes(value) if isinstance(value, np.ndarray) else value
                pack_value(data[name])
            except SampleTypeError as error:
                raise SampleTypeError(f"DictSample.{name}: {error}", field=name) from error
        return pack_value(data)

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
                pass
            raise AttributeError(f"no field {name!r}; this sample has {', '.join(self._data) or 'none'}")
        raise AttributeError(name)

    def __getitem__(self, key: str) -> Any:
        try:
            return self._data[key]
        except KeyError:
            raise KeyError(f"no field {key!r}; this sample has {', '.join(self._data)}") from None

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
