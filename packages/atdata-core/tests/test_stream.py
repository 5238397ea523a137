"""Streams over real shards: shares of ranks and workers, positions, samples that cannot be read.

A random case is known by its number and the seed. ``ATDATA_FUZZ=50`` makes fifty times as many, under another seed each
time unless ``ATDATA_FUZZ_SEED`` says which.
"""

import contextlib
import itertools
import json
import os
import pickle
import random
import secrets
import warnings
from collections import Counter
from unittest import mock

import pytest
from numbered import Elsewhere, Item, elsewhere, item, numbers

import atdata
from atdata import Dataset, SampleSkipped, Skip
from atdata.errors import ShardCorrupted, ShardNotFound, StateMismatch
from atdata.feed import world
from atdata.feed.state import State
from atdata.manifest import read_manifest

FUZZ = int(os.environ.get("ATDATA_FUZZ", "1"))
SEED = os.environ.get("ATDATA_FUZZ_SEED") or ("0" if FUZZ == 1 else secrets.token_hex(4))


def write(folder, counts):
    """Shards of so many samples each, numbered through."""
    numbers = itertools.count()
    for shard, count in enumerate(counts):
        path = folder / f"data-{shard:03}.tar"
        if count:
            atdata.write_samples((item(next(numbers)) for _ in range(count)), path)
        else:
            path.write_bytes(bytes(1024))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"), [5, 9, 1, 20, 3, 7])


COUNT = 45


@pytest.fixture(params=["local", "elsewhere"])
def dataset(request, folder):
    return Dataset[Item](f"{folder}/data-{{000..005}}.tar") if request.param == "local" else elsewhere(folder)


def worker(number, total):
    """This process as a worker of a DataLoader."""
    return mock.patch.object(world, "worker", return_value=world.Worker(number, total, 77) if total else None)


def shares(dataset, how, ranks, workers, steps=None, states=None, done=0):
    """What each rank gets of the first steps from its loader, and the states that its workers end with."""
    found, ends = [], []
    for rank in range(ranks):
        streams = []
        for number in range(max(1, workers)):
            with worker(number, workers):
                stream = how(dataset, rank=rank, world_size=ranks)
                if states is not None:
                    stream.load_state_dict(states[rank][number])
                streams.append((stream, iter(stream)))
        got = []
        turns, stopped = itertools.islice(itertools.cycle(range(len(streams))), done % len(streams), None), set()
        while len(stopped) < len(streams) and (steps is None or len(got) < steps):
            number = next(turns)
            if number not in stopped:
                with worker(number, workers):
                    batch = next(streams[number][1], None)
                stopped |= {number} if batch is None else set()
                got += [] if batch is None else [batch.number]
        ends.append([])
        for number, (stream, _) in enumerate(streams):
            with worker(number, workers):
                ends[-1].append(json.loads(json.dumps(stream.state_dict())))
                assert len(json.dumps(ends[-1][-1])) < 1000
        found.append(got)
    return found, ends


def flat(found):
    return Counter(
        number for rank in found for batch in rank for number in (batch if isinstance(batch, list) else [batch])
    )


def making(rng):
    """A way to make a stream, with keywords for its share, and the same with another batch size."""
    size, policy = rng.choice((None, 1, 2, 4)), rng.choice(("uneven", "uneven", "drop_last", "pad"))
    buffers = {"buffer_shards": rng.choice((1, 2, 100)), "buffer_samples": rng.choice((1, 4, 10_000))}
    seed, epoch, initial = rng.randrange(5), rng.randrange(3), rng.choice((None, 1, 3))

    def made(dataset, batch_size=size, policy=policy, **share):
        if not buffers:
            return dataset.ordered(batch_size, policy=policy, **share)
        return dataset.shuffled(
            **buffers, batch_size=batch_size, seed=seed, epoch=epoch, initial=initial, policy=policy, **share
        )

    if rng.random() < 0.3:
        buffers.clear()
    return made, size, policy


