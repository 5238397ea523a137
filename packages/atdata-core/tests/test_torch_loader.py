"""The loader of tensors in one process: what comes out, its position, its thread, its devices."""

import gc
import itertools
import json
import subprocess
import sys
import threading
import traceback

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import BATCH, COUNT, Item, Number, many_items
from numpy.typing import NDArray

import atdata

torch = pytest.importorskip("torch", reason="torch is not installed; nox -s torch installs it")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return many_items(tmp_path_factory.mktemp("items"))


def numbers(batches):
    return [batch["number"].tolist() for batch in batches]


def expected(dataset, **order):
    stream = dataset.shuffled(batch_size=BATCH, **order) if order else dataset.ordered(batch_size=BATCH)
    return [batch.number for batch in stream]


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "atdata-ahead"]


def test_it_is_a_data_loader_of_dicts_of_tensors(dataset):
    loader = dataset.to_torch(batch_size=BATCH)
    assert isinstance(loader, torch.utils.data.DataLoader)
    batch = next(iter(loader))
    assert set(batch) == {"number", "vector"}
    assert torch.equal(batch["number"], torch.arange(4))
    assert torch.equal(batch["vector"], torch.arange(4.0)[:, None].expand(4, 3))


@pytest.mark.parametrize("prefetch", [0, 1, 5])
@pytest.mark.parametrize("order", [{}, {"seed": 0}, {"seed": 0, "buffer_samples": 10}])
def test_batches_are_those_of_the_stream(dataset, prefetch, order):
    loader = dataset.to_torch(batch_size=BATCH, shuffle=bool(order), prefetch=prefetch, **order)
    assert numbers(loader) == expected(dataset, **order)
    assert len(loader) == 13


def test_numpy_iter_gives_the_same_as_arrays(dataset):
    loader = dataset.numpy_iter(batch_size=BATCH, shuffle=True, seed=0)
    assert numbers(loader) == expected(dataset, seed=0)
    batch = next(iter(loader))
    assert (type(batch["vector"]), batch["vector"].shape) == (np.ndarray, (4, 3))
    assert len(loader) == 13


def test_options_of_the_order_go_through(dataset):
    assert len(dataset.to_torch(batch_size=BATCH, drop_last=True)) == 12
    both = [dataset.to_torch(batch_size=BATCH, rank=rank, world_size=2) for rank in range(2)]
    seen = sorted(itertools.chain.from_iterable(itertools.chain.from_iterable(map(numbers, both))))
    assert seen == list(range(COUNT))
    with pytest.raises(TypeError, match="seed"):
        dataset.to_torch(batch_size=BATCH, seed=0)  # without shuffle


def test_epochs_differ_and_are_repeatable(dataset):
    loader = dataset.to_torch(batch_size=BATCH, shuffle=True, seed=0)
    first = numbers(loader)
    loader.set_epoch(1)
    second = numbers(loader)
    loader.set_epoch(0)
    assert numbers(loader) == first != second
    assert second == expected(dataset, seed=0, epoch=1)


def test_collate_makes_of_a_batch_whatever_it_wants(dataset):
    loader = dataset.to_torch(batch_size=BATCH, collate=lambda batch: (sum(batch.number), len(batch)))
    assert next(iter(loader)) == (6, 4)
    arrays = dataset.numpy_iter(batch_size=BATCH, collate=lambda batch: batch.number)
    assert next(iter(arrays)) == [0, 1, 2, 3]


def test_padding_goes_through(tmp_path):
    @atdata.packable
    class Words:
        tokens: NDArray[np.int32]

    dataset = atdata.write_samples([Words(np.arange(n, dtype=np.int32)) for n in (1, 3)], tmp_path / "data.tar")
    batch = next(iter(dataset.to_torch(batch_size=2, pad={"tokens": -1})))
    assert batch["tokens"].tolist() == [[0, -1, -1], [0, 1, 2]]
    assert batch["tokens_lengths"].tolist() == [1, 3]


def test_batches_are_moved_to_the_device_wherever_their_tensors_are(dataset):
    batch = next(iter(dataset.to_torch(batch_size=BATCH, device="meta")))
    assert {tensor.device.type for tensor in batch.values()} == {"meta"}

    def nested(batch):
        return {"list": [torch.zeros(1)], "tuple": (torch.zeros(1), "text")}

    batch = next(iter(dataset.to_torch(batch_size=BATCH, device="meta", collate=nested)))
    assert batch["list"][0].device.type == batch["tuple"][0].device.type == "meta"
    assert batch["tuple"][1] == "text"


def test_page_locked_memory_is_used_where_there_is_a_device_for_it(dataset):
    batch = next(iter(dataset.to_torch(batch_size=BATCH, pin_memory=True)))
    assert batch["vector"].is_pinned() is torch.cuda.is_available()


# ------------------------------------------------------------------------------------- the thread


