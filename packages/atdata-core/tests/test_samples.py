"""Sample types: what may be declared, how values are stored and restored, and what samples do as Python objects."""

import abc
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import functools
import importlib.util
import math
import pathlib
import pickle
import sys
import typing
import uuid
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, NewType, Optional, TypeVar, Union

import numpy as np
import ormsgpack
import pytest
import webdataset as wds
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import atdata
from atdata.errors import AtdataError, FieldMismatch, SampleDecodeError, SampleTypeError
from atdata.sample import plan_of


class Thing:
    """Something that cannot be stored, and looks the same in every run."""

    def __repr__(self) -> str:
        return "a thing"


THING = Thing()


T = TypeVar("T")
UserId = NewType("UserId", int)
Vector = NewType("Vector", NDArray[np.float32])


@atdata.packable
class Image:
    """An image with a label."""

    pixels: NDArray
    label: str
    score: float


@atdata.packable(frozen=True)
class FrozenPoint:
    x: int
    y: float = 0.0


@atdata.packable(order=True)
class Version:
    major: int
    minor: int = 0


@atdata.packable(slots=True)
class Slotted:
    name: str
    values: NDArray | None = None


@atdata.packable(slots=True, frozen=True)
class SlottedFrozen:
    name: str
    values: NDArray | None = None


@dataclass
class Direct(atdata.PackableSample):
    name: str
    values: NDArray


@atdata.packable
class Everything:
    text: str
    number: int
    real: float
    flag: bool
    raw: bytes
    array: NDArray
    typed: NDArray[np.float32]
    maybe: NDArray | None
    tags: list[str]
    meta: dict
    anything: Any = None


class Outer:
    @atdata.packable
    class Inner:
        x: int

    @atdata.packable(frozen=True)
    class InnerFrozen:
        x: int


