"""Arrays stored in another dtype than their field declares, read in every way there is."""

import pickle
from dataclasses import field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample
from atdata.dtypes import agrees, may_convert
from atdata.errors import FieldMismatch, SampleTypeError
from atdata.sample import values_equal
from atdata.schema import schema_of, type_of

NUMBERS = ("?", "i1", "i2", "<i4", ">i4", "i8", "u1", "u8", "f2", "<f4", ">f4", "f8", "c8")
POLICIES = ("strict", "same-kind", "unsafe")


@atdata.packable
class Stored:
    x: NDArray
    label: str = "a"


@atdata.packable
class Floats:
    x: NDArray[np.float32]
    label: str = "a"


@atdata.packable
class Bytes:
    x: NDArray[np.uint8]


@atdata.packable
class Derived:
    """Its samples are made by calling it."""

    x: NDArray[np.float32]
    twice: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.twice = 2 * self.x


def declaring(scalar: Any) -> Any:
    """A sample type whose ``x`` declares a dtype; its batches can be pickled."""
    return type_of(schema_of(atdata.packable(type("Kind", (), {"__annotations__": {"x": NDArray[scalar]}}))))


def write(folder: Any, *arrays: Any) -> str:
    atdata.write_samples([Stored(x=array) for array in arrays], folder / "data.tar", overwrite=True)
    return str(folder / "data.tar")


def every_way(dataset: Dataset[Any]) -> list[list[Any]]:
    """The values of ``x`` in order, read in every way."""
    rows = [sample.packed for sample in Dataset[Stored](dataset.url)]
    (batch,) = dataset.ordered(batch_size=100)
    ways = [
        [sample.x for sample in dataset],
        [sample.x for batch in dataset.ordered(batch_size=2) for sample in batch],
        batch.list("x"),
        [sample.x for sample in batch.samples],
        pickle.loads(pickle.dumps(batch)).list("x"),
        [dataset.wrap({"msgpack": row}).x for row in rows],
        dataset.wrap_batch({"msgpack": rows}).list("x"),
    ]
    if len({(array.shape, array.dtype) for array in ways[0]}) == 1:
        (fresh,) = dataset.ordered(batch_size=100)
        ways += [[*fresh.x], [*dataset.wrap_batch({"msgpack": rows}).x]]
    return ways


@pytest.mark.parametrize("kind", [Floats, Derived])
@pytest.mark.parametrize("lengths", [(4, 4, 4), (1, 3, 2), (20_000, 20_000)])
def test_numbers_of_the_same_kind_are_converted_by_default(kind: Any, lengths: tuple[int, ...], tmp_path: Any) -> None:
    arrays = [np.linspace(0, n, n) for n in lengths]
    for way in every_way(Dataset[kind](write(tmp_path, *arrays))):
        assert values_equal(way, [array.astype(np.float32) for array in arrays])
        assert all(array.flags.writeable for array in way)


def test_each_array_is_converted_where_dtypes_are_mixed(tmp_path: Any) -> None:
    arrays = [np.ones(2, dtype) for dtype in NUMBERS if dtype != "c8"]
    for way in every_way(Dataset[Floats](write(tmp_path, *arrays))):
        assert values_equal(way, [np.ones(2, np.float32)] * len(arrays))


def test_shuffled_samples_and_batches_are_converted(tmp_path: Any) -> None:
    dataset = Dataset[Floats](write(tmp_path, *(np.full(3, n) for n in range(10))))
    (batch,) = dataset.shuffled(batch_size=10, seed=1)
    assert batch.x.dtype == np.float32
    assert sorted(batch.x[:, 0]) == [*range(10)]
    assert {sample.x.dtype for sample in dataset.shuffled(seed=1)} == {np.dtype(np.float32)}


def test_what_is_stored_as_declared_is_not_touched(tmp_path: Any) -> None:
    for policy in POLICIES:
        for way in every_way(Dataset[Floats](write(tmp_path, np.ones(2, np.float32)), dtypes=policy)):
            assert values_equal(way, [np.ones(2, np.float32)])


def test_fields_that_declare_no_dtype_keep_what_is_stored(tmp_path: Any) -> None:
    arrays = [np.ones(2, dtype) for dtype in NUMBERS]
    for policy in POLICIES:
        for way in every_way(Dataset[Stored](write(tmp_path, *arrays), dtypes=policy)):
            assert values_equal(way, arrays)


@pytest.mark.parametrize(
    ("kind", "stored", "policy"),
    [
        (Floats, "f8", "strict"),
        (Floats, "i2", "strict"),
        (Bytes, "i8", "same-kind"),
        (Bytes, "f4", "same-kind"),
        (Floats, "c8", "same-kind"),
        (Floats, "U3", "same-kind"),
        (Floats, "M8[s]", "same-kind"),
    ],
)
def test_other_differences_are_errors_that_name_both_sides(kind: Any, stored: str, policy: Any, tmp_path: Any) -> None:
    url = write(tmp_path, np.zeros(2, stored), np.zeros(2, stored))
    dataset = Dataset[kind](url, dtypes=policy)
    (batch,) = dataset.ordered(batch_size=2)
    expected = rf"{kind.__name__}\.x: expected NDArray\[{'float32' if kind is Floats else 'uint8'}\], found array of "
    for read in (lambda: [*dataset], lambda: batch.x, lambda: batch.list("x"), lambda: batch.samples):
        with pytest.raises(FieldMismatch, match=expected) as caught:
            read()
        error = caught.value
        assert (error.field, error.shard, error.offset) == ("x", url, 0)
        assert f"dtype {np.dtype(stored)} and shape (2,)" in str(error)
        assert f"dtypes={policy!r} does not convert that; declare what is stored, or read with" in str(error)


