"""Streams over real shards: shares of ranks and workers, positions, samples that cannot be read.

A random case is known by its number and the seed. ``ATDATA_FUZZ=50`` makes fifty times as many, under another seed each
time unless ``ATDATA_FUZZ_SEED`` says which.
"""

import contextlib
import io
import itertools
import json
import os
import pickle
import random
import secrets
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata import Dataset, world
from atdata.shard.manifest import read_manifest

FUZZ = int(os.environ.get("ATDATA_FUZZ", "1"))
SEED = os.environ.get("ATDATA_FUZZ_SEED") or ("0" if FUZZ == 1 else secrets.token_hex(4))


@atdata.packable
class Item:
    number: int
    vector: NDArray[np.float32]


def item(number):
    return Item(number=number, vector=np.full(3, number, np.float32))


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


class Elsewhere:
    """Shards that can only be read from front to back."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.opened = []

    def list_shards(self):
        return [path.name for path in sorted(self.folder.glob("*.tar"))]

    def open_shard(self, shard):
        self.opened.append(shard)
        return io.BytesIO((self.folder / shard).read_bytes())


def elsewhere(folder):
    """A dataset of such shards, whose manifest is known."""
    manifest = read_manifest(folder)
    return Dataset.of(Item, Elsewhere(folder), manifest.shards)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"), [5, 9, 1, 20, 3, 7])


COUNT = 45


@pytest.fixture(params=["local", "elsewhere"])
def dataset(request, folder):
    return Dataset[Item](f"{folder}/data-{{000..005}}.tar") if request.param == "local" else elsewhere(folder)


def worker(number, total):
    """This process as a worker of a DataLoader."""
    return mock.patch.object(world, "worker", lambda: world.Worker(number, total, 77) if total else None)


def numbers(found):
    """The numbers of samples, or those of each batch."""
    return [each.number for each in found]


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


def state_at(state):
    parsed = atdata.stream.State.of(state)
    return parsed.at


@contextlib.contextmanager
def told(case):
    try:
        yield
    except BaseException as error:
        error.add_note(f"This is case {case} with ATDATA_FUZZ_SEED={SEED}")
        raise