@atdata.packable
class Pair(Generic[T]):
    first: T
    second: T


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Import Python source as a real module, so that ``from __future__`` counts for it alone."""

    def load(source: str, name: str = "sample_module"):
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def image(**changes):
    values = {"pixels": np.arange(6, dtype=np.float32).reshape(2, 3), "label": "cat", "score": 0.5}
    return Image(**{**values, **changes})


def again(sample):
    """The sample after storage."""
    return type(sample).from_bytes(sample.packed)


def one_field(annotation, **attributes):
    """A sample type with one field ``value``."""
    body = {"__annotations__": {"value": annotation}, "__module__": __name__, **attributes}
    return atdata.packable(type("One", (), body))


# ------------------------------------------------------------------------------------------ decorator


def test_packable_makes_a_dataclass_that_is_a_packable_sample():
    assert dataclasses.is_dataclass(Image)
    assert issubclass(Image, atdata.PackableSample)
    assert [item.name for item in dataclasses.fields(Image)] == ["pixels", "label", "score"]


def test_packable_keeps_name_module_and_docstring():
    assert (Image.__name__, Image.__module__, Image.__doc__) == ("Image", __name__, "An image with a label.")


def test_packable_keeps_the_qualified_name_of_nested_classes():
    assert Outer.Inner.__qualname__ == "Outer.Inner"
    assert Outer.InnerFrozen.__qualname__ == "Outer.InnerFrozen"


def test_packable_with_empty_parentheses_equals_the_bare_form():
    @atdata.packable()
    class Word:
        text: str

    assert again(Word(text="a")) == Word("a")


def test_packable_keeps_bases_and_isinstance():
    class Base:
        def hello(self):
            return "hello"

    @atdata.packable
    class Child(Base):
        x: int

    assert isinstance(Child(1), Base)
    assert again(Child(1)).hello() == "hello"


@pytest.mark.parametrize("thing", [lambda: None, 3, "Image"])
def test_packable_refuses_what_is_no_class(thing):
    with pytest.raises(SampleTypeError, match="classes"):
        atdata.packable(thing)


def test_packable_on_a_dataclass_compares_arrays_as_any_other_sample():
    @atdata.packable
    @dataclass
    class Twice:
        x: NDArray

    assert again(Twice(np.arange(3))) == Twice(np.arange(3))


def test_packable_on_a_class_without_fields_gives_an_empty_sample():
    @atdata.packable
    class Nothing:
        pass

    assert Nothing().packed == b"\x80"
    assert again(Nothing()) == Nothing()


def test_samples_satisfy_the_packable_protocol():
    assert isinstance(image(), atdata.Packable)
    assert isinstance(Image, atdata.Packable)
    assert isinstance(atdata.DictSample(), atdata.Packable)
    assert not isinstance(3, atdata.Packable)


# -------------------------------------------------------------------------------- dataclass options


def test_frozen_samples_cannot_be_changed_and_round_trip():
    sample = again(FrozenPoint(1, 2.0))
    assert sample == FrozenPoint(1, 2.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.x = 3


def test_frozen_samples_turn_bytes_into_arrays():
    @atdata.packable(frozen=True)
    class Frozen:
        x: NDArray

    stored = ormsgpack.unpackb(Frozen(np.arange(3)).packed)["x"]
    np.testing.assert_array_equal(Frozen(x=stored).x, np.arange(3))


def test_frozen_samples_hash_by_value_and_others_do_not_hash():
    assert hash(FrozenPoint(1)) == hash(FrozenPoint(1))
    assert len({FrozenPoint(1), FrozenPoint(1), FrozenPoint(2)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(image())


def test_unsafe_hash_gives_a_hash():
    @atdata.packable(unsafe_hash=True)
    class Hashed:
        x: int

    assert hash(Hashed(1)) == hash(Hashed(1))


def test_order_compares_field_by_field():
    assert Version(1, 2) < Version(1, 10) < Version(2)
    assert sorted([Version(2), Version(1, 1), Version(1)]) == [Version(1), Version(1, 1), Version(2)]


def test_samples_without_order_do_not_compare():
    with pytest.raises(TypeError, match="not supported"):
        image() < image()  # noqa: B015


def test_eq_false_compares_by_identity_and_hashes():
    @atdata.packable(eq=False)
    class Thing:
        x: int

    thing = Thing(1)
    assert thing == thing
    assert thing != Thing(1)
    assert len({thing, Thing(1)}) == 2


def test_eq_false_keeps_an_inherited_comparison():
    class ByName:
        def __eq__(self, other):
            return self.name == other.name

        __hash__ = None

    @atdata.packable(eq=False)
    class Named(ByName):
        name: str
        x: int

    assert Named("a", 1) == Named("a", 2)


def test_repr_false_keeps_the_plain_repr():
    @atdata.packable(repr=False)
    class Quiet:
        secret: str

    assert "hidden" not in repr(Quiet("hidden"))
    assert "object at 0x" in repr(Quiet("hidden"))


def test_repr_false_keeps_an_inherited_repr():
    class Loud:
        def __repr__(self):
            return "LOUD"

    @atdata.packable(repr=False)
    class Child(Loud):
        x: int

    assert repr(Child(1)) == "LOUD"


def test_kw_only_takes_no_positional_arguments():
    @atdata.packable(kw_only=True)
    class Named:
        a: int = 0
        b: str

    with pytest.raises(TypeError):
        Named(1, "b")
    assert again(Named(b="x")) == Named(a=0, b="x")


def test_kw_only_marker_is_no_field():
    @atdata.packable
    class Half:
        a: int
        _: KW_ONLY
        b: str = "b"

    assert again(Half(1, b="c")) == Half(1, b="c")
    assert set(ormsgpack.unpackb(Half(1).packed)) == {"a", "b"}


def test_match_args_follow_the_option():
    @atdata.packable(match_args=False)
    class Unmatched:
        x: int

    assert Image.__match_args__ == ("pixels", "label", "score")
    assert not hasattr(Unmatched, "__match_args__")
    match FrozenPoint(1, 2.0):
        case FrozenPoint(x, y):
            assert (x, y) == (1, 2.0)


@pytest.mark.parametrize("cls", [Slotted, SlottedFrozen])
def test_slotted_samples_have_slots_and_round_trip(cls):
    sample = cls("a", np.arange(3))
    assert not hasattr(sample, "__dict__")
    assert again(sample) == sample
    assert again(cls("b")).values is None


def test_weakref_slot_is_passed_on():
    @atdata.packable(slots=True, weakref_slot=True)
    class Weak:
        x: int

    assert "__weakref__" in Weak.__slots__
    assert again(Weak(1)) == Weak(1)


def test_slots_written_by_hand_work():
    @atdata.packable
    class ByHand:
        __slots__ = ("x", "y")
        x: int
        y: str

    sample = again(ByHand(1, "a"))
    assert (sample.x, sample.y) == (1, "a")
    assert not hasattr(sample, "__dict__")


def test_init_false_with_an_init_of_ones_own():
    @atdata.packable(init=False)
    class Own:
        x: int

        def __init__(self, x):
            self.x = x
            self.seen = True

    assert again(Own(3)).x == 3
    assert again(Own(3)).seen


def test_unknown_options_are_refused():
    with pytest.raises(TypeError):

        @atdata.packable(colour="red")
        class Red:
            x: int


# ------------------------------------------------------------------------------------- class features


def test_inherited_fields_come_first_and_are_stored():
    @atdata.packable
    class Base:
        a: int
        b: str = "b"

    @atdata.packable
    class Child(Base):
        c: float = 1.5

    assert [item.name for item in dataclasses.fields(Child)] == ["a", "b", "c"]
    assert again(Child(1, "x", 2.5)) == Child(1, "x", 2.5)


def test_a_subclass_may_declare_a_field_anew_with_another_type():
    @atdata.packable
    class Base:
        x: int

    @atdata.packable
    class Child(Base):
        x: str

    assert again(Child("a")).x == "a"
    with pytest.raises(SampleTypeError, match="expected str, found int"):
        _ = Child(1).packed


def test_a_subclass_may_declare_anew_a_field_whose_type_the_base_gave_as_text():
    @atdata.packable
    class Base:
        x: "int"

    @atdata.packable
    class Child(Base):
        x: str

    assert again(Child("a")).x == "a"


def test_fields_of_a_plain_dataclass_are_inherited():
    @dataclass
    class Plain:
        a: int
        b: NDArray

    @atdata.packable
    class Child(Plain):
        c: str

    assert again(Child(1, np.arange(2), "x")) == Child(1, np.arange(2), "x")


def test_fields_of_several_bases_are_inherited():
    @atdata.packable
    class Left:
        a: int = 0

    @atdata.packable
    class Right:
        b: str = "b"

    @atdata.packable
    class Both(Left, Right):
        c: float = 0.0

    assert again(Both(a=1, b="x", c=2.0)) == Both(a=1, b="x", c=2.0)


def test_a_frozen_sample_type_may_be_subclassed_frozen():
    @atdata.packable(frozen=True)
    class Child(FrozenPoint):
        z: int = 0

    assert again(Child(1, 2.0, 3)) == Child(1, 2.0, 3)
    assert Child(1, 2.0, 3) != FrozenPoint(1, 2.0)


def test_samples_of_a_subclass_are_not_equal_to_samples_of_the_base():
    @atdata.packable
    class Child(Version):
        pass

    assert Child(1, 2) != Version(1, 2)


def test_direct_inheritance_round_trips():
    sample = Direct("a", np.arange(3))
    assert again(sample) == sample


def test_a_subclass_without_the_decorator_is_refused_with_the_cure():
    class Undecorated(atdata.PackableSample):
        x: int

    with pytest.raises(SampleTypeError, match=r"Undecorated.*@atdata\.packable"):
        Undecorated.from_data({"x": 1})


def test_methods_properties_and_constants_stay():
    @atdata.packable
    class Rectangle:
        width: int
        height: int
        sides: ClassVar[int] = 4

        @property
        def area(self):
            return self.width * self.height

        @classmethod
        def square(cls, size):
            return cls(size, size)

        @staticmethod
        def unit():
            return "mm"

    sample = again(Rectangle.square(3))
    assert (sample.area, sample.unit(), sample.sides, Rectangle.sides) == (9, "mm", 4, 4)
    assert set(ormsgpack.unpackb(sample.packed)) == {"width", "height"}


def test_super_and_dunder_class_work_in_every_kind_of_method():
    class Base:
        def plain(self):
            return "plain"

        @classmethod
        def of_class(cls):
            return "class"

        @property
        def prop(self):
            return "prop"

    @atdata.packable
    class Child(Base):
        x: int = 0

        def plain(self):
            return super().plain() + "!"

        @classmethod
        def of_class(cls):
            return super().of_class() + "!"

        @property
        def prop(self):
            return super().prop + "!"

        def own(self):
            return __class__

    child = Child()
    assert (child.plain(), Child.of_class(), child.prop, child.own()) == ("plain!", "class!", "prop!", Child)


def test_super_works_where_only_a_cached_property_uses_it():
    class Base:
        def size(self):
            return 1

    @atdata.packable
    class Child(Base):
        x: int = 0

        @functools.cached_property
        def double(self):
            return super().size() * 2

    assert Child().double == 2


def test_super_works_where_only_a_decorated_method_uses_it():
    def loud(method):
        @functools.wraps(method)
        def wrapper(self):
            return method(self).upper()

        return wrapper

    class Base:
        def name(self):
            return "base"

    @atdata.packable
    class Child(Base):
        x: int = 0

        @loud
        def name(self):
            return super().name()

    assert Child().name() == "BASE"


def test_super_works_in_slotted_samples():
    class Base:
        __slots__ = ()

        def name(self):
            return "base"

    @atdata.packable(slots=True)
    class Child(Base):
        x: int = 0

        def name(self):
            return super().name() + "!"

    assert Child().name() == "base!"


def test_super_chains_through_sample_types():
    @atdata.packable
    class First:
        x: int

        def chain(self):
            return ["first"]

    @atdata.packable
    class Second(First):
        def chain(self):
            return [*super().chain(), "second"]

    @atdata.packable
    class Third(Second):
        def chain(self):
            return [*super().chain(), "third"]

    assert Third(1).chain() == ["first", "second", "third"]


def test_abstract_bases_stay_abstract():
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...

    @atdata.packable
    class Unfinished(Shape):
        x: int

    @atdata.packable
    class Square(Shape):
        x: int

        def area(self):
            return self.x**2

    with pytest.raises(TypeError, match="abstract"):
        Unfinished(1)
    assert again(Square(3)).area() == 9


def test_metaclass_and_class_keywords_are_kept():
    seen = []

    class Registered:
        def __init_subclass__(cls, *, kind, **kwargs):
            super().__init_subclass__(**kwargs)
            seen.append(kind)

    @atdata.packable
    class Child(Registered, kind="child"):
        x: int

    assert set(seen) == {"child"}
    assert again(Child(1)) == Child(1)


def test_generic_samples_round_trip():
    assert again(Pair(1, 2)) == Pair(1, 2)
    assert again(Pair("a", "b")) == Pair("a", "b")
    assert Pair[int].from_bytes(Pair(1, 2).packed) == Pair(1, 2)


def test_a_subclass_of_a_parametrised_generic_round_trips():
    @atdata.packable
    class Ints(Pair[int]):
        third: int = 0

    assert again(Ints(1, 2, 3)) == Ints(1, 2, 3)


def test_user_post_init_runs_on_construction_and_on_decoding():
    @atdata.packable
    class Normal:
        name: str
        values: NDArray

        def __post_init__(self):
            self.upper = self.name.upper()

    sample = again(Normal("a", np.arange(3)))
    assert sample.upper == "A"
    np.testing.assert_array_equal(sample.values, np.arange(3))


def test_user_post_init_may_call_super():
    @atdata.packable
    class Careful:
        values: NDArray

        def __post_init__(self):
            super().__post_init__()
            self.total = int(self.values.sum())

    stored = ormsgpack.unpackb(Careful(np.arange(3)).packed)["values"]
    assert Careful(stored).total == 3
    assert again(Careful(np.arange(4))).total == 6


def test_inherited_post_init_runs_on_decoding():
    class Mixin:
        def __post_init__(self):
            self.seen = True

    @atdata.packable
    class Child(Mixin):
        x: int

    assert again(Child(1)).seen


def test_custom_init_runs_on_decoding():
    @atdata.packable
    class Celsius:
        degrees: float

        def __init__(self, degrees: float):
            self.degrees = degrees
            self.kelvin = degrees + 273.15

    assert Celsius(1.0).kelvin == 274.15
    assert again(Celsius(1.0)).kelvin == 274.15


def test_custom_setattr_runs_on_decoding():
    @atdata.packable
    class Clamped:
        x: int

        def __setattr__(self, name, value):
            super().__setattr__(name, min(value, 10))

    assert Clamped.from_data({"x": 99}).x == 10


def test_custom_new_runs_on_decoding():
    made = []

    @atdata.packable
    class Counted:
        x: int

        def __new__(cls, *args, **kwargs):
            made.append(cls)
            return super().__new__(cls)

    again(Counted(1))
    assert len(made) == 2


def test_initvar_is_refused_with_its_name():
    with pytest.raises(SampleTypeError, match=r"Scaled\.scale.*InitVar"):

        @atdata.packable
        class Scaled:
            x: int
            scale: InitVar[int]


def test_inherited_initvar_is_refused():
    @dataclass
    class Base:
        x: int
        scale: InitVar[int]

    with pytest.raises(SampleTypeError, match=r"scale.*InitVar"):

        @atdata.packable
        class Scaled(Base):
            y: int = 0


def test_classvars_are_not_stored():
    @atdata.packable
    class Unit:
        x: int
        unit: ClassVar[str] = "mm"
        other: "ClassVar[int]" = 3

    assert ormsgpack.unpackb(Unit(1).packed) == {"x": 1}
    assert again(Unit(1)).unit == "mm"


def test_fields_with_init_false_are_recomputed_not_stored():
    @atdata.packable
    class Squared:
        x: int
        square: int = field(init=False)

        def __post_init__(self):
            self.square = self.x**2

    assert ormsgpack.unpackb(Squared(3).packed) == {"x": 3}
    assert again(Squared(3)).square == 9


def test_fields_with_init_false_and_a_default_get_it():
    @atdata.packable
    class Counter:
        x: int
        notes: list = field(init=False, default_factory=list)

    assert again(Counter(3)).notes == []


def test_default_factories_give_each_decoded_sample_its_own_value():
    @atdata.packable
    class Tagged:
        tags: list[str] = field(default_factory=list)

    first, second = Tagged.from_data({}), Tagged.from_data({})
    first.tags.append("a")
    assert second.tags == []


def test_field_options_repr_and_compare_are_honoured():
    @atdata.packable
    class Partial:
        x: int
        note: str = field(default="", repr=False, compare=False)

    assert Partial(1, "a") == Partial(1, "b")
    assert repr(Partial(1, "secret")) == f"{Partial.__qualname__}(x=1)"


@pytest.mark.parametrize("name", ["packed", "as_wds", "from_bytes", "from_data"])
def test_a_field_named_as_a_member_of_every_sample_is_refused(name):
    with pytest.raises(SampleTypeError, match=name):
        atdata.packable(type("Clash", (), {"__annotations__": {name: bytes}}))


def test_fields_may_have_names_that_msgpack_and_python_know():
    @atdata.packable
    class Names:
        type: str
        id: int
        self_: int
        _private: int
        naïve: str

    sample = Names("a", 1, 2, 3, "ü")
    assert again(sample) == sample


def test_replace_and_asdict_work():
    assert dataclasses.replace(image(), label="dog").label == "dog"
    assert set(dataclasses.asdict(image())) == {"pixels", "label", "score"}


# ------------------------------------------------------------------------------------------ annotations

_ARRAY = np.arange(3, dtype=np.float32)

ROUND_TRIPS = [
    (str, "naïve \U0001f40d \0"),
    (int, -(2**63)),
    (int, 2**64 - 1),
    (float, math.inf),
    (float, -0.0),
    (bool, True),
    (bytes, b"\x00\xff"),
    (bytes, b"\x93NUMPY looks like an array"),
    (NDArray, _ARRAY),
    (NDArray[np.float32], _ARRAY),
    (NDArray[Any], _ARRAY),
    (np.ndarray, _ARRAY),
    (np.ndarray[Any, np.dtype[np.float32]], _ARRAY),
    (Annotated[NDArray, "pixels"], _ARRAY),
    (Annotated[NDArray[np.float32], (3,)] | None, _ARRAY),
    (Optional[Annotated[NDArray, "pixels"]], None),  # noqa: UP045
    (Annotated[NDArray | None, "pixels"], None),
    (NDArray | None, None),
    (NDArray | None, _ARRAY),
    (Optional[NDArray], _ARRAY),  # noqa: UP045
    (Union[None, NDArray], _ARRAY),  # noqa: UP007
    (str | None, None),
    (str | None, "a"),
    (Final[int], 3),
    (list, [1, "a", None]),
    (list[str], ["a", "b"]),
    (list[float], [1.0, math.nan]),
    (list[int], []),
    (list[bytes], [b"a", b""]),
    (list[list[int]], [[1], [], [2, 3]]),
    (list[list[list[str]]], [[["a"]]]),
    (list[int] | None, None),
    (list[int | None], [1, None]),
    (list[NDArray], [_ARRAY, np.zeros((2, 2))]),
    (list[NDArray | None], [_ARRAY, None]),
    (list[list[NDArray]], [[_ARRAY], []]),
    (Sequence[int], [1, 2]),
    (MutableSequence[int], [1, 2]),
    (typing.List[int], [1, 2]),  # noqa: UP006
    (tuple, (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[int, int], (1, 2)),
    (tuple[int, str], (1, "a")),
    (tuple[()], ()),
    (tuple[NDArray, ...], (_ARRAY, _ARRAY)),
    (tuple[NDArray, int], (_ARRAY, 1)),
    (tuple[int, tuple[int, str]], (1, (2, "a"))),
    (tuple[str, list[int]], ("a", [1])),
    (list[tuple[int, str]], [(1, "a"), (2, "b")]),
    (dict, {"a": 1, "b": [1, 2]}),
    (dict[str, int], {"a": 1}),
    (dict[int, str], {1: "a"}),
    (dict[str, list[float]], {"a": [1.0]}),
    (dict[str, NDArray], {"a": _ARRAY}),
    (dict[str, dict[str, int]], {"a": {"b": 1}}),
    (dict[str, int | None], {"a": None}),
    (Mapping[str, int], {"a": 1}),
    (dict[str, tuple[int, ...]], {"a": (1, 2)}),
    (Literal["train", "test"], "train"),
    (Literal[1, 2], 2),
    (Literal["a"] | None, None),
    (Literal["a", None], None),
    (UserId, UserId(3)),
    (Vector, _ARRAY),
    (list[UserId], [UserId(3)]),
    (np.float32, np.float32(0.1)),
    (np.float16, np.float16(1.5)),
    (np.float64, np.float64(0.1)),
    (np.int8, np.int8(-128)),
    (np.uint64, np.uint64(2**64 - 1)),
    (np.bool_, np.bool_(True)),
    (np.str_, np.str_("a")),
    (np.bytes_, np.bytes_(b"a")),
    (list[np.float32], [np.float32(0.1)]),
    (np.int64 | None, None),
    (Any, {"a": [1, 2.5, None, b"x"]}),
    (Any, None),
    (object, "a"),
    (None, None),
    (int | str, 3),
    (int | str, "a"),
    (int | str | None, None),
    (list[int | str], [1, "a"]),
    (int | float, 3),
    (float | int, 3),
    (float | int, 0.5),
    (bool | int, True),
    (list[str] | str, "ab"),
    (list[str] | str, ["ab"]),
    (dict[str, int | list[str]], {"a": 1, "b": ["c"]}),
    (tuple[int, str] | None, (1, "a")),
    (tuple[float | None, bytes], (None, b"a")),
    (T, "a"),
]


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS, ids=lambda item: f"{item}"[:60])
def test_supported_annotations_round_trip(annotation, value):
    cls = one_field(annotation)
    sample = cls(value)
    restored = again(sample)
    assert restored == sample
    assert type(restored.value) is type(value)


def test_typed_dict_fields_round_trip():
    class Box(typing.TypedDict):
        x: int
        y: int

    cls = one_field(Box)
    assert again(cls({"x": 1, "y": 2})).value == {"x": 1, "y": 2}


@pytest.mark.parametrize("annotation", [tuple[NDArray, int], typing.TypedDict("Boxed", {"a": NDArray}), dict[str, Any]])
def test_what_the_class_accepts_can_be_packed(annotation):
    value = (_ARRAY, 1) if typing.get_origin(annotation) is tuple else {"a": _ARRAY}
    if annotation == dict[str, Any]:
        value = {"a": 1}
    cls = one_field(annotation)
    assert again(cls(value)) == cls(value)


def test_arrays_keep_their_dtype_whatever_the_annotation_names():
    assert again(one_field(NDArray[np.float32])(np.zeros(2, np.int16))).value.dtype == np.int16


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_writable_and_owning(order):
    array = again(image(pixels=np.zeros((3, 4), order=order))).pixels
    assert array.flags.writeable
    assert array.flags.owndata
    array[0, 0] = 1


def test_numpy_scalars_are_stored_in_array_fields_as_zero_dimensional_arrays():
    restored = again(one_field(NDArray)(np.float32(3)))
    assert restored.value.shape == ()
    assert restored.value.dtype == np.float32


@pytest.mark.parametrize(
    ("annotation", "value", "stored"),
    [
        (int, np.int32(3), 3),
        (int, True, 1),
        (float, 3, 3.0),
        (float, np.float32(0.5), 0.5),
        (float, np.int64(2), 2.0),
        (bool, np.bool_(True), True),
        (str, np.str_("a"), "a"),
        (bytes, bytearray(b"ab"), b"ab"),
        (bytes, memoryview(b"ab"), b"ab"),
        (list[float], [1, 2.5, np.float32(0.5)], [1.0, 2.5, 0.5]),
        (list[int], (1, 2), [1, 2]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (np.float32, 0.5, np.float32(0.5)),
        (np.int8, 5, np.int8(5)),
        (dict[str, float], collections.OrderedDict(a=1), {"a": 1.0}),
    ],
)
def test_values_of_kindred_types_are_stored_as_the_declared_type(annotation, value, stored):
    restored = again(one_field(annotation)(value)).value
    assert restored == stored
    assert type(restored) is type(stored)


class Colour(str, enum.Enum):  # noqa: UP042
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class StrColour(enum.StrEnum):
    RED = "red"


class LoudText(str):
    def __str__(self):
        return "LOUD"


@pytest.mark.parametrize(
    ("annotation", "value", "stored"),
    [
        (str, Colour.RED, "red"),
        (str, StrColour.RED, "red"),
        (str, LoudText("quiet"), "quiet"),
        (int, Level.HIGH, 3),
        (list[str], [Colour.RED], ["red"]),
        (dict[str, str], {"a": Colour.RED}, {"a": "red"}),
    ],
)
def test_subclasses_of_text_and_numbers_are_stored_by_their_value(annotation, value, stored):
    assert again(one_field(annotation)(value)).value == stored


@dataclass
class Nested:
    x: int


UNSUPPORTED = [
    Callable,
    Callable[[int], int],
    Image,
    Nested,
    list[Nested],
    dict[str, Nested],
    tuple[int, Nested],
    Nested | None,
    set,
    set[int],
    frozenset[int],
    complex,
    np.complex64,
    np.datetime64,
    np.longdouble,
    np.generic,
    datetime.datetime,
    datetime.date,
    decimal.Decimal,
    pathlib.Path,
    uuid.UUID,
    Colour,
    type,
    range,
    collections.deque,
    NDArray | list[float],
    NDArray[np.float32] | bytes,
    int | Nested,
    Literal["a", 1],
    "no such type",
]


@pytest.mark.parametrize("annotation", UNSUPPORTED[:-1], ids=str)
def test_unsupported_annotations_are_refused_with_the_field_named(annotation):
    with pytest.raises(SampleTypeError, match=r"One\.value") as caught:
        one_field(annotation)
    assert caught.value.field == "value"
    assert isinstance(caught.value, TypeError)


def test_nested_dataclasses_are_refused_with_advice():
    with pytest.raises(SampleTypeError, match=r"Nested.*nested dataclasses are not supported"):
        one_field(Nested)


def test_the_refusal_lists_what_is_supported():
    with pytest.raises(SampleTypeError, match="Supported: str, int, float, bool, bytes, NDArray"):
        one_field(complex)


# ------------------------------------------------------------------------- annotations kept as text

FUTURE = (
    "from __future__ import annotations\nimport numpy as np\nimport atdata\nfrom dataclasses import dataclass, field\n"
)
TYPING = "from typing import *\nfrom numpy.typing import NDArray\n"


def test_text_annotations_resolve_at_module_level(load):
    module = load(
        FUTURE
        + TYPING
        + """
