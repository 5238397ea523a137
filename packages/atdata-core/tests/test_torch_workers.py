"""The loader of tensors with workers: forked and spawned, persistent, killed, interrupted."""

import copy
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numbered import BATCH, COUNT, Item, Number, many_items

import atdata

torch = pytest.importorskip("torch", reason="torch is not installed; nox -s torch installs it")

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than there are cores
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="sends signals and looks into /dev/shm")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return many_items(tmp_path_factory.mktemp("items"))


@pytest.fixture(autouse=True)
def nothing_is_left():
    children, memory = multiprocessing.active_children(), shared_memory()
    yield
    assert {*multiprocessing.active_children()} <= {*children}
    assert shared_memory() <= memory


def shared_memory():
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir() if path.name.startswith("torch_")} if folder.exists() else set()


def numbers(batches):
    return [batch["number"].tolist() for batch in batches]


@pytest.fixture(scope="module")
def whole(dataset):
    return numbers(dataset.to_torch(batch_size=BATCH, shuffle=True, seed=0))


def loader_of(dataset, workers, **options):
    return dataset.to_torch(batch_size=BATCH, shuffle=True, seed=0, num_workers=workers, **options)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_batches_and_their_order_are_the_same_with_any_number_of_workers(dataset, whole, workers):
    loader = loader_of(dataset, workers)
    assert numbers(loader) == whole
    assert len(loader) == len(whole)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """24 samples of 400 kB to 2.4 MB."""
    items = (Item(number, np.full(100_000 * (1 + number % 6), number, np.float32)) for number in range(24))
    return atdata.write_samples(items, tmp_path_factory.mktemp("large") / "data.tar")


def values(tensors):
    return [np.unique(tensor).tolist() for tensor in tensors]


def test_large_batches_keep_their_values_for_as_long_as_they_are_kept(large):
    batches = [batch["vector"] for batch in large.to_torch(batch_size=1, num_workers=1)]
    parts = [batch["vector"][0, 7:].numpy() for batch in large.to_torch(batch_size=1, num_workers=2)]
    assert values(batches) == values(parts) == [[number] for number in range(24)]


def test_memory_of_batches_that_are_gone_is_used_again(large):
    loader = large.select([0] * 24).to_torch(batch_size=1, num_workers=1, prefetch=1)
    assert len({batch["vector"].data_ptr() for batch in loader}) <= 5


@pytest.mark.parametrize("persistent", [False, True])
def test_a_pass_that_was_left_does_not_disturb_the_next(large, persistent):
    loader = large.to_torch(batch_size=1, num_workers=2, persistent_workers=persistent)
    kept = next(iter(loader))["vector"]
    assert values(batch["vector"] for batch in loader) == [[number] for number in range(24)]
    assert values([kept]) == [[0]]
    del loader


def test_a_copy_of_a_loader_learns_of_epochs_and_positions(dataset, whole):
    loader = copy.deepcopy(loader_of(dataset, 2, persistent_workers=True))
    second = [batch.number for batch in dataset.shuffled(batch_size=BATCH, seed=0, epoch=1)]
    assert numbers(loader) == whole
    loader.set_epoch(1)
    assert numbers(loader) == second
    del loader


def test_two_passes_at_a_time_do_not_disturb_each_other(large):
    loader = large.to_torch(batch_size=1, num_workers=1)
    passes = zip(loader, loader, strict=True)
    assert [values((one["vector"], two["vector"])) for one, two in passes] == [[[number]] * 2 for number in range(24)]


def test_persistent_workers_learn_of_epochs_and_positions(dataset, whole):
    loader = loader_of(dataset, 2, persistent_workers=True)
    second = [batch.number for batch in dataset.shuffled(batch_size=BATCH, seed=0, epoch=1)]
    assert numbers(loader) == whole
    loader.set_epoch(1)
    assert numbers(loader) == second
    loader.set_epoch(0)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    next(batches)
    loader.load_state_dict(state)
    assert numbers(loader) == whole[1:]
    assert numbers(loader) == whole
    del loader, batches


SPAWNING = """
import json, sys
import atdata

@atdata.packable
class Number:
    number: int

def main(shards):
    loader = atdata.Dataset[Number](shards).to_torch(
        batch_size=4, shuffle=True, seed=0, num_workers=2, multiprocessing_context="spawn", persistent_workers=True
    )
    for epoch in range(2):
        loader.set_epoch(epoch)
        print(json.dumps([batch["number"].tolist() for batch in loader]))

if __name__ == "__main__":
    main(sys.argv[1])
"""


