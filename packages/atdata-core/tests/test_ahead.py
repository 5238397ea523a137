"""Sources that open the next shards ahead."""

import io
import threading
from pathlib import Path

import pytest

from atdata import Dataset, write_samples
from atdata.errors import ShardNotFound
from atdata.sources import open_shards
from atdata.sources.ahead import AHEAD


class Source:
    """Shards in memory, of which all but the first are opened when they are let go.

    Attributes:
        begun: what was opened, in this order.
        streams: the streams that were given out.
        stopped: tells of each shard that was opened ahead whether it is wanted no more.
    """

    def __init__(self, shards, hold=()):
        self.content = shards
        self.begun = []
        self.streams = {}
        self.stopped = {}
        self.go = {shard: threading.Event() for shard in hold}
        self.changed = threading.Condition()

    def list_shards(self):
        return list(self.content)

    def open_shard(self, shard_id):
        with self.changed:
            self.begun.append(shard_id)
            self.changed.notify_all()
        if shard_id in self.go:
            self.go[shard_id].wait(20)
        if self.content[shard_id] is None:
            raise ShardNotFound(f"no {shard_id}")
        self.streams[shard_id] = io.BytesIO(self.content[shard_id])
        return self.streams[shard_id]

    def open_ahead(self, shard_id, stopping):
        self.stopped[shard_id] = stopping
        return self.open_shard(shard_id)

    def wait_for(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.begun) >= count, 20)


NAMES = [f"{n}.tar" for n in range(10)]


def test_shards_come_in_order_however_long_each_takes():
    source = Source({name: name.encode() for name in NAMES}, hold=NAMES[1:4])
    for shard in reversed(NAMES[1:4]):
        source.go[shard].set()
    found = [(name, stream.read()) for name, stream in open_shards(source, NAMES)]
    assert found == [(name, name.encode()) for name in NAMES]
    assert sorted(source.begun) == NAMES
    assert sorted(source.stopped) == NAMES[1:]


def test_no_more_are_opened_than_that():
    source = Source(dict.fromkeys(NAMES, b""))
    pairs = open_shards(source, NAMES)
    next(pairs)
    source.wait_for(1 + AHEAD)
    assert len(source.begun) == 1 + AHEAD
    next(pairs)
    source.wait_for(2 + AHEAD)
    assert len(source.begun) == 2 + AHEAD


def test_a_fault_is_raised_when_its_shard_has_its_turn():
    source = Source(dict.fromkeys(NAMES, b"") | {"2.tar": None})
    pairs = open_shards(source, NAMES)
    assert [next(pairs)[0], next(pairs)[0]] == ["0.tar", "1.tar"]
    with pytest.raises(ShardNotFound, match=r"2\.tar"):
        next(pairs)
    assert all(source.stopped[name].is_set() for name in NAMES[2 : 2 + AHEAD])


def test_whoever_leaves_stops_what_is_on_its_way():
    source = Source(dict.fromkeys(NAMES, b""), hold=["2.tar"])
    pairs = open_shards(source, NAMES)
    next(pairs)
    source.wait_for(1 + AHEAD)
    pairs.close()
    assert all(source.stopped[name].is_set() for name in NAMES[1 : 1 + AHEAD])
    source.go["2.tar"].set()
    for thread in threading.enumerate():
        if thread.name == "atdata-ahead":
            thread.join(20)
    assert all(source.streams[name].closed for name in NAMES[1 : 1 + AHEAD])


def test_nothing_is_opened_of_no_shards():
    assert list(open_shards(Source({}), [])) == []


@pytest.mark.parametrize("count", [1, 2, 30])
def test_a_dataset_reads_it(tmp_path, count):
    dataset = write_samples(({"n": n} for n in range(60)), tmp_path / "s-%06d.tar", maxcount=60 // count)
    source = Source({path: Path(path).read_bytes() for path in dataset.list_shards()})
    assert [sample["n"] for sample in Dataset(source)] == list(range(60))
    assert sorted(sample["n"] for sample in Dataset(source).shuffled(seed=1)) == list(range(60))
    assert len(Dataset(source).head(3)) == 3
