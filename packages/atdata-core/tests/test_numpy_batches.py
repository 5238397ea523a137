"""Batches as dicts of NumPy arrays and lists: what becomes an array, what a list, what is padded."""

from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata.errors import RaggedBatch, SampleTypeError
from atdata.export.numpy import Run, columns, columns_and_runs
from atdata.schema import Shape


@atdata.packable
class Everything:
    image: NDArray[np.uint8]
    tokens: NDArray[np.int32]
    open: Annotated[NDArray[np.float32], Shape(None)]
    whole: int
    narrow: np.int16
    real: float
    single: np.float32
    flag: bool
    text: str
    data: bytes
    items: list[int]
    anything: Any
    maybe: float | None = None
    mask: NDArray[np.bool_] | None = None


def everything(number):
    return Everything(
        image=np.full((2, 3), number, np.uint8),
        tokens=np.arange(number, dtype=np.int32),
        open=np.zeros(3, np.float32),
        whole=number,
        narrow=np.int16(number),
        real=number / 2,
        single=np.float32(number / 4),
        flag=number % 2 == 0,
        text=str(number),
        data=bytes([number]),
        items=[number] * number,
        anything=number,
        maybe=None if number == 2 else 1.5,
        mask=None if number == 1 else np.ones(number, np.bool_),
    )


@pytest.fixture(params=["stored", "in memory", "through a function"])
def batch(request, tmp_path):
    """Samples 1 to 4."""
    samples = [everything(number) for number in range(1, 5)]
    if request.param == "in memory":
        return atdata.SampleBatch[Everything](samples)
    dataset = atdata.write_samples(samples, tmp_path / "data.tar")
    if request.param == "through a function":
        same = atdata.Lens(lambda sample: sample, source_type=Everything, view_type=Everything)
        dataset = dataset.as_type(same)
    return next(iter(dataset.ordered(batch_size=4)))


def test_arrays_that_are_alike_are_stacked(batch):
    image = columns(batch)["image"]
    assert (image.dtype, image.shape) == (np.uint8, (4, 2, 3))
    assert image[:, 0, 0].tolist() == [1, 2, 3, 4]