def test_the_error_is_at_the_sample_that_differs(tmp_path: Any) -> None:
    url = write(tmp_path, np.zeros(2, np.uint8), np.ones(2, np.uint8), np.zeros(2))
    dataset = Dataset[Bytes](url)
    got = []
    with pytest.raises(FieldMismatch) as caught:
        got.extend(dataset)
    assert [sample.x[0] for sample in got] == [0, 1]
    assert caught.value.offset == 2 * 1024


def test_unsafe_converts_everything_that_numpy_converts(tmp_path: Any) -> None:
    url = write(tmp_path, np.array([1, 2, 300]), np.array([1.9, 0, 2]), np.array(["7", "8", "9"]))
    for way in every_way(Dataset[Bytes](url, dtypes="unsafe")):
        assert [array.tolist() for array in way] == [[1, 2, 44], [1, 0, 2], [7, 8, 9]]
    with pytest.raises(FieldMismatch, match=r"Bytes\.x: expected NDArray\[uint8\], found array of dtype <U1 .*invalid"):
        list(Dataset[Bytes](write(tmp_path, np.array(["x"])), dtypes="unsafe"))


def test_strict_allows_another_byte_order_and_makes_it_native(tmp_path: Any) -> None:
    for way in every_way(Dataset[Floats](write(tmp_path, np.arange(3, dtype=">f4")), dtypes="strict")):
        assert values_equal(way, [np.arange(3, dtype=np.float32)])


def test_text_of_any_length_and_times_of_any_unit_are_what_was_declared(tmp_path: Any) -> None:
    for hint, array in [(np.str_, np.array(["abc", "d"])), (np.datetime64, np.array(["2026-01-01"], "M8[D]"))]:
        kind = declaring(hint)
        for way in every_way(Dataset[kind](write(tmp_path, array), dtypes="strict")):
            assert values_equal(way, [array])


def test_arrays_in_lists_follow_the_policy_too(tmp_path: Any) -> None:
    @atdata.packable
    class Lists:
        x: list[NDArray]

    @atdata.packable
    class FloatLists:
        x: list[NDArray[np.float32] | None]

    atdata.write_samples([Lists(x=[np.ones(2), np.ones(3, np.int16)]), Lists(x=[])], tmp_path / "data.tar")
    first, second = Dataset[FloatLists](tmp_path / "data.tar")
    assert values_equal(first.x, [np.ones(2, np.float32), np.ones(3, np.float32)])
    assert second.x == []
    with pytest.raises(FieldMismatch, match=r"FloatLists\.x: expected list\[.*found array of dtype float64"):
        list(Dataset[FloatLists](tmp_path / "data.tar", dtypes="strict"))


def test_the_policy_stays_with_a_dataset_that_is_seen_as_another_type(tmp_path: Any) -> None:
    url = write(tmp_path, np.arange(3))
    untyped = Dataset[DictSample](url, dtypes="strict").as_type(Floats)
    with pytest.raises(FieldMismatch, match="dtypes='strict' does not convert that"):
        list(untyped)
    assert [sample.x.dtype for sample in Dataset[DictSample](url).as_type(Floats)] == [np.float32]


def test_a_policy_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="dtypes is 'safe'; it must be one of 'strict', 'same-kind', 'unsafe'"):
        Dataset("data.tar", dtypes="safe")  # type: ignore[arg-type]


def test_what_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(
        SampleTypeError, match=r"Bytes\.x: expected NDArray\[uint8\], found array of dtype int64 .*astyp"
    ):
        _ = Bytes(x=np.zeros(2, np.int64)).packed
    assert Bytes(x=np.zeros(2, bool)).packed


def test_a_sample_alone_keeps_what_was_stored() -> None:
    assert Floats.from_bytes(Floats(x=np.zeros(2)).packed).x.dtype == np.float64


dtypes = st.sampled_from([*map(np.dtype, NUMBERS)])


@given(dtypes, dtypes)
def test_what_the_stricter_policy_allows_the_others_allow(stored: Any, declared: Any) -> None:
    allowed = [may_convert(stored, declared, policy) for policy in POLICIES]  # type: ignore[arg-type]
    assert allowed == sorted(allowed)
    assert allowed[-1]
    assert allowed[1] == np.can_cast(stored, declared, "same_kind")
    assert agrees(stored, declared) <= allowed[0]


@settings(max_examples=30, deadline=None)
@given(stored=st.lists(dtypes, min_size=1, max_size=4), declared=dtypes)
def test_every_way_to_read_agrees_on_any_mixture(stored: list[Any], declared: Any, tmp_path_factory: Any) -> None:
    kind = declaring(declared.type)
    arrays = [np.ones(2, dtype) for dtype in stored]
    dataset = Dataset[kind](write(tmp_path_factory.mktemp("any"), *arrays))  # type: ignore[valid-type]
    native = np.dtype(declared.type)
    if all(may_convert(dtype, native, "same-kind") for dtype in stored):
        for way in every_way(dataset):
            assert values_equal(way, [array.astype(native) for array in arrays])
    else:
        for read in (list, lambda given: next(iter(given.ordered(batch_size=9))).x):
            with pytest.raises(FieldMismatch, match=f"expected NDArray.{native}., found array of dtype"):
                read(dataset)
