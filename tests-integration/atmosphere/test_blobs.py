"""Shards as blobs of a real server: stored, read by others, damaged there, and gone with their record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from testnet.network import Network

import atdata
from atdata import BlobSource, Dataset
from atdata.atmosphere import AtmosphereClient, DatasetLoader, DatasetPublisher, PDSBlobStore, SchemaPublisher
from atdata.errors import ShardCorrupted, ShardNotFound
from atdata.testing import DataStoreContract
from atdata.uri import AtUri
from atdata_atmosphere.errors import AtmosphereWarning, PayloadTooLarge
from atdata_atmosphere.records import DATASET
from atdata_atmosphere.storage import blob_storage
from atdata_atmosphere.uploads import Content


@atdata.packable
class Picture:
    image: NDArray[np.uint8]
    label: str


def pictures(count: int, side: int = 20) -> Iterator[Picture]:
    rng = np.random.default_rng(0)
    return (Picture(image=rng.integers(0, 256, (side, side), np.uint8), label=str(n)) for n in range(count))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset[Picture]:
    """A hundred pictures in four shards."""
    return atdata.write_samples(pictures(100), tmp_path / "pictures" / "p-%06d.tar", maxcount=30)


@pytest.fixture
def schema(alice: AtmosphereClient) -> AtUri:
    return SchemaPublisher(alice).publish(Picture)


def labels(dataset: Dataset[Picture]) -> list[str]:
    return [picture.label for picture in dataset]


class Referring(PDSBlobStore):
    """A store that writes a record for whatever it stores, as an index does."""

    schema: AtUri

    def __init__(self, client: AtmosphereClient) -> None:
        super().__init__(client)
        self.records: dict[tuple[str, ...], list[AtUri]] = {}

    def write_shards(self, ds: Dataset[Any], **options: Any) -> list[str]:
        urls = super().write_shards(ds, **options)
        facts = self.shard_facts(urls)
        assert facts is not None
        blobs = [
            {"$type": "blob", "ref": {"$link": fact.name}, "mimeType": "application/x-tar", "size": fact.bytes}
            for fact in facts
        ]
        storage, size = blob_storage(blobs, [fact.samples for fact in facts])
        record = {"$type": DATASET, "name": "n", "schemaRef": str(self.schema), "storage": storage, "size": size}
        self.records.setdefault(tuple(urls), []).append(self.client.create_record(DATASET, record))
        return urls

    def delete_shards(self, urls: list[str]) -> None:
        self.client.delete_record(self.records[tuple(urls)].pop())


class TestStoreContract(DataStoreContract):
    by_content = True

    @pytest.fixture(autouse=True)
    def _account(self, alice: AtmosphereClient, schema: AtUri) -> None:
        self.client, self.schema = alice, schema

    def make_store(self) -> Referring:
        store = Referring(self.client)
        store.schema = self.schema
        return store

    def objects(self, store: Any, prefix: str) -> list[str]:
        found = self.client._xrpc.query(self.client.server, "com.atproto.sync.listBlobs", {"did": self.client.did})
        return sorted(found["cids"])


def test_a_dataset_in_blobs_is_read_by_others(
    alice: AtmosphereClient, anyone: AtmosphereClient, dataset: Dataset[Picture], schema: AtUri
) -> None:
    uri = DatasetPublisher(alice).publish_with_blobs(dataset.list_shards(), schema, name="pictures")
    loader = DatasetLoader(anyone)
    assert loader.get(uri)["size"]["samples"] == 100
    theirs = loader.to_dataset(uri, Picture)
    assert isinstance(theirs.source, BlobSource)
    assert len(theirs) == 100
    by_refs = BlobSource.from_refs(loader.get_blobs(uri), did=alice.did, client=anyone)
    for read in (theirs, Dataset[Picture](by_refs)):
        for mine, yours in zip(dataset, read, strict=True):
            assert mine.label == yours.label
            assert np.array_equal(mine.image, yours.image)
    assert sorted(picture.label for picture in theirs.shuffled(seed=1)) == sorted(labels(dataset))


def test_the_reference(alice: AtmosphereClient, dataset: Dataset[Picture], schema: AtUri) -> None:
    store = PDSBlobStore(alice)
    urls = store.write_shards(dataset, prefix="my-data/v1", maxcount=5000, maxsize=50e6)
    assert all(url.startswith(f"at://{alice.did}/blob/bafkrei") for url in urls)
    source = store.create_source(urls)
    with pytest.raises(ShardNotFound, match="only while a record refers to it"):
        source.open_shard(urls[0])
    DatasetPublisher(alice).publish_with_blobs(dataset.list_shards(), schema, name="pictures")
    assert store.read_url(urls[0]).startswith(f"{alice.server}/xrpc/com.atproto.sync.getBlob?")
    batches = list(atdata.Dataset[Picture](source).ordered(batch_size=32))
    assert [len(batch.label) for batch in batches] == [32, 32, 32, 4]
    by_hand = BlobSource.from_refs(
        [{"did": alice.did, "cid": url.rpartition("/")[2]} for url in urls], pds_endpoint=alice.server
    )
    assert labels(atdata.Dataset[Picture](by_hand)) == labels(dataset)


def test_only_what_is_missing_is_sent(
    alice: AtmosphereClient, dataset: Dataset[Picture], schema: AtUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    DatasetPublisher(alice).publish_with_blobs(dataset.list_shards()[:2], schema, name="half")
    sent: list[int] = []
    send = alice._send_blob

    def count(content: Content, kind: str) -> dict[str, Any]:
        sent.append(len(content))
        return send(content, kind)

    monkeypatch.setattr(alice, "_send_blob", count)
    assert len(PDSBlobStore(alice).write_shards(dataset, prefix="all")) == 4
    assert sorted(sent) == sorted(Path(shard).stat().st_size for shard in dataset.list_shards()[2:])


def test_blobs_live_as_long_as_a_record_refers_to_them(
    alice: AtmosphereClient, dataset: Dataset[Picture], schema: AtUri
) -> None:
    publish = DatasetPublisher(alice).publish_with_blobs
    first, second = (publish(dataset.list_shards(), schema, name=name) for name in ("first", "second"))
    options: dict[str, Any] = {"client": alice, "cache_dir": False}
    source = BlobSource.from_refs(DatasetLoader(alice).get_blobs(first), did=alice.did, **options)
    alice.delete_record(first)
    assert labels(Dataset.of(Picture, source)) == labels(dataset)
    alice.delete_record(second)
    with pytest.raises(ShardNotFound):
        list(Dataset.of(Picture, source))
    # what is gone is sent again
    third = publish(dataset.list_shards(), schema, name="third")
    assert labels(DatasetLoader(alice).to_dataset(third, Picture)) == labels(dataset)


def test_blobs_of_others_behind_urls(
    alice: AtmosphereClient, bob: AtmosphereClient, anyone: AtmosphereClient, dataset: Dataset[Picture], schema: AtUri
) -> None:
    uri = DatasetPublisher(alice).publish_with_blobs(dataset.list_shards(), schema, name="pictures")
    urls = [f"at://{alice.did}/blob/{blob['ref']['$link']}" for blob in DatasetLoader(alice).get_blobs(uri)]
    theirs = DatasetPublisher(bob).publish_with_urls(urls, schema, name="alice's pictures")
    assert labels(DatasetLoader(anyone).to_dataset(theirs, Picture)) == labels(dataset)


# ------------------------------------------------------------------------------------------------ damage


@pytest.mark.parametrize("place", [0, 0.5, -1])
def test_a_byte_that_flips_on_the_server(
    network: Network,
    alice: AtmosphereClient,
    anyone: AtmosphereClient,
    dataset: Dataset[Picture],
    schema: AtUri,
    tmp_path: Path,
    place: float,
) -> None:
    uri = DatasetPublisher(alice).publish_with_blobs(dataset.list_shards(), schema, name="pictures")
    blobs = DatasetLoader(anyone).get_blobs(uri)
    cid, size = blobs[1]["ref"]["$link"], blobs[1]["size"]
    file = network.dir / "blobs" / alice.did / cid
    content = bytearray(file.read_bytes())
    where = int(place * size) if place > 0 else int(place)
    content[where] ^= 1
    file.write_bytes(content)
    for verify in ("end", "before"):
        folder = tmp_path / verify
        source = BlobSource.from_refs(blobs, did=alice.did, client=anyone, verify=verify, cache_dir=folder)
        with pytest.raises(ShardCorrupted) as caught:
            list(Dataset.of(Picture, source))
        assert caught.value.shard == source.list_shards()[1]
        kept = {atdata.cid.cid_of_file(path) for path in folder.glob("*.tar")}
        assert blobs[0]["ref"]["$link"] in kept
        assert kept <= {blob["ref"]["$link"] for blob in blobs} - {cid}
    with pytest.raises(ShardCorrupted):
        list(DatasetLoader(anyone).to_dataset(uri, Picture))
    with pytest.raises(ShardCorrupted):
        anyone.get_blob(alice.did, cid)
    content[where] ^= 1
    file.write_bytes(content)
    assert labels(DatasetLoader(anyone).to_dataset(uri, Picture)) == labels(dataset)


# ------------------------------------------------------------------------------------------------ limits


def test_a_server_that_takes_little(network: Network, tmp_path: Path) -> None:
    options = ["--plc", network.plc, "--handles", "erin.test", "--blob-limit", "60000"]
    with Network(*options) as small, small.client("erin") as erin:
        assert erin.blob_limit() == 60_000
        dataset = atdata.write_samples(pictures(200, 30), tmp_path / "large.tar")
        store = Referring(erin)
        store.schema = SchemaPublisher(erin).publish(Picture)
        with pytest.warns(AtmosphereWarning, match="at most 60,000 bytes"):
            urls = store.write_shards(dataset, prefix="a")
        assert len(urls) > 3
        assert labels(Dataset.of(Picture, store.create_source(urls))) == labels(dataset)
        with pytest.raises(PayloadTooLarge, match=r"large\.tar has"):
            DatasetPublisher(erin).publish_with_blobs(dataset.list_shards(), store.schema, name="n")
        with pytest.raises(PayloadTooLarge):
            erin.upload_blob(bytes(60_001))
        assert erin.upload_blob(bytes(60_000))["size"] == 60_000


def test_environments_name_the_network(
    network: Network,
    alice: AtmosphereClient,
    dataset: Dataset[Picture],
    schema: AtUri,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    DatasetPublisher(alice).publish_with_blobs(dataset.list_shards(), schema, name="pictures")
    urls = PDSBlobStore(alice).write_shards(dataset, prefix="a")
    account = network.accounts["alice"]
    login = {"ATDATA_HANDLE": account.handle, "ATDATA_APP_PASSWORD": account.appPassword}
    for name, value in {**network.environment, **login}.items():
        monkeypatch.setenv(name, value)
    assert labels(Dataset[Picture](urls)) == labels(dataset)
    store = atdata.plugins.get("atdata.stores", "pds")("pds://alice.test")
    assert store.write_shards(dataset, prefix="b") == urls
    store.client.close()
