"""Sample types as schema records, and records as sample types again."""

from __future__ import annotations

import enum
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata import Dataset, PackableSample, SampleBatch
from atdata.cid import generate_cid
from atdata.errors import NoSampleType, SampleTypeError, SchemaError
from atdata.lens import LensNetwork
from atdata.sample import values_equal
from atdata.schema import Shape, check_record, diff, from_json_schema, schema_cid, schema_of, to_json_schema, type_of
from atdata.schema.check import DEEPEST, MOST_FIELDS
from atdata.schema.shown import shown

TYPES = "ac.foundation.dataset.schemaType"


def primitive(kind: str) -> dict[str, Any]:
    return {"$type": f"{TYPES}#primitive", "primitive": kind}


def ndarray(**more: Any) -> dict[str, Any]:
    return {"$type": f"{TYPES}#ndarray", "dtype": "float32", **more}


def array(items: Any) -> dict[str, Any]:
    return {"$type": f"{TYPES}#array", "items": items}


def record_of(*fields: Any, **more: Any) -> dict[str, Any]:
    return {"name": "Thing", "version": "1.0.0", "fields": [*fields], **more}


def field_of(field_type: Any = None, name: Any = "x", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "fieldType": primitive("int") if field_type is None else field_type,
        "optional": False,
        **more,
    }


def one(hint: Any, **namespace: Any) -> dict[str, Any]:
    """The record of the one field of a type."""
    made = atdata.packable(type("One", (), {"__annotations__": {"x": hint}, "__module__": __name__, **namespace}))
    (found,) = schema_of(made)["fields"]
    return dict(found)


# --------------------------------------------------------------------------------------- type -> record


@atdata.packable
class Clip:
    """A few seconds of video.

    With sound.
    """

    frames: Annotated[NDArray[np.uint8], Shape(None, 224, 224, 3), "RGB"]
    sound: Annotated[NDArray[np.float32], Shape(channel=2, time=None)] | None
    """Left and right,
    at 48 kHz."""
    label: Annotated[str, "what is seen"]
    any: NDArray
    tags: list[list[str]] = field(default_factory=list)
    score: float = 1
    """How sure we are."""
    raw: bytes = b"\xff"
    note: str | None = "none"
    more: int | None = None


def test_a_record_tells_all_that_the_class_says() -> None:
    assert schema_of(Clip, version="1.2.0", metadata={"source": ("a", {"b": 1.5})}) == {
        "name": "Clip",
        "version": "1.2.0",
        "fields": [
            field_of({**ndarray(shape=[-1, 224, 224, 3]), "dtype": "uint8"}, "frames", description="RGB"),
            {
                **field_of(ndarray(declared=True, shape=[2, -1], dimensions=["channel", "time"]), "sound"),
                "optional": True,
                "description": "Left and right,\nat 48 kHz.",
            },
            field_of(primitive("str"), "label", description="what is seen"),
            field_of(ndarray(), "any"),
            field_of(array(array(primitive("str"))), "tags", default="[]"),
            field_of(primitive("float"), "score", default="1.0", description="How sure we are."),
            field_of(primitive("bytes"), "raw", default='"/w=="'),
            {**field_of(primitive("str"), "note", default='"none"'), "optional": True},
            {**field_of(primitive("int"), "more"), "optional": True},
        ],
        "description": "A few seconds of video.\n\nWith sound.",
        "metadata": {"source": ["a", {"b": 1.5}]},
    }


class Side(enum.StrEnum):
    LEFT = "left"


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (str, primitive("str")),
        (int, primitive("int")),
        (float, primitive("float")),
        (bool, primitive("bool")),
        (bytes, primitive("bytes")),
        (np.int16, primitive("int")),
        (np.float64, primitive("float")),
        (Literal["a", "b"], primitive("str")),
        (NDArray, ndarray()),
        (NDArray[Any], ndarray()),
        (np.ndarray, ndarray()),
        (NDArray[np.floating[Any]], ndarray()),
        (NDArray[np.float32], ndarray(declared=True)),
        (NDArray[np.float64], {**ndarray(), "dtype": "float64"}),
        (NDArray[np.bool_], {**ndarray(), "dtype": "bool"}),
        (NDArray[np.str_], {**ndarray(), "dtype": "str"}),
        (NDArray[np.datetime64], {**ndarray(), "dtype": "datetime64"}),
        (Annotated[NDArray, Shape()], ndarray(shape=[])),
        (list[str], array(primitive("str"))),
        (list[list[float]], array(array(primitive("float")))),
        (list[NDArray[np.int8]], array({**ndarray(), "dtype": "int8"})),
        (list[Annotated[NDArray, Shape(3)]], array(ndarray(shape=[3]))),
        (tuple[int, ...], array(primitive("int"))),
        (tuple[int, int], array(primitive("int"))),
    ],
    ids=str,
)
def test_the_form_of_each_supported_type(hint: Any, expected: Any) -> None:
    assert one(hint) == field_of(expected)
    assert one(Optional[hint]) == {**field_of(expected), "optional": True}  # noqa: UP045
    assert one(Annotated[hint, Side.LEFT, 7])["fieldType"] == expected