def test_random_shares_stops_and_new_worlds(tmp_path_factory):
    """Every sample once, and equal steps; stopped anywhere and gone on with by other ranks and workers."""
    cases = 150 * FUZZ
    for case in range(cases):
        rng = random.Random(f"{SEED} {case}")
        if case % 30 == 0:
            counts = [rng.choice((1, 2, 5, rng.randrange(1, 30))) for _ in range(rng.randrange(1, 6))]
            place, count = write(tmp_path_factory.mktemp("fuzz"), counts), sum(counts)
        dataset = rng.choice((Dataset[Item](sorted(map(str, place.glob("*.tar")))), elsewhere(place)))
        if rng.random() < 0.3:
            dataset, count_now = dataset[rng.randrange(3) :: rng.choice((1, 2))], None
        else:
            count_now = count
        every = sorted(sample.number for sample in dataset)
        assert count_now in (None, len(every))
        how, size, policy = making(rng)
        ranks, workers = rng.choice((1, 1, 2, 3)), rng.choice((0, 0, 1, 2, 3))
        with told(case):
            whole, _ = shares(dataset, how, ranks, workers)
            check_whole(whole, every, ranks, policy)
            steps = rng.randrange(max(map(len, whole)) + 1)
            begun, states = shares(dataset, how, ranks, workers, steps)
            assert begun == [rank[:steps] for rank in whole]
            again, _ = shares(dataset, how, ranks, workers, None, states, steps)
            assert again == [rank[steps:] for rank in whole], "the same ranks and workers go on as if nothing happened"
            check_new_world(dataset, how, states, begun, every, rng, size)


def check_whole(found, every, ranks, policy):
    once = flat(found)
    if policy == "uneven":
        assert once == Counter(every)
        return
    assert len({len(rank) for rank in found}) == 1
    if policy == "pad":
        assert {*once} == {*every}
        assert sum(once.values()) - len(every) < ranks
    else:
        assert max(once.values(), default=1) == 1
        assert len(every) - sum(once.values()) < ranks


def check_new_world(dataset, how, states, begun, every, rng, size):
    """What is left is shared among other ranks and workers, with another batch size."""
    if len(states[0]) == 1 and states[0][0]["share"] is None:
        state = rng.choice(states)[0]
    else:  # as a StatefulDataLoader puts it
        state = {
            "_snapshot": {"_worker_snapshots": {f"worker_{n}": {"x": s} for n, s in enumerate(rng.choice(states))}}
        }
    batch = rng.choice((1, 3)) if size else None
    rest = []
    ranks, workers = rng.choice((1, 2, 4)), rng.choice((0, 2))
    for rank in range(ranks):
        for number in range(max(1, workers)):
            stream = how(dataset, batch_size=batch, policy="uneven", rank=rank, world_size=ranks)
            stream.load_state_dict(state)
            stream = pickle.loads(pickle.dumps(stream))
            with worker(number, workers):
                rest.append(numbers(stream))
    if state_at(state) < len(every):  # else what was left of the last step may have been padded or dropped
        assert flat(begun) + flat(rest) == Counter(every)
    else:
        assert not flat(rest)


def loader_state(states):
    """The states of a loader's workers as torchdata's ``StatefulDataLoader`` saves them, as far as that matters."""
    workers = {f"worker_{number}": {"dataset_state": state} for number, state in enumerate(states)}
    return {"_snapshot": {"_worker_snapshots": workers, "_snapshot_step": 3}, "_steps_since_snapshot": 0}


def state_at(state):
    return State.of(state).at


@contextlib.contextmanager
def told(case):
    try:
        yield
    except BaseException as error:
        error.add_note(f"This is case {case} with ATDATA_FUZZ_SEED={SEED}")
        raise


# ------------------------------------------------------------------------------------------------ epochs


def test_seed_and_epoch_decide_the_order_wherever_the_shards_lie(folder):
    local = Dataset[Item](f"{folder}/data-{{000..005}}.tar")
    for how in ({}, {"buffer_samples": 4}, {"buffer_shards": 2, "buffer_samples": 6, "initial": 2}):
        orders = [numbers(local.shuffled(seed=3, epoch=2, **how))]
        orders.append(numbers(local.shuffled(seed=3, **how).set_epoch(2)))
        orders.append(numbers(local[:].shuffled(seed=3, epoch=2, **how)))
        orders.append(numbers(elsewhere(folder).shuffled(seed=3, epoch=2, **how)))
        orders.append(numbers(elsewhere(folder)[:].shuffled(seed=3, epoch=2, **how)))
        orders.append(numbers(Dataset[Item](Elsewhere(folder)).shuffled(seed=3, epoch=2, **how)))
        orders.append([n for batch in local.shuffled(seed=3, epoch=2, batch_size=7, **how) for n in batch.number])
        assert all(order == orders[0] for order in orders)
        assert numbers(local.shuffled(seed=3, epoch=3, **how)) != orders[0]
        assert sorted(orders[0]) == list(range(COUNT))


