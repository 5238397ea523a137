"""What every ``AbstractDataStore`` must do, as tests for a class that implements it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ..dataset import Dataset
from ..errors import ShardCorrupted
from ..lens import lens
from ..protocols import AbstractDataStore
from ..sample import packable
from ..shard.tar import END_OF_ARCHIVE
from ..write import write_samples


@packable
class Reading:
    """A sample of the contract's datasets."""

    number: int
    values: NDArray[np.float32]


@packable
class Number:
    """A part of a ``Reading``."""

    number: int


@lens
def number_of(reading: Reading) -> Number:
    """The number alone."""
    return Number(number=reading.number)


class _Breaking:
    """A source whose second shard cannot be read to its end."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths

    def list_shards(self) -> list[str]:
        return self._paths

    @property
    def shards(self) -> Iterator[tuple[str, Any]]:
        return ((path, self.open_shard(path)) for path in self._paths)

    def open_shard(self, shard_id: str) -> Any:
        if shard_id == self._paths[1]:
            raise ConnectionResetError("the second shard broke")
        return open(shard_id, "rb")


class DataStoreContract:
    """Tests for pytest: a class that inherits them, named ``Test...``, gives ``make_store`` and ``objects``.

    Attributes:
        by_content: whether equal shards have equal URLs, for stores that call them by their content.
    """

    by_content = False

    def make_store(self) -> Any:
        """A store; its datasets may be seen by other tests."""
        raise NotImplementedError(f"{type(self).__name__} needs make_store(self), which gives a store")

    def objects(self, store: Any, prefix: str) -> list[str]:
        """Names of all objects, of any kind, that are kept below a prefix."""
        raise NotImplementedError(f"{type(self).__name__} needs objects(self, store, prefix), which names what is kept")

    @pytest.fixture
    def store(self) -> Any:
        """The store."""
        return self.make_store()

    @pytest.fixture
    def readings(self, tmp_path: Path) -> Dataset[Reading]:
        """Ten samples in four shards."""
        samples = (Reading(number=n, values=np.full(50, n, np.float32)) for n in range(10))
        return write_samples(samples, tmp_path / "readings" / "r-%06d.tar", maxcount=3)

    @pytest.fixture
    def prefix(self, tmp_path: Path) -> str:
        """A prefix that no other test has."""
        return f"contract/{tmp_path.parent.name}/{tmp_path.name}"

    def read(self, store: Any, urls: list[str], sample_type: type[Any] = Reading) -> list[Any]:
        """All samples of stored shards."""
        return list(Dataset.of(sample_type, store.source(urls)))

    def test_is_a_data_store(self, store: Any) -> None:
        """Is a data store."""
        assert isinstance(store, AbstractDataStore)
        assert isinstance(store.supports_streaming(), bool)

    def test_what_is_stored_is_read_again(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """What is stored is read again."""
        urls = store.write_shards(readings, prefix=prefix)
        assert len(urls) == len(set(urls)) == 4
        assert store.source(urls).list_shards() == urls
        found = self.read(store, urls)
        assert [reading.number for reading in found] == list(range(10))
        assert [reading.values.tolist() for reading in found] == [[n] * 50 for n in range(10)]

    def test_shards_that_fit_are_copied_byte_by_byte(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """Shards that fit are copied byte by byte."""
        urls = store.write_shards(readings, prefix=prefix, maxcount=3)
        source = store.source(urls)
        for url, path in zip(source.list_shards(), readings.list_shards(), strict=True):
            with source.open_shard(url) as stream:
                assert stream.read() == Path(path).read_bytes()

    def test_shards_that_are_too_large_are_made_anew(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """Shards that are too large are made anew."""
        counted = store.write_shards(readings, prefix=prefix, maxcount=4)
        assert len(counted) == 4  # as they are
        counted = store.write_shards(readings, prefix=prefix, maxcount=2)
        assert [len(self.read(store, [url])) for url in counted] == [2] * 5
        sized = store.write_shards(readings, prefix=prefix, maxsize=2 * 1024 + len(END_OF_ARCHIVE))
        assert [len(self.read(store, [url])) for url in sized] == [2] * 5
        assert [reading.number for reading in self.read(store, sized)] == list(range(10))

    def test_samples_keep_their_keys(self, store: Any, tmp_path: Path, prefix: str) -> None:
        """Samples keep their keys."""
        samples = [{"n": n} for n in range(6)]
        dataset = write_samples(samples, tmp_path / "keyed.tar", key=lambda n, _: f"some/key-{n}")
        urls = store.write_shards(dataset, prefix=prefix, maxcount=2)
        source = store.source(urls)
        with source.open_shard(source.list_shards()[1]) as stream:
            assert b"some/key-2.msgpack" in stream.read()

    def test_a_view_is_stored_as_what_it_shows(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """A view is stored as what it shows."""
        urls = store.write_shards(readings.as_type(number_of), prefix=prefix)
        assert [sample.number for sample in self.read(store, urls, Number)] == list(range(10))

    def test_a_selection_is_stored_as_what_it_shows(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """A selection is stored as what it shows."""
        for number, part in enumerate((readings[7:2:-2], readings.filter(lambda reading: reading.number in (3, 5, 7)))):
            urls = store.write_shards(part, prefix=f"{prefix}/{number}")
            assert [reading.number for reading in self.read(store, urls)] == [sample.number for sample in part]

    def test_foreign_shards_are_stored(self, store: Any, readings: Dataset[Any], tmp_path: Path, prefix: str) -> None:
        """Foreign shards are stored."""
        (tmp_path / "readings" / "manifest.json").unlink()
        urls = store.write_shards(readings, prefix=prefix)
        assert [reading.number for reading in self.read(store, urls)] == list(range(10))

    def test_with_a_local_cache_the_result_is_the_same(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """With a local cache the result is the same."""
        urls = store.write_shards(readings, prefix=prefix, cache_local=True, maxcount=2)
        assert [reading.number for reading in self.read(store, urls)] == list(range(10))

    def test_stored_shards_can_be_stored_again(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """Stored shards can be stored again."""
        urls = store.write_shards(readings, prefix=prefix)
        stored = Dataset.of(Reading, store.source(urls))
        again = store.write_shards(stored, prefix=f"{prefix}/again")
        assert self.by_content or not set(urls) & set(again)
        assert [reading.number for reading in self.read(store, again)] == list(range(10))

    def test_a_dataset_without_samples_is_refused(self, store: Any, tmp_path: Path, prefix: str) -> None:
        """A dataset without samples is refused."""
        (tmp_path / "empty.tar").write_bytes(END_OF_ARCHIVE)
        with pytest.raises(RuntimeError, match="no samples"):
            store.write_shards(Dataset.of(Reading, tmp_path / "empty.tar"), prefix=prefix)
        assert self.objects(store, prefix) == []

    def test_a_source_that_breaks_leaves_nothing(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """A source that breaks leaves nothing."""
        broken = Dataset.of(Reading, _Breaking(readings.list_shards()))
        with pytest.raises(ConnectionResetError):
            store.write_shards(broken, prefix=prefix)
        assert self.objects(store, prefix) == []

    def test_a_damaged_shard_is_refused_and_leaves_nothing(
        self, store: Any, readings: Dataset[Any], prefix: str
    ) -> None:
        """A damaged shard is refused and leaves nothing."""
        last = Path(readings.list_shards()[-1])
        content = bytearray(last.read_bytes())
        content[600] ^= 1
        last.write_bytes(content)
        with pytest.raises(ShardCorrupted, match="sha256"):
            store.write_shards(readings, prefix=prefix)
        assert self.objects(store, prefix) == []

    def test_limits_that_nothing_meets_are_refused(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """Limits that nothing meets are refused."""
        for limit in ({"maxcount": 0}, {"maxsize": -1}):
            with pytest.raises(ValueError, match="1 or more"):
                store.write_shards(readings, prefix=prefix, **limit)

    def test_options_that_there_are_not_are_refused(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """Options that there are not are refused."""
        with pytest.raises(TypeError, match="maxcuont"):
            store.write_shards(readings, prefix=prefix, maxcuont=3)
        assert self.objects(store, prefix) == []

    @pytest.mark.parametrize("bad", ["../up", "a/../../b", "a/./b", "tab\there"])
    def test_a_prefix_cannot_lead_out_of_the_store(self, store: Any, readings: Dataset[Any], bad: str) -> None:
        """A prefix cannot lead out of the store."""
        with pytest.raises(ValueError, match="prefix"):
            store.write_shards(readings, prefix=bad)

    def test_racing_writers_share_a_prefix(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """Racing writers share a prefix."""
        with ThreadPoolExecutor(4) as threads:
            futures = [threads.submit(store.write_shards, readings, prefix=prefix) for _ in range(8)]
            written = [future.result() for future in futures]
        assert len({url for urls in written for url in urls}) == (1 if self.by_content else 8) * 4
        for urls in written:
            assert [reading.number for reading in self.read(store, urls)] == list(range(10))
            facts = store.shard_facts(urls)
            assert facts is not None
            assert [shard.samples for shard in facts] == [3, 3, 3, 1]

    def test_what_is_deleted_is_gone(self, store: Any, readings: Dataset[Any], prefix: str) -> None:
        """What is deleted is gone."""
        kept = store.write_shards(readings, prefix=prefix)
        before = self.objects(store, prefix)
        store.delete_shards(store.write_shards(readings, prefix=prefix))
        assert self.objects(store, prefix) == before
        assert [reading.number for reading in self.read(store, kept)] == list(range(10))

    def test_a_url_of_somewhere_else_is_left_alone_or_refused(self, store: Any) -> None:
        """A URL of somewhere else is left alone or refused."""
        try:
            found = store.read_url("https://example.com/a.tar")
        except ValueError:
            return
        assert found == "https://example.com/a.tar"
