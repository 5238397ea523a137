"""What changes between schemas, whom it breaks, and samples carried over."""

import pickle
import warnings
from dataclasses import field
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata import Dataset
from atdata.errors import FieldMismatch, SampleTypeError, SchemaError
from atdata.lens import LensNetwork
from atdata.schema import SchemaWarning, Shape, check_bump, diff, schema_of, type_of, upgrade_lens
from atdata.testing import check_lens_laws


def record(version: str = "1.0.0", **fields: Any) -> dict[str, Any]:
    """A record of fields that are told as a hint, or as a hint and a default."""
    told = {name: given if isinstance(given, tuple) else (given,) for name, given in fields.items()}
    body: dict[str, Any] = {name: default[0] for name, (_, *default) in told.items() if default}
    body["__annotations__"] = {name: hint for name, (hint, *_) in told.items()}
    return schema_of(atdata.packable(kw_only=True)(type("Thing", (), body)), version=version)


HINTS: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "int | None": int | None,
    "list[int]": list[int],
    "list[float]": list[float],
    "list[list[int]]": list[list[int]],
    "NDArray": NDArray,
    "float32": NDArray[np.float32],
    "float64": NDArray[np.float64],
    "int16": NDArray[np.int16],
    "any x 3": Annotated[NDArray, Shape(None, 3)],
    "2 x 3": Annotated[NDArray, Shape(2, 3)],
    "float32 | None": NDArray[np.float32] | None,
}
# stored -> as what else it can be read, beside what it is
READABLE = {
    "int": {"float", "int | None"},
    "bool": {"int", "float", "int | None"},
    "list[int]": {"list[float]"},
    "float32": {"NDArray", "float64", "float32 | None"},
    "float64": {"NDArray", "float32", "float32 | None"},
    "int16": {"NDArray", "float32", "float64", "float32 | None"},
    "any x 3": {"NDArray"},
    "2 x 3": {"NDArray", "any x 3"},
}


@pytest.mark.parametrize("stored", HINTS)
@pytest.mark.parametrize("wanted", HINTS)
def test_who_can_read_which_types(stored: str, wanted: str) -> None:
    found = diff(record(x=HINTS[stored]), record(x=HINTS[wanted]))
    assert (not found.breaks_writers) == (wanted == stored or wanted in READABLE.get(stored, ()))
    assert (not found.breaks_readers) == (wanted == stored or stored in READABLE.get(wanted, ()))
    assert found.compatible == (not found.breaks_readers and not found.breaks_writers)
    assert found.changed == (() if stored == wanted else ("x",))


def test_a_diff_tells_all_there_is() -> None:
    old = record(gone=str, score=int, note=Annotated[str, "a note"], same=bytes, raw=NDArray[np.uint8])
    new = record(score=(float, 0.5), note=Annotated[str, "the note"], same=bytes, raw=NDArray[np.int8], new=bool)
    found = diff(old, new)
    assert (found.added, found.removed, found.changed) == (("new",), ("gone",), ("score", "note", "raw"))
    assert not found.compatible
    assert str(found).splitlines() == [
        "+ new: bool",
        "- gone: str",
        "~ score: int -> float = 0.5",
        "~ note: str (description)",
        "~ raw: NDArray[uint8] -> NDArray[int8]",
        "breaks readers: gone is missing and has no default",
        "breaks readers: score is float, which does not read as int",
        "breaks readers: raw is NDArray[int8], which does not read as NDArray[uint8]",
        "breaks writers: new is missing and has no default",
    ]


def test_equal_schemas_have_no_difference() -> None:
    found = diff(record(x=int), record("2.0.0", x=int))
    assert found.compatible
    assert str(found) == "no difference"