@atdata.packable
class Sample:
    x: NDArray[np.float32]
    y: NDArray | None
    z: Optional[Annotated[NDArray, "depth"]] = None
    tags: list[str] = field(default_factory=list)
    unit: ClassVar[str] = "mm"

@atdata.packable
class Child(Sample):
    n: int = 0

@dataclass
class Direct(atdata.PackableSample):
    x: NDArray
    n: int
"""
    )
    sample = module.Child(x=np.zeros(2, np.float32), y=None, z=np.ones(3), tags=["a"], n=4)
    assert again(sample) == sample
    assert plan_of(module.Child).by_name["x"].codec.dtype == np.float32
    direct = module.Direct(np.arange(3), 1)
    assert again(direct) == direct


def test_text_annotations_resolve_in_classes_local_to_a_function(load):
    module = load(
        FUTURE
        + """
def make():
    from numpy.typing import NDArray
    Numbers = list[int]

    @atdata.packable
    class Sample:
        x: NDArray[np.float32]
        n: Numbers

    @atdata.packable(frozen=True, slots=True)
    class Slotted:
        x: NDArray
        n: Numbers

    @dataclass
    class Direct(atdata.PackableSample):
        x: NDArray
        n: Numbers

    return Sample, Slotted, Direct
"""
    )
    for cls in module.make():
        sample = cls(np.zeros(2, np.float32), [1])
        assert again(sample) == sample


def test_text_annotations_resolve_in_local_classes_with_a_generic_base(load):
    module = load(
        FUTURE
        + """