@atdata.packable
class Inner:
    x: int


@pytest.mark.parametrize(
    "hint",
    [
        dict[str, int],
        dict,
        Any,
        list,
        tuple,
        list[Any],
        list[dict[str, int]],
        list[int | None],
        list[NDArray | None],
        tuple[int, str],
        int | str,
        int | str | None,
        list[int | float],
        NDArray[np.longdouble],
        Annotated[str, Shape(3)],
        Annotated[list[str], Shape(3)],
    ],
    ids=str,
)
def test_types_without_a_form_are_errors_that_name_the_field(hint: Any) -> None:
    with pytest.raises(TypeError, match=r"^One\.x: ") as caught:
        one(hint)
    assert isinstance(caught.value, SampleTypeError)
    assert caught.value.field == "x"


@pytest.mark.parametrize("hint", [Inner, Callable[[int], int], complex, list[Inner]], ids=str)
def test_types_that_no_sample_has_are_errors_when_the_class_is_made(hint: Any) -> None:
    with pytest.raises(TypeError, match=r"^One\.x: "):
        one(hint)


def test_lists_are_nested_only_so_deep() -> None:
    hint: Any = int
    for _ in range(DEEPEST):
        hint = list[hint]
    assert type_of(schema_of(atdata.packable(type("One", (), {"__annotations__": {"x": hint}}))))
    with pytest.raises(SampleTypeError, match=r"One\.x: .* have no form in a schema"):
        one(list[hint])


@pytest.mark.parametrize("given", [int, "Clip", None, Clip(np.zeros(1, np.uint8), None, "", np.zeros(1)), object])
def test_what_is_no_sample_type_is_a_type_error_and_a_value_error(given: Any) -> None:
    with pytest.raises(NoSampleType, match=r"is not a sample type; put @atdata\.packable above") as caught:
        schema_of(given)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


def test_a_dataclass_that_is_no_sample_type_is_a_type_error() -> None:
    @dataclass
    class Plain:
        x: int

    with pytest.raises(TypeError, match="Plain is not a sample type"):
        schema_of(Plain)


@pytest.mark.parametrize("version", ["1.0", "latest", "", None])
def test_a_version_must_be_semantic(version: Any) -> None:
    with pytest.raises(SchemaError, match=r"schema 'Clip': .* is not a version"):
        schema_of(Clip, version=version)


@pytest.mark.parametrize("metadata", [{1: 2}, {"a": object()}, {"a": {1, 2}}, {"\ud800": 1}, ["a"], "text"])
def test_metadata_must_be_json_like(metadata: Any) -> None:
    with pytest.raises(SchemaError, match=r"schema 'Clip': .*metadata"):
        schema_of(Clip, metadata=metadata)


