"""What every ``DataSource`` must do, as tests for a class that implements it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ..dataset import Dataset
from ..protocols import DataSource
from ..write import write_samples

# Larger than what sources read at a time
_LARGE = bytes(range(256)) * (40 << 10)


class DataSourceContract:
    """Tests for pytest: a class that inherits them, named ``Test...``, gives ``make_source``."""

    def make_source(self, shards: Mapping[str, bytes]) -> Any:
        """A source of shards with these contents, in this order.

        Args:
            shards: contents by file name.
        """
        raise NotImplementedError(f"{type(self).__name__} needs make_source(self, shards), which gives a source")

    def called(self, name: str, content: bytes) -> str:
        """What stands behind the last ``/`` in the identifier of a shard; the name, unless a source has others."""
        return name

    def test_is_a_data_source(self) -> None:
        """Is a data source."""
        assert isinstance(self.make_source({"a.tar": b"a"}), DataSource)

    def test_lists_its_shards_in_order_without_opening_them(self) -> None:
        """Lists its shards in order without opening them."""
        shards = {"b.tar": b"b", "a.tar": b"a", "c.tar": b""}
        found = [shard.rpartition("/")[2] for shard in self.make_source(shards).list_shards()]
        assert found == [self.called(name, content) for name, content in shards.items()]

    def test_a_list_that_is_changed_is_the_callers(self) -> None:
        """A list that is changed is the callers."""
        source = self.make_source({"a.tar": b"a"})
        source.list_shards().clear()
        assert len(source.list_shards()) == 1

    @pytest.mark.parametrize("content", [b"", b"a", _LARGE], ids=["empty", "small", "large"])
    def test_a_stream_has_all_bytes_and_then_ends(self, content: bytes) -> None:
        """A stream has all bytes and then ends."""
        source = self.make_source({"a.tar": content})
        with source.open_shard(source.list_shards()[0]) as stream:
            assert stream.read() == content
            assert stream.read(1) == b""

    def test_a_stream_can_be_read_in_pieces(self) -> None:
        """A stream can be read in pieces."""
        source = self.make_source({"a.tar": _LARGE})
        pieces = []
        with source.open_shard(source.list_shards()[0]) as stream:
            while piece := stream.read(1_000_003):
                pieces.append(piece)
        assert b"".join(pieces) == _LARGE

    def test_shards_gives_names_and_streams_in_order_again_and_again(self) -> None:
        """Shards gives names and streams in order again and again."""
        source = self.make_source({"b.tar": b"one", "a.tar": b"two"})
        for _ in range(2):
            found = []
            for name, stream in source.shards:
                with stream:
                    found.append((name, stream.read()))
            assert found == list(zip(source.list_shards(), [b"one", b"two"], strict=True))

    def test_a_shard_that_is_not_listed_is_a_key_error(self) -> None:
        """A shard that is not listed is a key error."""
        source = self.make_source({"a.tar": b"a"})
        with pytest.raises(KeyError):
            source.open_shard(source.list_shards()[0] + "x")

    def test_streams_are_independent(self) -> None:
        """Streams are independent."""
        source = self.make_source({"a.tar": _LARGE, "b.tar": b"b"})
        first, second = source.list_shards()
        with source.open_shard(first) as one, source.open_shard(first) as two, source.open_shard(second) as three:
            assert one.read(10) == two.read(10) == _LARGE[:10]
            assert three.read() == b"b"
            one.close()
            assert two.read() == _LARGE[10:]

    def test_threads_share_a_source(self) -> None:
        """Threads share a source."""
        source = self.make_source({f"{n}.tar": _LARGE[n:] for n in range(4)})

        def read(name: str) -> bytes:
            with source.open_shard(name) as stream:
                return bytes(stream.read())

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(read, source.list_shards())) == [_LARGE[n:] for n in range(4)]

    def test_a_pickled_source_reads_the_same(self) -> None:
        """A pickled source reads the same."""
        source = self.make_source({"a.tar": b"a"})
        again = pickle.loads(pickle.dumps(source))
        assert again.list_shards() == source.list_shards()
        with again.open_shard(again.list_shards()[0]) as stream:
            assert stream.read() == b"a"

    def test_a_dataset_reads_its_samples(self, tmp_path: Any) -> None:
        """A dataset reads its samples."""
        written = write_samples(({"n": n} for n in range(20)), tmp_path / "d-%06d.tar", maxcount=7)
        shards = {name.rpartition("/")[2]: (tmp_path / name).read_bytes() for name in written.list_shards()}
        dataset: Dataset[Any] = Dataset(self.make_source(shards))
        assert [sample["n"] for sample in dataset] == list(range(20))
        assert sorted(sample["n"] for sample in dataset.shuffled(seed=1)) == list(range(20))
        # left before its end
        assert dataset.head(3)[2]["n"] == 2