from typing import Generic, TypeVar
T = TypeVar("T")

def make():
    from numpy.typing import NDArray as Local

    @atdata.packable
    class Sample(Generic[T]):
        x: Local
        y: T

    return Sample
"""
    )
    sample = module.make()(np.arange(3), "a")
    assert again(sample) == sample


def test_text_annotations_resolve_in_local_classes_with_an_abstract_base(load):
    module = load(
        FUTURE
        + """
import abc

class Base(abc.ABC):
    pass

def make():
    from numpy.typing import NDArray as Local

    @atdata.packable
    class Sample(Base):
        x: Local

    return Sample
"""
    )
    sample = module.make()(np.arange(3))
    assert again(sample) == sample


def test_text_annotations_resolve_in_local_classes_whose_base_hooks_subclassing(load):
    module = load(
        FUTURE
        + """
class Hooked:
    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)

def make():
    from numpy.typing import NDArray as Local

    @atdata.packable
    class Sample(Hooked):
        x: Local

    return Sample
"""
    )
    sample = module.make()(np.arange(3))
    assert again(sample) == sample


def test_a_base_local_to_another_function_keeps_its_types(load):
    module = load(
        FUTURE
        + """
def make_base():
    from numpy.typing import NDArray as Local

    @atdata.packable
    class Base:
        x: Local

    return Base

