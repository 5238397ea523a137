"""Batches: fields of many samples at once, decoded when they are touched, and the same as the samples one by one."""

import copy
import functools
import io
import math
import pickle
import struct
import tarfile
from dataclasses import field
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import ormsgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample, SampleBatch
from atdata.errors import AtdataError, FieldMismatch, RaggedBatch, SampleDecodeError, SampleTypeError
from atdata.shard.array import array_to_bytes

T = TypeVar("T")


@atdata.packable
class Image:
    pixels: NDArray
    label: str
    score: float = 0.0
    mask: NDArray | None = None
    tags: list[str] = field(default_factory=list)


def image(number, **changes):
    values = {"pixels": np.full((2, 3), number, np.float32), "label": f"label {number}", "score": number / 2}
    return Image(**{**values, **changes})


@atdata.packable
class Signal:
    wave: NDArray
    name: str = ""


@atdata.packable
class Confusing:
    """Fields whose names are those of a batch's own members."""

    list: int
    samples: str
    pad: NDArray
    sample_type: float


@atdata.packable
class Derived:
    x: int
    square: int = field(init=False)
    unit: ClassVar[str] = "mm"

    def __post_init__(self):
        self.square = self.x**2

    @property
    def cube(self):
        return self.x**3

    @functools.cached_property
    def fourth(self):
        return self.x**4

    def method(self):
        return self.x

    @property
    def broken(self):
        return self.absent


@pytest.fixture(params=["made", "stored"])
def batch_of(request, tmp_path):
    """Makes a batch of samples: from the samples themselves, or from a shard that holds them."""

    def made(samples):
        return SampleBatch[type(samples[0])](samples)

    def stored(samples):
        (batch,) = atdata.write_samples(samples, tmp_path / "data.tar", overwrite=True).ordered(batch_size=1000)
        return batch

    return {"made": made, "stored": stored}[request.param]


def tar_of(path, payloads):
    """A shard of samples of these bytes."""
    with tarfile.open(path, "w") as tar:
        for number, data in enumerate(payloads):
            info = tarfile.TarInfo(f"{number:06d}.msgpack")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def stored_batch(path, payloads, cls):
    (batch,) = Dataset[cls](tar_of(path, payloads)).ordered(batch_size=1000)
    return batch


# ------------------------------------------------------------------------------------------- columns


def test_arrays_are_stacked_and_other_fields_are_lists(batch_of):
    batch = batch_of([image(n, tags=["a"] * n) for n in range(4)])
    assert batch.pixels.shape == (4, 2, 3)
    assert batch.pixels.dtype == np.float32
    np.testing.assert_array_equal(batch.pixels[:, 0, 0], [0, 1, 2, 3])
    assert batch.label == ["label 0", "label 1", "label 2", "label 3"]
    assert batch.score == [0.0, 0.5, 1.0, 1.5]
    assert batch.tags == [[], ["a"], ["a", "a"], ["a", "a", "a"]]


@pytest.mark.parametrize(
    "array", [np.float32(3), np.array(3), np.zeros((0,)), np.zeros((2, 0, 3)), np.array(["a", "b"])]
)
def test_arrays_of_every_shape_stack(batch_of, array):
    batch = batch_of([Signal(np.asarray(array)) for _ in range(3)])
    assert batch.wave.shape == (3, *np.shape(array))
    np.testing.assert_array_equal(batch.wave, np.stack([array] * 3))


@pytest.mark.parametrize("order", ["C", "F"])
def test_stacked_arrays_are_new_contiguous_and_writable(batch_of, order):
    batch = batch_of([image(n, pixels=np.asarray(np.full((3, 4), n), order=order)) for n in range(3)])
    assert batch.pixels.flags.c_contiguous
    assert batch.pixels.flags.writeable
    assert batch.pixels.flags.owndata
    batch.pixels[:] = 7
    np.testing.assert_array_equal(batch.samples[0].pixels, np.zeros((3, 4)))


def test_batches_of_one_have_a_batch_dimension(batch_of):
    assert batch_of([image(1)]).pixels.shape == (1, 2, 3)