def test_set_epoch_returns_the_stream_and_makes_the_next_pass_another(dataset):
    stream = dataset.shuffled(seed=1, batch_size=4)
    assert stream.set_epoch(5) is stream
    assert stream.epoch == 5
    fifth = numbers(stream)
    assert numbers(stream) == fifth != numbers(stream.set_epoch(6))
    assert numbers(stream.set_epoch(5)) == fifth
    with pytest.raises(TypeError):
        stream.set_epoch("6")


def test_a_buffer_as_large_as_the_dataset_makes_one_permutation_and_holds_nothing(folder):
    dataset = Dataset[Item](f"{folder}/data-{{000..005}}.tar")
    firsts = {next(iter(dataset.shuffled(seed=seed, buffer_samples=10**12))).number for seed in range(600)}
    assert len(firsts) == COUNT


def test_without_a_seed_workers_shuffle_alike_and_ranks_are_refused(dataset):
    found = []
    for number in range(2):
        with worker(number, 2):
            found += numbers(dataset.shuffled())
    assert sorted(found) == list(range(COUNT))
    with pytest.raises(ValueError, match="seed"):
        list(dataset.shuffled(rank=0, world_size=2))


def test_streams_tell_their_length(dataset):
    assert len(dataset.ordered()) == COUNT
    assert len(dataset.shuffled(batch_size=4)) == 12
    assert len(dataset.ordered(4, drop_last=True)) == 11
    assert [len(dataset.ordered(4, rank=rank, world_size=2)) for rank in range(2)] == [6, 6]
    assert len(dataset[:0].ordered()) == 0
    assert bool(dataset[:0].ordered())
    with pytest.raises(TypeError, match="filter"):
        len(dataset.filter(bool).ordered())
    with pytest.raises(TypeError, match="stages"):
        len(dataset.ordered().compose(iter))


def test_streams_and_loaders_say_what_they_are(dataset):
    assert repr(dataset.ordered()) == "SampleStream[Item](in order)"
    shuffled = dataset.shuffled(batch_size=4, seed=7).set_epoch(2)
    assert repr(shuffled) == "SampleStream[Item](shuffled, seed=7, epoch=2, batch_size=4)"
    assert repr(shuffled.compose(iter)) == f"{shuffled!r} and 1 more"
    assert repr(dataset.numpy_iter(4)) == "ArrayLoader(SampleStream[Item](in order, batch_size=4))"


# ------------------------------------------------------------------------------------------- who reads what


