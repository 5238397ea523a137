"""The pages on promotion and protocols, as written, on a PDS, Redis and SeaweedFS; and what others then read."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import in_a_bucket, run
from testnet.network import Network

from atdata.atmosphere import AtmosphereClient
from atdata_local.s3.access import S3Access

TUTORIAL = '''
import numpy as np
from numpy.typing import NDArray
import atdata
from atdata.local import LocalIndex, LocalDatasetEntry, S3DataStore
from atdata.atmosphere import AtmosphereClient
from atdata.promote import promote_to_atmosphere
import webdataset as wds

# 1. Define sample type
@atdata.packable
class ExperimentSample:
    """A sample from a scientific experiment."""
    measurement: NDArray
    timestamp: float
    sensor_id: str

# 2. Create samples
samples = [
    ExperimentSample(
        measurement=np.random.randn(64).astype(np.float32),
        timestamp=float(i),
        sensor_id=f"sensor_{i % 4}",
    )
    for i in range(1000)
]

# 3. Write to tar
with wds.writer.TarWriter("experiment.tar") as sink:
    for i, s in enumerate(samples):
        sink.write({**s.as_wds, "__key__": f"{i:06d}"})

# 4. Set up local index with S3 storage
store = S3DataStore(
    credentials={
        "AWS_ENDPOINT": "http://localhost:9000",
        "AWS_ACCESS_KEY_ID": "minioadmin",
        "AWS_SECRET_ACCESS_KEY": "minioadmin",
    },
    bucket="datasets-bucket",
)
local_index = LocalIndex(data_store=store)

# 5. Insert dataset into index
dataset = atdata.Dataset[ExperimentSample]("experiment.tar")
local_entry = local_index.insert_dataset(dataset, name="experiment-2024-001", prefix="experiments")

# 6. Publish schema to local index
local_index.publish_schema(ExperimentSample, version="1.0.0")
print(f"Local entry name: {local_entry.name}")
print(f"Local entry CID: {local_entry.cid}")
print(f"Data URLs: {local_entry.data_urls}")

# Connect to atmosphere
client = AtmosphereClient()
client.login("myhandle.bsky.social", "app-password")

# Promote to atmosphere
at_uri = promote_to_atmosphere(local_entry, local_index, client)
print(f"Published: {at_uri}")

at_uri = promote_to_atmosphere(
    local_entry,
    local_index,
    client,
    name="experiment-2024-001-v2",  # Override name
    description="Sensor measurements from Lab 302",
    tags=["experiment", "physics", "2024"],
    license="CC-BY-4.0",
)
print(f"Published with metadata: {at_uri}")

from atdata.promote import _find_existing_schema

# Check if schema already exists
existing = _find_existing_schema(client, "ExperimentSample", "1.0.0")
if existing:
    print(f"Found existing schema: {existing}")
    print("Will reuse instead of republishing")
else:
    print("No existing schema found, will publish new one")
assert existing and len(client.list_schemas()) == 1

entry1 = local_index.insert_dataset(dataset, name="experiment-a")
entry2 = local_index.insert_dataset(dataset, name="experiment-b")
# First promotion: publishes schema
uri1 = promote_to_atmosphere(entry1, local_index, client)
# Second promotion with same schema type + version: reuses existing schema
uri2 = promote_to_atmosphere(entry2, local_index, client)
assert uri1 != uri2 and len(client.list_schemas()) == 1

# Create new data store
new_store = S3DataStore(
    credentials="new-s3-creds.env",
    bucket="public-datasets",
)

# Promote with data copy
at_uri = promote_to_atmosphere(
    local_entry,
    local_index,
    client,
    data_store=new_store,  # Copy data to new storage
)

from atdata.atmosphere import AtmosphereIndex

atm_index = AtmosphereIndex(client)
entry = atm_index.get_dataset(at_uri)
print(f"Name: {entry.name}")
print(f"Schema: {entry.schema_ref}")
print(f"URLs: {entry.data_urls}")
assert entry.data_urls[0].startswith("s3://public-datasets/experiment-2024-001/")

# Load and iterate
SampleType = atm_index.decode_schema(entry.schema_ref)
ds = atdata.Dataset[SampleType](entry.data_urls[0])
for batch in ds.ordered(batch_size=32):
    print(f"Measurement shape: {batch.measurement.shape}")
    assert batch.measurement.shape == (32, 64)
    break

stranger = LocalDatasetEntry("x", "atdata://local/sampleSchema/Nothing@1.0.0", ["s3://datasets-bucket/x.tar"])
caught = []
for wrong in (stranger, LocalDatasetEntry("x", local_entry.schema_ref, [])):
    try:
        at_uri = promote_to_atmosphere(wrong, local_index, client)
    except KeyError as e:
        # Schema not found in local index
        print(f"Missing schema: {e}")
        print("Publish schema first: local_index.publish_schema(SampleType)")
        caught.append("schema")
    except ValueError as e:
        # Entry has no data URLs
        print(f"Invalid entry: {e}")
        caught.append("entry")
assert caught == ["schema", "entry"]
np.save("first.npy", np.stack([sample.measurement for sample in samples]))
'''

# What somebody else does, elsewhere, with neither account nor keys
READER = """
import numpy as np
import atdata

found = atdata.load_dataset("@myhandle.bsky.social/experiment-2024-001", split="train")
assert found.sample_type.__name__ == "ExperimentSample"
assert len(found) == 1000
samples = list(found)
assert np.array_equal(np.stack([sample.measurement for sample in samples]), np.load("first.npy"))
assert [sample.sensor_id for sample in samples] == [f"sensor_{i % 4}" for i in range(1000)]
"""

WORKFLOW = """
# Complete local-to-atmosphere workflow
import numpy as np
from numpy.typing import NDArray
import atdata
from atdata.local import LocalIndex, S3DataStore
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex
from atdata.promote import promote_to_atmosphere
import webdataset as wds