class TestDescriptions:
    def test_the_one_that_dataclass_makes_up_is_none(self) -> None:
        @atdata.packable
        class Bare:
            x: int = 3

        @dataclass
        class Direct(PackableSample):
            x: list[int] = field(default_factory=list)

        assert "description" not in schema_of(Bare)
        assert "description" not in schema_of(Direct)

    def test_a_docstring_that_begins_like_it_is_one(self) -> None:
        @atdata.packable
        class Bare:
            """Bare(x: int) is not all there is to say."""

            x: int

        assert schema_of(Bare)["description"] == "Bare(x: int) is not all there is to say."

    def test_the_docstring_of_a_base_is_not_that_of_the_class(self) -> None:
        @atdata.packable
        class Longer(Clip):
            end: str = ""

        record = schema_of(Longer)
        assert "description" not in record
        assert [item.get("description") for item in record["fields"]][:2] == ["RGB", "Left and right,\nat 48 kHz."]

    def test_a_given_one_counts(self) -> None:
        assert schema_of(Clip, description="  Short.\n    clip")["description"] == "Short.\nclip"
        assert "description" not in schema_of(Clip, description="")

    def test_those_of_local_classes_are_found_too(self) -> None:
        @atdata.packable
        class Local:
            """
            Not indented.
            """

            x: int
            """One
of several."""
            y: int
            (z): int
            "not a field's"

        record = schema_of(Local)
        assert record["description"] == "Not indented."
        assert {item["name"]: item.get("description") for item in record["fields"]} == {
            "x": "One\nof several.",
            "y": None,
        }

    def test_classes_without_source_have_those_in_annotations(self) -> None:
        names: dict[str, Any] = {"__name__": __name__, "atdata": atdata, "Annotated": Annotated}
        exec('@atdata.packable\nclass A:\n x: Annotated[int, "yes"]\n y: int\n "no source"', names)
        assert [item.get("description") for item in schema_of(names["A"])["fields"]] == ["yes", None]


class TestDefaults:
    @pytest.mark.parametrize(
        ("hint", "value", "text"),
        [
            (str, 'a"ü\n', '"a\\"ü\\n"'),
            (int, True, "1"),
            (int, -(1 << 63), "-9223372036854775808"),
            (float, 3, "3.0"),
            (float, float("nan"), '"NaN"'),
            (float, float("-inf"), '"-Infinity"'),
            (bool, False, "false"),
            (bytes, b"", '""'),
            (np.int16, np.int16(4), "4"),
            (Literal["a", "b"], "b", '"b"'),
            (tuple[float, ...], (1, 2.5), "[1.0, 2.5]"),
            (str, Side.LEFT, '"left"'),
        ],
        ids=repr,
    )
    def test_are_recorded_as_the_text_of_their_json(self, hint: Any, value: Any, text: str) -> None:
        assert one(hint, x=value)["default"] == text

    def test_a_default_of_none_is_what_optional_says(self) -> None:
        assert one(str | None, x=None) == one(str | None) == {**field_of(primitive("str")), "optional": True}
        assert one(NDArray, x=None) == {**field_of(ndarray()), "optional": True}

    @pytest.mark.parametrize("factory", [list, list[int], lambda: [1, 2]])
    def test_only_factories_of_empty_values_are_called(self, factory: Any) -> None:
        expected = {} if factory.__name__ == "<lambda>" else {"default": "[]"}
        assert one(list[int], x=field(default_factory=factory)) == field_of(array(primitive("int")), **expected)

    @pytest.mark.parametrize(("hint", "value"), [(int, 1 << 70), (NDArray, np.float32(1)), (NDArray, np.int8(1))])
    def test_what_has_no_form_is_left_out(self, hint: Any, value: Any) -> None:
        assert "default" not in one(hint, x=value)

    @pytest.mark.parametrize(("hint", "value"), [(int, "a"), (str, 3), (float, "x")])
    def test_one_of_another_type_is_an_error(self, hint: Any, value: Any) -> None:
        with pytest.raises(SampleTypeError, match=r"One\.x: its default .* is not of its type"):
            one(hint, x=value)


class TestShapes:
    def test_are_positional_or_named(self) -> None:
        assert repr(Shape(None, 3)) == "Shape(None, 3)"
        assert repr(Shape(height=2, width=None)) == "Shape(height=2, width=None)"
        assert Shape(2, 3) != Shape(a=2, b=3)
        assert hash(Shape(a=1)) == hash(Shape(a=1))
        assert Shape(self=1, sizes=None).names == ("self", "sizes")

    @pytest.mark.parametrize("sizes", [(-1,), (1.5,), ("3",), (True,)])
    def test_take_sizes_only(self, sizes: Any) -> None:
        with pytest.raises(SampleTypeError, match="Shape takes whole numbers, and None for any size"):
            Shape(*sizes)

    def test_do_not_mix(self) -> None:
        with pytest.raises(SampleTypeError, match="not both"):
            Shape(1, width=2)

    def test_survive_pickling(self) -> None:
        assert pickle.loads(pickle.dumps(Shape(a=1))) == Shape(a=1)


def test_the_identifier_does_not_depend_on_when_and_where() -> None:
    record = schema_of(Clip)
    published = {**record, "createdAt": "2026-01-01T00:00:00Z", "$ref": "atdata://local/sampleSchema/Clip@1.0.0"}
    assert schema_cid(published) == schema_cid(record) == generate_cid(record)
    assert schema_cid(schema_of(Clip, version="1.0.1")) != schema_cid(record)