def test_rank_and_world_size_come_from_the_environment(dataset, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    one = numbers(dataset.ordered())
    assert one == numbers(dataset.ordered(rank=1, world_size=2))
    assert numbers(dataset.ordered(rank=0, world_size=1)) == list(range(COUNT))
    assert numbers(dataset) == numbers(dataset.ordered(rank=0, world_size=1))
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(ValueError, match="RANK=2"):
        list(dataset.ordered())
    monkeypatch.setenv("RANK", "many")
    with pytest.raises(ValueError, match="RANK=many"):
        list(dataset.ordered())
    monkeypatch.delenv("RANK")
    assert len(list(dataset.ordered())) == COUNT


@pytest.mark.parametrize(
    ("share", "error"),
    [
        ({"rank": 0}, "go together"),
        ({"world_size": 2}, "go together"),
        ({"rank": 2, "world_size": 2}, "rank is 2"),
        ({"rank": -1, "world_size": 2}, "rank is -1"),
        ({"policy": "even"}, "'uneven', 'drop_last', 'pad'"),
        ({"on_error": "ignore"}, "atdata.Skip"),
    ],
)
def test_shares_that_make_no_sense_are_refused_at_once(dataset, share, error):
    for make in (dataset.ordered, dataset.shuffled):
        with pytest.raises(ValueError, match=error):
            make(**share)


def test_unknown_keywords_are_refused_with_those_there_are(dataset):
    with pytest.raises(TypeError, match=r"'ranks'.*world_size"):
        dataset.ordered(ranks=3)


def test_more_ranks_than_samples_are_no_error(dataset):
    for policy, sizes in (("uneven", {0, 1}), ("drop_last", {0}), ("pad", {1})):
        few = dataset[:2]
        found = [numbers(few.ordered(rank=rank, world_size=7, policy=policy)) for rank in range(7)]
        assert {len(rank) for rank in found} == sizes
    assert numbers(dataset[:0].ordered(rank=3, world_size=7, policy="pad")) == []


def test_of_shards_elsewhere_each_worker_opens_its_own(folder):
    opened = []
    for rank in range(3):
        dataset = elsewhere(folder)
        numbers(dataset.ordered(rank=rank, world_size=3))
        opened.append(dataset.source.opened)
    assert max(map(len, opened)) <= 4
    assert sum(map(len, opened)) <= 6 + 2 + 1  # those in two parts are opened twice; one holds the rest


def test_shards_of_unknown_size_are_shared_whole(folder):
    dataset = Dataset[Item](Elsewhere(folder))
    found = [numbers(dataset.ordered(4, rank=rank, world_size=2)) for rank in range(2)]
    assert flat(found) == Counter(range(COUNT))
    with worker(1, 2):
        assert numbers(dataset.ordered()) == [
            n for n in range(COUNT) if n in {*range(5, 14), *range(15, 35), *range(38, 45)}
        ]
    for policy in ("drop_last", "pad"):
        with pytest.raises(TypeError, match="manifest"):
            list(dataset.ordered(rank=0, world_size=2, policy=policy))
    for ask in (len, lambda ds: ds[3], lambda ds: len(ds.ordered()), lambda ds: ds.ordered().state_dict()):
        with pytest.raises(TypeError, match="manifest"):
            ask(dataset)
    with pytest.raises(TypeError, match="manifest"):
        list(dataset[:3])


# ---------------------------------------------------------------------------------------------- positions


def test_a_position_is_small_and_json_and_costs_no_reading(folder):
    dataset = elsewhere(folder)
    stream = dataset.ordered(2)
    found = iter(stream)
    first = [next(found).number for _ in range(19)]
    state = json.loads(json.dumps(stream.state_dict()))
    assert stream.state_dict() == state
    assert len(json.dumps(state)) < 300
    other = elsewhere(folder)
    again = other.ordered(2)
    again.load_state_dict(state)
    assert again.state_dict() == state
    assert other.source.opened == []
    assert first + numbers(again) == numbers(stream)
    assert other.source.opened == ["data-005.tar"]
    assert numbers(again) == numbers(stream), "the pass behind it starts from the beginning"


def test_single_samples_are_counted_though_nothing_runs_for_each(dataset):
    for stream in (dataset.ordered(), dataset.shuffled(seed=1, buffer_samples=7), dataset.map(lambda s: s).ordered()):
        whole, found = numbers(stream), iter(stream)
        for place in range(COUNT):
            assert stream.state_dict()["at"] == place
            assert next(found).number == whole[place]
        assert stream.state_dict()["at"] == COUNT
        assert next(found, None) is None
        assert stream.state_dict()["at"] == COUNT


def test_a_position_without_a_seed_keeps_the_order_it_was_in(dataset):
    stream = dataset.shuffled(batch_size=4)
    found = iter(stream)
    first = [next(found).number for _ in range(3)]
    again = dataset.shuffled(batch_size=4)
    again.load_state_dict(stream.state_dict())
    rest = numbers(again)
    assert rest == numbers(found)
    assert flat([first, rest]) == Counter(range(COUNT))


def test_another_epoch_forgets_the_position_and_the_same_keeps_it(dataset):
    stream = dataset.shuffled(seed=0, batch_size=4, epoch=3)
    found = iter(stream)
    next(found)
    state = stream.state_dict()
    again = dataset.shuffled(seed=0, batch_size=4)
    again.load_state_dict(state)
    assert again.epoch == 3
    assert numbers(again.set_epoch(3)) == numbers(found)
    again.load_state_dict(state)
    assert len(numbers(again.set_epoch(4))) == 12


def test_a_position_survives_pickling_and_composing(dataset):
    stream = dataset.ordered(4)
    found = iter(stream)
    next(found)
    again = dataset.ordered(4)
    again.load_state_dict(stream.state_dict())
    composed = again.compose(lambda batches: (batch.number for batch in batches))
    rest = numbers(found)
    assert list(pickle.loads(pickle.dumps(again)).compose(lambda batches: (b.number for b in batches))) == rest
    part = iter(composed)
    next(part)
    assert composed.state_dict()["at"] == 8
    assert again.state_dict()["at"] == 4
    assert numbers(again) == rest


def test_positions_of_others_are_refused_with_the_reason(dataset, folder, tmp_path):
    stream = dataset.shuffled(seed=1, batch_size=4)
    next(iter(stream))
    state = stream.state_dict()
    other = Dataset[Item](str(write(tmp_path, [45]) / "data-000.tar"))
    for wrong, reason in [
        (other.shuffled(seed=1, batch_size=4), "another dataset: 45 samples"),
        (dataset[1:].shuffled(seed=1, batch_size=4), "this one has 44"),
        (dataset[::-1].shuffled(seed=1, batch_size=4), "another dataset"),
        (dataset.shuffled(seed=2, batch_size=4), r"seed=1.*this stream is.*seed=2"),
        (dataset.shuffled(buffer_samples=9, seed=1, batch_size=4), "buffer_samples=9"),
        (dataset.ordered(4), "this stream is in order"),
    ]:
        with pytest.raises(StateMismatch, match=reason):
            wrong.load_state_dict(state)
        assert len(numbers(wrong)) > 10, "it goes on as if nothing had been asked"
    assert numbers(dataset.shuffled(batch_size=4)), "a stream without a seed takes that of the state"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        None,
        {"format": "atdata-stream"},
        {"format": "atdata-stream", "version": 2},
        {"format": "atdata-stream", "version": 1},
        {"_snapshot": {"_worker_snapshots": {"worker_0": {"dataset_state": None}}}},
    ],
)
def test_what_is_no_position_is_refused(dataset, wrong):
    with pytest.raises(StateMismatch):
        dataset.ordered().load_state_dict(wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"at": -1},
        {"at": "3"},
        {"at": None},
        {"at": 10**6},
        {"lanes": [0, 1]},
        {"lanes": [1]},
        {"lanes": [1, 1, 1]},
        {"lanes": [10**30, 1]},
        {"lanes": 3},
        {"share": [1, 4]},
        {"share": []},
        {"shuffle": [1, 2]},
        {"shuffle": []},
        {"done": True},
        {"shuffle": 3},
        {"epoch": 0.5},
    ],
)
def test_damaged_positions_are_refused(dataset, change):
    state = dataset.ordered().state_dict()
    dataset.ordered().load_state_dict(state)
    with pytest.raises(StateMismatch):
        dataset.ordered().load_state_dict({**state, **change})


