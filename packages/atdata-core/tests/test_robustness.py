"""Faults around reading and writing: of disks, of files that change, of processes, of streams."""

import gc
import hashlib
import io
import json
import os
import pickle
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata.atomic import Staging
from atdata.errors import ShardCorrupted, ShardUnreadable
from atdata.shard import writer as shard_writer

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="uses descriptors and fork as POSIX has them")


@atdata.packable
class Item:
    number: int
    pixels: NDArray[np.uint8]


def items(count: int, size: int = 10) -> list[Item]:
    return [Item(number=n, pixels=np.full(size, n % 256, np.uint8)) for n in range(count)]


def test_a_digest_that_could_not_be_made_is_an_error_and_nothing_is_published(tmp_path, monkeypatch):
    opened = Staging.open
    calls = []

    def failing_once(self, name):
        calls.append(name)
        if len(calls) == 1:
            raise OSError("no descriptors left")
        return opened(self, name)

    monkeypatch.setattr(Staging, "open", failing_once)
    monkeypatch.setattr(shard_writer, "_HASH", 1 << 16)
    with pytest.raises(OSError, match="no descriptors left"):
        atdata.write_samples(items(10, 50_000), tmp_path / "data.tar")
    assert list(tmp_path.iterdir()) == []


def test_digests_in_the_manifest_are_those_of_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "_HASH", 1 << 16)  # many steps
    atdata.write_samples(items(40, 50_000), tmp_path / "data-%d.tar", maxcount=15)
    shards = json.loads((tmp_path / "manifest.json").read_bytes())["shards"]
    assert len(shards) == 3
    for shard in shards:
        data = (tmp_path / shard["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (shard["bytes"], shard["sha256"])


@needs_posix
def test_shuffling_many_small_shards_needs_few_descriptors(tmp_path):
    import resource

    dataset = atdata.write_samples(items(300), tmp_path / "data-%d.tar", maxcount=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 100), hard))
    try:
        assert sorted(item.number for item in dataset.shuffled(seed=0)) == list(range(300))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@needs_posix
