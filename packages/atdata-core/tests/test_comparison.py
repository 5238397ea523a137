"""``compare``: which samples of two datasets differ, and in which fields."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata.look.comparison import MOST_NAMED, Comparison
from atdata.shard.payload import pack_value
from atdata.shard.tar import END_OF_ARCHIVE, header, padding


def dataset(path: Path, members: list[tuple[str, dict[str, Any]]]) -> atdata.Dataset:
    """Samples with keys of our choice; values are as they are stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for key, sample in members:
            data = atdata.DictSample(sample).packed
            file.write(header(f"{key}.msgpack", len(data)) + data + bytes(padding(len(data))))
        file.write(END_OF_ARCHIVE)
    return atdata.Dataset(path)


def compared(tmp_path: Path, a: list[tuple[str, Any]], b: list[tuple[str, Any]], **options: Any) -> Comparison:
    return atdata.compare(dataset(tmp_path / "a.tar", a), dataset(tmp_path / "b.tar", b), **options)


def test_equal_datasets_in_any_order(tmp_path: Path) -> None:
    samples: list[tuple[str, Any]] = [(f"k{n}", {"n": n, "x": np.arange(n)}) for n in range(50)]
    shuffled = samples.copy()
    random.Random(0).shuffle(shuffled)
    found = compared(tmp_path, samples, shuffled)
    assert (found.by, found.equal, found.same, found.samples) == ("key", True, 50, (50, 50))
    by_position = compared(tmp_path, samples, shuffled, by="position")
    assert not by_position.equal


def test_differences_are_named_by_key_and_field(tmp_path: Path) -> None:
    a: list[tuple[str, Any]] = [(f"k{n}", {"n": n, "m": 0}) for n in range(6)]
    b: list[tuple[str, Any]] = [("new", {"n": 9}), *a[:2], ("k2", {"n": 2, "m": 1}), ("k3", {"n": 3}), a[5]]
    found = compared(tmp_path, a, b)
    assert (found.same, found.differing, found.only) == (3, 2, (1, 1))
    assert {difference.key: difference.fields for difference in found.differences} == {"k2": ("m",), "k3": ("m",)}
    assert {difference.key: difference.position for difference in found.differences} == {"k2": 2, "k3": 3}
    assert (found.fields, found.only_in_a, found.only_in_b) == ({"m": 2}, ("k4",), ("new",))


def test_samples_that_were_written_anew_are_matched_by_position(tmp_path: Path) -> None:
    a = atdata.write_samples(({"n": n} for n in range(5)), tmp_path / "a.tar")
    b = atdata.write_samples(({"n": n} for n in range(5)), tmp_path / "b.tar", maxcount=2)
    found = atdata.compare(a, b)
    assert (found.by, found.equal) == ("position", True)
    assert not atdata.compare(a, b, by="key").equal


def test_arrays_count_by_what_they_are_not_how_they_are_stored(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    compact = b"\x03<i8\x02" + np.array(array.shape, "<i8").tobytes() + array.tobytes()
    a: list[tuple[str, Any]] = [("k", {"x": array, "y": 1})]
    assert compared(tmp_path, a, [("k", {"y": 1, "x": np.asfortranarray(array)})]).equal
    assert compared(tmp_path, a, [("k", {"y": 1, "x": compact})]).equal
    for other in (array.astype(np.int32), array.reshape(3, 2), array + 1, array.tobytes()):
        assert compared(tmp_path, a, [("k", {"x": other, "y": 1})]).fields == {"x": 1}


def test_none_is_not_the_same_as_no_field(tmp_path: Path) -> None:
    assert compared(tmp_path, [("k", {"n": 1, "m": None})], [("k", {"n": 1})]).fields == {"m": 1}


def test_keys_that_come_again_are_matched_one_by_one(tmp_path: Path) -> None:
    a: list[tuple[str, Any]] = [("k", {"n": 1}), ("k", {"n": 2}), ("k", {"n": 3})]
    assert compared(tmp_path, a, a).equal
    found = compared(tmp_path, a, a[:1])
    assert (found.same, found.only) == (1, (2, 0))
    assert compared(tmp_path, [("x", {"n": 0}), *a], a, by="key").same == 3


def test_nothing_and_something(tmp_path: Path) -> None:
    found = compared(tmp_path, [], [("k", {"n": 1})])
    assert (found.equal, found.only, found.only_in_b) == (False, (0, 1), ("k",))
    assert compared(tmp_path, [], []).equal


def test_of_many_differences_some_are_named_and_all_counted(tmp_path: Path) -> None:
    a: list[tuple[str, Any]] = [(f"k{n}", {"n": n}) for n in range(300)]
    found = compared(tmp_path, a, [(key, {"n": -1}) for key, _ in a])
    assert (len(found.differences), found.differing, found.fields) == (MOST_NAMED, 300, {"n": 300})
    alone = compared(tmp_path, a, [(f"x{key}", value) for key, value in a], by="key")
    assert (len(alone.only_in_a), alone.only) == (MOST_NAMED, (300, 300))


def test_types_are_compared_by_their_schemas(tmp_path: Path) -> None:
    @atdata.packable
    class Old:
        n: int

    @atdata.packable
    class New:
        n: int
        image: NDArray[np.uint8] | None = None

    a = atdata.write_samples([Old(n=1)], tmp_path / "a.tar")
    b = atdata.write_samples([New(n=1)], tmp_path / "b.tar")
    found = atdata.compare(a, b)
    assert found.schema is not None
    assert (found.schema.added, found.fields) == (("image",), {"image": 1})
    assert atdata.compare(a, atdata.Dataset(tmp_path / "b.tar")).schema is None
    with pytest.raises(TypeError, match="view through"):
        atdata.compare(a, b.as_type(atdata.Lens.fields({"n": "n"}, New, Old)))


_samples = st.lists(st.tuples(st.sampled_from("abcdef"), st.dictionaries(st.sampled_from("xy"), st.integers(0, 2))))


@settings(max_examples=60, deadline=None)
@given(a=_samples, b=_samples)
def test_every_sample_is_counted_once(
    a: list[tuple[str, Any]], b: list[tuple[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = compared(tmp_path_factory.mktemp("pair"), a, b, by="key")
    matched = found.same + found.differing
    assert found.samples == (len(a), len(b)) == (matched + found.only[0], matched + found.only[1])
    assert (found.only[0] == 0 or found.only[1] == 0) or not {*found.only_in_a} & {*found.only_in_b}


def test_damaged_samples_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    data = b"\xc1" + pack_value("x")
    path.write_bytes(header("k.msgpack", len(data)) + data + bytes(padding(len(data))) + END_OF_ARCHIVE)
    with pytest.raises(ValueError, match="not msgpack"):
        atdata.compare(atdata.Dataset(path), dataset(tmp_path / "b.tar", [("k", {"n": 1})]))