# --------------------------------------------------------------------------------------- record -> type


def test_the_type_of_a_record_is_like_the_written_one() -> None:
    made: Any = type_of(schema_of(Clip))
    assert made.__name__ == "Clip"
    assert made.__doc__ == "A few seconds of video.\n\nWith sound."
    assert issubclass(made, PackableSample)
    assert repr(made).startswith(
        "<sample type Clip(frames: NDArray[uint8], sound: NDArray[float32] | None, label: str,"
    )
    values: dict[str, Any] = {"frames": np.zeros((1, 2), np.uint8), "label": "a", "any": np.ones(2), "score": 0.5}
    sample, written = made(**values), Clip(**values, sound=None)
    assert repr(sample) == repr(written)
    assert sample.packed == written.packed
    assert made.from_bytes(written.packed) == sample
    assert Clip.from_bytes(sample.packed) == written
    assert sample != written


def test_mutable_defaults_are_not_shared() -> None:
    made: Any = type_of(record_of(field_of(array(array(primitive("int"))), default="[[1], []]")))
    first, second = made(), made()
    first.x[0].append(2)
    assert (first.x, second.x) == ([[1, 2], []], [[1], []])


def test_fields_that_may_be_left_out_may_come_first() -> None:
    made: Any = type_of(record_of({**field_of(), "optional": True}, field_of(name="y")))
    assert repr(made(y=1)) == "Thing(x=None, y=1)"
    with pytest.raises(TypeError):
        made(1, 2)


def test_records_of_equal_content_give_one_class() -> None:
    record = schema_of(Clip)
    shuffled = dict(reversed([*json.loads(json.dumps(record)).items()]))
    assert type_of(record) is type_of(shuffled)
    assert type_of(record) is type_of({**record, "createdAt": "now", "$ref": "x", "metadata": {}, "unknown": 7})
    assert type_of(record) is not type_of({**record, "version": "1.0.1"})


def test_the_record_may_be_changed_afterwards() -> None:
    record = record_of(field_of(array(primitive("int"))))
    made = type_of(record)
    record["fields"][0]["fieldType"]["items"]["primitive"] = "str"
    assert schema_of(made)["fields"] == [field_of(array(primitive("int")))]
    assert type_of(record) is not made


def test_threads_get_one_class() -> None:
    record = record_of(*(field_of(name=f"f{n}") for n in range(100)))
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(type_of(record))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len({*map(id, made)}) == 1


def test_classes_that_nobody_needs_any_more_go() -> None:
    import gc
    import weakref

    gone = weakref.ref(type_of(record_of(field_of(name="rare"))))
    gc.collect()
    assert gone() is None


class TestPickling:
    def test_the_class_and_its_samples_come_back_as_they_are(self) -> None:
        made: Any = type_of(schema_of(Clip))
        assert pickle.loads(pickle.dumps(made)) is made
        sample = made(frames=np.zeros(1, np.uint8), label="a", any=np.ones(2))
        assert pickle.loads(pickle.dumps(sample)) == sample
        batch = SampleBatch([sample, sample])
        assert pickle.loads(pickle.dumps(batch)).label == ["a", "a"]

    def test_another_process_makes_it_from_the_record(self) -> None:
        made: Any = type_of(schema_of(Clip))
        data = pickle.dumps((made, made(frames=np.zeros(1, np.uint8), label="a", any=np.ones(2))))
        code = "import pickle, sys; made, sample = pickle.load(sys.stdin.buffer); print(type(sample) is made, made)"
        run = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
        assert run.stdout.decode().strip() == f"True {made!r}"

    def test_a_class_derived_from_one_is_found_where_it_is(self) -> None:
        assert pickle.loads(pickle.dumps(Derived)) is Derived


class Derived(type_of(record_of(field_of()))):  # type: ignore[misc]
    pass


