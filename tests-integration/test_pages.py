"""The pages on storing datasets, as written, on Redis and SeaweedFS."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from pages import in_a_bucket, run

from atdata_local.s3.access import S3Access

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
STORAGE = """
from atdata.local import LocalIndex

index = LocalIndex()

import redis
r = redis.Redis(host="custom-host", port=6379)
index = LocalIndex(redis=r)

index = LocalIndex(host="custom-host", port=6379, db=1)

import atdata
from numpy.typing import NDArray

@atdata.packable
class ImageSample:
    image: NDArray
    label: str

dataset = atdata.Dataset[ImageSample]("data-{000000..000009}.tar")

entry = index.add_entry(
    dataset,
    name="my-dataset",
    schema_ref="atdata://local/sampleSchema/ImageSample@1.0.0",
    metadata={"description": "Training images"},
)
print(entry.cid)
assert entry.name == "my-dataset"
assert entry.data_urls == ["data-{000000..000009}.tar"]

for entry in index.entries:
    print(f"{entry.name}: {entry.cid}")

all_entries = index.all_entries
entry = index.get_entry_by_name("my-dataset")
entry = index.get_entry(entry.cid)
assert all_entries == [entry]

from atdata.local import Repo

repo = Repo(
    s3_credentials="path/to/.env",
    hive_path="my-bucket/datasets",
)
repo = Repo(
    s3_credentials={
        "AWS_ENDPOINT": "http://localhost:9000",
        "AWS_ACCESS_KEY_ID": "minioadmin",
        "AWS_SECRET_ACCESS_KEY": "minioadmin",
    },
    hive_path="my-bucket/datasets",
)

from atdata.local import LocalIndex, S3DataStore

store = S3DataStore(
    credentials={
        "AWS_ENDPOINT": "http://localhost:9000",
        "AWS_ACCESS_KEY_ID": "minioadmin",
        "AWS_SECRET_ACCESS_KEY": "minioadmin",
    },
    bucket="my-bucket",
)
index = LocalIndex(data_store=store)
entry = index.insert_dataset(dataset, name="my-dataset", prefix="datasets/v1")

import webdataset as wds
import numpy as np

samples = [ImageSample(
    image=np.random.rand(224, 224, 3).astype(np.float32),
    label=f"sample_{i}"
) for i in range(1000)]

with wds.writer.TarWriter("temp.tar") as sink:
    for i, s in enumerate(samples):
        sink.write({**s.as_wds, "__key__": f"{i:06d}"})

dataset = atdata.Dataset[ImageSample]("temp.tar")

entry, stored_dataset = repo.insert(
    dataset,
    name="training-images-v1",
    cache_local=False,
)
print(entry.cid)
print(stored_dataset.url)
print(stored_dataset.shard_list)
assert len(list(stored_dataset)) == 1000

entry, ds = repo.insert(
    dataset,
    name="my-dataset",
    cache_local=True,
    maxcount=10000,
    maxsize=100_000_000,
)
assert [sample.label for sample in ds] == [f"sample_{i}" for i in range(1000)]

entry = index.get_entry_by_name("my-dataset")
entry.name
entry.schema_ref
entry.data_urls
entry.metadata
entry.cid
entry.wds_url
entry.sample_kind
assert entry.wds_url == entry.data_urls[0] and entry.sample_kind == entry.schema_ref

schema_ref = index.publish_schema(
    ImageSample,
    version="1.0.0",
    description="Image with label annotation",
)
assert schema_ref == "atdata://local/sampleSchema/ImageSample@1.0.0"

schema = index.get_schema(schema_ref)
assert (schema["name"], schema["version"]) == ("ImageSample", "1.0.0")
assert {"fields", "createdAt"} <= schema.keys()

for schema in index.list_schemas():
    print(f"{schema['name']}@{schema['version']}")

SampleType = index.decode_schema(schema_ref)
dataset = atdata.Dataset[SampleType](entry.data_urls[0])
assert next(iter(dataset)).label == "sample_0"

from atdata.local import S3DataStore

store = S3DataStore(
    credentials="path/to/.env",
    bucket="my-bucket",
)
urls = store.write_shards(
    dataset,
    prefix="datasets/v1",
    maxcount=10000,
)
assert urls[0].startswith("s3://my-bucket/datasets/v1/data--") and urls[0].endswith("--000000.tar")
assert store.supports_streaming() is True

import numpy as np
from numpy.typing import NDArray
import atdata
from atdata.local import LocalIndex, S3DataStore
import webdataset as wds

@atdata.packable
class TrainingSample:
    features: NDArray
    label: int
    source: str

samples = [
    TrainingSample(
        features=np.random.randn(128).astype(np.float32),
        label=i % 10,
        source="synthetic",
    )
    for i in range(10000)
]

with wds.writer.TarWriter("local-data.tar") as sink:
    for i, sample in enumerate(samples):
        sink.write({**sample.as_wds, "__key__": f"{i:06d}"})

store = S3DataStore(
    credentials={
        "AWS_ENDPOINT": "http://localhost:9000",
        "AWS_ACCESS_KEY_ID": "minioadmin",
        "AWS_SECRET_ACCESS_KEY": "minioadmin",
    },
    bucket="datasets-bucket",
)
index = LocalIndex(data_store=store)

index.publish_schema(TrainingSample, version="1.0.0")
local_ds = atdata.Dataset[TrainingSample]("local-data.tar")
entry = index.insert_dataset(local_ds, name="training-v1", prefix="training")

entry = index.get_entry_by_name("training-v1")
dataset = atdata.Dataset[TrainingSample](entry.data_urls[0])
shapes = []
for batch in dataset.ordered(batch_size=32):
    shapes.append(batch.features.shape)
assert shapes == [(32, 128)] * 312 + [(16, 128)]
"""
# What a page takes for granted
BEFORE = {
    WORKFLOW: "",
    STORAGE: """
import atdata, numpy as np, pathlib
from numpy.typing import NDArray

@atdata.packable
class ImageSample:
    image: NDArray
    label: str

images = (ImageSample(image=np.zeros((4, 4, 3), np.float32), label=str(n)) for n in range(10))
atdata.write_samples(images, "data-%06d.tar", maxcount=1)
pathlib.Path("path/to").mkdir(parents=True)
pathlib.Path("path/to/.env").write_text("AWS_ENDPOINT=http://localhost:9000\\nAWS_ACCESS_KEY_ID=minioadmin\\nAWS_SECRET_ACCESS_KEY=minioadmin\\n")
""",
}


@pytest.mark.parametrize("page", [WORKFLOW, STORAGE], ids=["local-workflow", "local-storage"])
def test_pages_run_as_written(page: str, seaweedfs: S3Access, redis_url: str, tmp_path: Path, bucket: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()  # of another page
    server = urlsplit(redis_url)
    there = f'host="127.0.0.1", port={server.port}, password="{server.password}"'
    names = {
        'host="localhost", port=6379': there,
        'host="custom-host", port=6379': there,
        "my-bucket": bucket,
        "datasets-bucket": bucket,
        "224, 224": "24, 24",  # a thousand images in 7 MB, not 600
    }
    program = in_a_bucket(BEFORE[page] + page, seaweedfs)
    for name, ours in names.items():
        program = program.replace(name, ours)
    said = run(program, tmp_path, {"ATDATA_INDEX_URL": redis_url})
    assert said.count("DeprecationWarning: Repo is deprecated") == (2 if page is STORAGE else 0)