def test_numbers_become_an_array_of_what_they_are_declared(batch):
    made = columns(batch)
    numbers = {name: made[name].dtype for name in ("whole", "narrow", "real", "single", "flag")}
    assert numbers == {
        "whole": np.int64,
        "narrow": np.int16,
        "real": np.float64,
        "single": np.float32,
        "flag": np.bool_,
    }
    assert made["narrow"].tolist() == [1, 2, 3, 4]
    assert made["single"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert made["flag"].tolist() == [False, True, False, True]


def test_all_else_is_a_list(batch):
    made = columns(batch)
    assert made["text"] == ["1", "2", "3", "4"]
    assert made["data"] == [b"\1", b"\2", b"\3", b"\4"]
    assert made["items"][:2] == [[1], [2, 2]]
    assert made["anything"] == [1, 2, 3, 4]
    assert made["maybe"] == [1.5, None, 1.5, 1.5]
    assert [mask if mask is None else mask.tolist() for mask in made["mask"][:2]] == [None, [True, True]]


def test_arrays_that_differ_in_length_are_a_list_and_can_be_written_to(batch):
    tokens = columns(batch)["tokens"]
    assert [array.tolist() for array in tokens] == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert {array.dtype for array in tokens} == {np.dtype(np.int32)}
    tokens[0][0] = 9
    assert tokens[1].tolist() == [0, 1]


def test_what_is_declared_to_differ_is_a_list_even_if_it_does_not(batch):
    assert [array.tolist() for array in columns(batch)["open"]] == [[0, 0, 0]] * 4


def test_a_single_sample_is_stacked_unless_it_is_declared_to_differ(tmp_path):
    dataset = atdata.write_samples([everything(3), everything(2)], tmp_path / "data.tar")
    made = columns(next(iter(dataset.ordered(batch_size=1))))
    assert made["tokens"].shape == (1, 3)
    assert isinstance(made["open"], list)


def test_padded_arrays_come_with_their_lengths(batch):
    made = columns(batch, {"tokens": -1, "mask": False})
    assert made["tokens"].tolist() == [[0, -1, -1, -1], [0, 1, -1, -1], [0, 1, 2, -1], [0, 1, 2, 3]]
    assert made["tokens_lengths"].tolist() == [1, 2, 3, 4]
    assert made["mask"].shape == (4, 4)
    assert made["mask_lengths"].tolist() == [0, 2, 3, 4]


def test_none_among_numbers_is_padded(batch):
    maybe = columns(batch, {"maybe": -1})["maybe"]
    assert (maybe.dtype, maybe.tolist()) == (np.float64, [1.5, -1, 1.5, 1.5])


def test_padding_what_is_not_there_or_no_array_is_an_error(batch):
    with pytest.raises(AttributeError, match="token"):
        columns(batch, {"token": 0})
    with pytest.raises(RaggedBatch, match="text"):
        columns(batch, {"text": 0})
    with pytest.raises(TypeError, match=r"pad=\{'tokens': 0\}; found True"):
        columns(batch, True)


def test_the_lengths_must_not_hide_a_field():
    @atdata.packable
    class Clash:
        a: NDArray
        a_lengths: int

    batch = atdata.SampleBatch[Clash]([Clash(a=np.zeros(1), a_lengths=1)])
    with pytest.raises(ValueError, match="a_lengths"):
        columns(batch, {"a": 0})


def test_a_number_that_does_not_fit_is_an_error_that_names_the_field():
    @atdata.packable
    class Hash:
        value: int

    batch = atdata.SampleBatch[Hash]([Hash(value=2**63)])
    with pytest.raises(SampleTypeError, match=r"Hash\.value") as caught:
        columns(batch)
    assert caught.value.field == "value"


def test_samples_without_fields_are_an_error_that_says_what_to_do(tmp_path):
    dataset = atdata.write_samples([everything(1)], tmp_path / "data.tar").map(
        lambda sample: (sample.image, sample.whole)
    )
    with pytest.raises(SampleTypeError, match=r"tuple .* collate="):
        next(iter(dataset.numpy_iter(batch_size=1)))
    (batch,) = dataset.numpy_iter(batch_size=1, collate=lambda batch: [*zip(*batch.samples, strict=True)])
    assert batch[1] == (1,)


def test_untyped_samples_become_what_their_values_are(tmp_path):
    atdata.write_samples([everything(number) for number in (2, 3)], tmp_path / "data.tar")
    untyped = atdata.Dataset(str(tmp_path / "data.tar"))
    assert untyped.sample_type is atdata.DictSample
    made = columns(next(iter(untyped.ordered(batch_size=2))))
    assert made["image"][0].startswith(b"\x93NUMPY")  # an array only with a type
    assert (made["whole"].dtype, made["real"].dtype, made["flag"].dtype) == (np.int64, np.float64, np.bool_)
    assert made["text"] == ["2", "3"]
    assert made["maybe"] == [None, 1.5]


def test_arrays_of_untyped_samples_are_stacked_where_they_are_alike():
    samples = [atdata.DictSample(alike=np.zeros(3), ragged=np.zeros(n)) for n in (1, 2)]
    made = columns(atdata.SampleBatch(samples))
    assert made["alike"].shape == (2, 3)
    assert [array.shape for array in made["ragged"]] == [(1,), (2,)]


def test_untyped_whole_and_real_numbers_are_real_together_and_mixtures_a_list():
    def made(*values):
        return columns(atdata.SampleBatch([atdata.DictSample(x=value) for value in values]))["x"]

    assert made(1, 2.5).dtype == np.float64
    assert made(1, "a") == [1, "a"]
    assert made(None, None) == [None, None]
    assert made(True, False).dtype == np.bool_


@atdata.packable
class Vector:
    values: NDArray[np.float32]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(1, 7))
def test_runs_are_what_lists_are(lengths, size):
    samples = [Vector(values=np.arange(n, dtype=np.float32)) for n in lengths]
    chunks = [sample.packed for sample in samples]
    batch = atdata.Dataset[Vector]("x.tar").wrap_batch({"msgpack": chunks[:size]})
    made = columns(batch)["values"]
    expected = batch.list("values")
    assert [array.tolist() for array in made] == [array.tolist() for array in expected]
    assert all(array.dtype == np.float32 and array.flags.writeable for array in made)


def test_stored_arrays_of_differing_lengths_are_a_run(tmp_path):
    dataset = atdata.write_samples([Vector(values=np.zeros(n, np.float32)) for n in (1, 2)], tmp_path / "data.tar")
    run = columns_and_runs(next(iter(dataset.ordered(batch_size=2))))["values"]
    assert isinstance(run, Run)
    assert (run.values.shape, run.lengths) == ((3,), [1, 2])
