"""Index and store together, and the pages of the documentation about them, on Redis and SeaweedFS."""

import secrets
import subprocess
import sys
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
from atdata_local.s3.access import S3Access
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


WORKFLOW = '''
import numpy as np
from numpy.typing import NDArray
import atdata
from atdata.local import LocalIndex, LocalDatasetEntry, S3DataStore
import webdataset as wds

@atdata.packable
class TrainingSample:
    """A sample containing features and label for training."""
    features: NDArray
    label: int

@atdata.packable
class TextSample:
    """A sample containing text data."""
    text: str
    category: str

entry = LocalDatasetEntry(
    _name="my-dataset",
    _schema_ref="local://schemas/examples.TrainingSample@1.0.0",
    _data_urls=["s3://bucket/data-000000.tar", "s3://bucket/data-000001.tar"],
    _metadata={"source": "example", "samples": 10000},
)
print(entry.name, entry.schema_ref, entry.data_urls, entry.metadata, entry.cid)

from redis import Redis
redis = Redis(host="localhost", port=6379)
index = LocalIndex(redis=redis)

schema_ref = index.publish_schema(TrainingSample, version="1.0.0")
for schema in index.list_schemas():
    print(f"  - {schema.get('name', 'Unknown')} v{schema.get('version', '?')}")
schema_record = index.get_schema(schema_ref)
print(f"Schema fields: {[f['name'] for f in schema_record.get('fields', [])]}")
decoded_type = index.decode_schema(schema_ref)
print(f"Decoded type: {decoded_type.__name__}")

creds = {
    "AWS_ENDPOINT": "http://localhost:9000",
    "AWS_ACCESS_KEY_ID": "minioadmin",
    "AWS_SECRET_ACCESS_KEY": "minioadmin",
}
store = S3DataStore(creds, bucket="my-bucket")
print(f"Bucket: {store.bucket}")
print(f"Supports streaming: {store.supports_streaming()}")

samples = [
    TrainingSample(features=np.random.randn(128).astype(np.float32), label=i % 10)
    for i in range(1000)
]
with wds.writer.TarWriter("local-data-000000.tar") as sink:
    for i, sample in enumerate(samples):
        sink.write({**sample.as_wds, "__key__": f"sample_{i:06d}"})
ds = atdata.Dataset[TrainingSample]("local-data-000000.tar")
store = S3DataStore(
    credentials={
        "AWS_ENDPOINT": "http://localhost:9000",
        "AWS_ACCESS_KEY_ID": "minioadmin",
        "AWS_SECRET_ACCESS_KEY": "minioadmin",
    },
    bucket="my-bucket",
)
index = LocalIndex(redis=redis, data_store=store)
index.publish_schema(TrainingSample, version="1.0.0")
entry = index.insert_dataset(ds, name="training-v1", prefix="datasets")
print(f"Stored at: {entry.data_urls}")
print(f"CID: {entry.cid}")
retrieved_entry = index.get_entry_by_name("training-v1")
dataset = atdata.Dataset[TrainingSample](retrieved_entry.data_urls[0])
for batch in dataset.ordered(batch_size=32):
    print(f"Batch features shape: {batch.features.shape}")
    assert batch.features.shape == (32, 128)
    break

from atdata import load_dataset
ds = load_dataset("@local/training-v1", index=index, split="train")
for batch in ds.shuffled(batch_size=32):
    assert batch.features.shape == (32, 128)
    break
'''
REPO = """
import warnings
import numpy as np
from numpy.typing import NDArray
import atdata
import webdataset as wds
from pathlib import Path
from atdata.local import Repo, LocalIndex, S3DataStore

@atdata.packable
class ImageSample:
    image: NDArray
    label: str

CREDENTIALS = {
    "AWS_ENDPOINT": "http://localhost:9000",
    "AWS_ACCESS_KEY_ID": "minioadmin",
    "AWS_SECRET_ACCESS_KEY": "minioadmin",
}
Path(".env").write_text("".join(f"{name}={value}\\n" for name, value in CREDENTIALS.items()))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    repo = Repo(s3_credentials=".env", hive_path="my-bucket/datasets")
    repo = Repo(s3_credentials=CREDENTIALS, hive_path="my-bucket/datasets")
assert [warning.category for warning in caught] == [DeprecationWarning] * 2

samples = [ImageSample(
    image=np.random.rand(24, 24, 3).astype(np.float32),
    label=f"sample_{i}"
) for i in range(100)]
with wds.writer.TarWriter("temp.tar") as sink:
    for i, s in enumerate(samples):
        sink.write({**s.as_wds, "__key__": f"{i:06d}"})
dataset = atdata.Dataset[ImageSample]("temp.tar")
entry, stored_dataset = repo.insert(dataset, name="training-images-v1", cache_local=False)
print(entry.cid, stored_dataset.url, stored_dataset.shard_list)
entry, ds = repo.insert(dataset, name="my-dataset", cache_local=True, maxcount=10000, maxsize=100_000_000)
assert [sample.label for sample in ds] == [f"sample_{i}" for i in range(100)]

store = S3DataStore(credentials=".env", bucket="my-bucket")
urls = store.write_shards(dataset, prefix="datasets/v1", maxcount=10000)
assert urls[0].startswith("s3://my-bucket/datasets/v1/data--") and urls[0].endswith("--000000.tar")
assert store.supports_streaming()
"""


@pytest.mark.parametrize("page", [WORKFLOW, REPO], ids=["local-workflow", "local-storage"])
def test_pages_run_as_written(page: str, seaweedfs: S3Access, redis_url: str, tmp_path: Path, bucket: str) -> None:
    # with the ports and credentials of these servers
    redis = urlsplit(redis_url)
    there = f'Redis(host="127.0.0.1", port={redis.port}, password="{redis.password}")'
    program = (
        page.replace("http://localhost:9000", str(seaweedfs.endpoint))
        .replace('"AWS_ACCESS_KEY_ID": "minioadmin"', f'"AWS_ACCESS_KEY_ID": "{seaweedfs.access_key}"')
        .replace('"AWS_SECRET_ACCESS_KEY": "minioadmin"', f'"AWS_SECRET_ACCESS_KEY": "{seaweedfs.secret_key}"')
        .replace("my-bucket", bucket)
        .replace('Redis(host="localhost", port=6379)', there)
    )
    (tmp_path / "page.py").write_text(program)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ATDATA_INDEX_URL": redis_url}
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