def test_workers_can_be_spawned(dataset, whole, tmp_path):
    (tmp_path / "train.py").write_text(SPAWNING)
    command = [sys.executable, tmp_path / "train.py", dataset.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == whole
    assert second == [batch.number for batch in dataset.shuffled(batch_size=BATCH, seed=0, epoch=1)]


def test_an_order_without_a_seed_is_one_order_for_all_workers(dataset):
    loader = dataset.to_torch(batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    passes = [numbers(loader) for _ in range(2)]
    assert passes[0] != passes[1]
    for batches in passes:
        assert sorted(itertools.chain.from_iterable(batches)) == list(range(COUNT))
    del loader


@pytest.mark.parametrize(("before", "after", "taken"), [(0, 2, 5), (2, 0, 1), (2, 3, 6), (3, 1, 13), (1, 2, 0)])
def test_a_state_is_exact_and_fits_any_number_of_workers(dataset, whole, before, after, taken):
    first = loader_of(dataset, before)
    batches = iter(first)
    assert numbers(itertools.islice(batches, taken)) == whole[:taken]
    state = json.loads(json.dumps(first.state_dict()))
    assert len(json.dumps(state)) < 1000
    del batches
    again = loader_of(dataset, after)
    again.load_state_dict(state)
    assert numbers(again) == whole[taken:]


def test_an_order_without_a_seed_is_resumed(dataset):
    loader = dataset.to_torch(batch_size=BATCH, shuffle=True, num_workers=2)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    rest = numbers(batches)
    again = dataset.to_torch(batch_size=BATCH, shuffle=True)
    again.load_state_dict(state)
    assert numbers(again) == rest


def pairs(batch):
    return torch.tensor(batch.number), len(batch)


def test_collate_runs_in_the_workers(dataset):
    first = next(iter(dataset.to_torch(batch_size=BATCH, num_workers=1, collate=pairs)))
    assert (first[0].tolist(), first[1]) == ([0, 1, 2, 3], 4)


def even(item):
    return item.number % 2 == 0


def test_a_filter_with_workers_loses_nothing_and_says_that_it_knows_no_position(dataset):
    loader = dataset.filter(even).to_torch(batch_size=BATCH, num_workers=2)
    assert sorted(itertools.chain.from_iterable(numbers(loader))) == list(range(0, COUNT, 2))
    with pytest.raises(TypeError, match="StatefulDataLoader"):
        loader.state_dict()


@pytest.mark.filterwarnings("ignore::atdata.SampleSkipped")
def test_samples_that_workers_skip_are_told(tmp_path):
    dataset = atdata.write_samples([Item(n, np.zeros(3, np.float32)) for n in range(12)], tmp_path / "data.tar")
    path = tmp_path / "data.tar"
    data = bytearray(path.read_bytes())
    place = data.find(b"\x93NUMPY", data.find(b"\x93NUMPY") + 1)
    data[place : place + 6] = b"broken"
    path.write_bytes(data)
    loader = dataset.to_torch(batch_size=BATCH, num_workers=2, on_error="skip")
    assert numbers(loader) == [[0, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    (skipped,) = loader.skipped
    assert skipped.shard == str(path)
    assert skipped.key
    assert "not an array" in skipped.reason


# ------------------------------------------------------------------------------------- faults


def refusing(item: Item) -> Number:
    if item.number == 6:
        raise LookupError("no sixes")
    return Number(item.number)


def test_an_exception_in_a_worker_comes_out_and_ends_all(dataset):
    loader = dataset.as_type(atdata.Lens(refusing)).to_torch(batch_size=BATCH, num_workers=2)
    with pytest.raises(LookupError, match="no sixes") as caught:
        numbers(loader)
    assert "in refusing" in str(caught.value)
    caught.value.__traceback__ = None  # which holds the loop, and that the workers


def dying(item: Item) -> Number:
    if item.number == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return Number(item.number)


@needs_posix
@pytest.mark.parametrize("persistent", [False, True])
def test_a_worker_that_dies_ends_the_pass_with_an_error_and_leaves_nothing(dataset, persistent):
    loader = dataset.as_type(atdata.Lens(dying)).to_torch(
        batch_size=BATCH, num_workers=2, persistent_workers=persistent
    )
    with pytest.raises(RuntimeError, match="worker") as caught:
        numbers(loader)
    caught.value.__traceback__ = None
    del loader


@needs_posix
def test_leaving_a_loop_ends_the_workers(dataset):
    for batch in loader_of(dataset, 2):
        assert len(multiprocessing.active_children()) == 2
        assert len(batch["number"]) == BATCH
        break


SCRIPT = """
    import itertools, multiprocessing, os, signal, sys
    import atdata

    @atdata.packable
    class Number:
        number: int

    def main():
        # what is started in the background ignores it
        signal.signal(signal.SIGINT, signal.default_int_handler)
        dataset = atdata.Dataset[Number](sys.argv[1])
        loader = dataset.to_torch(batch_size=1, shuffle=True, seed=0, num_workers=int(sys.argv[2]))
        for epoch in itertools.count():
            loader.set_epoch(epoch)
            for batch in loader:
                if not epoch and not batch["number"].item():
                    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

    if __name__ == "__main__":
        main()
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@needs_posix
@pytest.mark.parametrize(
    ("how", "workers"), [(signal.SIGINT, 0), (signal.SIGINT, 2), (signal.SIGTERM, 2), (signal.SIGKILL, 2)]
)
def test_a_training_that_is_interrupted_leaves_no_process_and_no_file(tmp_path, workers, how):
    atdata.write_samples(map(Number, range(20)), tmp_path / "data.tar")
    files = sorted(tmp_path.rglob("*"))
    memory = shared_memory()
    script = textwrap.dedent(SCRIPT)
    command = [sys.executable, "-c", script, tmp_path / "data.tar", str(workers)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        pids = [*map(int, run.stdout.readline().split())]
        assert len(pids) == workers
        run.send_signal(how)
        try:
            run.communicate(timeout=60)
        finally:
            run.kill()  # else leaving this block would wait for ever
    assert run.returncode != 0
    for _ in range(600):  # workers look every few seconds whether the main process is there
        if not any(map(alive, pids)):
            break
        signal.sigtimedwait([], 0.05)
    assert not any(map(alive, pids))
    assert sorted(tmp_path.rglob("*")) == files
    assert shared_memory() <= memory