@pytest.mark.parametrize(
    ("old", "new", "readers", "writers"),
    [
        ({"a": int}, {"a": int, "b": (int, 3)}, True, True),
        ({"a": int}, {"a": int, "b": int | None}, True, True),
        ({"a": int}, {"a": int, "b": int}, True, False),
        ({"a": int, "b": int}, {"a": int}, False, True),
        ({"a": int, "b": (int, 3)}, {"a": int}, True, True),
        ({"a": int}, {"a": int | None}, False, True),
        ({"a": int | None}, {"a": int}, True, False),
        ({"a": int}, {"a": (int, 3)}, True, True),
        ({"a": int, "b": str}, {"b": str, "a": int}, True, True),
        ({}, {"a": int | None}, True, True),
    ],
)
def test_whom_a_change_breaks(old: Any, new: Any, readers: bool, writers: bool) -> None:
    found = diff(record(**old), record(**new))
    assert (not found.breaks_readers, not found.breaks_writers) == (readers, writers)


@pytest.mark.parametrize(
    ("before", "after", "advised"),
    [
        ("1.2.3", "1.2.4", "2.0.0"),
        ("1.2.3", "1.3.0", "2.0.0"),
        ("0.2.3", "0.2.4", "0.3.0"),
        ("1.2.3", "2.0.0", None),
        ("1.2.3", "2.0.0-rc.1", None),
        ("0.2.3", "0.3.0", None),
        ("0.9.0", "1.0.0", None),
    ],
)
def test_a_version_that_hides_a_break_is_warned_of(before: str, after: str, advised: str | None) -> None:
    old, new = record(before, x=int), record(after, x=str)
    if advised is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_bump(old, new)
        return
    with pytest.warns(
        SchemaWarning, match=f"Thing {after} breaks what works with {before}.*Publish it as {advised}"
    ) as w:
        check_bump(old, new)
    assert w[0].filename == __file__
    assert "x is str, which does not read as int" in str(w[0].message)


def test_a_compatible_change_may_have_any_version() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_bump(record(x=int), record("1.0.1", x=int, y=(int, 1)))


@pytest.mark.parametrize("use", [diff, check_bump, upgrade_lens])
def test_what_is_no_record_is_refused(use: Any) -> None:
    for pair in (({}, record()), (record(), {"name": "A"})):
        with pytest.raises(SchemaError, match="schema "):
            use(*pair)


# ---------------------------------------------------------------------------------------------- upgrades


@atdata.packable
class First:
    label: str
    image: NDArray[np.float64]
    old: int = 0


@atdata.packable
class Second:
    label: str
    image: NDArray[np.float64]
    score: float = 0.5
    tags: list[str] = field(default_factory=lambda: ["new"])
    note: str | None = None


@atdata.packable
class Third:
    label: Literal["a", "b"] | None
    image: NDArray[np.float32] | None
    score: np.float16
    mask: NDArray | None


def test_an_upgrade_fills_defaults_and_drops_fields() -> None:
    lens = upgrade_lens(First, Second)
    source = First("a", np.ones(2), 7)
    assert lens(source) == Second("a", np.ones(2), 0.5, ["new"], None)
    assert lens.put(Second("b", np.zeros(1), 0.9), source) == First("b", np.zeros(1), 7)
    assert lens.picks == {"label": "label", "image": "image"}


def test_an_upgrade_converts_what_can_be_read() -> None:
    lens = upgrade_lens(Second, Third)
    source = Second("a", np.ones(2), 0.1)
    seen = lens(source)
    assert seen == Third("a", np.ones(2, np.float32), np.float16(0.1), None)
    assert lens.put(seen, source) == source
    seen.label = "b"
    assert lens.put(seen, source) == Second("b", np.ones(2), 0.1)
    assert pickle.loads(pickle.dumps(lens))(source) == lens(source)


def test_values_that_do_not_fit_are_errors_that_name_the_field() -> None:
    lens = upgrade_lens(Second, Third)
    with pytest.raises(FieldMismatch, match=r"Third\.label: expected Literal\['a', 'b'\] \| None, found str 'x'"):
        lens(Second("x", np.ones(2)))
    with pytest.raises(FieldMismatch, match=r"Second\.label: expected str, found None"):
        lens.put(Third(None, None, np.float16(1), None), Second("a", np.ones(2)))