@pytest.mark.parametrize("size", [3_000, 200_000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_shard_that_becomes_shorter_while_it_is_read_is_corrupted(tmp_path, size, shuffle):
    dataset = atdata.write_samples(items(6_000_000 // size, size), tmp_path / "data.tar")
    stream = dataset.shuffled(batch_size=1, seed=0) if shuffle else dataset.ordered(batch_size=1)
    batches = iter(stream)
    assert next(batches).pixels.shape == (1, size)
    os.truncate(tmp_path / "data.tar", 10_000)
    with pytest.raises(ShardCorrupted, match=r"truncated.*data\.tar"):
        _ = [batch.pixels for batch in batches]


@needs_posix
def test_a_shard_that_is_replaced_while_it_is_read_is_read_as_it_was(tmp_path):
    dataset = atdata.write_samples(items(300, 50_000), tmp_path / "data.tar")
    batches = iter(dataset.ordered(batch_size=10))
    first = next(batches)
    atdata.write_samples(items(2, 50_000), tmp_path / "data.tar", overwrite=True)
    numbers = [
        n for batch in batches if (batch.pixels[:, 0] == np.array(batch.number) % 256).all() for n in batch.number
    ]
    assert first.number + numbers == list(range(300))


def test_a_source_with_its_own_way_to_open_is_asked_for_every_shard(tmp_path):
    class Counting(atdata.URLSource):
        opened = 0

        def open_shard(self, shard_id):
            Counting.opened += 1
            return super().open_shard(shard_id)

    samples = items(6)
    atdata.write_samples(samples, tmp_path / "data-%d.tar", maxcount=2)
    dataset = atdata.Dataset[Item](Counting(str(tmp_path / "data-{0..2}.tar")))
    assert list(dataset) == samples
    assert sorted(item.number for item in dataset.shuffled(seed=0)) == list(range(6))
    assert Counting.opened == 6


def test_a_damaged_manifest_is_said_and_read_around(tmp_path):
    dataset = atdata.write_samples(items(5), tmp_path / "data.tar")
    (tmp_path / "manifest.json").write_text("{oops")
    assert [item.number for item in dataset] == list(range(5))
    with pytest.warns(UserWarning, match=r"manifest\.json is not JSON.*data\.tar is read without it"):
        assert sorted(item.number for item in dataset.shuffled(seed=0)) == list(range(5))


def test_samples_before_a_fault_of_the_stream_come_out_first(tmp_path):
    atdata.write_samples(items(100, 1_000), tmp_path / "data.tar")
    data = (tmp_path / "data.tar").read_bytes()

    class Failing:
        def __init__(self):
            self.position = 0

        def readinto(self, target):
            if self.position >= 90_000:
                raise ShardUnreadable("the line was cut")
            got = data[self.position : min(self.position + len(target), 90_000)]
            target[: len(got)] = got
            self.position += len(got)
            return len(got)

        def close(self):
            pass

    class Source:
        def list_shards(self):
            return ["remote.tar"]

        def open_shard(self, shard_id):
            return Failing()

    seen: list[int] = []
    numbers = (item.number for item in atdata.Dataset[Item](Source()))
    with pytest.raises(ShardUnreadable, match=r"the line was cut.*remote\.tar"):
        seen.extend(numbers)  # keeps what came before
    assert seen == list(range(len(seen)))
    assert len(seen) > 40


@needs_posix
def test_a_child_process_that_gives_up_leaves_its_parents_work_alone(tmp_path):
    with atdata.ShardWriter(tmp_path / "data.tar") as writer:
        writer.write(items(1)[0])
        child = os.fork()
        if child == 0:
            writer.abort()
            os._exit(0)
        os.waitpid(child, 0)
        writer.write(items(2)[1])
    assert [item.number for item in writer.dataset] == [0, 1]


def test_a_writer_that_is_forgotten_leaves_nothing(tmp_path):
    writer = atdata.ShardWriter(tmp_path / "data.tar")
    writer.write(items(1)[0])
    del writer
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_a_sample_is_written_spoils_the_dataset_not_the_reader(tmp_path, monkeypatch):
    writer = atdata.ShardWriter(tmp_path / "data.tar")
    writer.write(items(1)[0])

    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(shard_writer.ShardFile, "_flush", interrupt)
    monkeypatch.setattr(shard_writer, "_FLUSH", 1)
    with pytest.raises(KeyboardInterrupt):
        writer.write(items(2)[1])
    monkeypatch.undo()
    with pytest.raises(ValueError, match="nothing was written"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_batch_travels_with_its_own_samples_only(tmp_path):
    dataset = atdata.write_samples(items(2_000, 1_000), tmp_path / "data.tar")
    batch = next(iter(dataset.ordered(batch_size=4)))
    assert batch.pixels.shape == (4, 1_000)
    assert len(list(batch)) == 4
    sent = pickle.dumps(batch)
    assert len(sent) < 3 * 4 * 1_000
    again = pickle.loads(sent)
    np.testing.assert_array_equal(again.pixels, batch.pixels)
    assert list(again) == list(batch)


def test_one_large_sample_does_not_make_all_blocks_large(tmp_path):
    samples = items(2_000, 5_000)
    samples.insert(3, Item(number=-1, pixels=np.zeros(60_000_000, np.uint8)))
    atdata.write_samples(samples, tmp_path / "data.tar")

    asked: list[int] = []

    class Recording(io.FileIO):
        def readinto(self, target):
            asked.append(len(target))
            return super().readinto(target)

    class Source:
        def list_shards(self):
            return [str(tmp_path / "data.tar")]

        def open_shard(self, shard_id):
            return Recording(shard_id)

    assert [item.number for item in atdata.Dataset[Item](Source())] == [item.number for item in samples]
    assert max(asked) > 16 << 20
    assert asked[-1] <= 8 << 20
