"""Datasets of a team, promoted to the network, and read there by others; the pages that tell of it, as written."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from testnet.network import Network

import atdata
from atdata import Dataset
from atdata._protocols import AbstractIndex
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, PDSBlobStore, verify
from atdata.errors import NameTaken, SchemaNotFound, ShardCorrupted, UnsafeURL
from atdata.manifest import read_manifest
from atdata.promote import promote_to_atmosphere
from atdata_atmosphere.errors import AtmosphereError, InvalidRecord, NotLoggedIn, ServerUnreachable
from atdata_atmosphere.records import DATASET
from atdata_atmosphere.storage import sha256_of
from atdata_local import DiskDataStore, Index, LocalDatasetEntry, S3DataStore
from atdata_local.s3.access import S3Access


@atdata.packable
class Measurement:
    """A value of a sensor."""

    values: NDArray[np.float32]
    sensor: str


def measurements(count: int) -> Iterator[Measurement]:
    return (Measurement(values=np.full(64, n, np.float32), sensor=f"sensor {n % 4}") for n in range(count))


def equal(found: Any, count: int) -> bool:
    """Whether a dataset holds so many of the measurements."""
    pairs = zip(found, measurements(count), strict=True)
    return all(np.array_equal(a.values, b.values) and a.sensor == b.sensor for a, b in pairs)


METADATA = {"description": "Values of sensors", "scale": 0.25, "nested": {"$odd": [1, None]}}
SAID = {"tags": ["sensors", "lab"], "license": "CC-BY-4.0", "metadata": METADATA}


@pytest.fixture
def index(tmp_path: Path, store: S3DataStore) -> Index:
    """An index whose data store is a bucket, with the dataset ``values`` of four shards."""
    index = Index(path=tmp_path / "index.sqlite3", data_store=store)
    dataset = atdata.write_samples(measurements(100), tmp_path / "values.tar", maxcount=30)
    index.insert_dataset(dataset, name="values", **SAID)
    return index


def records(client: AtmosphereClient) -> list[Any]:
    return client.list_datasets(repo=client.did)


def test_a_promoted_dataset_says_what_the_entry_says(index: Index, alice: AtmosphereClient) -> None:
    entry = index.get_dataset("values")
    uri = promote_to_atmosphere(entry, index, alice)
    found = AtmosphereIndex(alice).get_dataset(uri)
    for part in ("name", "description", "tags", "license", "metadata", "data_urls", "samples", "bytes", "shards"):
        assert getattr(found, part) == getattr(entry, part), part
    (record,) = records(alice)
    digests = [shard["digest"] for location in record["storage"]["locations"] for shard in location["shards"]]
    assert [sha256_of(digest) for digest in digests] == entry.digests
    assert index.get_schema(entry.schema_ref)["fields"] == AtmosphereIndex(alice).get_schema(found.schema_ref)["fields"]
    assert equal(atdata.Dataset[Measurement](found.data_urls), 100)
    assert verify(uri, alice).ok


def test_nothing_is_promoted_twice(index: Index, alice: AtmosphereClient) -> None:
    entry = index.get_dataset("values")
    first = promote_to_atmosphere(entry, index, alice)
    assert promote_to_atmosphere(entry, index, alice) == first
    other = promote_to_atmosphere(
        entry, index, alice, name="values-v2", description="Others", tags=["x"], license="MIT"
    )
    assert (
        promote_to_atmosphere(entry, index, alice, name="values-v2", description="Others", tags=["x"], license="MIT")
        == other
    )
    found = AtmosphereIndex(alice).get_dataset(other)
    assert (found.name, found.description, found.tags, found.license) == ("values-v2", "Others", ["x"], "MIT")
    assert found.metadata == METADATA
    assert len(records(alice)) == 2
    assert len(alice.list_schemas(repo=alice.did)) == 1


def test_bytes_are_copied_to_another_bucket(
    index: Index, alice: AtmosphereClient, credentials: dict[str, str], seaweedfs: S3Access
) -> None:
    seaweedfs.client().create_bucket(Bucket="copies-of-values")
    there, told = S3DataStore(credentials, bucket="copies-of-values"), list[tuple[int, int | None]]()
    entry = index.get_dataset("values")
    uri = promote_to_atmosphere(
        entry, index, alice, data_store=there, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (entry.bytes, entry.bytes)
    found = AtmosphereIndex(alice).get_dataset(uri)
    assert all(url.startswith("s3://copies-of-values/values/") for url in found.data_urls)
    facts = there.shard_facts(found.data_urls)
    assert [fact.sha256 for fact in facts or ()] == entry.digests
    assert (found.samples, found.bytes, found.shards) == (entry.samples, entry.bytes, entry.shards)
    assert verify(uri, alice).ok
    # again, and after an interruption between the copy and the record
    objects = sorted(there.list_objects())
    assert promote_to_atmosphere(entry, index, alice, data_store=there) == uri
    alice.delete_record(uri)
    assert promote_to_atmosphere(entry, index, alice, data_store=there) != uri
    assert sorted(there.list_objects()) == objects
    assert len(records(alice)) == 1


def test_bytes_are_copied_into_the_repository_and_others_read_them(
    network: Network, index: Index, alice: AtmosphereClient, anyone: AtmosphereClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = index.get_dataset("values")
    uri = promote_to_atmosphere(entry, index, alice, data_store=PDSBlobStore(alice))
    assert promote_to_atmosphere(entry, index, alice, data_store=PDSBlobStore(alice)) == uri
    found = AtmosphereIndex(anyone).get_dataset("@alice.test/values")
    assert found.uri == uri
    assert [sha256_of(url.rpartition("/")[2]) for url in found.data_urls] == entry.digests
    assert (found.samples, found.bytes, found.shards) == (entry.samples, entry.bytes, entry.shards)
    assert verify(uri, anyone).ok
    for name, value in network.environment.items():
        monkeypatch.setenv(name, value)
    assert equal(atdata.load_dataset("@alice.test/values", split="train"), 100)
    for index in (AtmosphereIndex(anyone), None):
        assert equal(atdata.load_dataset(uri, split="train", index=index), 100)


def test_shards_that_no_manifest_knows(alice: AtmosphereClient, tmp_path: Path) -> None:
    """Copied as they are, like all others; what is published of them is what reading them tells."""
    dataset = atdata.write_samples(measurements(30), tmp_path / "made" / "values.tar", maxcount=10)
    plain = tmp_path / "plain"
    plain.mkdir()
    for shard in dataset.list_shards():
        shutil.copy(shard, plain)
    index = Index(path=tmp_path / "index.sqlite3")
    shards = sorted(map(str, plain.iterdir()))
    entry = index.add_entry(atdata.Dataset[Measurement](shards), name="values")
    assert entry.digests is None
    store = DiskDataStore(tmp_path / "copies")
    with pytest.warns(match="nobody else can read it"):
        uri = promote_to_atmosphere(entry, index, alice, data_store=store)
    found = AtmosphereIndex(alice).get_dataset(uri)
    assert (found.samples, found.shards) == (30, 3)
    copies = [Path(urlsplit(url).path).read_bytes() for url in found.data_urls]
    assert copies == [Path(shard).read_bytes() for shard in shards]
    facts = store.shard_facts(found.data_urls)
    assert [(fact.samples, fact.first_key) for fact in facts or ()] == [(10, key) for key in first_keys(dataset)]
    assert equal(atdata.load_dataset(str(tmp_path / "copies" / "values"), split="train"), 30)


def first_keys(dataset: atdata.Dataset[Any]) -> list[str]:
    manifest = read_manifest(Path(dataset.list_shards()[0]).parent)
    assert manifest is not None
    return [manifest.shards[Path(shard).name].first_key for shard in dataset.list_shards()]


def test_shards_that_are_larger_than_the_server_takes(
    index: Index, alice: AtmosphereClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = index.get_dataset("values")
    monkeypatch.setattr(alice, "blob_limit", lambda: 10_000)
    with pytest.warns(match="smaller shards"):
        uri = promote_to_atmosphere(entry, index, alice, data_store=PDSBlobStore(alice))
    found = AtmosphereIndex(alice).get_dataset(uri)
    assert found.samples == 100
    assert (found.shards or 0) > len(entry.data_urls)
    assert verify(uri, alice).ok
    assert equal(atdata.load_dataset(uri, split="train", index=AtmosphereIndex(alice)), 100)


def test_shards_that_changed_since_they_were_indexed(alice: AtmosphereClient, tmp_path: Path) -> None:
    index = Index(path=tmp_path / "index.sqlite3")
    index.insert_dataset(atdata.write_samples(measurements(30), tmp_path / "values.tar"), name="values")
    atdata.write_samples(measurements(40), tmp_path / "values.tar", overwrite=True)
    entry = index.get_dataset("values")
    for store in (None, PDSBlobStore(alice)):
        with pytest.raises(ShardCorrupted, match="when 'values' was indexed"):
            promote_to_atmosphere(entry, index, alice, data_store=store, allow_private=True)
    assert records(alice) == []


def test_a_shard_that_is_not_what_its_manifest_says(index: Index, alice: AtmosphereClient, tmp_path: Path) -> None:
    entry = index.get_dataset("values")
    store: Any = index.data_store
    bucket, _, key = entry.data_urls[2].partition("://")[2].partition("/")
    data = bytearray(store.access.client().get_object(Bucket=bucket, Key=key)["Body"].read())
    data[600] ^= 1
    store.access.client().put_object(Bucket=bucket, Key=key, Body=bytes(data))
    disk = DiskDataStore(tmp_path / "copies")
    with pytest.raises(ShardCorrupted):
        promote_to_atmosphere(entry, index, alice, data_store=disk)
    assert [url for url, _ in disk.list_objects()] == []
    assert records(alice) == []


def test_copies_that_cannot_be_published_are_removed(
    index: Index, alice: AtmosphereClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ServerUnreachable("gone")

    disk = DiskDataStore(tmp_path / "copies")
    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(alice, "create_record", fail)
        with pytest.raises(AtmosphereError, match="gone"):
            promote_to_atmosphere(index.get_dataset("values"), index, alice, data_store=disk)
    assert [url for url, _ in disk.list_objects() if url.endswith(".tar")] == []


def test_errors_of_the_page(index: Index, alice: AtmosphereClient, anyone: AtmosphereClient) -> None:
    entry = index.get_dataset("values")
    stranger = LocalDatasetEntry("x", "atdata://local/sampleSchema/Nothing@1.0.0", entry.data_urls)
    with pytest.raises(KeyError, match="Nothing") as missing:
        promote_to_atmosphere(stranger, index, alice)
    assert isinstance(missing.value, SchemaNotFound)
    with pytest.raises(ValueError, match="no data URLs"):
        promote_to_atmosphere(LocalDatasetEntry("x", entry.schema_ref, []), index, alice)
    for options, kind in (
        ({"name": "a/b"}, ValueError),
        ({"tags": "one"}, InvalidRecord),
        ({"license": "x" * 200}, InvalidRecord),
    ):
        with pytest.raises(kind):
            promote_to_atmosphere(entry, index, alice, **options)  # type: ignore[arg-type]
    with pytest.raises(NotLoggedIn):
        promote_to_atmosphere(entry, index, anyone)
    assert (records(alice), alice.list_schemas(repo=alice.did)) == ([], [])
    AtmosphereIndex(alice).publish_schema(other_measurement())
    with pytest.raises(NameTaken, match=r"Measurement@1\.0\.0"):
        promote_to_atmosphere(entry, index, alice)


def other_measurement() -> type:
    @atdata.packable
    class Measurement:
        values: str

    return Measurement


def test_what_others_cannot_read_is_not_promoted(index: Index, alice: AtmosphereClient, tmp_path: Path) -> None:
    """Told before anything is copied or asked; so a client does that cannot reach its server."""
    client = AtmosphereClient("https://pds.example.org")
    *session, _ = alice.export_session().split(":::")
    client.login_with_session(":::".join([*session, "https://pds.example.org"]))
    local = Index(path=tmp_path / "other.sqlite3")
    local.insert_dataset(atdata.write_samples(measurements(3), tmp_path / "few.tar"), name="few")
    for entry, where, said in (
        (index.get_dataset("values"), index, "not https"),
        (local.get_dataset("few"), local, "a file of this machine"),
    ):
        with pytest.raises(UnsafeURL, match=said):
            promote_to_atmosphere(entry, where, client)
    store: Any = index.data_store
    for target, said in ((DiskDataStore(tmp_path / "copies"), "a file of"), (store, "not https")):
        with pytest.raises(UnsafeURL, match=said):
            promote_to_atmosphere(local.get_dataset("few"), local, client, data_store=target)
    assert not (tmp_path / "copies").exists()


def test_catalogues_are_copied_in_both_directions(
    index: Index, alice: AtmosphereClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    def backup_all_datasets(source: AbstractIndex, target: AbstractIndex) -> None:
        """Copy all datasets from source index to target."""
        for entry in source.list_datasets():
            SampleType = source.decode_schema(entry.schema_ref)
            target_schema = target.publish_schema(SampleType)
            ds = Dataset[SampleType](entry.data_urls[0])  # type: ignore[valid-type]
            target.insert_dataset(ds, name=entry.name, schema_ref=target_schema)

    for name, value in network.environment.items():
        monkeypatch.setenv(name, value)
    network_index = AtmosphereIndex(alice, data_store=PDSBlobStore(alice))
    backup_all_datasets(index, network_index)
    back = Index(path=tmp_path / "back.sqlite3", data_store=DiskDataStore(tmp_path / "back"))
    backup_all_datasets(network_index, back)
    assert [entry.name for entry in back.list_datasets()] == ["values"]
    assert equal(atdata.load_dataset("@local/values", index=back, split="train"), 30)  # the page copies one shard
    assert back.get_schema("atdata://local/sampleSchema/Measurement@1.0.0")["fields"] == [
        *index.get_schema("atdata://local/sampleSchema/Measurement@1.0.0")["fields"]
    ]
    (record,) = records(alice)
    assert record.uri.collection == DATASET
