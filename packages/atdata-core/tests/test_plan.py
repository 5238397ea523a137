"""Orders, plans and positions as pure functions, over random sizes, ranks, workers, policies and stops.

A case is known by its number and the seed. ``ATDATA_FUZZ=50`` makes fifty times as many, under another seed each time
unless ``ATDATA_FUZZ_SEED`` says which.
"""

import itertools
import math
import os
import random
import secrets
from collections import Counter

import numpy as np
import pytest

from atdata.feed.order import Permutation, Picks, Shuffle, mixed
from atdata.feed.plan import Lanes, Plan
from atdata.feed.rows import Between, Chosen, joined, numbers, runs, shares, woven

FUZZ = int(os.environ.get("ATDATA_FUZZ", "1"))
SEED = os.environ.get("ATDATA_FUZZ_SEED") or ("0" if FUZZ == 1 else secrets.token_hex(4))
CASES = 4000 * FUZZ


def cases(name, count=CASES):
    for number in range(count):
        yield number, random.Random(f"{name} {SEED} {number}")


# ------------------------------------------------------------------------------------------------ orders


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 9, 10, 16, 17, 97, 1000, 8193, 100_003])
def test_a_permutation_has_every_number_once(size):
    order = Permutation(size, [1, 2])
    assert sorted(order) == list(range(size))
    assert list(order) == order(np.arange(size)).tolist()


def test_a_permutation_of_many_numbers_computes_any_of_them():
    order = Permutation(2**50 + 3, [4])
    places = np.array([0, 1, 2**50 + 2, 2**33])
    assert len({*order(places).tolist()}) == 4
    assert (order(places) < 2**50 + 3).all()
    assert order(places)[1] == order(np.array([1]))[0]


@pytest.mark.parametrize("size", [3, 4])
def test_all_permutations_of_a_few_turn_up_about_equally_often(size):
    count = 250 * math.factorial(size)
    found = Counter(tuple(Permutation(size, [7, key])) for key in range(count))
    assert len(found) == math.factorial(size)
    assert min(found.values()) > 180
    assert max(found.values()) < 330


def test_every_place_gets_every_number_about_equally_often_and_neighbours_are_strangers():
    size, count = 40, 4000
    at, follows = np.zeros((size, size)), np.zeros((size, size))
    for key in range(count):
        order = Permutation(size, [3, key])(np.arange(size))
        at[np.arange(size), order] += 1
        follows[order[:-1], order[1:]] += 1
    expected = count / size
    assert ((at - expected) ** 2 / expected).sum() / (size - 1) ** 2 < 1.15
    pairs = follows[~np.eye(size, dtype=bool)]
    assert ((pairs - expected) ** 2 / expected).sum() / (len(pairs) - 1) < 1.15


def test_orders_are_the_same_in_every_version():
    assert list(Permutation(10, [1, 2])) == PERMUTATION
    shuffle = Shuffle(100, 5, 2, 3, 1)
    assert shuffle.inside(np.arange(20), 20).tolist() == WINDOWS
    assert list(mixed(range(8), 3, Picks(1, 2))) == SHARDS


PERMUTATION = [9, 0, 2, 4, 6, 5, 7, 3, 8, 1]
WINDOWS = [1, 0, 3, 4, 2, 5, 8, 9, 10, 7, 6, 14, 12, 13, 11, 15, 17, 16, 18, 19]
SHARDS = [1, 0, 2, 3, 4, 5, 7, 6]


def test_windows_cover_a_sequence_once_wherever_they_end():
    for number, rng in cases("windows", 300):
        length, size = rng.randrange(1, 400), rng.choice((1, 2, 7, 50, 1000))
        shuffle = Shuffle(3, size, rng.randrange(1, 2 * size), rng.randrange(-9, 9), number)
        found = shuffle.inside(np.arange(length), length, lane=rng.randrange(3))
        assert sorted(found.tolist()) == list(range(length))
        some = np.array(sorted(rng.sample(range(length), min(length, 5))))
        start = 0
        for window, size in enumerate(shuffle.windows()):
            assert shuffle.window(start) == (window, start, start + size)
            assert sorted(found[start : start + size].tolist()) == [*range(start, min(length, start + size))]
            start += size
            if start >= length:
                break
        assert len(some)


def test_windows_double_from_initial_on():
    assert [*itertools.islice(Shuffle(1, 10, 3, 0, 0).windows(), 3)] == [3, 6, 10]
    assert {next(itertools.islice(Shuffle(1, 10, 10, 0, epoch).windows(), 1, 2)) for epoch in range(200)} == {
        *range(1, 11)
    }