def test_both_types_read_each_others_shards(tmp_path: Any) -> None:
    made: Any = type_of(schema_of(Clip))
    values: dict[str, Any] = {"frames": np.zeros((1, 2), np.uint8), "label": "a", "any": np.ones(2), "sound": None}
    atdata.write_samples([Clip(**values)] * 3, tmp_path / "written.tar")
    atdata.write_samples([made(**values)] * 3, tmp_path / "made.tar")
    assert [*Dataset[made](tmp_path / "written.tar")] == [made(**values)] * 3
    assert [*Dataset[Clip](tmp_path / "made.tar")] == [Clip(**values)] * 3
    assert [*Dataset[Clip](tmp_path / "written.tar").as_type(made)] == [made(**values)] * 3
    assert [*Dataset[made](tmp_path / "written.tar").as_type(Clip)] == [Clip(**values)] * 3


@atdata.packable
class Narrow:
    small: np.int16
    side: Literal["left", "right"]
    pair: tuple[int, ...]


def test_types_that_only_a_schema_finds_equal_are_seen_as_each_other() -> None:
    made: Any = type_of(schema_of(Narrow))
    sample = Narrow(np.int16(3), "left", (1, 2))
    there, back = LensNetwork().transform(Narrow, made), LensNetwork().transform(made, Narrow)
    assert there(sample) == made(small=3, side="left", pair=[1, 2])
    assert back(there(sample)) == sample
    assert there.put(made(small=4, side="right", pair=[1, 2]), sample) == Narrow(np.int16(4), "right", (1, 2))
    assert pickle.loads(pickle.dumps(there))(sample) == there(sample)


def test_samples_without_a_schema_are_written_all_the_same(tmp_path: Any) -> None:
    many = {f"f{n}": int for n in range(MOST_FIELDS + 1)}
    for name, hints in {"Many": many, "no identifier": {"x": int}, "Wide": {"x": NDArray[np.longdouble]}}.items():
        made: Any = atdata.packable(type(name, (), {"__annotations__": hints}))
        value = np.ones(2, np.longdouble) if name == "Wide" else 1
        sample = made(**dict.fromkeys(hints, value))
        assert [*atdata.write_samples([sample], tmp_path / f"{name}.tar")] == [sample]
    assert json.loads((tmp_path / "manifest.json").read_text())["schemas"] == {}


# -------------------------------------------------------------------------------------- hostile records


def deep(depth: int) -> dict[str, Any]:
    made = primitive("int")
    for _ in range(depth):
        made = array(made)
    return made