def test_leaving_a_loop_ends_the_thread(dataset):
    for batch in dataset.to_torch(batch_size=BATCH, prefetch=3):
        assert batch["number"][0] == 0
        break
    gc.collect()
    assert threads() == []


def test_a_step_that_fails_leaves_no_thread(dataset):
    def train():
        for _ in dataset.to_torch(batch_size=BATCH):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    gc.collect()
    assert threads() == []


def test_an_exception_of_a_lens_comes_out_with_its_traceback(dataset):
    def refusing(item: Item) -> Number:
        if item.number == 6:
            raise LookupError("no sixes")
        return Number(item.number)

    loader = dataset.as_type(atdata.Lens(refusing)).to_torch(batch_size=BATCH)
    batches = iter(loader)
    assert next(batches)["number"].tolist() == [0, 1, 2, 3]
    with pytest.raises(LookupError, match="no sixes") as caught:
        next(batches)
    assert "refusing" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert threads() == []


def test_a_program_may_end_while_the_thread_is_in_torchs_code(dataset):
    code = """
import sys, torch, atdata
@atdata.packable
class Number:
    number: int
def busy(batch):
    square = torch.randn(700, 700)
    return sum((square @ square).sum() for _ in range(10))
batches = iter(atdata.Dataset[Number](sys.argv[1]).to_torch(batch_size=1, collate=busy, prefetch=40))
next(batches)
"""
    done = subprocess.run([sys.executable, "-c", code, dataset.url], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------- the position


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 13), st.integers(0, 5), st.sampled_from([{}, {"seed": 3}, {"seed": 3, "buffer_samples": 9}]))
def test_a_state_counts_what_was_handed_out(dataset, taken, prefetch, order):
    def loader(prefetch):
        return dataset.to_torch(batch_size=BATCH, shuffle=bool(order), prefetch=prefetch, **order)

    first = loader(prefetch)
    batches = iter(first)
    before = numbers(itertools.islice(batches, taken))
    state = json.loads(json.dumps(first.state_dict()))
    assert len(json.dumps(state)) < 1000
    again = loader(2)
    again.load_state_dict(state)
    assert before + numbers(again) == expected(dataset, **order)
    assert numbers(again) == expected(dataset, **order), "the pass behind it is whole"


def test_a_state_before_and_behind_a_pass(dataset):
    loader = dataset.to_torch(batch_size=BATCH, shuffle=True, seed=0)
    start = loader.state_dict()
    whole = numbers(loader)
    end = loader.state_dict()
    loader.load_state_dict(start)
    assert numbers(loader) == whole
    loader.load_state_dict(end)
    assert numbers(loader) == []


def test_a_position_survives_setting_its_own_epoch_and_no_other(dataset):
    loader = dataset.to_torch(batch_size=BATCH, shuffle=True, seed=0)
    loader.set_epoch(2)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    rest = numbers(batches)
    loader.load_state_dict(state)
    loader.set_epoch(2)
    assert numbers(loader) == rest
    loader.load_state_dict(state)
    loader.set_epoch(3)
    assert numbers(loader) == expected(dataset, seed=0, epoch=3)


def test_a_state_of_a_filtered_dataset_counts_what_was_handed_out(dataset):
    even = dataset.filter(lambda item: item.number % 2 == 0)

    def loader():
        return even.to_torch(batch_size=BATCH, shuffle=True, seed=0, prefetch=3)

    whole = numbers(loader())
    first = loader()
    batches = iter(first)
    before = [next(batches)["number"].tolist(), next(batches)["number"].tolist()]
    again = loader()
    again.load_state_dict(first.state_dict())
    assert before + numbers(again) == whole


# ------------------------------------------------------------------------------------- around it


def test_a_trainer_that_makes_a_loader_of_its_own_is_told(dataset):
    loader = dataset.to_torch(batch_size=BATCH, num_workers=2)
    with pytest.raises(RuntimeError, match="prepare"):
        next(iter(torch.utils.data.DataLoader(loader.dataset, batch_size=None)))


def test_a_prefetch_that_makes_no_sense_is_refused(dataset):
    with pytest.raises(ValueError, match="prefetch is -1"):
        dataset.to_torch(batch_size=BATCH, prefetch=-1)
    with pytest.raises(ValueError, match="prefetch is 0"):
        dataset.to_torch(batch_size=BATCH, prefetch=0, num_workers=2)


def test_without_torch_the_error_says_how_to_install_it(tmp_path):
    code = """
import sys
sys.modules["torch"] = None
import atdata
@atdata.packable
class Number:
    number: int
dataset = atdata.write_samples([Number(1)], sys.argv[1])
print([batch["number"].tolist() for batch in dataset.numpy_iter(batch_size=1)])
try:
    dataset.to_torch(batch_size=1)
except ImportError as error:
    print(type(error).__name__, error)
"""
    command = [sys.executable, "-c", code, tmp_path / "data.tar"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[[1]]",
        "BackendNotInstalled torch is not installed; run: pip install 'atdata-core[torch]'",
    ]