def test_how_far_a_sample_moves():
    """The figures of docs/training.md."""
    count = 100_000
    at_hand = Shuffle(100, 10_000, 10_000, 0, 0).inside(np.arange(count), count)
    moved = np.abs(at_hand - np.arange(count))
    assert 3_000 < moved.mean() < 3_700
    assert moved.max() < 10_000
    everything = Shuffle(100, count, count, 0, 0).inside(np.arange(count), count)
    assert 0.32 < np.abs(everything - np.arange(count)).mean() / count < 0.35


# ------------------------------------------------------------------------------------------------- plans


def random_plan(rng):
    stop = rng.choice((0, 1, 2, 5, 17, 64, rng.randrange(300)))
    start = rng.randrange(stop + 1)
    return Plan(
        start,
        stop,
        rng.choice((1, 1, 2, 3, 8)),
        rng.choice((1, 1, 2, 4, 7)),
        rng.choice(("uneven", "drop_last", "pad")),
        rng.random() < 0.2,
    )


def dealt(plan, rank, workers=1):
    """The places of each worker's batches."""
    for worker in range(workers):
        places, sizes = plan.places(rank, range(plan.steps(rank))[worker::workers])
        yield np.split(places, np.cumsum(sizes)[:-1]) if len(sizes) else []


def test_all_ranks_and_workers_together_read_every_place_once():
    for _, rng in cases("once"):
        plan, workers = random_plan(rng), rng.randrange(1, 5)
        ranks = [[batch for part in dealt(plan, rank, workers) for batch in part] for rank in range(plan.world_size)]
        found = Counter(place for rank in ranks for batch in rank for place in batch.tolist())
        wanted = range(plan.start, plan.stop)
        steps = {len(rank) for rank in ranks}
        assert all(0 < len(batch) <= plan.batch for rank in ranks for batch in rank)
        if plan.policy == "uneven":
            assert max(found.values(), default=1) == 1
            assert plan.full or set(found) == {*wanted}
            assert max(steps) - min(steps) <= 1
            sizes = [sum(map(len, rank)) for rank in ranks]
            assert plan.full or max(sizes) - min(sizes) <= 1
        else:
            assert len(steps) == 1
            assert all(len({len(batch) for batch in step}) == 1 for step in zip(*map(in_steps, ranks), strict=True))
            total = sum(found.values())
            if plan.policy == "drop_last" and not plan.full:
                assert max(found.values(), default=1) == 1
                assert 0 <= len(wanted) - total < plan.world_size
            elif plan.policy == "pad" and not plan.full:
                assert {*wanted} <= {*found}
                assert 0 <= total - len(wanted) < max(1, plan.world_size)
        if plan.full:
            assert all(len(batch) == plan.batch for rank in ranks for batch in rank)
            assert sum(found.values()) > len(wanted) - plan.batch * plan.world_size


def in_steps(batches):
    return sorted(batches, key=len, reverse=True)