def test_a_workers_position_is_for_that_worker_and_that_of_all_for_everybody(dataset):
    states = []
    for number in range(2):
        with worker(number, 2):
            stream = dataset.ordered(4)
            found = iter(stream)
            next(found)
            states.append(stream.state_dict())
    stream = dataset.ordered(4)
    with worker(0, 2), pytest.raises(StateMismatch, match="worker 1 of 2"):
        stream.load_state_dict(states[1])
    with pytest.raises(StateMismatch, match=r"stream.load_state_dict\(loader.state_dict\(\)\)"):
        stream.load_state_dict(states[0])
    stream.load_state_dict(loader_state(states))
    begun = {n for number in range(2) for n in first_batch(dataset, number)}
    assert flat([numbers(stream)]) == Counter(set(range(COUNT)) - begun)
    with pytest.raises(StateMismatch, match="not at one place"):
        stream.load_state_dict(loader_state([states[0], {**states[1], "done": 12}]))
    with pytest.raises(StateMismatch, match="not at one place"):
        stream.load_state_dict(loader_state([states[0], states[0]]))


def first_batch(dataset, number):
    with worker(number, 2):
        return next(iter(dataset.ordered(4))).number


def test_the_main_process_knows_where_its_loader_is(dataset):
    for workers in (0, 2):
        stream = dataset.shuffled(seed=0, batch_size=4)
        whole = []
        parts = []
        for number in range(max(1, workers)):
            with worker(number, workers):
                parts.append(numbers(pickle.loads(pickle.dumps(stream))))
        for turn in itertools.zip_longest(*parts):
            whole += [batch for batch in turn if batch is not None]
        state = stream.state_after(5, workers)
        stream.load_state_dict(state)
        assert flat([whole[:5], numbers(stream)]) == Counter(range(COUNT))
        stream.load_state_dict(state)
        assert stream.state_after(2, workers)["at"] == 28