HOSTILE: list[tuple[Any, str]] = [
    (None, "a schema record is a map; found NoneType"),
    ([], "found list"),
    ("{}", "found str"),
    ({}, "None cannot be the name of a class"),
    (record_of(name=""), "'' cannot be the name of a class"),
    (record_of(name="a b"), "'a b' cannot be the name of a class: Python allows letters"),
    (record_of(name="A" * 257), "a name has 257 characters"),
    (record_of(name="class"), "Python keeps it for itself"),
    (record_of(name="__import__"), "Python keeps it for itself"),
    (record_of(name="A(B): pass\nimport os #"), "cannot be the name of a class"),
    (record_of(name="../../etc/passwd"), "cannot be the name of a class"),
    (record_of(name=7), "7 cannot be the name of a class"),
    (record_of(version="1"), "'1' is not a version"),
    (record_of(version=None), "None is not a version"),
    (record_of(version=deep(3_000)), r"\{.*\} is not a version"),
    (record_of(version="1" * 10_000 + ".0.0"), "is not a version"),
    (record_of(fields=None), "it has no list of fields"),
    (record_of(fields={"x": 1}), "it has no list of fields"),
    (record_of(fields="abc"), "it has no list of fields"),
    (record_of("x"), "field 0 is a str, not a map"),
    (record_of(description=7), "description is int, not text"),
    (record_of(description="\ud800"), "description is not text that UTF-8 can hold"),
    (record_of(description="a" * 100_001), "description has 100,001 characters"),
    (record_of(createdAt=1.5), "createdAt is float, not text"),
    (record_of(metadata=[]), "metadata is list, not a map"),
    (record_of(*(field_of(name=f"f{n}") for n in range(MOST_FIELDS + 1))), "it has 1,001 fields"),
    (record_of(field_of(), field_of()), "there are two fields 'x'"),
    (record_of({}), "field 0 .None.: None cannot be the name of a field"),
    *(
        (record_of(field_of(name=name)), r"field 0 \(.*cannot be the name of a field: Python keeps it for itself")
        for name in ("class", "None", "lambda", "__init__", "__class__", "__dict__", "__x", "__slots__")
    ),
    *(
        (record_of(field_of(name=name)), r"field 0 \(.*cannot be the name of a field")
        for name in (
            "",
            " ",
            "a b",
            "a-b",
            "1a",
            "a.b",
            "a\n",
            "a=1;import os",
            "x\x00",
            "\ud800",
            "ﬁ",
            "x\u200b",
            7,
            [],
        )
    ),
    (record_of(field_of(name="a" * 257)), "a name has 257 characters"),
    (record_of(field_of(name="a" * 10_000_000)), "a name has 10,000,000 characters"),
    *(
        (record_of(field_of(name=name)), "every sample has a member of that name")
        for name in ("packed", "as_wds", "from_bytes", "from_data", "_ensure_good")
    ),
    (record_of(field_of(optional=1)), "optional is 1, not true or false"),
    (record_of(field_of(description=[])), "its description is list, not text"),
    (record_of(field_of("int")), "its type is str, not a map"),
    (record_of(field_of({})), "None is a type that this version does not know"),
    (record_of(field_of({"$type": "#primitive", "primitive": "int"})), "'#primitive' is a type that this version"),
    (record_of(field_of({"$type": f"{TYPES}#tensor"})), "#tensor' is a type that this version does not know"),
    (
        record_of(field_of({"$type": f"{TYPES}#ref", "ref": "at://a.b/c.d.e/f"})),
        "it refers to 'at://a.b/c.d.e/f'; fields",
    ),
    (record_of(field_of(array({"$type": f"{TYPES}#ref"}))), "it refers to None"),
    (record_of(field_of(primitive("complex"))), "'complex' is none of the primitives"),
    (record_of(field_of({"$type": f"{TYPES}#primitive", "primitive": ["int"]})), "is none of the primitives"),
    (record_of(field_of(array(None))), "its type is NoneType, not a map"),
    (record_of(field_of(deep(DEEPEST + 1))), "its lists are nested more than 16 deep"),
    (record_of(field_of(deep(5_000))), "its lists are nested more than 16 deep"),
    (record_of(field_of({**ndarray(), "dtype": "object"})), "'object' is not a dtype that NumPy has everywhere"),
    (record_of(field_of({**ndarray(), "dtype": "float128"})), "'float128' is not a dtype"),
    (record_of(field_of({**ndarray(), "dtype": "i4,O"})), "'i4,O' is not a dtype"),
    (record_of(field_of({**ndarray(), "dtype": None})), "None is not a dtype"),
    (record_of(field_of(ndarray(declared="yes"))), "declared is 'yes', not true or false"),
    (record_of(field_of(ndarray(shape="3"))), "its shape is '3', not a list of sizes"),
    (record_of(field_of(ndarray(shape=[True]))), "its shape is .True., not a list of sizes"),
    (record_of(field_of(ndarray(shape=[-2]))), "its shape is .-2., not a list of sizes"),
    (record_of(field_of(ndarray(shape=[1.5]))), "its shape is .1.5., not a list of sizes"),
    (record_of(field_of(ndarray(shape=[1] * 65))), "its shape has 65 dimensions"),
    (record_of(field_of(ndarray(dimensions=["a"]))), "its shape is None, not a list of sizes"),
    (record_of(field_of(ndarray(shape=[1], dimensions=["a", "b"]))), "not one name for each size"),
    (record_of(field_of(ndarray(shape=[], dimensions=[]))), "not one name for each size"),
    (record_of(field_of(ndarray(shape=[1], dimensions=["a b"]))), "cannot be the name of a dimension"),
    (record_of(field_of(ndarray(shape=[1, 2], dimensions=["a", "a"]))), "two of its dimensions have one name"),
    (record_of(field_of(default=1)), "its default is int, not text"),
    (record_of(field_of(default="")), "its default '' is not JSON"),
    (record_of(field_of(default="[" * 100_000)), "its default .* is not JSON"),
    (record_of(field_of(default="9" * 5_000)), "its default .* is not JSON"),
    (record_of(field_of(default="null")), "its default None is not of its type"),
    (record_of(field_of(default="1.0")), "its default 1.0 is not of its type"),
    (record_of(field_of(default="true")), "its default True is not of its type"),
    (record_of(field_of(default=str(1 << 64))), "its default 18446744073709551616 is not of its type"),
    (record_of(field_of(primitive("float"), default="NaN")), "its default nan is not of its type"),
    (record_of(field_of(primitive("float"), default="1e999")), "its default inf is not of its type"),
    (record_of(field_of(primitive("float"), default='"nan"')), "its default 'nan' is not of its type"),
    (record_of(field_of(primitive("bytes"), default='"?"')), r"its default '\?' is not of its type"),
    (record_of(field_of(primitive("bytes"), default='"ü"')), "its default 'ü' is not of its type"),
    (record_of(field_of(primitive("str"), default='"\\ud800"')), "its default .* is not of its type"),
    (record_of(field_of(array(primitive("int")), default='[1, "a"]')), "its default .* is not of its type"),
    (record_of(field_of(ndarray(), default="[]")), "its default .* is not of its type"),
]