def test_workers_take_turns_in_the_order_of_the_epoch():
    for _, rng in cases("turns", 500):
        plan = random_plan(rng)
        (alone,) = dealt(plan, rank := rng.randrange(plan.world_size))
        parts = [*dealt(plan, rank, workers := rng.randrange(1, 5))]
        turns = [parts[step % workers][step // workers] for step in range(len(alone))]
        assert [batch.tolist() for batch in turns] == [batch.tolist() for batch in alone]


def test_a_stopped_epoch_is_dealt_anew_with_nothing_lost_or_repeated():
    """Stop after any step, go on with other ranks and batch sizes, and again."""
    for _, rng in cases("resume"):
        first = random_plan(rng)
        plan, found = Plan(0, first.stop, first.world_size, first.batch), Counter()
        while True:
            most = max(plan.steps(rank) for rank in range(plan.world_size))
            steps = rng.randrange(most + 1) if rng.random() < 0.7 else most
            for rank in range(plan.world_size):
                (batches,) = dealt(plan, rank)
                found.update(place for batch in batches[:steps] for place in batch.tolist())
            if steps == most:
                break
            assert set(found) == set(range(plan.done(steps)))
            plan = Plan(plan.done(steps), plan.stop, rng.choice((1, 2, 3, 8)), rng.choice((1, 2, 5)))
        assert found == Counter(range(first.stop))


def test_going_on_with_the_same_ranks_is_as_if_nothing_had_happened():
    for _, rng in cases("same"):
        plan = random_plan(rng)
        for rank in range(plan.world_size):
            (whole,) = dealt(plan, rank)
            steps = rng.randrange(plan.rounds + 1)
            (rest,) = dealt(Plan(plan.done(steps), *(getattr(plan, name) for name in FIELDS)), rank)
            assert [batch.tolist() for batch in rest] == [batch.tolist() for batch in whole[steps:]]


FIELDS = ("stop", "world_size", "batch", "policy", "full")


# ------------------------------------------------------------------------------------------------- lanes


def test_lanes_hold_every_place_once_each_from_front_to_back():
    for _, rng in cases("lanes", 1000):
        lanes = Lanes(rng.randrange(400), rng.choice((1, 2, 5, 12)), rng.choice((1, 2, 8)))
        number, inside = lanes.split(np.arange(lanes.samples))
        places = []
        for lane in {*number.tolist()}:
            begin, length = lanes.begin(lane)
            assert inside[number == lane].tolist() == list(range(length))
            places += range(begin, begin + length)
        assert sorted(places) == list(range(lanes.samples))


def test_each_worker_reads_a_lane_of_its_own_where_there_are_as_many():
    plan = Plan(0, 1000, world_size=2, batch=8)
    lanes = Lanes(1000, 4, 8)
    for rank in range(2):
        for worker, batches in enumerate(dealt(plan, rank, 2)):
            found = {*lanes.split(np.concatenate(batches[:-1]))[0].tolist()}
            assert len(found) == 1, worker


# -------------------------------------------------------------------------------------------------- rows


def test_slices_and_selections_are_those_of_a_list():
    for _, rng in cases("rows", 1000):
        rows, expected = range(size := rng.randrange(30)), list(range(size))
        for _ in range(rng.randrange(1, 4)):
            if rng.random() < 0.6:
                ends = [rng.choice((None, rng.randrange(-9, 30))) for _ in range(2)]
                step = rng.choice((None, 1, 2, 3, -1, -2))
                rows, expected = Between(*ends, step)(rows), expected[ends[0] : ends[1] : step]
            elif expected:
                wanted = [rng.randrange(-len(expected), len(expected)) for _ in range(rng.randrange(9))]
                rows = Chosen(np.array(wanted, np.int64))(rows)
                expected = [expected[place] for place in wanted]
        assert len(rows) == len(expected)
        assert numbers(rows, np.arange(len(rows))).tolist() == expected


def test_stretches_of_one_shard_cover_all_rows():
    for _, rng in cases("runs", 1000):
        counts = [rng.randrange(6) for _ in range(rng.randrange(1, 6))]
        ends = np.cumsum(counts)
        rows = range(int(ends[-1]))
        if rng.random() < 0.7:
            rows = Between(rng.randrange(5), None, rng.choice((1, 1, 2, 3, 7, -1, -2)))(rows)
        if rng.random() < 0.5:
            rows = np.array(rows, np.int64)
        bounds = runs(rows, ends)
        shards = np.searchsorted(ends, numbers(rows, np.arange(len(rows))), "right").tolist()
        assert bounds[0] == 0
        assert bounds[-1] == len(rows)
        changes = [place for place in range(1, len(rows)) if shards[place] != shards[place - 1]]
        assert bounds.tolist() == ([0, *changes, len(rows)] if len(rows) else [0])


def test_parts_of_a_split_are_all_rows_once():
    for _, rng in cases("split", 300):
        rows = range(rng.randrange(200))
        fractions = rng.choice(([0.9], [0.5, 0.5], [0.1, 0.2, 0.3], [1 / 3, 1 / 3], [1.0]))
        parts = [share(rows).tolist() for share in shares(fractions, rng.randrange(9))]
        assert sorted(place for part in parts for place in part) == list(rows)
        assert all(part == sorted(part) for part in parts)
        assert all(abs(len(part) - fraction * len(rows)) <= 1 for part, fraction in zip(parts, fractions, strict=False))


@pytest.mark.parametrize("fractions", [[], [0.0], [-0.5], [0.6, 0.6], [1.1]])
def test_fractions_that_make_no_split_are_refused(fractions):
    with pytest.raises(ValueError, match="fractions"):
        shares(fractions, 0)


def test_neighbours_are_joined_without_memory():
    assert joined([range(0, 3), range(3, 3), range(3, 9)]) == range(0, 9)
    assert joined([range(5, 9), range(0, 2)]).tolist() == [5, 6, 7, 8, 0, 1]
    assert joined([range(0, 4, 2), range(4, 6)]).tolist() == [0, 2, 4, 5]
    assert len(joined([])) == len(joined([range(3, 3)])) == 0


def test_woven_rows_have_their_weights_in_every_stretch():
    rows = woven([range(1000), range(1000, 4000)], None, 3)
    assert sorted(rows.tolist()) == list(range(4000))
    first = np.cumsum(rows < 1000)
    assert np.abs(first - np.arange(1, 4001) / 4).max() < 3
    rows = woven([range(1000), range(1000, 4000)], [3, 1], 3)
    assert Counter((rows >= 1000).tolist()) == {False: 1000, True: 333}
    assert woven([range(5), range(0)], [1, 0], 0).tolist() == [0, 1, 2, 3, 4]
    assert len(woven([range(5), range(0)], [1, 1], 0)) == 0
