"""What datasets have of lists: samples by number and key, parts, maps and filters, and several datasets as one."""

import io
import itertools
import os
import pickle
import tarfile
import time
from collections import Counter

import numpy as np
import pytest
from numbered import Elsewhere, Item, Number, elsewhere, item, numbers

import atdata
from atdata import Dataset, DictSample, SampleBatch
from atdata.errors import LensNotFound, SampleNotFound, SampleTypeError


@atdata.packable
class Doubled:
    number: int


@atdata.lens
def double(source: Number) -> Doubled:
    return Doubled(number=2 * source.number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four shards of five, five, five and two samples, numbered 0 to 16, with keys from k00 to k16."""
    folder = tmp_path_factory.mktemp("items")
    atdata.write_samples(
        map(item, range(17)), folder / "data-%06d.tar", maxcount=5, key=lambda number, _: f"k{number:02}"
    )
    return folder


@pytest.fixture
def local(folder):
    return Dataset[Item](f"{folder}/data-{{000000..000003}}.tar")


@pytest.fixture(params=["local", "elsewhere"])
def dataset(request, local, folder):
    return local if request.param == "local" else elsewhere(folder)


EVERY = list(range(17))


# ------------------------------------------------------------------------------------------- numbers and keys


def test_samples_by_number(dataset):
    assert len(dataset) == 17
    for number in range(-17, 17):
        assert dataset[number] == item(EVERY[number])
    assert dataset[np.int64(3)] == item(3)
    for number in (17, -18):
        with pytest.raises(IndexError, match=r"no sample .*has 17"):
            dataset[number]
    assert dataset.__getitems__([3, -1, 3]) == [item(3), item(16), item(3)]
    assert dataset.__getitems__([]) == []
    assert numbers(reversed(dataset)) == EVERY[::-1]


def test_samples_own_their_arrays(dataset):
    dataset[3].vector[:] = 9
    assert dataset[3] == item(3)


def test_slices_are_datasets(dataset):
    for start, stop, step in itertools.product((None, 0, 3, -4, 40), (None, 12, -1, 0), (None, 1, 3, -1, -2)):
        part = dataset[start:stop:step]
        assert type(part) is Dataset
        assert numbers(part) == EVERY[start:stop:step]
        assert len(part) == len(EVERY[start:stop:step])
        assert numbers(part.ordered()) == numbers(part)
        assert sorted(numbers(part.shuffled(seed=0))) == sorted(numbers(part))
        assert [n for batch in part.ordered(4) for n in batch.number] == numbers(part)


def test_selected_samples_come_in_the_order_asked_for(dataset):
    wanted = [3, 16, -1, 0, 3, 9, 8]
    expected = [EVERY[number] for number in wanted]
    for part in (dataset[wanted], dataset[np.array(wanted)], dataset.select(iter(wanted)), dataset.select(wanted)):
        assert numbers(part) == expected
        assert len(part) == 7
        assert part[2] == item(16)
        assert part[-1] == item(8)
        assert sorted(numbers(part.shuffled(seed=1))) == sorted(expected)
    assert numbers(dataset[[]]) == []
    assert len(dataset[[]]) == 0


def test_parts_of_parts(dataset):
    part = dataset[2:15][::2][[0, -1, 3]]
    assert numbers(part) == [2, 14, 8]
    assert numbers(dataset.skip(3).take(5)[1:]) == [4, 5, 6, 7]
    assert numbers(dataset.take(100)) == EVERY
    assert numbers(dataset.skip(100)) == []
    assert numbers(dataset) == EVERY, "the dataset itself stays as it is"


def test_selections_that_make_no_sense_are_refused(dataset):
    for wrong in ("a", 2.5, None, [True, False], [[1]], ["a"], [1.5], {"a": 1}):
        with pytest.raises(TypeError):
            dataset[wrong]
    with pytest.raises(TypeError, match="flatnonzero"):
        dataset[np.ones(17, bool)]
    for make in (dataset.take, dataset.skip):
        with pytest.raises(ValueError, match="0 or more"):
            make(-1)
        with pytest.raises(TypeError):
            make("3")
    with pytest.raises(ValueError, match="slice step"):
        len(dataset[::0])


def test_a_number_beyond_the_end_is_told_when_it_is_read(dataset):
    part = dataset[[3, 99]]
    with pytest.raises(IndexError, match="no sample 99"):
        list(part)


def test_nothing_is_read_to_select(folder):
    dataset = elsewhere(folder)
    dataset[3:][::2].take(4).select([1]).map(str).split(0.5)
    atdata.concat(dataset, dataset).shuffled(seed=1)
    atdata.interleave([dataset, dataset]).ordered(3)
    assert dataset.source.opened == []
    missing = Dataset[Item]("nowhere.tar")
    missing[3:].select([1, 2]).filter(bool).map(str).ordered(4)


def test_elsewhere_only_the_shards_that_are_needed_are_opened(folder):
    dataset = elsewhere(folder)
    assert numbers(dataset[6:9]) == [6, 7, 8]
    assert dataset.source.opened == ["data-000001.tar"]
    assert [dataset[number].number for number in (11, 12, 14)] == [11, 12, 14]
    assert dataset.source.opened == ["data-000001.tar", "data-000002.tar"], "and stay open"


def test_keys(dataset):
    assert list(dataset.keys()) == [f"k{number:02}" for number in EVERY]
    assert list(dataset[3:5].keys()) == ["k03", "k04"]
    assert list(dataset.filter(lambda sample: sample.number % 8 == 1).keys()) == ["k01", "k09"]
    assert dataset.get("k07") == item(7)
    assert dataset.filter(lambda sample: sample.number > 3).get("k07") == item(7)
    assert dataset[5:].get("k07") == item(7)
    for part, key in ((dataset, "k17"), (dataset[:5], "k07"), (dataset.filter(lambda s: False), "k07")):
        with pytest.raises(SampleNotFound, match=key):
            part.get(key)
        with pytest.raises(KeyError):
            part.get(key)


def test_selections_are_pickled_and_copied_without_what_they_have_open(dataset):
    part = dataset[3:9]
    assert part[0] == item(3)
    assert part.get("k04") == item(4)
    restored = pickle.loads(pickle.dumps(part))
    assert numbers(restored) == numbers(part)
    assert restored[0] == item(3)
    assert len(pickle.dumps(dataset[:])) < len(pickle.dumps(dataset)) + 200


# -------------------------------------------------------------------------------------------------- splits


def test_a_split_has_every_sample_once_the_same_everywhere(dataset):
    train, test = dataset.split(0.8, seed=3)
    assert (len(train), len(test)) == (14, 3)
    assert sorted(numbers(train) + numbers(test)) == EVERY
    assert numbers(test) == sorted(numbers(test)) == [0, 5, 14]
    assert numbers(dataset.split(0.8, seed=4)[1]) != numbers(test)
    assert [len(part) for part in dataset.split(0.5, 0.25)] == [8, 5, 4]
    assert [len(part) for part in dataset.split(1.0)] == [17]
    with pytest.raises(ValueError, match="fractions"):
        dataset.split(1.5)


# ------------------------------------------------------------------------------------------ map and filter


def to_number(sample: Item) -> Number:
    return Number(number=-sample.number)


def test_map_keeps_the_order_singly_shuffled_and_in_batches(dataset):
    mapped = dataset.map(to_number)
    assert mapped.sample_type is Number
    assert list(mapped) == [Number(number=-number) for number in EVERY]
    assert len(mapped) == 17
    assert mapped[4] == Number(number=-4)
    assert numbers(mapped[3:6]) == numbers(dataset[3:6].map(to_number)) == [-3, -4, -5]
    assert numbers(mapped.shuffled(seed=5)) == [-number for number in numbers(dataset.shuffled(seed=5))]
    batches = list(mapped.ordered(5))
    assert all(type(batch) is SampleBatch and batch.sample_type is Number for batch in batches)
    assert [n for batch in batches for n in batch.number] == [-number for number in EVERY]
    assert batches[0][1] == Number(number=-1)
    assert "number: int" in repr(mapped)


def test_map_to_anything(dataset):
    assert list(dataset.map(lambda sample: sample.number * 2)) == [2 * number for number in EVERY]
    (batch,) = dataset.map(lambda sample: DictSample(twice=sample.number * 2)).ordered(100)
    assert batch.twice == [2 * number for number in EVERY]
    (batch,) = dataset.map(lambda sample: (sample.number, "x")).ordered(100)
    assert batch.samples == [(number, "x") for number in EVERY]


def test_map_and_lenses_follow_each_other(dataset):
    assert numbers(dataset.map(to_number).as_type(Doubled)) == [-2 * number for number in EVERY]
    (batch,) = dataset.map(to_number).as_type(Doubled).ordered(100)
    assert batch.number == [-2 * number for number in EVERY]
    seen = dataset.map(to_number).as_type(Doubled).map(lambda sample: sample.number + 1)
    assert list(seen) == [1 - 2 * number for number in EVERY]
    untyped = dataset.map(lambda sample: Number(number=1))
    with pytest.raises((LensNotFound, SampleTypeError, AttributeError, TypeError)):
        untyped.as_type(Doubled)
    typed = dataset.map(lambda sample: Number(number=sample.number), Number)
    assert numbers(typed.as_type(Doubled)) == [2 * number for number in EVERY]


def test_filter_keeps_the_order_and_makes_full_batches(dataset):
    odd = dataset.filter(lambda sample: sample.number % 2)
    assert numbers(odd) == EVERY[1::2]
    assert [batch.number for batch in odd.ordered(3)] == [[1, 3, 5], [7, 9, 11], [13, 15]]
    assert [batch.number for batch in odd.ordered(3, drop_last=True)] == [[1, 3, 5], [7, 9, 11]]
    assert numbers(odd.shuffled(seed=2)) == [n for n in numbers(dataset.shuffled(seed=2)) if n % 2]
    (batch,) = odd.ordered(100)
    assert batch.sample_type is Item
    assert batch.vector.shape == (8, 3)
    assert numbers(odd.filter(lambda sample: sample.number > 8).map(to_number)) == [-9, -11, -13, -15]
    assert numbers(dataset.map(to_number).filter(lambda sample: sample.number < -14)) == [-15, -16]


def test_what_a_filter_leaves_cannot_be_counted_or_numbered(dataset):
    odd = dataset.filter(lambda sample: sample.number % 2)
    for ask in (len, lambda ds: ds[0], lambda ds: ds[1:], lambda ds: ds.take(1), lambda ds: ds.split(0.5)):
        with pytest.raises(TypeError, match="filter"):
            ask(odd)
    assert odd.num_samples is None
    assert list(odd)
    assert "samples" not in repr(odd)
    assert numbers(dataset[5:].filter(lambda sample: sample.number % 2)) == [5, 7, 9, 11, 13, 15]


def test_a_filtered_stream_goes_on_where_it_was(dataset):
    for batch_size in (None, 2):
        stream = dataset.filter(lambda sample: sample.number % 3).shuffled(seed=1, batch_size=batch_size)
        whole = numbers(stream)
        for stop in range(len(whole)):
            found = iter(stream)
            begun = [next(found).number for _ in range(stop)]
            again = dataset.filter(lambda sample: sample.number % 3).shuffled(seed=1, batch_size=batch_size)
            again.load_state_dict(stream.state_dict())
            assert begun + numbers(again) == whole


def test_a_filtered_stream_goes_on_on_each_rank_of_the_same_number(dataset):
    odd = dataset.filter(lambda sample: sample.number % 2)
    whole, rest = [], []
    for rank in range(2):
        stream = odd.ordered(2, rank=rank, world_size=2)
        whole.append(numbers(stream))
        found = iter(stream)
        begun = [next(found).number]
        again = odd.ordered(2, rank=rank, world_size=2)
        again.load_state_dict(stream.state_dict())
        rest.append(begun + numbers(again))
        for other in (odd.ordered(2, rank=1 - rank, world_size=2), odd.ordered(2)):
            with pytest.raises(ValueError, match="state"):
                other.load_state_dict(stream.state_dict())
    assert rest == whole
    assert Counter(n for rank in whole for batch in rank for n in batch) == Counter(EVERY[1::2])


# -------------------------------------------------------------------------------------------- several as one


def test_datasets_are_joined_one_after_another(dataset, local):
    both = atdata.concat(dataset[:4], local.skip(14))
    assert both.sample_type is Item
    assert numbers(both) == [0, 1, 2, 3, 14, 15, 16]
    assert len(both) == 7
    assert both[5] == item(15)
    assert numbers(both[::-2]) == [16, 14, 2, 0]
    assert sorted(numbers(both.shuffled(seed=0))) == sorted(numbers(both))
    assert [batch.number for batch in both.ordered(3)] == [[0, 1, 2], [3, 14, 15], [16]]
    assert list(both.keys())[3:5] == ["k03", "k14"]
    assert numbers(pickle.loads(pickle.dumps(both))) == numbers(both)
    assert numbers(atdata.concat(dataset, dataset)) == EVERY + EVERY
    assert numbers(atdata.concat(both, both[:1])) == [*numbers(both), 0]
    assert len(both.list_shards()) == 8


def test_joined_datasets_of_unknown_size_are_read_in_order(folder):
    unknown = Dataset[Item](Elsewhere(folder))
    assert numbers(atdata.concat(unknown, unknown)) == EVERY + EVERY
    for ask in (len, lambda ds: list(ds.shuffled(seed=0)), lambda ds: list(ds[:3])):
        with pytest.raises(TypeError, match="manifest"):
            ask(atdata.concat(unknown, unknown))


def test_different_datasets_seen_as_one_type_are_joined(dataset, tmp_path):
    other = atdata.write_samples((Number(number=n) for n in range(100, 106)), tmp_path / "data.tar").as_type(Doubled)
    seen = dataset.map(to_number).as_type(Doubled)
    both = atdata.concat(seen, other)
    expected = [-2 * number for number in EVERY] + [2 * number for number in range(100, 106)]
    assert numbers(both) == expected
    assert [n for batch in both.ordered(4) for n in batch.number] == expected
    assert all(batch.sample_type is Doubled for batch in both.shuffled(seed=1, batch_size=4))
    assert sorted(n for batch in both.shuffled(seed=1, batch_size=4) for n in batch.number) == sorted(expected)
    assert [both[number].number for number in (0, 16, 17, -1)] == [0, -32, 200, 210]
    mixed = both.shuffled(seed=1, batch_size=4)
    whole, found = numbers(mixed), iter(mixed)
    begun = [next(found).number for _ in range(3)]
    again = both.shuffled(seed=1, batch_size=4)
    again.load_state_dict(mixed.state_dict())
    assert begun + numbers(again) == whole
    assert numbers(both.map(lambda sample: Number(number=sample.number))) == expected
    assert numbers(both.filter(lambda sample: sample.number > 203)) == [204, 206, 208, 210]


def test_only_datasets_of_one_type_are_joined(dataset):
    for make in (atdata.concat, lambda *datasets: atdata.interleave(datasets)):
        with pytest.raises(SampleTypeError, match=r"Item, Number.*as_type"):
            make(dataset, dataset.map(to_number))
        with pytest.raises(SampleTypeError):
            make()


def test_interleaved_datasets_are_mixed_by_weight(dataset, local):
    first, second = dataset[:4], local[4:16]
    mixed = atdata.interleave([first, second], seed=1)
    assert sorted(numbers(mixed)) == EVERY[:16]
    assert numbers(mixed) != EVERY[:16]
    assert [sum(number < 4 for number in numbers(mixed)[low : low + 8]) for low in (0, 8)] == [2, 2]
    assert numbers(mixed) == numbers(atdata.interleave([first, second], seed=1))
    assert numbers(mixed) != numbers(atdata.interleave([first, second], seed=2))
    assert [n for n in numbers(mixed) if n < 4] == [0, 1, 2, 3], "each comes in its own order"
    even = atdata.interleave([first, second], weights=[1, 1], seed=1)
    assert len(even) == 8
    assert sorted(numbers(even)) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert numbers(atdata.interleave([first, second], weights=[0, 2])) == EVERY[4:16]
    assert sorted(numbers(mixed.shuffled(seed=1))) == EVERY[:16]


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [-1, 1], [0, 0], [float("nan"), 1], [float("inf"), 1]])
def test_weights_that_make_no_sense_are_refused(dataset, weights):
    with pytest.raises(ValueError, match="weight"):
        atdata.interleave([dataset, dataset], weights=weights)


# ------------------------------------------------------------------------------------------------- lengths


def bare(folder, age=60):
    """A shard that nothing knows but itself."""
    atdata.write_samples(map(item, range(7)), folder / "data.tar")
    (folder / "manifest.json").unlink()
    (folder / "data.tar.index").unlink()
    then = time.time() - age
    os.utime(folder / "data.tar", (then, then))
    return Dataset[Item](str(folder / "data.tar"))


def test_a_length_from_one_scan_is_kept_in_a_sidecar(tmp_path):
    dataset = bare(tmp_path)
    assert dataset.num_samples is None
    assert not (tmp_path / "data.tar.index").exists()
    assert len(dataset) == 7
    assert (tmp_path / "data.tar.index").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.tar", "data.tar.index"]
    assert numbers(dataset.shuffled(seed=1)) == numbers(dataset[:].shuffled(seed=1))
    (tmp_path / "data.tar.index").unlink()
    assert len(dataset) == 7


def test_a_shard_that_changed_since_it_was_scanned_is_scanned_again(tmp_path):
    dataset = bare(tmp_path)
    assert len(dataset) == 7
    atdata.write_samples(map(item, range(100, 107)), tmp_path / "data.tar", overwrite=True)
    (tmp_path / "manifest.json").unlink()
    assert (tmp_path / "data.tar.index").exists()
    other = bare_again(tmp_path)
    assert len(other) == 7
    with pytest.warns(UserWarning, match="changed after it was made"):
        assert [sample.number for sample in other[:]] == list(range(100, 107))


def bare_again(folder):
    """The sidecar of a scan, older than the shard, which has as many bytes as before."""
    sidecar = folder / "data.tar.index"
    data = bytearray(sidecar.read_bytes())
    data[16:48] = bytes(32)
    sidecar.write_bytes(data)
    then = time.time() - 600
    os.utime(sidecar, (then, then))
    return Dataset[Item](str(folder / "data.tar"))


def test_a_shard_of_this_moment_is_counted_and_not_written_about(tmp_path):
    dataset = bare(tmp_path, age=-5)
    assert len(dataset) == 7
    assert not (tmp_path / "data.tar.index").exists()


def test_a_folder_that_cannot_be_written_to_is_no_hindrance(tmp_path):
    dataset = bare(tmp_path)
    (tmp_path / ".atdata.lock").mkdir()  # which no lock can be
    assert len(dataset) == 7
    assert not (tmp_path / "data.tar.index").exists()


def test_shards_of_foreign_form_are_counted_and_selected(tmp_path):
    path = tmp_path / "data.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for number in range(5):
            payload = item(number).packed
            info = tarfile.TarInfo(f"{'long' * 40}/{number}.msgpack")
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    os.utime(path, (time.time() - 60,) * 2)
    dataset = Dataset[Item](str(path))
    assert len(dataset) == 5
    assert not (tmp_path / "data.tar.index").exists(), "its names do not lie where a sidecar would have them"
    assert dataset[3] == item(3)
    assert dataset.get(f"{'long' * 40}/4") == item(4)


def test_damaged_and_missing_shards_have_no_length(tmp_path):
    dataset = bare(tmp_path)
    path = tmp_path / "data.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(TypeError, match="truncated"):
        len(dataset)
    path.unlink()
    with pytest.raises(TypeError, match="no shard at"):
        len(dataset)
    with pytest.raises(FileNotFoundError, match="no shard at"):
        dataset[0]
    path.mkdir()
    with pytest.raises(TypeError, match="directory"):
        len(dataset)