def test_items_are_fields_by_name_and_samples_by_number(batch_of):
    samples = [image(n) for n in range(3)]
    batch = batch_of(samples)
    assert batch["label"] is batch.label
    np.testing.assert_array_equal(batch["pixels"], batch.pixels)
    assert batch[0] == samples[0]
    assert batch[-1] == samples[2]
    assert batch[np.int64(1)] == samples[1]
    assert batch[1:] == samples[1:]
    with pytest.raises(IndexError):
        batch[3]


def test_iterating_a_batch_gives_its_samples(batch_of):
    samples = [image(n) for n in range(3)]
    batch = batch_of(samples)
    assert list(batch) == batch.samples == samples
    assert len(batch) == 3
    assert all(type(sample) is Image for sample in batch)


def test_values_are_kept_once_decoded(batch_of):
    batch = batch_of([image(n) for n in range(3)])
    for name in ("pixels", "label", "score", "tags"):
        assert getattr(batch, name) is getattr(batch, name)
    assert batch.samples is batch.samples
    assert batch.list("pixels") is batch.list("pixels")


def test_columns_after_samples_and_samples_after_columns_agree(tmp_path):
    dataset = atdata.write_samples([image(n, tags=["x"]) for n in range(5)], tmp_path / "data.tar")
    (first,) = dataset.ordered(batch_size=9)
    (second,) = dataset.ordered(batch_size=9)
    assert first.samples == [image(n, tags=["x"]) for n in range(5)]
    for name in ("pixels", "label", "score", "tags"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert second.samples == first.samples


def test_a_field_that_is_always_none_is_a_list_of_none_or_an_error_with_advice(batch_of):
    batch = batch_of([image(n) for n in range(3)])
    assert batch.list("mask") == [None, None, None]


def test_fields_of_numpy_numbers_are_lists_of_them(batch_of):
    @atdata.packable
    class Numbers:
        x: np.float32
        n: np.int16

    batch = batch_of([Numbers(np.float32(0.5), np.int16(n)) for n in range(3)])
    assert batch.n == [0, 1, 2]
    assert {type(value) for value in batch.n} == {np.int16}
    assert {type(value) for value in batch.x} == {np.float32}


def test_missing_fields_are_filled_from_defaults_in_batches(tmp_path):
    batch = stored_batch(tmp_path / "d.tar", [Signal(np.zeros(2), "a").packed] * 3, Signal)
    assert batch.name == ["a"] * 3
    bare = ormsgpack.packb({"pixels": array_to_bytes(np.zeros(2)), "label": "a", "unknown": 1})
    batch = stored_batch(tmp_path / "e.tar", [bare] * 2, Image)
    assert batch.score == [0.0, 0.0]
    assert batch.tags == [[], []]
    batch.tags[0].append("x")
    assert batch.tags[1] == []


def test_a_field_without_a_default_that_is_missing_in_one_sample_says_where(tmp_path):
    payloads = [Signal(np.zeros(2)).packed, ormsgpack.packb({"name": "x"}), Signal(np.zeros(2)).packed]
    batch = stored_batch(tmp_path / "d.tar", payloads, Signal)
    with pytest.raises(FieldMismatch, match=r"Signal\.wave: expected NDArray, found no such field") as caught:
        _ = batch.wave
    assert (caught.value.shard, caught.value.key) == (str(tmp_path / "d.tar"), "000001")
    assert batch.name == ["", "x", ""]


# ------------------------------------------------------------------------------------------- laziness


def test_touching_one_field_does_not_decode_another(tmp_path):
    broken = ormsgpack.packb({"pixels": b"no array at all", "score": "no number", "label": "fine", "tags": [1, 2]})
    batch = stored_batch(tmp_path / "d.tar", [broken] * 3, Image)
    assert batch.label == ["fine"] * 3
    assert batch.list("mask") == [None] * 3
    with pytest.raises(SampleDecodeError, match=r"Image\.pixels"):
        _ = batch.pixels
    with pytest.raises(FieldMismatch, match=r"Image\.score: expected float, found str"):
        _ = batch.score
    with pytest.raises(FieldMismatch, match=r"Image\.tags.*item 0 is int"):
        _ = batch.tags
    assert batch.label == ["fine"] * 3


def test_nothing_is_decoded_before_it_is_touched(tmp_path):
    batches = list(Dataset[Image](tar_of(tmp_path / "d.tar", [b"\xc1"] * 3)).ordered(batch_size=2))
    assert [len(batch) for batch in batches] == [2, 1]
    with pytest.raises(SampleDecodeError) as caught:
        _ = batches[1].label
    assert caught.value.key == "000002"


def test_batches_stay_right_while_the_dataset_is_read_on(tmp_path):
    rng = np.random.default_rng(0)
    samples = [image(n, pixels=rng.random((60, 80))) for n in range(400)]
    dataset = atdata.write_samples(samples, tmp_path / "data.tar", maxcount=150)
    kept = list(dataset.ordered(batch_size=7))
    first_lists = [batch.list("pixels") for batch in kept[::3]]
    again = list(dataset.ordered(batch_size=7))
    assert [label for batch in kept for label in batch.label] == [sample.label for sample in samples]
    np.testing.assert_array_equal(
        np.concatenate([batch.pixels for batch in kept]), [sample.pixels for sample in samples]
    )
    assert [sample for batch in again for sample in batch] == samples
    for arrays, batch in zip(first_lists, kept[::3], strict=True):
        np.testing.assert_array_equal(arrays, batch.pixels)


def test_samples_stay_right_while_the_dataset_is_read_on(tmp_path):
    rng = np.random.default_rng(0)
    samples = [image(n, pixels=rng.random((60, 80))) for n in range(400)]
    dataset = atdata.write_samples(samples, tmp_path / "data.tar", maxcount=150)
    assert list(dataset) == samples
    untyped = list(Dataset(dataset.source))
    assert [sample.label for sample in untyped] == [sample.label for sample in samples]
    assert [sample.pixels for sample in untyped] == [array_to_bytes(sample.pixels) for sample in samples]
    shuffled = sorted(dataset.shuffled(seed=1), key=lambda sample: sample.score)
    assert shuffled == samples


def test_batches_of_a_dataset_share_no_memory(tmp_path):
    dataset = atdata.write_samples([image(n) for n in range(8)], tmp_path / "data.tar")
    first, second = dataset.ordered(batch_size=4)
    first.pixels[:] = -1
    first.list("pixels")[0][:] = -2
    np.testing.assert_array_equal(second.pixels[:, 0, 0], [4, 5, 6, 7])
    np.testing.assert_array_equal(first.samples[1].pixels, np.ones((2, 3)))


# ------------------------------------------------------------------------------- ragged, list and pad

RAGGED = [np.arange(3.0), np.arange(5.0), np.arange(3.0), np.zeros(0)]


def test_arrays_that_differ_in_shape_are_an_error_with_shapes_and_the_way_out(batch_of):
    batch = batch_of([Signal(array) for array in RAGGED])
    with pytest.raises(RaggedBatch) as caught:
        _ = batch.wave
    text = str(caught.value)
    assert "Signal.wave" in text
    assert "2 of shape (3,), 1 of shape (5,), 1 of shape (0,)" in text
    assert "batch.list('wave')" in text
    assert "batch.pad('wave', value=0)" in text
    assert caught.value.field == "wave"
    assert isinstance(caught.value, ValueError)


def test_none_among_arrays_is_an_error_with_the_way_out(batch_of):
    batch = batch_of([image(0, mask=np.zeros(2)), image(1), image(2, mask=np.zeros(2))])
    with pytest.raises(RaggedBatch, match=r"Image\.mask.*2 of shape \(2,\), 1 None.*batch\.list\('mask'\)"):
        _ = batch.mask


def test_only_none_in_an_array_field_is_an_error_with_the_way_out(batch_of):
    with pytest.raises(RaggedBatch, match=r"Image\.mask.*3 None"):
        _ = batch_of([image(n) for n in range(3)]).mask


def test_list_gives_arrays_of_any_shape(batch_of):
    batch = batch_of([Signal(array) for array in RAGGED])
    for got, expected in zip(batch.list("wave"), RAGGED, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.flags.writeable


def test_list_gives_none_and_arrays(batch_of):
    first, second = batch_of([image(0, mask=np.ones(2)), image(1)]).list("mask")
    np.testing.assert_array_equal(first, np.ones(2))
    assert second is None


def test_list_works_for_every_field(batch_of):
    batch = batch_of([image(n) for n in range(2)])
    assert batch.list("label") == ["label 0", "label 1"]
    assert len(batch.list("pixels")) == 2


def test_pad_fills_up_and_gives_lengths(batch_of):
    padded, lengths = batch_of([Signal(array) for array in RAGGED]).pad("wave")
    np.testing.assert_array_equal(padded, [[0, 1, 2, 0, 0], [0, 1, 2, 3, 4], [0, 1, 2, 0, 0], [0, 0, 0, 0, 0]])
    assert padded.dtype == np.float64
    np.testing.assert_array_equal(lengths, [3, 5, 3, 0])
    assert lengths.dtype == np.int64


def test_pad_takes_the_value_to_fill_with(batch_of):
    padded, _ = batch_of([Signal(array) for array in RAGGED]).pad("wave", value=-1)
    assert padded[0].tolist() == [0, 1, 2, -1, -1]
    padded, _ = batch_of([Signal(array) for array in RAGGED]).pad("wave", math.nan)
    assert math.isnan(padded[3, 0])


def test_pad_of_several_dimensions_gives_all_lengths(batch_of):
    arrays = [np.ones((2, 3), np.int16), np.full((1, 4), 2, np.int16), np.zeros((0, 1), np.int16)]
    padded, lengths = batch_of([Signal(array) for array in arrays]).pad("wave", value=9)
    assert padded.shape == (3, 2, 4)
    assert padded.dtype == np.int16
    assert padded[0].tolist() == [[1, 1, 1, 9], [1, 1, 1, 9]]
    assert padded[1].tolist() == [[2, 2, 2, 2], [9, 9, 9, 9]]
    assert (padded[2] == 9).all()
    assert lengths.tolist() == [[2, 3], [1, 4], [0, 1]]


def test_pad_counts_none_as_empty(batch_of):
    padded, lengths = batch_of([image(0, mask=np.ones(2)), image(1)]).pad("mask")
    assert padded.tolist() == [[1, 1], [0, 0]]
    assert lengths.tolist() == [2, 0]


def test_pad_of_equal_shapes_is_the_stacked_array(batch_of):
    batch = batch_of([image(n) for n in range(3)])
    padded, lengths = batch.pad("pixels")
    np.testing.assert_array_equal(padded, batch.pixels)
    assert lengths.tolist() == [[2, 3]] * 3


def test_pad_takes_the_dtype_that_holds_all(batch_of):
    padded, _ = batch_of([Signal(np.arange(2, dtype=np.int8)), Signal(np.ones(1, np.float32))]).pad("wave")
    assert padded.dtype == np.float32


@pytest.mark.parametrize("value", [0.5, math.nan, 300, -1])
def test_pad_refuses_a_value_that_the_dtype_cannot_hold(batch_of, value):
    batch = batch_of([Signal(np.zeros(2, np.uint8)), Signal(np.zeros(1, np.uint8))])
    with pytest.raises((ValueError, TypeError, OverflowError)):
        batch.pad("wave", value=value)


def test_pad_of_arrays_with_different_numbers_of_dimensions_is_refused(batch_of):
    batch = batch_of([Signal(np.zeros(2)), Signal(np.zeros((2, 2)))])
    with pytest.raises(RaggedBatch, match=r"Signal\.wave.*1 of shape \(2,\), 1 of shape \(2, 2\)"):
        batch.pad("wave")


def test_pad_of_a_field_without_arrays_is_refused(batch_of):
    batch = batch_of([image(n) for n in range(2)])
    with pytest.raises(RaggedBatch, match=r"Image\.label.*2 str"):
        batch.pad("label")
    with pytest.raises(RaggedBatch, match=r"Image\.mask.*2 None"):
        batch.pad("mask")


def test_arrays_of_incompatible_dtypes_are_an_error_that_names_the_field(batch_of):
    batch = batch_of([Signal(np.zeros(1, "M8[s]")), Signal(np.zeros(1, np.float64))])
    with pytest.raises((RaggedBatch, TypeError), match="wave"):
        _ = batch.wave


def test_arrays_of_kindred_dtypes_are_stacked_in_the_wider_one(batch_of):
    batch = batch_of([Signal(np.zeros(1, np.float32)), Signal(np.ones(1, np.float64))])
    assert batch.wave.dtype == np.float64
    assert batch.wave.tolist() == [[0.0], [1.0]]


# --------------------------------------------------------------------------------------- empty, types


def test_an_empty_batch_has_length_zero_and_empty_columns():
    batch = SampleBatch[Image]([])
    assert len(batch) == 0
    assert list(batch) == batch.samples == batch.label == batch.list("pixels") == []
    assert batch.pixels.shape[0] == 0
    assert "0 samples" in repr(batch)


def test_the_type_is_what_was_subscripted_or_that_of_the_first_sample():
    assert SampleBatch[Image]([]).sample_type is Image
    assert SampleBatch([image(1)]).sample_type is Image
    assert SampleBatch([]).sample_type is DictSample
    assert SampleBatch([image(1)]).pixels.shape == (1, 2, 3)


def test_a_subclass_of_a_subscripted_batch_knows_its_type():
    class Images(SampleBatch[Image]):
        pass

    assert Images([]).sample_type is Image


def test_a_type_variable_is_no_sample_type():
    with pytest.raises(SampleTypeError, match="sample type"):
        _ = SampleBatch[T]([image(1)]).sample_type


def test_samples_may_come_from_a_generator():
    batch = SampleBatch[Image](image(n) for n in range(3))
    assert len(batch) == 3
    assert batch.pixels.shape == (3, 2, 3)


def test_generic_samples_make_batches():
    @atdata.packable
    class Box(Generic[T]):
        value: T

    assert SampleBatch[Box]([Box(1), Box(2)]).value == [1, 2]


# ------------------------------------------------------------------------------- names, repr, pickling


def test_fields_named_as_members_of_a_batch_are_read_as_items(batch_of):
    batch = batch_of([Confusing(n, f"s{n}", np.full(2, n), n / 2) for n in range(2)])
    assert batch["list"] == [0, 1]
    assert batch["samples"] == ["s0", "s1"]
    assert batch["pad"].tolist() == [[0, 0], [1, 1]]
    assert batch["sample_type"] == [0.0, 0.5]
    assert batch.list("list") == [0, 1]
    assert batch.sample_type is Confusing
    assert len(batch.samples) == 2


def test_private_fields_are_read_as_items(batch_of):
    @atdata.packable
    class Private:
        _samples: int
        _hidden: int

    batch = batch_of([Private(n, n + 1) for n in range(2)])
    assert batch["_samples"] == [0, 1]
    assert batch["_hidden"] == [1, 2]


def test_derived_fields_and_properties_are_lists(batch_of):
    batch = batch_of([Derived(n) for n in range(3)])
    assert batch.square == [0, 1, 4]
    assert batch.cube == [0, 1, 8]
    assert batch.fourth == [0, 1, 16]


def test_what_is_no_field_is_an_attribute_error_that_names_the_fields(batch_of):
    batch = batch_of([image(1)])
    with pytest.raises(AttributeError, match=r"Image has no field 'pixel'.*pixels, label, score"):
        _ = batch.pixel
    with pytest.raises(AttributeError, match="no field"):
        batch.list("pixel")
    with pytest.raises(AttributeError):
        _ = batch_of([Derived(1)]).method
    assert not hasattr(batch, "nothing")
    assert not hasattr(batch, "_nothing")
    assert not hasattr(batch, "__nothing__")


def test_an_unknown_item_is_a_key_or_attribute_error(batch_of):
    with pytest.raises((KeyError, AttributeError), match="pixel"):
        batch_of([image(1)])["pixel"]


def test_an_error_in_a_property_is_not_taken_for_a_missing_field(batch_of):
    with pytest.raises(AttributeError, match="absent"):
        _ = batch_of([Derived(1)]).broken


def test_an_error_while_samples_are_made_is_not_taken_for_a_missing_field(tmp_path):
    @atdata.packable
    class Fragile:
        x: int

        def __post_init__(self):
            if self.x > 0:
                self.absent()

    atdata.write_samples([Fragile(0)], tmp_path / "data.tar")
    batch = stored_batch(tmp_path / "bad.tar", [ormsgpack.packb({"x": 1})], Fragile)
    with pytest.raises(AttributeError, match="absent"):
        _ = batch.samples
    with pytest.raises(AttributeError, match="absent"):
        list(batch)


def test_dir_names_the_fields(batch_of):
    assert {"pixels", "label", "list", "pad"} <= set(dir(batch_of([image(1)])))


def test_repr_tells_type_length_and_fields(batch_of):
    assert (
        repr(batch_of([image(n) for n in range(3)]))
        == "SampleBatch[Image](3 samples: pixels, label, score, mask, tags)"
    )


def test_batches_survive_pickling_and_copying(batch_of):
    samples = [image(n) for n in range(3)]
    batch = batch_of(samples)
    _ = batch.label
    for other in (pickle.loads(pickle.dumps(batch)), copy.copy(batch), copy.deepcopy(batch)):
        assert isinstance(other, SampleBatch)
        assert other.sample_type is Image
        assert other.samples == samples
        np.testing.assert_array_equal(other.pixels, batch.pixels)


def test_errors_after_pickling_still_say_where(tmp_path):
    batch = stored_batch(tmp_path / "d.tar", [ormsgpack.packb({"pixels": b"", "label": 1})], Image)
    with pytest.raises(FieldMismatch) as caught:
        _ = pickle.loads(pickle.dumps(batch)).label
    assert (caught.value.shard, caught.value.key, caught.value.offset) == (str(tmp_path / "d.tar"), "000000", 0)


def test_a_pickled_batch_takes_only_its_own_samples_along(tmp_path):
    dataset = atdata.write_samples([image(n, pixels=np.zeros(1000)) for n in range(100)], tmp_path / "data.tar")
    batch = next(iter(dataset.ordered(batch_size=2)))
    assert len(pickle.dumps(batch)) < 40_000


# --------------------------------------------------------------------------------------- untyped samples


def test_batches_of_dict_samples_are_lists_and_stored_bytes(tmp_path):
    atdata.write_samples([image(n) for n in range(3)], tmp_path / "data.tar")
    (batch,) = Dataset(tmp_path / "data.tar").ordered(batch_size=5)
    assert batch.sample_type is DictSample
    assert batch.label == ["label 0", "label 1", "label 2"]
    assert [type(value) for value in batch.pixels] == [bytes] * 3
    assert [type(sample) for sample in batch] == [DictSample] * 3
    assert set(dir(batch)) >= {"pixels", "label"}


def test_batches_of_dict_samples_with_arrays_stack_them():
    batch = SampleBatch([DictSample(x=np.arange(2)), DictSample(x=np.arange(2))])
    assert batch.x.shape == (2, 2)


def test_a_field_that_only_some_dict_samples_have_is_an_error_with_numbers(batch_of):
    batch = batch_of([DictSample(a=1, b=2), DictSample(a=1), DictSample(a=3)])
    assert batch.a == [1, 1, 3]
    with pytest.raises(FieldMismatch, match="2 of 3 samples have no field 'b'; the first is number 1"):
        _ = batch.b
    with pytest.raises(AttributeError, match=r"field 'c'.*a, b"):
        _ = batch.c


def test_fields_of_dict_samples_named_as_members_are_read_as_items(batch_of):
    batch = batch_of([DictSample({"list": 1, "keys": 2, "_data": 3})])
    assert (batch["list"], batch["keys"], batch["_data"]) == ([1], [2], [3])


# --------------------------------------------- whatever the encoding, a batch reads what the samples read


@atdata.packable
class Typed:
    array: NDArray
    number: int
    real: float = -1.0
    flag: bool | None = None
    text: str | None = "default"
    raw: bytes = b""
    items: list[float] = field(default_factory=list)
    choice: Literal["a", "b"] = "a"
    small: np.int16 = np.int16(0)
    anything: Any = None


def _int_forms(value):
    forms = []
    if 0 <= value < 128:
        forms.append(bytes([value]))
    if -32 <= value < 0:
        forms.append(struct.pack("b", value))
    for head, code, low, high in [
        (0xCC, "B", 0, 2**8),
        (0xCD, ">H", 0, 2**16),
        (0xCE, ">I", 0, 2**32),
        (0xCF, ">Q", 0, 2**64),
        (0xD0, "b", -(2**7), 2**7),
        (0xD1, ">h", -(2**15), 2**15),
        (0xD2, ">i", -(2**31), 2**31),
        (0xD3, ">q", -(2**63), 2**63),
    ]:
        if low <= value < high:
            forms.append(bytes([head]) + struct.pack(code, value))
    return forms


def _length_forms(size, fixed, fixed_limit, heads):
    forms = [bytes([fixed | size])] if size < fixed_limit else []
    return forms + [bytes([head]) + size.to_bytes(width, "big") for head, width in heads if size < 1 << (8 * width)]


def forms_of(value, draw):
    """A value as msgpack, in any of the forms that the format has for it."""
    pick = lambda forms: draw(st.sampled_from(forms))  # noqa: E731
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return pick(_int_forms(value))
    if isinstance(value, float):
        wide, narrow = b"\xcb" + struct.pack(">d", value), b"\xca" + struct.pack(">f", np.float32(value))
        return pick([wide, narrow] if np.float32(value) == value else [wide])
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return pick(_length_forms(len(data), 0xA0, 32, [(0xD9, 1), (0xDA, 2), (0xDB, 4)])) + data
    if isinstance(value, bytes):
        return pick(_length_forms(len(value), 0, 0, [(0xC4, 1), (0xC5, 2), (0xC6, 4)])) + value
    if isinstance(value, list):
        head = pick(_length_forms(len(value), 0x90, 16, [(0xDC, 2), (0xDD, 4)]))
        return head + b"".join(forms_of(item, draw) for item in value)
    return map_of(list(value.items()), draw)


def map_of(pairs, draw):
    head = draw(st.sampled_from(_length_forms(len(pairs), 0x80, 16, [(0xDE, 2), (0xDF, 4)])))
    return head + b"".join(forms_of(key, draw) + forms_of(value, draw) for key, value in pairs)


ARRAY_VALUES = st.one_of(
    st.integers(0, 4).map(lambda n: array_to_bytes(np.arange(n, dtype=np.float32))),
    st.just(array_to_bytes(np.arange(3, dtype=">i4"))),
    st.just(array_to_bytes(np.asfortranarray(np.arange(6).reshape(2, 3)))),
    st.just(b"\x03<f4\x01" + struct.pack("<q", 2) + bytes(8)),
    st.sampled_from([b"", b"no array", b"\x93NUMPY\x01\x00"]),
)
TEXTS = st.text(max_size=4) | st.sampled_from(["a\0", "\0", "é", "x" * 60, "日本", "\ud800"])
VALUES = {
    "array": ARRAY_VALUES | st.none(),
    "number": st.integers(-(2**63), 2**64 - 1) | st.integers(-200, 200) | st.booleans() | st.floats(width=32),
    "real": st.floats(width=32) | st.floats(-1e30, 1e30) | st.integers(-5, 5) | st.none(),
    "flag": st.booleans() | st.none() | st.integers(0, 1),
    "text": TEXTS | st.none() | st.binary(max_size=3),
    "raw": st.binary(max_size=4) | TEXTS,
    "items": st.lists(st.floats(width=16) | st.integers(0, 3), max_size=3),
    "choice": st.sampled_from(["a", "b", "c"]),
    "small": st.integers(-40_000, 40_000),
    "anything": st.none() | st.lists(st.integers(0, 9), max_size=2) | st.text(max_size=3),
    "unknown": st.integers(-(2**63), 2**64 - 1) | st.text(max_size=2),
}


@st.composite
def stored_samples(draw):
    """Bytes of samples that other writers might have stored, right or not so right, often much like each other."""
    names = draw(st.permutations(["array", "number", *draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=6))]))
    names = list(dict.fromkeys(names))
    constant = {name: draw(VALUES[name]) for name in set(names)}
    constant["array"] = draw(ARRAY_VALUES.filter(lambda data: len(data) > 20))
    constant["number"] = draw(st.integers(0, 300))
    varying = draw(st.sets(st.sampled_from(sorted(set(names))), max_size=3))
    payloads = []
    for _ in range(draw(st.integers(1, 5))):
        order = draw(st.permutations(names)) if not draw(st.integers(0, 7)) else names
        pairs = [(name, draw(VALUES[name]) if name in varying else constant[name]) for name in order]
        data = map_of(pairs, draw)
        if not draw(st.integers(0, 15)):
            at = draw(st.integers(0, len(data) - 1))
            data = data[:at] + draw(st.sampled_from([b"", b"\xff", b"\x00", data[at:] + b"\xc0"])) + data[at + 1 :]
        payloads.append(data)
    return payloads


