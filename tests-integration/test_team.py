"""Index and store together, on Redis and SeaweedFS."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata.errors import AtdataError
from atdata.testing.proxy import FaultyProxy
from atdata_local import DiskDataStore, Index, S3DataStore
from atdata_local.stores.verify import survey


@atdata.packable
class TrainingSample:
    features: NDArray
    label: int


def samples(count: int) -> Iterator[TrainingSample]:
    return (TrainingSample(features=np.full(64, n, np.float32), label=n) for n in range(count))


@pytest.fixture(params=["sqlite", "redis"])
def index(request: pytest.FixtureRequest, store: S3DataStore, tmp_path: Path) -> Index:
    if request.param == "sqlite":
        return Index(path=tmp_path / "index.sqlite3", data_store=store)
    url = request.getfixturevalue("redis_url")
    return Index(url, data_store=store, repository=f"r{secrets.token_hex(4)}")


@pytest.fixture
def dataset(tmp_path: Path) -> atdata.Dataset[TrainingSample]:
    return atdata.write_samples(samples(100), tmp_path / "t-%06d.tar", maxcount=30)


def test_a_dataset_is_stored_found_and_read(index: Index, dataset: atdata.Dataset[TrainingSample]) -> None:
    entry = index.insert_dataset(dataset, name="training-v1", prefix="datasets", metadata={"from": "test"}, maxcount=40)
    store: Any = index.data_store
    assert all(url.startswith(f"s3://{store.bucket}/datasets/data--") for url in entry.data_urls)
    assert entry.samples == 100
    found = atdata.load_dataset("@local/training-v1", TrainingSample, index=index, split="train")
    assert [sample.label for sample in found] == list(range(100))
    assert isinstance(found.source, atdata.S3Source)
    for secret in (*store.credentials.values(), urlsplit(store.access.endpoint).netloc):
        assert str(secret) not in repr((entry.data_urls, entry.metadata, entry.as_dict()))
    again = index.insert_dataset(found, name="training-v2", prefix="datasets", maxcount=7)
    assert again.samples == 100
    assert len(again.data_urls) > len(entry.data_urls)


def test_what_cannot_be_indexed_is_not_stored(
    index: Index, dataset: atdata.Dataset[TrainingSample], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise AtdataError("the index is down")

    monkeypatch.setattr("atdata_local.index.keep", fail)
    with pytest.raises(AtdataError, match="the index is down"):
        index.insert_dataset(dataset, name="a", prefix="a")
    store: Any = index.data_store
    assert [url for url, _ in store.list_objects() if not url.endswith("/manifest.json")] == []


def test_entries_appear_only_with_all_their_bytes(
    store: S3DataStore, redis_url: str, dataset: atdata.Dataset[TrainingSample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atdata.sources.download._FIRST_DELAY", 0.025)
    port = urlsplit(str(store.access.endpoint)).port or 0
    repository = f"r{secrets.token_hex(4)}"
    with FaultyProxy(port, cut=0.08, corrupt=0.02, busy=0.1) as proxy:
        given = store.credentials | {"AWS_ENDPOINT": f"http://127.0.0.1:{proxy.port}"}
        faulty = S3DataStore(given, bucket=store.bucket, timeout=1, retries=3)
        index = Index(redis_url, data_store=faulty, repository=repository)

        def insert(number: int) -> bool:
            try:
                index.insert_dataset(dataset, name=f"d{number}", prefix=f"p{number % 3}")
            except AtdataError:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(insert, range(60)))
    assert True in done
    direct = Index(redis_url, data_store=store, repository=repository)
    assert direct.catalog.audit() == []
    entries = direct.list_datasets()
    assert {entry.name for entry in entries} == {f"d{number}" for number, well in enumerate(done) if well}
    for entry in entries:
        found = atdata.Dataset[TrainingSample](store.source(entry.data_urls))
        assert [sample.label for sample in found] == list(range(100))
    store.sweep(timedelta(0))  # nobody writes any more
    named = {url for entry in entries for url in entry.data_urls}
    shards = survey(store)
    assert [shard for shard in shards if shard.problem is not None] == []
    assert {shard.url for shard in shards} == named
    assert store.leftovers() == []


def test_without_a_bucket_a_folder_does(tmp_path: Path, dataset: atdata.Dataset[TrainingSample]) -> None:
    index = Index(path=tmp_path / "index.sqlite3", data_store=DiskDataStore(tmp_path / "store"))
    entry = index.insert_dataset(dataset, name="training", prefix="v1")
    assert entry.samples == 100
    found = atdata.load_dataset("@local/training", TrainingSample, index=index, split="train")
    assert [sample.label for sample in found] == list(range(100))
