"""What the tutorial and the reference of this backend show, as they show it, against a real server."""

from __future__ import annotations

import io
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from numpy.typing import NDArray
from testnet.network import Network

import atdata
from atdata import BlobSource, Dataset
from atdata._protocols import AbstractIndex, IndexEntry
from atdata.atmosphere import (
    AtmosphereClient,
    AtmosphereIndex,
    AtUri,
    DatasetLoader,
    DatasetPublisher,
    LensLoader,
    LensPublisher,
    PDSBlobStore,
    SchemaLoader,
    SchemaPublisher,
)
from atdata.lens import lens
from atdata_atmosphere.errors import AtmosphereWarning
from atdata_local import LocalIndex


@atdata.packable
class ImageSample:
    """A sample containing image data with metadata."""

    image: NDArray[Any]
    label: str
    confidence: float


@atdata.packable
class FeatureSample:
    features: NDArray[Any]
    label: int


@atdata.packable
class SourcedSample:
    features: NDArray[Any]
    label: int
    source: str


@atdata.packable
class DemoSample:
    id: int
    text: str


@atdata.packable
class Label:
    label: str


@lens
def simplify(src: ImageSample) -> Label:
    return Label(label=src.label)


URLS = ["s3://example-bucket/demo-data-{000000..000009}.tar"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alice: AtmosphereClient) -> None:
    """A folder for what is written, and an account for what is published."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATDATA_CACHE_DIR", str(tmp_path / "cache"))


def logged_in(network: Network) -> AtmosphereClient:
    """What the pages call ``AtmosphereClient()``, and log in with."""
    client = AtmosphereClient(base_url=network.pds, plc_url=network.plc, allow_insecure=True)
    client.login(network.accounts["alice"].handle, network.accounts["alice"].appPassword)
    return client


def features(count: int) -> list[FeatureSample]:
    return [FeatureSample(features=np.random.randn(64).astype(np.float32), label=i % 10) for i in range(count)]


def write(path: str, samples: list[Any]) -> None:
    with wds.writer.TarWriter(path) as sink:
        for i, s in enumerate(samples):
            sink.write({**s.as_wds, "__key__": f"{i:06d}"})


def test_tutorial_types_and_uris(capsys: pytest.CaptureFixture[str]) -> None:
    assert ImageSample.__name__ == "ImageSample"
    assert is_dataclass(ImageSample)
    assert [field.name for field in fields(ImageSample)] == ["image", "label", "confidence"]
    sample = ImageSample(image=np.random.rand(224, 224, 3).astype(np.float32), label="cat", confidence=0.95)
    assert len(sample.packed) > 224 * 224 * 3 * 4
    assert np.allclose(sample.image, ImageSample.from_bytes(sample.packed).image)
    for text, authority, collection, rkey in (
        ("at://did:plc:abc123/ac.foundation.dataset.sampleSchema/xyz789", "did:plc:abc123", "sampleSchema", "xyz789"),
        ("at://alice.bsky.social/ac.foundation.dataset.record/my-dataset", "alice.bsky.social", "record", "my-dataset"),
    ):
        uri = AtUri.parse(text)
        assert (uri.authority, uri.collection, uri.rkey) == (authority, f"ac.foundation.dataset.{collection}", rkey)
        assert str(uri) == text


def test_tutorial(network: Network) -> None:
    client = logged_in(network)
    schema_publisher = SchemaPublisher(client)
    schema_uri = schema_publisher.publish(
        ImageSample,
        name="ImageSample",
        version="1.0.0",
        description="Demo: Image sample with label and confidence",
    )
    schemas = SchemaLoader(client).list_all(limit=10)
    assert [(schema.get("name", "Unknown"), schema.get("version", "?")) for schema in schemas] == [
        ("ImageSample", "1.0.0")
    ]
    dataset_publisher = DatasetPublisher(client)
    dataset_uri = dataset_publisher.publish_with_urls(
        urls=URLS,
        schema_uri=str(schema_uri),
        name="Demo Image Dataset",
        description="Example dataset demonstrating atmosphere publishing",
        tags=["demo", "images", "atdata"],
        license="MIT",
    )
    assert str(dataset_uri).startswith(f"at://{client.did}/")

    store = PDSBlobStore(client)
    index = AtmosphereIndex(client, data_store=store)
    write("temp.tar", features(100))
    dataset = atdata.Dataset[FeatureSample]("temp.tar")
    feature_uri = index.publish_schema(FeatureSample, version="1.0.0")
    entry = index.insert_dataset(
        dataset,
        name="blob-stored-features",
        schema_ref=feature_uri,
        description="Features stored as PDS blobs",
    )
    assert entry.uri.startswith(f"at://{client.did}/ac.foundation.dataset.record/")
    assert all(url.startswith(f"at://{client.did}/blob/baf") for url in entry.data_urls)

    source = store.create_source(entry.data_urls)
    refs = [{"did": client.did, "cid": url.rpartition("/")[2]} for url in entry.data_urls]
    for read in (source, BlobSource.from_refs(refs, pds_endpoint=network.pds)):
        ds = atdata.Dataset[FeatureSample](read)
        shapes = [batch.features.shape for batch in ds.ordered(batch_size=32)]
        assert shapes == [(32, 64)] * 3 + [(4, 64)]

    dataset_loader = DatasetLoader(client)
    datasets = dataset_loader.list_all(limit=10)
    assert [found.get("name", "Unknown") for found in datasets] == ["blob-stored-features", "Demo Image Dataset"]
    assert [found.get("schemaRef") for found in datasets] == [feature_uri, str(schema_uri)]
    assert [found.get("tags", []) for found in datasets] == [[], ["demo", "images", "atdata"]]

    write("demo.tar", [DemoSample(id=i, text=f"text {i}") for i in range(3)])
    demo_uri = schema_publisher.publish(DemoSample)
    blob_dataset_uri = dataset_publisher.publish_with_blobs(
        blobs=[Path("demo.tar").read_bytes()], schema_uri=str(demo_uri), name="demo"
    )
    assert dataset_loader.get_storage_type(str(blob_dataset_uri)) == "blobs"
    assert len(dataset_loader.get_blob_urls(str(blob_dataset_uri))) == 1
    demo = dataset_loader.to_dataset(str(blob_dataset_uri), DemoSample)
    assert [(sample.id, sample.text) for sample in demo.ordered()] == [(i, f"text {i}") for i in range(3)]


def test_complete_workflow(network: Network) -> None:
    """The end of the tutorial and that of the reference are the same but for their last lines."""
    samples = [
        SourcedSample(features=np.random.randn(128).astype(np.float32), label=i % 10, source="synthetic")
        for i in range(1000)
    ]
    write("features.tar", samples)
    client = logged_in(network)
    store = PDSBlobStore(client)
    index = AtmosphereIndex(client, data_store=store)
    schema_uri = index.publish_schema(SourcedSample, version="1.0.0", description="Feature vectors with labels")
    dataset = atdata.Dataset[SourcedSample]("features.tar")
    entry = index.insert_dataset(
        dataset, name="synthetic-features-v1", schema_ref=schema_uri, tags=["features", "synthetic"]
    )
    assert entry.tags == ["features", "synthetic"]
    source = store.create_source(entry.data_urls)
    ds = atdata.Dataset[SourcedSample](source)
    assert len(next(iter(ds.ordered(batch_size=32))).label) == 32

    for dataset_entry in index.list_datasets():
        SampleType: Any = index.decode_schema(dataset_entry.schema_ref)
        source = store.create_source(dataset_entry.data_urls)
        read = atdata.Dataset[SampleType](source)
        batch: Any = next(iter(read.ordered(batch_size=32)))
        assert batch.features.shape == (32, 128)

    index = AtmosphereIndex(client)
    with pytest.warns(AtmosphereWarning, match="nobody else can read it"):
        entry = index.insert_dataset(dataset, name="external-features", schema_ref=schema_uri)
    external = atdata.Dataset[SourcedSample](entry.data_urls[0])
    assert sum(len(batch.label) for batch in external.ordered(batch_size=100)) == 1000


def test_reference(network: Network, bob: AtmosphereClient) -> None:
    client = logged_in(network)
    session_string = client.export_session()
    new_client = AtmosphereClient(base_url=network.pds, plc_url=network.plc, allow_insecure=True)
    new_client.login_with_session(session_string)
    assert new_client.did == client.did

    store = PDSBlobStore(client)
    write("train.tar", features(50))
    dataset = atdata.Dataset[FeatureSample]("train.tar")
    urls = store.write_shards(dataset, prefix="large-data/v1", maxcount=5000, maxsize=int(5e6))
    assert store.read_url(urls[0]).startswith(f"{network.pds}/xrpc/com.atproto.sync.getBlob?")
    assert store.create_source(urls).list_shards() == urls

    index = AtmosphereIndex(client)
    schema_uri = index.publish_schema(ImageSample, version="1.0.0", description="Image classification sample")
    entry = index.insert_dataset(
        atdata.Dataset[ImageSample]("s3://bucket/data-{000000..000009}.tar"),
        name="imagenet-subset",
        schema_ref=schema_uri,
        description="ImageNet subset",
        tags=["images", "classification"],
        license="MIT",
    )
    assert entry.data_urls == ["s3://bucket/data-{000000..000009}.tar"]
    assert [(found.name, found.schema_ref) for found in index.list_datasets()] == [("imagenet-subset", schema_uri)]
    assert [found.name for found in AtmosphereIndex(bob).list_datasets(repo=client.did)] == ["imagenet-subset"]
    assert index.get_dataset(entry.uri).license == "MIT"
    assert [f"{schema['name']} v{schema['version']}" for schema in index.list_schemas()] == ["ImageSample v1.0.0"]
    assert index.decode_schema(schema_uri).__name__ == "ImageSample"

    uri = SchemaPublisher(client).publish(
        ImageSample, name="ImageSample", version="1.0.0", description="Image", metadata={"source": "training"}
    )
    assert SchemaLoader(client).get(uri)["metadata"] == {"source": "training"}
    publisher = DatasetPublisher(client)
    uri = publisher.publish(
        atdata.Dataset[ImageSample](URLS[0]),
        name="training-images",
        schema_uri=schema_uri,
        auto_publish_schema=True,
        description="Training images",
        tags=["training", "images"],
        license="MIT",
    )
    tar_buffer = io.BytesIO()
    with wds.writer.TarWriter(tar_buffer) as sink:
        for i, sample in enumerate(features(5)):
            sink.write({**sample.as_wds, "__key__": f"{i:06d}"})
    blob_uri = publisher.publish_with_blobs(
        blobs=[tar_buffer.getvalue()],
        schema_uri=index.publish_schema(FeatureSample),
        name="small-dataset",
        description="Dataset stored in ATProto blobs",
        tags=["small", "demo"],
    )
    loader = DatasetLoader(client)
    assert [loader.get_storage_type(str(found)) for found in (uri, blob_uri)] == ["external", "blobs"]
    assert loader.get_urls(uri) == URLS
    assert len(loader.get_blob_urls(blob_uri)) == 1
    assert loader.get_metadata(uri) is None
    (batch,) = loader.to_dataset(blob_uri, FeatureSample).ordered(batch_size=32)
    assert batch.features.shape == (5, 64)

    label_uri = index.publish_schema(Label)
    code = {"repository": "https://github.com/org/repo", "commit": "abc123def", "path": "transforms/simplify.py:get"}
    lenses = LensPublisher(client)
    first = lenses.publish(
        name="simplify",
        source_schema=schema_uri,
        target_schema=label_uri,
        description="Extract label only",
        getter_code=code,
        putter_code=code,
    )
    lenses.publish_from_lens(simplify, source_schema=schema_uri, target_schema=label_uri)
    found = LensLoader(client)
    assert found.get(first)["sourceSchema"] == schema_uri
    assert len(found.list_all()) == 2
    assert len(found.find_by_schemas(source_schema_uri=schema_uri, target_schema_uri=label_uri)) == 2


def test_protocols(network: Network, tmp_path: Path) -> None:
    """Code that works with any index, in both directions."""
    write("features.tar", features(10))
    local, atmosphere = LocalIndex(path=tmp_path / "index.sqlite3"), AtmosphereIndex(logged_in(network))
    local.insert_dataset(atdata.Dataset[FeatureSample]("features.tar"), name="my-features")

    def count_datasets(index: AbstractIndex) -> int:
        return sum(1 for _ in index.list_datasets())

    def backup_all_datasets(source: AbstractIndex, target: AbstractIndex) -> None:
        for entry in source.list_datasets():
            SampleType: Any = source.decode_schema(entry.schema_ref)
            target_schema = target.publish_schema(SampleType)
            ds = Dataset[SampleType](entry.data_urls[0])
            target.insert_dataset(ds, name=entry.name, schema_ref=target_schema)

    assert (count_datasets(local), count_datasets(atmosphere)) == (1, 0)
    with pytest.warns(AtmosphereWarning, match="nobody else can read it"):
        backup_all_datasets(local, atmosphere)
    assert count_datasets(atmosphere) == 1
    entry = atmosphere.get_dataset("my-features")
    assert isinstance(entry, IndexEntry)
    restored = LocalIndex(path=tmp_path / "restored.sqlite3")
    backup_all_datasets(atmosphere, restored)
    SampleType: Any = restored.decode_schema(restored.get_dataset("my-features").schema_ref)
    read = list(Dataset[SampleType](restored.get_dataset("my-features").data_urls[0]))
    assert [sample.label for sample in read] == list(range(10))


def test_uri_spec(network: Network) -> None:
    client = logged_in(network)
    ref = client.publish_schema(ImageSample)
    index = AtmosphereIndex(client)
    for named in (
        f"atdata://{client.did}/sampleSchema/ImageSample@1.0.0",
        "atdata://alice.test/sampleSchema/ImageSample",
    ):
        assert str(index.get_schema(named).uri) == str(ref)  # type: ignore[attr-defined]