# --------------------------------------------------------------------------------- what cannot be read


@pytest.fixture
def damaged(tmp_path):
    """Five shards of ten samples: in the second a sample that is no msgpack, the fourth is gone."""
    write(tmp_path, [10] * 5)
    path = tmp_path / "data-001.tar"
    data = bytearray(path.read_bytes())
    place = data.index(b"vector")
    data[place - 2] = 0xC1  # what msgpack never has, where the map begins
    path.write_bytes(data)
    (tmp_path / "data-003.tar").unlink()
    return Dataset[Item]([str(tmp_path / f"data-{shard:03}.tar") for shard in range(5)])


LOST = {10, *range(30, 40)}


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_what_cannot_be_read_is_left_out_and_told(damaged, batch_size, shuffle):
    options = {"batch_size": batch_size, "on_error": "skip"}
    stream = damaged.shuffled(seed=0, **options) if shuffle else damaged.ordered(**options)
    with pytest.warns(SampleSkipped) as told:
        found = flat([numbers(stream)])
    assert found == Counter(set(range(50)) - LOST)
    assert len(stream.skipped) == len(told) == 11
    (bad,) = (skipped for skipped in stream.skipped if "msgpack" in skipped.reason)
    assert bad.shard.endswith("data-001.tar")
    assert bad.key is not None
    assert bad.offset == 0
    assert bad.reason.startswith("SampleDecodeError: ")
    assert sum("ShardNotFound" in skipped.reason for skipped in stream.skipped) == 10


def test_by_default_it_is_an_error(damaged):
    for stream in (damaged.ordered(), damaged.shuffled(seed=0), damaged.ordered(4, rank=0, world_size=2)):
        with pytest.raises((ShardNotFound, ValueError)):
            flat([numbers(stream)])


def test_no_more_is_left_out_than_allowed(damaged):
    for allowed in (Skip(total=10), Skip(consecutive=9)):
        with pytest.warns(SampleSkipped), pytest.raises(ShardNotFound) as caught:
            numbers(damaged.ordered(on_error=allowed))
        assert "were skipped before this one" in caught.value.__notes__[0]
    with pytest.warns(SampleSkipped):
        assert len(numbers(damaged.ordered(on_error=Skip(total=11, consecutive=10)))) == 39


def test_good_samples_end_a_row_of_bad_ones(tmp_path):
    dataset = Dataset[Item](str(write(tmp_path, [40]) / "data-000.tar"))
    broken = dataset.map(fails_on_even)
    with pytest.warns(SampleSkipped):
        assert numbers(broken.ordered(on_error=Skip(consecutive=1))) == list(range(1, 40, 2))
    with pytest.warns(SampleSkipped), pytest.raises(ZeroDivisionError):
        numbers(broken.ordered(on_error=Skip(total=5)))
    with pytest.warns(SampleSkipped):
        assert next(iter(broken.ordered(8, on_error="skip"))).number == [1, 3, 5, 7]


def fails_on_even(sample: Item) -> Item:
    return item(sample.number + 0 // (sample.number % 2))


@pytest.mark.parametrize("policy", ["drop_last", "pad"])
def test_ranks_stay_in_step_though_samples_are_lost(damaged, policy):
    found = []
    for rank in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SampleSkipped)
            stream = damaged.shuffled(batch_size=3, seed=0, rank=rank, world_size=2, policy=policy, on_error="skip")
            found.append(numbers(stream))
            found[-1] += numbers(
                damaged.map(item_of).ordered(3, rank=rank, world_size=2, policy=policy, on_error="skip")
            )
    assert [len(batch) for batch in found[0]] == [len(batch) for batch in found[1]]
    assert {*flat(found)} == set(range(50)) - LOST