Base = make_base()

@atdata.packable
class AtModuleLevel(Base):
    n: int = 0

def make_child():
    Number = int

    @atdata.packable
    class Child(Base):
        n: Number = 0

    return Child
"""
    )
    for cls in (module.AtModuleLevel, module.make_child()):
        sample = cls(np.arange(3), 1)
        assert again(sample) == sample


def test_a_base_of_another_module_keeps_its_types_whatever_local_names_are_around(load):
    load(
        FUTURE + "from numpy.typing import NDArray as Array\n@atdata.packable\nclass Base:\n    x: Array\n",
        "base_module",
    )
    module = load(
        FUTURE
        + """
from base_module import Base

def make():
    Array = "something else"

    @atdata.packable
    class Child(Base):
        n: int = 0

    return Child
"""
    )
    sample = module.make()(np.arange(3), 1)
    assert again(sample) == sample


def test_forward_references_resolve_on_first_use(load):
    module = load(
        FUTURE
        + """
@atdata.packable
class Early:
    x: Later
    y: list[Later]

@atdata.packable
class Child(Early):
    z: Later = 0

Later = int
"""
    )
    for sample in (module.Early(1, [2]), module.Child(1, [2], 3)):
        assert again(sample) == sample


def test_a_name_that_never_comes_is_named_on_first_use(load):
    module = load(FUTURE + "@atdata.packable\nclass Lost:\n    x: Nowhere\n")
    with pytest.raises(SampleTypeError, match=r"Lost.*'Nowhere'"):
        module.Lost.from_data({"x": 1})


def test_unsupported_text_annotations_are_refused_with_the_field_named(load):
    with pytest.raises(SampleTypeError, match=r"Bad\.x.*complex"):
        load(FUTURE + "@atdata.packable\nclass Bad:\n    x: complex\n")


def test_text_initvars_are_refused(load):
    with pytest.raises(SampleTypeError, match=r"Bad\.scale.*InitVar"):
        load(
            FUTURE
            + "from dataclasses import InitVar\n@atdata.packable\nclass Bad:\n    x: int\n    scale: InitVar[int]\n"
        )


def test_text_that_is_no_expression_is_refused_with_the_class_named():
    with pytest.raises((SampleTypeError, SyntaxError), match=r"One|no such type"):
        one_field("no such type").from_data({"value": 1})


# --------------------------------------------------------------------------------------------- packing


def test_packed_is_a_msgpack_map_of_field_names():
    data = ormsgpack.unpackb(image().packed)
    assert data.keys() == {"pixels", "label", "score"}
    assert data["label"] == "cat"
    assert data["pixels"].startswith(b"\x93NUMPY")


def test_equal_samples_pack_to_equal_bytes():
    assert image().packed == image().packed


def test_as_wds_has_a_new_key_each_time_and_the_packed_bytes():
    sample = image()
    first, second = sample.as_wds, sample.as_wds
    assert first.keys() == {"__key__", "msgpack"}
    assert first["msgpack"] == sample.packed
    assert first["__key__"] != second["__key__"]
    assert first["__key__"] < second["__key__"]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its own
def test_as_wds_is_what_webdataset_writes_and_reads(tmp_path):
    path = str(tmp_path / "data.tar")
    with wds.writer.TarWriter(path) as sink:
        for number in range(3):
            sink.write({**image(score=float(number)).as_wds, "__key__": f"sample_{number}"})
    read = [Image.from_bytes(raw["msgpack"]) for raw in wds.WebDataset(path, shardshuffle=False)]
    assert read == [image(score=float(number)) for number in range(3)]


WRONG = [
    (str, 3, "expected str, found int"),
    (str, b"a", "expected str, found bytes"),
    (str, None, "expected str, found None"),
    (int, "3", "expected int, found str"),
    (int, 3.0, "expected int, found float"),
    (float, "3", "expected float, found str"),
    (float, 10**400, "expected float, found int"),
    (bool, 1, "expected bool, found int"),
    (bytes, "a", "expected bytes, found str"),
    (NDArray, [1, 2], "expected NDArray, found list"),
    (NDArray, None, "expected NDArray, found None"),
    (NDArray[np.float32], 3, r"expected NDArray\[float32\], found int"),
    (NDArray | None, "a", r"expected NDArray \| None, found str"),
    (str | None, 3, r"expected str \| None, found int"),
    (list[str], "abc", r"expected list\[str\], found str"),
    (list[str], ["a", 1], r"expected list\[str\], found list \(item 1 is int\)"),
    (list[list[int]], [[1], ["a"]], r"item 1 is list, item 0 is str"),
    (list[float], np.zeros(2), r"expected list\[float\], found array of dtype float64 and shape \(2,\)"),
    (tuple[int, ...], (1, "a"), "item 1 is str"),
    (tuple[int, str], (1, 2), "value: expected"),
    (tuple[int, str], (1, "a", 3), "value: expected"),
    (tuple[int, int], (1, 2, 3), "value: expected"),
    (dict[str, int], {"a": "b"}, "item 0 is str"),
    (dict[str, int], [("a", 1)], "expected dict.*found list"),
    (dict[str, int], {1: 1}, "value: expected"),
    (Literal["a", "b"], "c", "'c'"),
    (Literal[1, 2], 3, "3"),
    (int | str, 1.5, r"expected int \| str, found float"),
    (list[int | str], [1.5], "item 0 is float"),
    (np.int8, 300, "expected int8, found int"),
    (np.uint8, -1, "expected uint8, found int"),
    (np.float32, "a", "expected float32, found str"),
    (np.float16, 1e300, "expected float16, found float"),
    (UserId, "a", "expected int, found str"),
]


@pytest.mark.parametrize(("annotation", "value", "message"), WRONG, ids=str)
def test_values_of_another_type_are_refused_at_packing(annotation, value, message):
    sample = one_field(annotation)(value)
    with pytest.raises(SampleTypeError, match=rf"One\.value: .*{message}|{message}") as caught:
        _ = sample.packed
    assert caught.value.field == "value"
    assert "One.value" in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 2**64),
        (int, -(2**63) - 1),
        (list[int], [2**64]),
        (str, "\ud800"),
        (Any, THING),
        (Any, {1, 2}),
        (Any, datetime.datetime(2020, 1, 1)),
        (Any, image()),
        (Any, 1j),
        (dict, {"a": {"b": THING}}),
        (dict, {"a": np.zeros(2)}),
        (list, [len]),
        (NDArray, np.array([THING])),
        (NDArray, np.array(["a", None], dtype=object)),
        (NDArray, np.ma.masked_array([1, 2], [True, False])),
        (list[NDArray], [np.array([None])]),
        (dict[str, NDArray], {"a": np.array([None])}),
    ],
    ids=str,
)
def test_values_that_cannot_be_stored_are_refused_with_the_field_named(annotation, value):
    sample = one_field(annotation)(value)
    with pytest.raises(SampleTypeError, match=r"One\.value") as caught:
        _ = sample.packed
    assert caught.value.field == "value"


def test_values_that_contain_themselves_are_refused():
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(SampleTypeError, match=r"One\.value"):
        _ = one_field(Any)(loop).packed


# -------------------------------------------------------------------------------------------- decoding


def test_unknown_fields_are_ignored():
    data = {**ormsgpack.unpackb(image().packed), "extra": 1, "pixel": b"x"}
    assert Image.from_data(data) == image()
    assert Image.from_bytes(ormsgpack.packb(data)) == image()


def test_missing_fields_get_their_defaults():
    @atdata.packable
    class Newer:
        x: int
        note: str = "none"
        tags: list[str] = field(default_factory=lambda: ["new"])
        image: NDArray | None = None

    assert Newer.from_bytes(ormsgpack.packb({"x": 1})) == Newer(1, "none", ["new"], None)


def test_a_missing_field_without_a_default_is_named():
    with pytest.raises(FieldMismatch, match=r"Image\.score: .* no such field .*, which has pixels, label;") as caught:
        Image.from_data({"pixels": np.zeros(2), "label": "a"})
    assert caught.value.field == "score"


def test_a_missing_field_of_a_batch_is_named_with_those_that_are_there(tmp_path):
    stored = [atdata.DictSample(pixels=np.zeros(2), labels="a", n=1), atdata.DictSample(pixels=np.zeros(3), labels=2)]
    atdata.write_samples(stored, tmp_path / "data.tar")
    (batch,) = atdata.Dataset[Image](tmp_path / "data.tar").ordered(batch_size=2)
    with pytest.raises(FieldMismatch, match=r"Image\.label: .* no such field .*, which has pixels, labels, n;"):
        batch.list("label")


def test_an_optional_field_without_a_default_is_still_required():
    with pytest.raises(FieldMismatch, match=r"One\.value: expected NDArray \| None, found no such field"):
        one_field(NDArray | None).from_data({})


@pytest.mark.parametrize(
    ("annotation", "stored", "message"),
    [
        (str, 3, "expected str, found int"),
        (str, b"a", "expected str, found bytes"),
        (int, "3", "expected int, found str"),
        (int, 3.5, "expected int, found float"),
        (int, None, "expected int, found None"),
        (float, "a", "expected float, found str"),
        (bool, 1, "expected bool, found int"),
        (bytes, "a", "expected bytes, found str"),
        (NDArray, "a", "expected NDArray, found str"),
        (NDArray, [1], "expected NDArray, found list"),
        (NDArray, None, "expected NDArray, found None"),
        (list[int], {"a": 1}, r"expected list\[int\], found dict"),
        (list[int], [1, "a"], "item 1 is str"),
        (list[NDArray], ["a"], "item 0 is str"),
        (tuple[int, str], [1, "a", 2], "value: expected"),
        (tuple[int, str], ["a", 1], "value: expected"),
        (dict[str, int], [1], "expected dict.*found list"),
        (Literal["a"], "b", "'b'"),
        (int | str, 1.5, r"expected int \| str, found float"),
        (np.int8, 300, "expected int8, found int"),
    ],
    ids=str,
)
def test_stored_values_of_another_type_are_refused(annotation, stored, message):
    with pytest.raises(FieldMismatch, match=message) as caught:
        one_field(annotation).from_bytes(ormsgpack.packb({"value": stored}))
    assert caught.value.field == "value"
    assert "One.value" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


def test_stored_ints_are_read_as_floats():
    value = one_field(float).from_bytes(ormsgpack.packb({"value": 3})).value
    assert (value, type(value)) == (3.0, float)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"not msgpack at all", ormsgpack.packb([1]), ormsgpack.packb(3), ormsgpack.packb({"a": 1})[:-1]],
)
def test_bytes_that_are_no_sample_are_refused(data):
    with pytest.raises(SampleDecodeError):
        Image.from_bytes(data)


@pytest.mark.parametrize("stored", [b"", b"abc", b"\x93NUMPY\x01\x00", b"\x00" * 100])
def test_array_bytes_that_cannot_be_parsed_name_the_field(stored):
    with pytest.raises(SampleDecodeError, match=r"One\.value") as caught:
        one_field(NDArray).from_bytes(ormsgpack.packb({"value": stored}))
    assert caught.value.field == "value"


@pytest.mark.parametrize("annotation", [list[NDArray], dict[str, NDArray]])
def test_array_bytes_in_containers_that_cannot_be_parsed_name_the_field(annotation):
    stored = [b"abc"] if typing.get_origin(annotation) is list else {"a": b"abc"}
    with pytest.raises(SampleDecodeError, match=r"One\.value"):
        one_field(annotation).from_bytes(ormsgpack.packb({"value": stored}))


def test_pickled_arrays_are_never_loaded():
    import io

    out = io.BytesIO()
    np.save(out, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(SampleDecodeError, match=r"One\.value.*object"):
        one_field(NDArray).from_bytes(ormsgpack.packb({"value": out.getvalue()}))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_from_bytes_takes_any_bytes_like(kind):
    assert Image.from_bytes(kind(image().packed)) == image()


def test_from_data_takes_arrays_as_they_are():
    array = np.arange(3)
    assert Image.from_data({"pixels": array, "label": "a", "score": 1.0}).pixels is array


def test_from_data_takes_any_mapping():
    data = collections.ChainMap({"x": 1}, {"y": 2.0})
    assert FrozenPoint.from_data(data) == FrozenPoint(1, 2.0)


def test_constructing_with_stored_bytes_gives_an_array():
    stored = ormsgpack.unpackb(image().packed)["pixels"]
    np.testing.assert_array_equal(Image(stored, "a", 1.0).pixels, image().pixels)


def test_constructing_with_bytes_that_are_no_array_names_the_field():
    with pytest.raises(SampleDecodeError, match=r"Image\.pixels"):
        Image(b"raw image", "a", 1.0)


def test_bytes_fields_stay_bytes_even_if_they_look_like_arrays():
    stored = ormsgpack.unpackb(image().packed)["pixels"]
    assert again(one_field(bytes)(stored)).value == stored


# -------------------------------------------------------------------------------- equality, repr, copies


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array([1.0, np.nan]), np.array([np.nan, 1.0]), False),
        (np.array([1, 2]), np.array([1, 3]), False),
        (np.array([1, 2], np.int32), np.array([1, 2], np.int64), False),
        (np.array([1, 2], ">i4"), np.array([1, 2], "<i4"), False),
        (np.zeros((2, 3)), np.zeros((3, 2)), False),
        (np.zeros((1, 3)), np.zeros(3), False),
        (np.zeros((0, 3)), np.zeros((0, 3)), True),
        (np.zeros((0, 3)), np.zeros((0, 2)), False),
        (np.zeros((2, 3), order="F"), np.zeros((2, 3)), True),
        (np.array(3), np.array(3), True),
        (np.array(["a", "b"]), np.array(["a", "b"]), True),
        (np.array(["a", "b"]), np.array(["a", "c"]), False),
        (np.array(["NaT", "2020-01-01"], "M8[s]"), np.array(["NaT", "2020-01-01"], "M8[s]"), True),
        (np.array([complex(0, np.nan)]), np.array([complex(0, np.nan)]), True),
        (np.array([(1, np.nan)], "i4,f4"), np.array([(1, np.nan)], "i4,f4"), True),
        (np.array([(1, 2.0)], "i4,f4"), np.array([(1, 3.0)], "i4,f4"), False),
        (np.zeros(2), [0.0, 0.0], False),
        (np.zeros(2), None, False),
        (None, None, True),
    ],
    ids=lambda item: f"{item!r}"[:40],
)
def test_equality_of_arrays_is_by_dtype_shape_and_elements(first, second, equal):
    cls = one_field(Any)
    result = cls(first) == cls(second)
    assert result is equal
    assert (cls(first) != cls(second)) is not equal


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ([np.zeros(2)], [np.zeros(2)], True),
        ([np.zeros(2)], [np.zeros(3)], False),
        ({"a": np.zeros(2)}, {"a": np.zeros(2)}, True),
        ({"a": np.zeros(2)}, {"b": np.zeros(2)}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (math.nan, math.nan, True),
        ([math.nan], [float("nan")], True),
        (1, 2, False),
        ([1, 2], [1, 2, 3], False),
    ],
    ids=str,
)
def test_equality_looks_into_containers(first, second, equal):
    cls = one_field(Any)
    assert (cls(first) == cls(second)) is equal


def test_samples_are_not_equal_to_other_things():
    assert image() != "image"
    assert image() != None  # noqa: E711
    assert image() != Direct("cat", np.zeros(2))
    assert image() in [1, image()]


def test_repr_names_type_and_fields_and_keeps_large_values_short():
    text = repr(Image(np.zeros((224, 224, 3), np.uint8), "cat", 0.5))
    assert text == "Image(pixels=ndarray(uint8, (224, 224, 3)), label='cat', score=0.5)"
    assert "1,000 bytes" in repr(one_field(bytes)(bytes(1000)))


def test_repr_shows_small_arrays():
    assert repr(one_field(NDArray)(np.array([1, 2]))) == "One(value=array([1, 2]))"


def test_a_repr_of_ones_own_is_kept():
    @atdata.packable
    class Own:
        x: int

        def __repr__(self):
            return "mine"

    assert repr(Own(1)) == "mine"


def test_a_comparison_of_ones_own_is_kept():
    @atdata.packable
    class Own:
        x: int

        def __eq__(self, other):
            return True

        __hash__ = None

    assert Own(1) == Own(2)


@pytest.mark.parametrize(
    "sample",
    [
        Image(np.arange(6.0), "a", 0.5),
        Direct("a", np.arange(2)),
        Slotted("a", np.arange(2)),
        SlottedFrozen("a", np.arange(2)),
        FrozenPoint(1),
        Version(1),
        Pair(1, 2),
        Outer.Inner(3),
        Outer.InnerFrozen(3),
    ],
    ids=lambda sample: type(sample).__name__,
)
class TestCopies:
    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_pickling_keeps_the_sample(self, sample, protocol):
        restored = pickle.loads(pickle.dumps(sample, protocol))
        assert type(restored) is type(sample)
        assert restored == sample

    def test_pickling_a_decoded_sample_keeps_it(self, sample):
        assert pickle.loads(pickle.dumps(again(sample))) == sample

    def test_copies_are_equal(self, sample):
        assert copy.copy(sample) == sample
        assert copy.deepcopy(sample) == sample


def test_deep_copies_do_not_share_arrays():
    sample = image()
    other = copy.deepcopy(sample)
    other.pixels[:] = 9
    assert sample == image()


def test_errors_of_samples_survive_pickling():
    with pytest.raises(FieldMismatch) as caught:
        Image.from_data({"label": "a"})
    restored = pickle.loads(pickle.dumps(caught.value))
    assert (type(restored), str(restored), restored.field) == (FieldMismatch, str(caught.value), "pixels")
    assert isinstance(restored, AtdataError)


# ------------------------------------------------------------------------------------------ properties

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
INTS = st.integers(-(2**63), 2**64 - 1)
FLOATS = st.floats()
DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
    hnp.byte_string_dtypes(max_len=5),
    hnp.unicode_string_dtypes(endianness="?", max_len=5),
)
# Structured dtypes are here too: their fields may hold NaN, padding and arrays of their own
ARRAYS = st.one_of(DTYPES, hnp.array_dtypes(DTYPES, max_size=3, allow_subarrays=True)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
ARRAYS = st.builds(lambda array, fortran: np.asfortranarray(array) if fortran else array, ARRAYS, st.booleans())
FLOAT_ARRAYS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INTS,
    float: FLOATS,
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    np.float32: st.floats(width=32).map(np.float32),
    np.float16: st.floats(width=16).map(np.float16),
    np.int16: st.integers(-(2**15), 2**15 - 1).map(np.int16),
    np.uint64: st.integers(0, 2**64 - 1).map(np.uint64),
    np.bool_: st.booleans().map(np.bool_),
    np.str_: TEXT.map(np.str_),
    np.bytes_: st.binary(max_size=5).map(np.bytes_),
    UserId: INTS,
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
    NDArray: ARRAYS,
    NDArray[np.float32]: FLOAT_ARRAYS,
}
PLAIN = st.recursive(
    st.none() | TEXT | INTS | FLOATS | st.booleans() | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def _wider(typed):
    """From one kind of field to lists, tuples, dicts and optionals of it."""
    hint, values = typed
    return st.sampled_from(
        [
            (hint | None if not isinstance(hint, str) else hint, st.none() | values),
            (list[hint], st.lists(values, max_size=3)),
            (tuple[hint, ...], st.lists(values, max_size=3).map(tuple)),
            (tuple[hint, str], st.tuples(values, TEXT)),
            (dict[str, hint], st.dictionaries(TEXT, values, max_size=3)),
            (Annotated[hint, "note"], values),
        ]
    )


FIELD_KINDS = st.recursive(
    st.sampled_from([*SCALARS.items(), (Any, PLAIN), (dict, st.dictionaries(TEXT, PLAIN, max_size=3))]),
    lambda inner: inner.flatmap(_wider),
    max_leaves=3,
)


@st.composite
def sample_lists(draw):
    """Some samples of a sample type that was made up for them."""
    names = draw(st.lists(st.from_regex(r"[a-z]{1,4}_", fullmatch=True), min_size=0, max_size=4, unique=True))
    kinds = [draw(FIELD_KINDS) for _ in names]
    options = draw(
        st.fixed_dictionaries({}, optional={"frozen": st.booleans(), "slots": st.booleans(), "kw_only": st.booleans()})
    )
    body = {"__annotations__": dict(zip(names, (hint for hint, _ in kinds), strict=True)), "__module__": __name__}
    cls = atdata.packable(**options)(type("MadeUp", (), body))
    return [
        cls(**{name: draw(values) for name, (_, values) in zip(names, kinds, strict=True)})
        for _ in range(draw(st.integers(1, 4)))
    ]


def _same_values(column, samples, name):
    return [dataclasses.replace(sample, **{name: value}) for sample, value in zip(samples, column, strict=True)]


@settings(max_examples=100, deadline=None)
@given(samples=sample_lists())
def test_any_sample_of_any_type_survives_storage_alone_in_a_shard_and_in_batches(samples, tmp_path_factory):
    cls = type(samples[0])
    for sample in samples:
        assert cls.from_bytes(sample.packed) == sample
        assert cls.from_bytes(sample.packed).packed == sample.packed
        assert pickle.loads(pickle.dumps(sample.packed)) == sample.packed
    dataset = atdata.write_samples(samples, tmp_path_factory.mktemp("any") / "data.tar")
    assert list(dataset) == samples
    (batch,) = dataset.ordered(batch_size=len(samples))
    for item in dataclasses.fields(cls):
        assert _same_values(batch.list(item.name), samples, item.name) == samples
    assert batch.samples == samples
    left = list(samples)
    for sample in dataset.shuffled(seed=1):
        left.remove(sample)
    assert left == []


# ------------------------------------------------------------------------------- what people also write


def test_a_subclass_that_adds_only_methods_needs_no_decorator():
    class Louder(Image):
        def shout(self):
            return self.label.upper()

    sample = Louder.from_bytes(image().packed)
    assert type(sample) is Louder
    assert sample.shout() == image().label.upper()
    assert sample == Louder.from_bytes(sample.packed)


def test_a_list_in_place_of_an_array_is_told():
    sample = Direct(name="a", values=[1, 2])
    with pytest.raises(SampleTypeError, match=r"found list; np\.asarray makes an array of it"):
        _ = sample.packed


def test_a_forgotten_decorator_is_told_when_a_sample_is_made():
    class Bare(atdata.PackableSample):
        x: int

    for make in (lambda: Bare(1), lambda: Bare(x=1)):
        with pytest.raises(SampleTypeError, match=r"Bare is not a sample type; put @atdata\.packable above"):
            make()
    assert atdata.packable(Bare)(x=1).x == 1


def test_a_default_of_none_allows_none():
    @atdata.packable
    class Lazy:
        mask: NDArray = None

    assert again(Lazy()).mask is None
    assert again(Lazy(np.arange(3))) == Lazy(np.arange(3))