def test_an_upgrade_that_cannot_be_made_says_why() -> None:
    with pytest.raises(SchemaError, match=r"Thing does not become First by itself: .*Write the lens") as caught:
        upgrade_lens(record(image=str), First)
    assert "label is missing and has no default; image is str, which does not read as NDArray[float64]." in str(
        caught.value
    )


def test_types_without_a_schema_are_refused() -> None:
    @atdata.packable
    class Free:
        extra: dict[str, Any]

    with pytest.raises(SampleTypeError, match=r"Free\.extra: "):
        upgrade_lens(First, Free)


def test_datasets_are_seen_through_upgrades(tmp_path: Any) -> None:
    old = [First(f"label {n}", np.full(3, n), n) for n in range(5)]
    dataset = atdata.write_samples(old, tmp_path / "old.tar")
    with LensNetwork.scoped() as network:
        network.register(upgrade_lens(First, Second))
        (batch,) = dataset.as_type(Second).ordered(batch_size=5)
        assert batch.score == [0.5] * 5
        assert batch.image.shape == (5, 3)
    made = type_of(record(label=str, note=(str, "")))
    seen = dataset.as_type(upgrade_lens(First, made))
    assert [sample.label for sample in seen] == [sample.label for sample in old]


def test_old_data_is_read_by_the_new_type_without_a_lens(tmp_path: Any) -> None:
    @atdata.packable
    class Later:
        label: str
        mask: NDArray | None
        score: float = 0.5

    atdata.write_samples([First("a", np.ones(2))], tmp_path / "old.tar")
    dataset = Dataset[Later](tmp_path / "old.tar")
    (sample,) = dataset
    (batch,) = dataset.ordered(batch_size=1)
    assert sample == batch[0] == Later("a", None, 0.5)
    assert batch.list("mask") == [None]


names = st.sampled_from(["a", "b", "c", "d"])
kinds = {
    int: st.integers(-100, 100),
    float: st.integers(-100, 100).map(float),
    str: st.text(st.characters(codec="utf-8"), max_size=3),
    list[int]: st.lists(st.integers(-9, 9), max_size=3),
}


@st.composite
def versions(draw: Any) -> Any:
    """A made-up sample type in which every field has a default."""
    hints = draw(st.dictionaries(names, st.sampled_from([*kinds]), max_size=4))
    body: dict[str, Any] = {"__annotations__": hints}
    for name, hint in hints.items():
        body[name] = field(default_factory=list) if hint == list[int] else hint()
    return atdata.packable(type("Version", (), body))


@settings(deadline=None, max_examples=100)
@given(versions(), versions(), st.data())
def test_whatever_a_diff_allows_an_upgrade_does(old: Any, new: Any, data: Any) -> None:
    hints, wanted = old.__annotations__, new.__annotations__
    sample = old(**{name: data.draw(kinds[hint]) for name, hint in hints.items()})
    if diff(schema_of(old), schema_of(new)).breaks_writers:
        with pytest.raises(SchemaError):
            upgrade_lens(old, new)
        return
    lens = upgrade_lens(old, new)
    seen = lens(sample)
    assert vars(seen) == {name: getattr(sample, name) if name in hints else getattr(new(), name) for name in wanted}
    assert new.from_bytes(sample.packed) == seen
    assert lens.put(seen, sample) == sample


def test_an_upgrade_that_loses_nothing_keeps_the_laws() -> None:
    lens = upgrade_lens(record(x=int, y=(str, "a")), record(y=str, x=int))
    old, new = lens.source_type, lens.view_type
    check_lens_laws(lens, [old(x=n, y="b") for n in range(3)], [new(x=n, y="c") for n in range(3)])