# 1. Define sample type
@atdata.packable
class FeatureSample:
    features: NDArray
    label: int

# 2. Create dataset tar
samples = [
    FeatureSample(
        features=np.random.randn(128).astype(np.float32),
        label=i % 10,
    )
    for i in range(1000)
]
with wds.writer.TarWriter("features.tar") as sink:
    for i, s in enumerate(samples):
        sink.write({**s.as_wds, "__key__": f"{i:06d}"})

# 3. Store in local index with S3 backend
store = S3DataStore(credentials="creds.env", bucket="datasets-bucket")
local_index = LocalIndex(data_store=store)
dataset = atdata.Dataset[FeatureSample]("features.tar")
local_entry = local_index.insert_dataset(dataset, name="feature-vectors-v1", prefix="features")

# 4. Publish schema locally
local_index.publish_schema(FeatureSample, version="1.0.0")

# 5. Promote to atmosphere
client = AtmosphereClient()
client.login("myhandle.bsky.social", "app-password")
at_uri = promote_to_atmosphere(
    local_entry,
    local_index,
    client,
    description="Feature vectors for classification",
    tags=["features", "embeddings"],
    license="MIT",
)
print(f"Dataset published: {at_uri}")

# 6. Others can now discover and load
ds = atdata.load_dataset("@myhandle.bsky.social/feature-vectors-v1", index=AtmosphereIndex(client), split="train")
assert [sample.label for sample in ds] == [i % 10 for i in range(1000)]

# 6. Verify on atmosphere
atm_index = AtmosphereIndex(client)
entry = atm_index.get_dataset(at_uri)
print(f"Name: {entry.name}")
print(f"Schema: {entry.schema_ref}")
print(f"URLs: {entry.data_urls}")
assert (entry.name, entry.license, entry.data_urls) == ("feature-vectors-v1", "MIT", local_entry.data_urls)
"""

PROTOCOLS = """
import atdata
from atdata.local import LocalIndex, S3DataStore
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex
from atdata._protocols import AbstractIndex
import numpy as np
from numpy.typing import NDArray

# Define sample type
@atdata.packable
class FeatureSample:
    features: NDArray
    label: int

there = S3DataStore(credentials="creds.env", bucket="datasets-bucket")  # what a team has
rows = (FeatureSample(features=np.full(4, n, np.float32), label=n) for n in range(10))
LocalIndex(data_store=there).insert_dataset(atdata.write_samples(rows, "rows.tar"), name="my-features")

# Function works with any index
def count_datasets(index: AbstractIndex) -> int:
    return sum(1 for _ in index.list_datasets())

# Use with local index
local_index = LocalIndex()
print(f"Local datasets: {count_datasets(local_index)}")
assert count_datasets(local_index) == 1

# Use with atmosphere index
client = AtmosphereClient()
client.login("handle.bsky.social", "app-password")
atm_index = AtmosphereIndex(client)
print(f"Atmosphere datasets: {count_datasets(atm_index)}")
assert count_datasets(atm_index) == 0

# Migrate from local to atmosphere
def migrate_dataset(
    name: str,
    source: AbstractIndex,
    target: AbstractIndex,
) -> None:
    entry = source.get_dataset(name)
    SampleType = source.decode_schema(entry.schema_ref)
    # Publish schema
    schema_ref = target.publish_schema(SampleType)
    # Create dataset and insert
    ds = atdata.Dataset[SampleType](entry.data_urls[0])
    target.insert_dataset(ds, name=name, schema_ref=schema_ref)

migrate_dataset("my-features", local_index, atm_index)

assert count_datasets(atm_index) == 1
found = atdata.load_dataset("@handle.bsky.social/my-features", index=atm_index, split="train")
assert [sample.label for sample in found] == list(range(10))
"""


@pytest.mark.parametrize(
    ("database", "page", "then"),
    [(1, TUTORIAL, READER), (2, WORKFLOW, ""), (3, PROTOCOLS, "")],
    ids=["tutorial", "workflow", "protocols"],
)
def test_pages_run_as_written(
    database: int,
    page: str,
    then: str,
    network: Network,
    alice: AtmosphereClient,
    seaweedfs: S3Access,
    redis_url: str,
    public_bucket: str,
    bucket: str,
    tmp_path: Path,
) -> None:
    # with the places and credentials of these servers
    here = f"base_url={network.pds!r}, plc_url={network.plc!r}, allow_insecure=True"
    account = network.accounts["alice"]
    keys = {"AWS_ACCESS_KEY_ID": str(seaweedfs.access_key), "AWS_SECRET_ACCESS_KEY": str(seaweedfs.secret_key)}
    for name in ("creds.env", "new-s3-creds.env"):
        given = {"AWS_ENDPOINT": str(seaweedfs.endpoint), **keys}
        (tmp_path / name).write_text("".join(f"{key}={value}\n" for key, value in given.items()))

    def program(text: str) -> str:
        for written, instead in {
            "AtmosphereClient()": f"AtmosphereClient({here})",
            "myhandle.bsky.social": account.handle,
            "handle.bsky.social": account.handle,
            "app-password": account.appPassword,
            "datasets-bucket": bucket,
            "public-datasets": public_bucket,
        }.items():
            text = text.replace(written, instead)
        return in_a_bucket(text, seaweedfs)

    # each begins with nothing
    run(program(page), tmp_path, {"ATDATA_INDEX_URL": f"{redis_url.removesuffix('/0')}/{database}"})
    run(program(then), tmp_path, {**network.environment, "AWS_ENDPOINT_URL": str(seaweedfs.endpoint)})
