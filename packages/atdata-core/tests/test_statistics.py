"""``stats``: counts, moments and histograms that come bit by bit are those of the whole."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, floating_dtypes, integer_dtypes
from numpy.typing import NDArray

import atdata
from atdata.look.moments import BINS, Moments
from atdata.look.statistics import MOST_DISTINCT, Statistics, seen


@atdata.packable
class Sample:
    image: NDArray[Any]
    label: int
    name: str
    words: list[str]
    score: float | None = None


def stats(folder: Path, samples: list[Any], **options: Any) -> Statistics:
    return atdata.stats(atdata.write_samples(samples, folder / "data.tar"), **options)


# ---------------------------------------------------------------------------------------------- moments

numbers = arrays(
    floating_dtypes(sizes=(32, 64)) | integer_dtypes() | st.just(np.dtype(bool)), st.integers(0, 20) | st.just((2, 3))
)


@settings(deadline=None)
@given(st.lists(numbers, max_size=4))
@example([np.array([1e308, -1e308]), np.array([1e308])])
@example([np.array([2**64 - 1], np.uint64), np.array([-(2**63)], np.int64)])
def test_moments_of_parts_are_those_of_the_whole(parts: list[NDArray[Any]]) -> None:
    moments = Moments(histogram=True)
    for part in parts:
        moments.add(part)
    found = moments.result()
    whole = [value for part in parts for value in part.ravel().tolist()]
    finite = [value for value in whole if math.isfinite(value)]
    if not finite:
        assert found is None
        return
    assert found is not None
    assert (found.count, found.not_finite) == (len(finite), len(whole) - len(finite))
    assert (found.min, found.max) == (min(finite), max(finite))
    extent = max(abs(value) for value in finite)
    if extent < 1e150:  # beyond, squares are infinite
        scale = extent or 1.0
        assert found.mean == pytest.approx(math.fsum(map(float, finite)) / len(finite), abs=1e-9 * scale)
        assert found.std == pytest.approx(np.std(np.array(finite, np.float64)), abs=1e-6 * scale)
    assert found.histogram is not None
    assert len(found.histogram.counts) == BINS == len(found.histogram.edges) - 1
    assert sum(found.histogram.counts) == len(finite)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=30), min_size=1, max_size=5))
def test_histograms_count_what_lies_in_their_bins(parts: list[list[int]]) -> None:
    moments = Moments(histogram=True)
    for part in parts:
        moments.add(np.array(part))
    found = moments.result()
    assert found is not None
    assert found.histogram is not None
    counts, _ = np.histogram([value for part in parts for value in part], found.histogram.edges)
    assert found.histogram.counts == tuple(counts)
    assert all(edge.is_integer() for edge in found.histogram.edges)


def test_large_arrays_are_looked_at_in_slices() -> None:
    values = np.arange(700_000, dtype=np.float32).reshape(700, 1000).T
    moments = Moments()
    moments.add(values)
    found = moments.result()
    assert found is not None
    assert (found.count, found.min, found.max, found.mean) == (700_000, 0, 699_999, 349_999.5)
    assert found.std == pytest.approx(np.std(np.arange(700_000)))


# ------------------------------------------------------------------------------------------------ fields


def samples(count: int) -> list[Sample]:
    return [
        Sample(
            image=np.full((2, 3), number, np.uint8),
            label=number % 3,
            name="x" * (number % 5),
            words=["a"] * (number % 4),
            score=None if number % 2 else math.nan if number == 2 else number / 2,
        )
        for number in range(count)
    ]


def test_every_kind_of_field_is_told_as_what_it_is(tmp_path: Path) -> None:
    found = stats(tmp_path, samples(20))
    assert found.samples == 20
    assert list(found.fields) == ["image", "label", "name", "words", "score"]
    image, label, name, words, score = found.fields.values()
    assert image.numbers is not None
    assert (image.numbers.count, image.numbers.mean) == (120, 9.5)
    assert (image.dtypes, image.shapes, image.distinct) == ({"uint8": 20}, {(2, 3): 20}, None)
    assert (label.distinct, label.distinct_is_exact) == (3, True)
    assert label.common == ((0, 7), (1, 7), (2, 6))
    assert name.lengths is not None
    assert (name.lengths.min, name.lengths.max, name.numbers) == (0, 4, None)
    assert name.common[0] == ("", 4)
    assert words.lengths is not None
    assert words.lengths.max == 3
    assert (score.count, score.missing) == (10, 10)
    assert score.numbers is not None
    assert (score.numbers.count, score.numbers.not_finite, score.distinct) == (9, 1, 9)


def test_samples_without_a_type_tell_the_same(tmp_path: Path) -> None:
    typed = stats(tmp_path, samples(20), histograms=True)
    untyped = atdata.stats(atdata.Dataset(tmp_path / "data.tar"), histograms=True)
    assert untyped.samples == 20
    for name, field in typed.fields.items():
        other = untyped.fields[name]
        assert vars(other) | {"type": ""} == vars(field) | {"type": ""}
    assert untyped.fields["image"].type == "array of uint8"


def test_fields_that_some_samples_lack_are_missing_there(tmp_path: Path) -> None:
    found = stats(tmp_path, [{"a": 1}, {"b": "x"}, {"a": None}, {"a": 2.5}])
    assert {name: (field.count, field.missing) for name, field in found.fields.items()} == {"a": (2, 2), "b": (1, 3)}
    assert set(found.fields["a"].type.split(" | ")) == {"int", "float"}


def test_arrays_that_differ_are_counted_by_dtype_and_shape(tmp_path: Path) -> None:
    pictures = [np.zeros((2, 2)), np.ones((2, 3)), np.ones((2, 3), np.int8), np.array(["a", "b"])]
    field = stats(tmp_path, [{"p": picture} for picture in pictures]).fields["p"]
    assert field.dtypes == {"float64": 2, "int8": 1, "<U1": 1}
    assert field.shapes == {(2, 3): 2, (2, 2): 1, (2,): 1}
    assert field.numbers is not None
    assert field.numbers.count == 16


def test_lists_of_numbers_have_numbers_and_lengths(tmp_path: Path) -> None:
    field = stats(tmp_path, [{"n": [1, 2]}, {"n": []}, {"n": [0.5, "x", None, True]}, {"n": {"k": 1}}]).fields["n"]
    assert field.lengths is not None
    assert field.numbers is not None
    assert (field.lengths.count, field.lengths.max) == (4, 4)
    assert (field.numbers.count, field.numbers.max) == (4, 2)


def test_integers_beyond_64_bits_signed(tmp_path: Path) -> None:
    field = stats(tmp_path, [{"n": 2**64 - 1}, {"n": -1}]).fields["n"]
    assert field.numbers is not None
    assert field.numbers.max == pytest.approx(2**64 - 1)


def test_values_beyond_what_is_told_apart_take_no_memory(tmp_path: Path) -> None:
    many = [{"n": number, "text": f"{number} {'x' * 200}"} for number in range(MOST_DISTINCT + 5)]
    found = stats(tmp_path, many).fields
    for name in ("n", "text"):
        assert (found[name].distinct, found[name].distinct_is_exact, found[name].common) == (MOST_DISTINCT, False, ())
    few = stats(tmp_path / "few", [{"text": "x" * 200}, {"text": "x" * 200}, {"text": "y"}]).fields["text"]
    assert (few.distinct, few.distinct_is_exact) == (2, True)
    assert few.common == (("y", 1),)  # long texts are told apart, and not shown


def test_only_the_fields_that_are_asked_for_are_read(tmp_path: Path) -> None:
    dataset = atdata.write_samples(samples(5), tmp_path / "data.tar")
    assert list(atdata.stats(dataset, fields=["label"]).fields) == ["label"]
    with pytest.raises(ValueError, match="no field 'labels'; the samples have image, label"):
        atdata.stats(dataset, fields=["labels"])
    assert atdata.stats(atdata.Dataset(tmp_path / "data.tar"), fields=["labels"]).fields["labels"].missing == 5


def test_a_view_has_the_statistics_of_what_it_shows(tmp_path: Path) -> None:
    @atdata.packable
    class Doubled:
        twice: int

    @atdata.lens
    def doubled(source: Sample) -> Doubled:
        return Doubled(twice=2 * source.label)

    dataset = atdata.write_samples(samples(5), tmp_path / "data.tar")
    field = atdata.stats(dataset.as_type(doubled)).fields["twice"]
    assert field.numbers is not None
    assert field.numbers.max == 4


def test_progress_is_told_in_samples(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    stats(tmp_path, samples(20), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20, 20)


def test_bytes_count_as_arrays_only_if_they_are_one() -> None:
    array = np.arange(3)
    assert seen(7) == 7
    assert seen(b"") == b""
    assert seen(b"\x93NUMPY\x01\x00") == b"\x93NUMPY\x01\x00"
    from atdata.shard.array import array_to_bytes

    assert (seen(array_to_bytes(array)) == array).all()


def test_memory_does_not_grow_with_the_dataset(tmp_path: Path) -> None:
    rows = ({"x": np.full(4000, number, np.float32), "name": f"name {number}"} for number in range(4000))
    dataset = atdata.write_samples(rows, tmp_path / "large.tar")  # 64 MB
    tracemalloc.start()
    try:
        atdata.stats(dataset, histograms=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000