def alone(payload, cls):
    """What a sample's bytes give by themselves: the sample, or the class of the error."""
    try:
        return cls.from_bytes(payload)
    except AtdataError as error:
        return type(error)


def same(a, b):
    """Equal in value and type, arrays and NaN included."""
    return repr(a) == repr(b) and type(a) is type(b)


@settings(max_examples=200, deadline=None)
@given(payloads=stored_samples())
def test_whatever_the_encoding_a_batch_reads_what_each_sample_reads_alone(payloads, tmp_path_factory):
    path = tar_of(tmp_path_factory.mktemp("forms") / "d.tar", payloads)
    expected = [alone(payload, Typed) for payload in payloads]
    good = [sample for sample in expected if isinstance(sample, Typed)]
    first_bad = next((n for n, sample in enumerate(expected) if not isinstance(sample, Typed)), None)

    got = []
    try:
        got.extend(Dataset[Typed](path))
        error = None
    except AtdataError as caught:
        error = caught
    wanted = expected[:first_bad]
    assert len(got) == len(wanted)
    assert all(same(vars(a)[name], vars(b)[name]) for a, b in zip(got, wanted, strict=True) for name in vars(b))
    if first_bad is None:
        assert error is None
    else:
        assert type(error) is expected[first_bad]
        assert error.key == f"{first_bad:06d}"

    (batch,) = Dataset[Typed](path).ordered(batch_size=100)
    for name in vars(good[0]) if good else ():
        try:
            column = batch.list(name)
        except AtdataError as caught:
            assert not isinstance(expected[int(caught.key)], Typed), caught  # noqa: PT017
        else:
            for value, sample in zip(column, expected, strict=True):
                assert not isinstance(sample, Typed) or same(value, getattr(sample, name)), name
    if first_bad is None:
        made = SampleBatch[Typed](expected)
        (fresh,) = Dataset[Typed](path).ordered(batch_size=100)
        try:
            stacked = made.array
        except RaggedBatch:
            with pytest.raises(RaggedBatch):
                _ = fresh.array
        else:
            assert fresh.array.dtype == stacked.dtype
            np.testing.assert_array_equal(fresh.array, stacked)


@pytest.mark.parametrize("between", [[], [("items", [1.0])], [("anything", [])]])
def test_of_two_equal_keys_the_last_counts_in_batches_too(tmp_path, between):
    pairs = [("array", array_to_bytes(np.zeros(2))), ("number", 1), *between, ("number", 2)]
    data = bytes([0x80 | len(pairs)]) + b"".join(ormsgpack.packb(part) for pair in pairs for part in pair)
    assert Typed.from_bytes(data).number == 2
    batch = stored_batch(tmp_path / "d.tar", [data] * 2, Typed)
    assert batch.number == [2, 2]
    assert [sample.number for sample in batch] == [2, 2]


@settings(max_examples=100, deadline=None)
@given(payloads=stored_samples())
def test_whatever_the_encoding_untyped_samples_hold_what_msgpack_holds(payloads, tmp_path_factory):
    path = tar_of(tmp_path_factory.mktemp("forms") / "d.tar", payloads)
    expected = [alone(payload, DictSample) for payload in payloads]
    if all(isinstance(sample, DictSample) for sample in expected):
        assert list(map(repr, Dataset(path))) == list(map(repr, expected))
    else:
        with pytest.raises(SampleDecodeError):
            list(Dataset(path))