def item_of(sample: Item) -> Item:
    return item(sample.number)


def test_positions_count_what_was_left_out(damaged):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SampleSkipped)
        for make in (lambda: damaged.ordered(on_error="skip"), lambda: damaged.shuffled(7, 9, seed=2, on_error="skip")):
            for size in (None, 4):
                whole = numbers(make())
                for stop in (0, 3, 9, 10, 11, 25, len(whole)):
                    if size is None:
                        stream = make()
                        found = iter(stream)
                        first = [next(found).number for _ in range(stop)]
                        again = make()
                        again.load_state_dict(stream.state_dict())
                        assert first + numbers(again) == whole


@pytest.mark.parametrize("manifest", [True, False])
def test_local_shards_that_break_off_are_left_out_from_there(tmp_path, manifest):
    write(tmp_path, [10, 10, 10])
    path = tmp_path / "data-001.tar"
    path.write_bytes(path.read_bytes()[:5_000])
    path.with_name("data-001.tar.index").unlink()
    if not manifest:
        (tmp_path / "manifest.json").unlink()
    dataset = Dataset[Item]([str(tmp_path / f"data-{shard:03}.tar") for shard in range(3)])
    for stream in (dataset.ordered(on_error="skip"), dataset.shuffled(seed=1, on_error="skip")):
        with pytest.warns(SampleSkipped, match="truncated"):
            found = sorted(numbers(stream))
        assert found == [*range(10), *range(10, found[-11] + 1), *range(20, 30)]
        assert 20 < len(found) < 30
        assert len(stream.skipped) == (30 - len(found) if manifest else 1)


def test_shards_elsewhere_that_break_off_are_left_out_from_there(tmp_path):
    write(tmp_path, [10, 10, 10])
    manifest = read_manifest(tmp_path)
    path = tmp_path / "data-001.tar"
    path.write_bytes(path.read_bytes()[:5_000])
    for dataset in (Dataset[Item](Elsewhere(tmp_path)), Dataset.of(Item, Elsewhere(tmp_path), manifest.shards)):
        with pytest.raises(ShardCorrupted):
            numbers(dataset.ordered())
        with pytest.warns(SampleSkipped):
            found = numbers(dataset.ordered(on_error="skip"))
        assert found[:10] == list(range(10))
        assert found[-10:] == list(range(20, 30))
        assert 20 < len(found) < 30


# -------------------------------------------------------------------------------- torch, where it is installed


def test_torch_workers_read_every_sample_once_in_the_order_of_one(folder):
    data = pytest.importorskip("torch.utils.data", reason="torch is not installed; nox -s torch installs it")
    dataset = Dataset[Item](f"{folder}/data-{{000..005}}.tar")
    stream = dataset.shuffled(seed=0, batch_size=4)
    loader = data.DataLoader(stream, batch_size=None, num_workers=2)
    assert len(loader) == 12
    whole = numbers(stream)
    assert numbers(loader) == whole
    stream.load_state_dict(stream.state_after(5, 2))
    assert numbers(loader) == whole[5:]


@pytest.mark.filterwarnings("ignore:'set_vital'")  # torchdata calls what torch has dropped
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stateful_loader_goes_on_with_as_many_workers_or_others(folder, workers):
    stateful = pytest.importorskip(
        "torchdata.stateful_dataloader", reason="torchdata is not installed; nox -s torch installs it"
    )
    dataset = Dataset[Item](f"{folder}/data-{{000..005}}.tar")

    def loader(workers, state=None):
        stream = dataset.shuffled(seed=0, batch_size=4)
        if state is not None:
            stream.load_state_dict(state)
        return stateful.StatefulDataLoader(stream, batch_size=None, num_workers=workers)

    whole = numbers(loader(0))
    first = loader(workers)
    found = iter(first)
    begun = [next(found).number for _ in range(5)]
    state = first.state_dict()
    assert begun == whole[:5]
    again = loader(workers)
    again.load_state_dict(state)
    assert numbers(again) == whole[5:]
    for others in (0, 1):
        assert numbers(loader(others, state)) == whole[5:]
