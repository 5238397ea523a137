"""Batches as tensors: dtypes, memory that is not copied, and how batches leave a worker."""

import contextlib
import gc
import io
import os
import pickle
import tarfile
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata

torch = pytest.importorskip("torch", reason="torch is not installed; nox -s torch installs it")

from atdata.errors import SampleDecodeError  # noqa: E402
from atdata.export import parcel  # noqa: E402
from atdata.export.numpy import Texts, columns_and_runs  # noqa: E402
from atdata.export.parcel import Exchange, Parcel, Slots  # noqa: E402
from atdata.export.tensors import tensors  # noqa: E402

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


def sent(given):
    """A parcel as it arrives from another process."""
    return pickle.loads(ForkingPickler.dumps(given))


def same(one, other):
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype is other.dtype and torch.equal(one, other)
    return bool(np.all(one == other))


WAYS = ["through a pipe", "in shared memory", "in a slot"]


@contextlib.contextmanager
def sending(way):
    """What sends columns that way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parcel, "_PIPED", 1 << 20 if way == "through a pipe" else 0)
        exchange = Exchange(1, 1)
        slots = Slots(exchange, 0) if way == "in a slot" else None
        yield lambda columns: sent(Parcel(columns, slots)).open()


@pytest.fixture(params=WAYS)
def send(request):
    with sending(request.param) as send:
        yield send


@pytest.mark.parametrize("dtype", [*KEPT, ">f4", "U3"])
def test_what_is_sent_is_what_is_made_in_process(tmp_path, send, dtype):
    batch = batch_of(tmp_path, *(item(number, dtype) for number in range(4)))
    made, arrived = tensors(batch), send(columns_and_runs(batch))
    assert made.keys() == arrived.keys()
    assert all(same(made[name], arrived[name]) for name in made)


def test_what_is_sent_can_be_written_to(tmp_path, send):
    arrived = send(columns_and_runs(batch_of(tmp_path, item(1), item(2))))
    arrived["array"] += 1
    arrived["ragged"][1] += 1
    assert arrived["array"].tolist() == [[[2] * 3] * 2, [[3] * 3] * 2]
    assert [tensor.tolist() for tensor in arrived["ragged"]] == [[0], [1, 2]]


shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@given(st.lists(st.tuples(shapes, st.sampled_from(KEPT)), max_size=4), st.sampled_from(WAYS))
def test_any_arrays_arrive(arrays, way):
    rng = np.random.default_rng(0)
    columns = {
        str(number): rng.integers(0, 2, shape).astype(dtype, order="F") for number, (shape, dtype) in enumerate(arrays)
    }
    with sending(way) as send:
        arrived = send(columns)
    assert {name: (tensor.shape, tensor.tolist()) for name, tensor in arrived.items()} == {
        name: (array.shape, array.tolist()) for name, array in columns.items()
    }


@atdata.packable
class Page:
    text: str
    number: int


def pages(folder, *texts):
    """A batch whose texts are these bytes."""
    path = folder / "pages.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, text in enumerate(texts):
            payload = b"\x82\xa4text\xdb" + len(text).to_bytes(4, "big") + text + b"\xa6number" + bytes([number])
            info = tarfile.TarInfo(f"{number}.msgpack")
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    return next(iter(atdata.Dataset[Page](path).ordered(len(texts))))


TEXTS = ["a" * 1000, "", "b" * 3, "日本\0é\U0001f600" * 90, "c" * 70_000]


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:2], TEXTS[1:3], TEXTS[3:4]])
def test_texts_arrive(tmp_path, send, texts):
    columns = columns_and_runs(pages(tmp_path, *(text.encode() for text in texts)), texts=True)
    assert isinstance(columns["text"], Texts) == (max(map(len, texts)) > 3)
    arrived = send(columns)
    assert [*arrived] == ["text", "number"]
    assert arrived["text"] == texts


@pytest.mark.parametrize("broken", [["é".encode()[:1] * 500, b""], [b"a" * 500 + "é".encode()[:1], "é".encode()[1:]]])
def test_texts_that_are_none_are_told_before_they_are_sent(tmp_path, broken):
    with pytest.raises(SampleDecodeError) as caught:
        columns_and_runs(pages(tmp_path, b"x" * 999, *broken), texts=True)
    assert caught.value.key == "1"


# ------------------------------------------------------------------------------------------ slots

LARGE = 100_000


@pytest.fixture
def exchange():
    return Exchange(2, 2)


def filled(value, size=LARGE):
    return {"x": np.full(size, value, np.uint8)}


def test_a_slot_is_free_when_nothing_refers_to_its_batch_any_more(exchange):
    batch = sent(Parcel(filled(1), Slots(exchange, 1))).open()
    assert not exchange.free.any()
    part = batch["x"][5:].numpy()[1:]
    del batch
    assert not exchange.free.any()
    del part
    assert exchange.free.tolist() == [[0, 0], [1, 0]]


def test_a_parcel_that_nobody_opens_frees_its_slot(exchange):
    sent(Parcel(filled(1), Slots(exchange, 0)))
    assert exchange.free.tolist() == [[1, 0], [0, 0]]


def test_slots_are_used_again_and_grow(exchange):
    slots = Slots(exchange, 0)
    first = sent(Parcel(filled(1), slots)).open()["x"]
    place = first.data_ptr()
    del first
    second = sent(Parcel(filled(2, LARGE + LARGE // 9), slots)).open()["x"]
    assert (second.data_ptr(), {*second.tolist()}) == (place, {2})
    third = sent(Parcel(filled(3), slots)).open()["x"]
    del second
    grown = sent(Parcel(filled(4, 3 * LARGE), slots)).open()["x"]
    assert ({*third.tolist()}, {*grown.tolist()}, len(grown)) == ({3}, {4}, 3 * LARGE)


def test_batches_that_find_no_slot_have_memory_of_their_own(exchange):
    slots = Slots(exchange, 0)
    batches = [sent(Parcel(filled(number), slots)).open()["x"] for number in range(5)]
    assert [{*batch.tolist()} for batch in batches] == [{number} for number in range(5)]
    assert [batch.is_shared() for batch in batches] == [False, False, True, True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_what_a_fork_still_has_is_not_written_over(exchange):
    slots = Slots(exchange, 0)
    batch = sent(Parcel(filled(1), slots)).open()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # until the parent has closed it
        os._exit(0 if {*batch["x"].tolist()} == {1} else 1)
    os.close(reading)
    del batch
    later = sent(Parcel(filled(2), slots)).open()["x"]
    os.close(writing)
    assert os.waitpid(child, 0)[1] == 0
    assert ({*later.tolist()}, exchange.free[0].tolist()) == ({2}, [0, 0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_what_a_fork_forgets_is_still_in_use(exchange):
    batch = sent(Parcel(filled(1), Slots(exchange, 0))).open()
    child = os.fork()
    if child == 0:
        batch.clear()
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not exchange.free.any()
    assert {*batch["x"].tolist()} == {1}
