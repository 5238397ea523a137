"""Batches as tensors: dtypes, memory that is not copied, and how batches leave a worker."""

import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata

torch = pytest.importorskip("torch", reason="torch is not installed; nox -s torch installs it")

from atdata.export import torch as export  # noqa: E402
from atdata.export.numpy import columns_and_runs  # noqa: E402
from atdata.export.torch import Parcel, tensors  # noqa: E402

KEPT = [
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]


@atdata.packable
class Item:
    array: NDArray
    ragged: NDArray[np.int64]
    number: int
    text: str
    half: np.float16 | None = None


def item(number, dtype="float32"):
    return Item(
        array=np.full((2, 3), number).astype(dtype),
        ragged=np.arange(number),
        number=number,
        text=str(number),
        half=np.float16(number),
    )


def batch_of(tmp_path, *samples):
    dataset = atdata.write_samples(samples, tmp_path / "data.tar")
    return next(iter(dataset.ordered(batch_size=len(samples))))


@pytest.mark.parametrize("dtype", KEPT)
def test_dtypes_that_torch_has_are_kept_and_memory_is_shared(tmp_path, dtype):
    batch = batch_of(tmp_path, item(0, dtype), item(1, dtype))
    tensor = tensors(batch)["array"]
    assert tensor.dtype is getattr(torch, dtype)
    assert tensor.numpy().tolist() == [[[0] * 3] * 2, [[1] * 3] * 2]
    assert tensor.data_ptr() == batch.array.ctypes.data


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f4", ">c8"])
@pytest.mark.parametrize("ragged", [False, True])
def test_the_other_byte_order_is_turned(dtype, ragged):
    arrays = [np.arange(3, dtype=dtype), np.arange(2 if ragged else 3, dtype=dtype)]
    made = tensors(atdata.SampleBatch([atdata.DictSample(x=array) for array in arrays]))["x"]
    assert [tensor.tolist() for tensor in made] == [array.tolist() for array in arrays]
    assert {str(tensor.dtype) for tensor in made} == {f"torch.{np.dtype(dtype).newbyteorder('=').name}"}


@pytest.mark.parametrize("dtype", ["U3", "S3", "M8[s]", "m8[s]"])
def test_dtypes_that_torch_has_not_stay_numpy_arrays(tmp_path, dtype):
    array = tensors(batch_of(tmp_path, item(0, dtype), item(1, dtype)))["array"]
    assert isinstance(array, np.ndarray)
    assert array.dtype == dtype


def test_numbers_are_tensors_and_texts_and_what_may_be_none_are_lists(tmp_path):
    made = tensors(batch_of(tmp_path, item(1), item(2)))
    assert (made["number"].dtype, made["number"].tolist()) == (torch.int64, [1, 2])
    assert made["text"] == ["1", "2"]
    assert made["half"] == [np.float16(1), np.float16(2)]
    assert [(tensor.dtype, tensor.tolist()) for tensor in made["ragged"]] == [
        (torch.int64, [0]),
        (torch.int64, [0, 1]),
    ]


def test_padded_fields_are_tensors_with_lengths(tmp_path):
    made = tensors(batch_of(tmp_path, item(1), item(2)), {"ragged": -1, "half": 0})
    assert made["ragged"].tolist() == [[0, -1], [0, 1]]
    assert made["ragged_lengths"].tolist() == [1, 2]
    assert (made["half"].dtype, made["half"].tolist()) == (torch.float16, [1, 2])


@pytest.mark.filterwarnings("error")
def test_arrays_that_torch_cannot_share_are_copied():
    frozen = np.arange(3)
    frozen.flags.writeable = False
    ragged = [np.arange(3)[::-1], frozen[:2]]
    made = tensors(atdata.SampleBatch([atdata.DictSample(x=array) for array in ragged]))["x"]
    made[1][0] = 7
    assert ([tensor.tolist() for tensor in made], frozen.tolist()) == ([[2, 1, 0], [7, 1]], [0, 1, 2])


# ------------------------------------------------------------------------------------------ parcels


def sent(parcel):
    """A parcel as it arrives from another process."""
    return pickle.loads(ForkingPickler.dumps(parcel))


def same(one, other):
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype is other.dtype and torch.equal(one, other)
    return bool(np.all(one == other))


@pytest.fixture(params=["through a pipe", "in shared memory"])
def way(request, monkeypatch):
    monkeypatch.setattr(export, "_PIPED", 1 << 20 if request.param == "through a pipe" else -1)
    return request.param


@pytest.mark.parametrize("dtype", [*KEPT, ">f4", "U3"])
def test_what_is_sent_is_what_is_made_in_process(tmp_path, way, dtype):
    batch = batch_of(tmp_path, *(item(number, dtype) for number in range(4)))
    made, arrived = tensors(batch), sent(Parcel(columns_and_runs(batch))).open()
    assert made.keys() == arrived.keys()
    assert all(same(made[name], arrived[name]) for name in made)


def test_what_is_sent_can_be_written_to(tmp_path, way):
    arrived = sent(Parcel(columns_and_runs(batch_of(tmp_path, item(1), item(2))))).open()
    arrived["array"] += 1
    arrived["ragged"][1] += 1
    assert arrived["array"].tolist() == [[[2] * 3] * 2, [[3] * 3] * 2]
    assert [tensor.tolist() for tensor in arrived["ragged"]] == [[0], [1, 2]]


shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@given(st.lists(st.tuples(shapes, st.sampled_from(KEPT)), max_size=4), st.booleans())
def test_any_arrays_arrive(arrays, shared):
    rng = np.random.default_rng(0)
    columns = {
        str(number): rng.integers(0, 2, shape).astype(dtype, order="F") for number, (shape, dtype) in enumerate(arrays)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_PIPED", -1 if shared else 1 << 20)
        arrived = sent(Parcel(columns)).open()
    assert {name: (tensor.shape, tensor.tolist()) for name, tensor in arrived.items()} == {
        name: (array.shape, array.tolist()) for name, array in columns.items()
    }