@pytest.mark.parametrize(("record", "reason"), HOSTILE, ids=lambda value: ascii(shown(value))[:50])
def test_hostile_records_are_refused_with_the_reason(record: Any, reason: str) -> None:
    for use in (check_record, type_of, to_json_schema):
        with pytest.raises(SchemaError, match=reason) as caught:
            use(record)
        assert isinstance(caught.value, ValueError)
        assert len(str(caught.value)) < 600
    if isinstance(record, dict) and isinstance(record.get("fields"), list) and len(record["fields"]) == 1:
        given = record["fields"][0]
        assert caught.value.field == (
            given["name"] if isinstance(given, dict) and type(given.get("name")) is str else None
        )


def test_a_shape_of_null_is_none() -> None:
    record = record_of(field_of(ndarray(shape=None, dimensions=None)))
    assert schema_of(type_of(record)) == record_of(field_of(ndarray()))
    assert not diff(record, schema_of(type_of(record))).breaks_readers


def test_deep_metadata_is_refused() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(SchemaError, match="metadata is nested more than 64 deep"):
        check_record(record_of(metadata=deep))


def test_names_that_look_dangerous_but_are_names_work() -> None:
    names = [
        "self",
        "cls",
        "match",
        "type",
        "_",
        "_x",
        "list",
        "int",
        "dataclass",
        "field",
        "NDArray",
        "über",
        "mro",
        "x1",
    ]
    made: Any = type_of(record_of(*(field_of(name=name) for name in names)))
    sample = made(**dict.fromkeys(names, 1))
    assert made.from_bytes(sample.packed) == sample
    assert [item["name"] for item in schema_of(made)["fields"]] == names


def test_the_most_fields_there_can_be() -> None:
    record = record_of(*(field_of(name=f"f{n}") for n in range(MOST_FIELDS)))
    made: Any = type_of(record)
    sample = made(**{f"f{n}": n for n in range(MOST_FIELDS)})
    assert made.from_bytes(sample.packed) == sample
    assert schema_of(made) == record


# ------------------------------------------------------------------------------------------- properties

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = texts.map(str.strip)
names = st.from_regex(r"[a-z_]\w{0,5}_", fullmatch=True).filter(lambda n: n.isidentifier() and not n.startswith("__"))
names = names.filter(lambda name: "".join(name.split()) == name and name.isascii())
integers = st.integers(-(1 << 63), (1 << 64) - 1)
PRIMITIVES: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: integers,
    float: st.floats(),
    bool: st.booleans(),
    bytes: st.binary(max_size=9),
}
SCALARS = [np.float32, np.float64, np.int8, np.uint64, np.bool_, np.complex64]
shapes = st.builds(
    lambda sizes, named: Shape(**{f"d{n}": size for n, size in enumerate(sizes)}) if named else Shape(*sizes),
    st.lists(st.none() | st.integers(0, 9), max_size=4),
    st.booleans(),
)


@st.composite
def array_hints(draw: Any) -> tuple[Any, Any, bool]:
    """An array annotation, its values, and whether values can be defaults."""
    scalar = draw(st.none() | st.sampled_from(SCALARS))
    hint: Any = NDArray if scalar is None else NDArray[scalar]
    values = st.builds(lambda size: np.ones(size, scalar or np.int16), st.integers(0, 3))
    return Annotated[hint, draw(shapes)] if draw(st.booleans()) else hint, values, False


hints = st.recursive(
    st.sampled_from([(hint, values, True) for hint, values in PRIMITIVES.items()]) | array_hints(),
    lambda inner: inner.map(lambda of: (list[of[0]], st.lists(of[1], max_size=3), of[2])),  # type: ignore[name-defined]
    max_leaves=3,
)


@st.composite
def sample_types(draw: Any) -> tuple[Any, Any]:
    """A made-up sample type, and one of its samples."""
    annotations: dict[str, Any] = {}
    body: dict[str, Any] = {}
    sample: dict[str, Any] = {}
    for name in draw(st.lists(names, max_size=5, unique=True)):
        hint, values, literal = draw(hints)
        if draw(st.booleans()):
            hint, values = Optional[hint], st.none() | values  # noqa: UP045
        if draw(st.booleans()):
            hint = Annotated[hint, draw(texts)]
        if literal and draw(st.booleans()):
            default = draw(values)
            body[name] = field(default_factory=list) if isinstance(default, list) else default
        annotations[name] = hint
        sample[name] = draw(values)
    doc = draw(st.none() | words)
    body |= {"__annotations__": annotations, "__module__": __name__} | ({"__doc__": doc} if doc else {})
    made: Any = atdata.packable(kw_only=True)(type("MadeUp", (), body))
    return made, made(**sample)


@settings(deadline=None, max_examples=200)
@given(sample_types(), st.sampled_from(["1.0.0", "2.3.4-rc.1+b"]))
def test_type_to_record_to_type_to_record(made_up: Any, version: str) -> None:
    written, sample = made_up
    record = schema_of(written, version=version)
    made: Any = type_of(json.loads(json.dumps(record)))
    assert schema_of(made, version=version) == record
    assert type_of(schema_of(made, version=version)) is made
    assert pickle.loads(pickle.dumps(made)) is made
    one, other = written.from_bytes(sample.packed), made.from_bytes(sample.packed)
    assert values_equal(vars(one), vars(other))
    assert other.packed == sample.packed
    assert written.from_bytes(other.packed) == sample
    there, back = LensNetwork().transform(written, made), LensNetwork().transform(made, written)
    assert values_equal(vars(there(sample)), vars(sample))
    assert back(there(sample)) == sample


@settings(deadline=None, max_examples=100)
@given(sample_types())
def test_json_schema_and_back(made_up: Any) -> None:
    record = schema_of(made_up[0], metadata={"a": [1, None]})
    told = to_json_schema(record)
    assert from_json_schema(json.loads(json.dumps(told))) == record
    published = {**record, "createdAt": "2026-01-01T00:00:00Z", "$ref": "x"}
    assert from_json_schema(to_json_schema(published)) == published


def test_json_schema_of_a_class() -> None:
    told = to_json_schema(schema_of(Clip))
    assert told["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (told["title"], told["type"]) == ("Clip", "object")
    assert told["description"] == "A few seconds of video.\n\nWith sound."
    assert told["required"] == ["frames", "label", "any"]
    plain = {
        name: {key: value for key, value in told.items() if key != "x-atdata"}
        for name, told in told["properties"].items()
    }
    pixel = {"type": "integer", "minimum": 0, "maximum": 255}
    rows = {"type": "array", "items": {"type": "array", "items": pixel, "minItems": 3, "maxItems": 3}}
    assert plain["frames"] == {
        "type": "array",
        "items": {
            "type": "array",
            "items": {**rows, "minItems": 224, "maxItems": 224},
            "minItems": 224,
            "maxItems": 224,
        },
        "description": "RGB",
    }
    assert plain["any"] == {"type": "array"}
    assert plain["tags"] == {
        "type": "array",
        "items": {"type": "array", "items": {"type": "string"}},
        "default": [],
    }
    assert plain["raw"] == {"type": "string", "contentEncoding": "base64", "default": "/w=="}
    assert plain["more"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert plain["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": "none"}


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.pop("x-atdata"),
        lambda told: told.pop("title"),
        lambda told: told.update(properties=[]),
        lambda told: told.update(properties={"x": 7}),
        lambda told: told["properties"]["label"].pop("x-atdata"),
        lambda told: told["properties"]["label"].update(type="integer"),
        lambda told: told["required"].append("note"),
        lambda told: told["x-atdata"].update(version="one"),
        lambda told: told.update(extra=1),
    ],
)
def test_json_schemas_of_others_are_refused(change: Callable[[Any], Any]) -> None:
    told = to_json_schema(schema_of(Clip))
    change(told)
    with pytest.raises(SchemaError):
        from_json_schema(told)


@pytest.mark.parametrize("given", [None, [], "{}", {}, {"type": "object", "properties": {}}])
def test_what_is_no_json_schema_of_ours_is_refused(given: Any) -> None:
    with pytest.raises(SchemaError, match="was not made by to_json_schema"):
        from_json_schema(given)
