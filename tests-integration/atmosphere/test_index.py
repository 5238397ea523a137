"""The index: names, schemas that are published once, pins, stores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from testnet.front import Front
from testnet.network import Network

import atdata
from atdata.atmosphere import (
    AtmosphereClient,
    AtmosphereIndex,
    AtmosphereIndexEntry,
    DatasetPublisher,
    SchemaPublisher,
)
from atdata.cid import generate_cid
from atdata.errors import EntryNotFound, InvalidReference, NameTaken, SampleTypeError, SchemaNotFound
from atdata.schema import SchemaWarning, schema_of
from atdata_atmosphere.errors import (
    AtmosphereWarning,
    IdentityError,
    InvalidRecord,
    NotLoggedIn,
    RecordNotFound,
    SchemaChanged,
    WrongRecord,
)
from atdata_atmosphere.records import DATASET, SCHEMA, record_cid
from atdata_local import S3DataStore


@atdata.packable
class Bird:
    """A bird."""

    image: NDArray[np.uint8]
    label: str


@atdata.packable
class Song:
    text: str


URL = "https://data.example.org/birds-{000..002}.tar"


def songs(*fields: str) -> type[Any]:
    """A sample type of that name with other fields."""
    made = type("Song", (), {"__annotations__": dict.fromkeys(fields, str)})
    return atdata.packable(made)


@pytest.fixture
def birds(tmp_path: Path) -> atdata.Dataset[Bird]:
    """Five samples in three shards."""
    samples = [Bird(image=np.full((2, 2), n, np.uint8), label=f"bird {n}") for n in range(5)]
    return atdata.write_samples(samples, tmp_path / "birds" / "train-%03d.tar", maxcount=2)


# ------------------------------------------------------------------------------------------------ datasets


def test_names(alice: AtmosphereClient, bob: AtmosphereClient, anyone: AtmosphereClient) -> None:
    mine, theirs, nobodys = map(AtmosphereIndex, (alice, bob, anyone))
    entry = mine.insert_dataset(atdata.Dataset[Bird](URL), name="vögel 1.2", tags=["a", "b"], license="MIT")
    references = [
        entry.uri,
        f"at://alice.test/{DATASET}/{entry.uri.rpartition('/')[2]}",
        "@alice.test/vögel 1.2",
        "@ALICE.test/vögel 1.2",
        f"@{alice.did}/vögel 1.2",
        "atdata://alice.test/dataset/vögel 1.2",
    ]
    for index in (mine, theirs, nobodys):
        for reference in references:
            found = index.get_dataset(reference)
            assert found == entry
            assert (found.name, found.data_urls, found.tags, found.license) == (
                *("vögel 1.2", [URL], ["a", "b"]),
                "MIT",
            )
    assert mine.get_dataset("vögel 1.2") == entry
    for index in (theirs, nobodys):
        assert index.list_datasets(repo="alice.test") == [entry] == index.list_datasets(repo=alice.did)
        assert [schema["name"] for schema in index.list_schemas(repo=alice.did)] == ["Bird"]
    with pytest.raises(EntryNotFound, match=r"'vögel 1.2'.*list_datasets\(repo="):
        theirs.get_dataset("vögel 1.2")
    with pytest.raises(NotLoggedIn):
        nobodys.get_dataset("vögel 1.2")


def test_references_of_something_else(alice: AtmosphereClient) -> None:
    index = AtmosphereIndex(alice)
    schema = index.publish_schema(Song)
    kinds: list[tuple[Callable[[str], object], str, type[Exception]]] = [
        (index.get_dataset, schema, WrongRecord),
        (index.get_dataset, f"at://{alice.did}/{DATASET}/missing", RecordNotFound),
        (index.get_dataset, "@local/birds", EntryNotFound),
        (index.get_dataset, "@nobody.test/birds", IdentityError),
        (index.get_dataset, "atdata://alice.test/sampleSchema/Song", InvalidReference),
        (index.get_dataset, "at://nobody", InvalidReference),
        (index.get_schema, f"at://{alice.did}/{DATASET}/missing", WrongRecord),
        (index.get_schema, "atdata://local/sampleSchema/Song@1.0.0", SchemaNotFound),
        (index.get_schema, "atdata://alice.test/sampleSchema/Song@2.0.0", SchemaNotFound),
        (index.get_schema, "atdata://alice.test/sampleSchema/Sing", SchemaNotFound),
        (index.get_schema, "@alice.test/birds", InvalidReference),
    ]
    for call, reference, error in kinds:
        with pytest.raises(error) as caught:
            call(reference)
        assert isinstance(caught.value, KeyError if error.__name__.endswith("NotFound") else ValueError)


def test_a_name_stands_for_the_newest(alice: AtmosphereClient) -> None:
    index = AtmosphereIndex(alice)
    for n in range(3):
        index.insert_dataset(atdata.Dataset[Bird](URL), name="birds", description=f"{n}")
    assert [entry.description for entry in index.datasets] == ["2", "1", "0"]
    assert index.get_dataset("birds").description == "2"
    record = {**index.get_dataset("birds").record, "description": "by key", "createdAt": "2020-01-01T00:00:00Z"}
    alice.create_record(DATASET, record, rkey="birds")
    assert next(index.datasets).description == "by key"
    assert index.get_dataset("birds").description == "2"


def test_entry(alice: AtmosphereClient, birds: atdata.Dataset[Bird]) -> None:
    index = AtmosphereIndex(alice)
    birds.metadata = {"description": "Birds of a park", "scale": 0.5, "raw": b"\0"}
    with pytest.warns(AtmosphereWarning, match="nobody else can read it"):
        entry = index.insert_dataset(birds, name="birds")
    assert isinstance(entry, AtmosphereIndexEntry)
    assert entry.metadata == birds.metadata
    assert entry.description == "Birds of a park"
    assert (entry.samples, entry.shards, entry.storage_type) == (5, 3, "external")
    assert entry.bytes == sum(Path(shard).stat().st_size for shard in birds.list_shards())
    assert entry.created is not None
    assert entry.created.tzinfo is not None
    assert entry.schema_ref.cid == record_cid(index.get_schema(entry.schema_ref))
    assert entry.cid == generate_cid({"schema_ref": str(entry.schema_ref), "data_urls": entry.data_urls})
    assert repr(entry) == f"AtmosphereIndexEntry('birds', '{entry.uri}')"
    assert len({entry, index.get_dataset(entry.uri)}) == 1
    assert "alice.test" in repr(index)
    assert index.insert_dataset(atdata.Dataset[Bird](URL), name="bare").metadata is None


def test_what_no_record_can_hold_is_told_first(alice: AtmosphereClient) -> None:
    index = AtmosphereIndex(alice)
    dataset = atdata.Dataset[Bird](URL)
    for options, error in (
        ({"tags": "one"}, InvalidRecord),
        ({"metadata": {"a": object()}}, InvalidRecord),
        ({"colour": "red"}, TypeError),
        ({"name": "a/b"}, InvalidReference),
        ({"schema_ref": f"at://{alice.did}/{SCHEMA}/missing"}, RecordNotFound),
    ):
        with pytest.raises(error):
            index.insert_dataset(dataset, **({"name": "birds"} | options))
    with pytest.raises(SampleTypeError, match="schema_ref"):
        index.insert_dataset(atdata.Dataset(URL), name="birds")
    with pytest.raises(TypeError, match="does not take colour"):
        index.publish_schema(Bird, colour="red")
    assert index.list_datasets() == index.list_schemas() == []


def test_a_dataset_without_a_class_has_the_schema_of_its_manifest(
    alice: AtmosphereClient, birds: atdata.Dataset[Bird]
) -> None:
    index = AtmosphereIndex(alice)
    with pytest.warns(AtmosphereWarning, match="nobody else can read it"):
        entry = index.insert_dataset(atdata.Dataset(birds.url), name="birds")
    assert index.get_schema(entry.schema_ref)["fields"] == schema_of(Bird)["fields"]


def test_listings_are_lazy_and_leave_out_what_is_none(network: Network, alice: AtmosphereClient) -> None:
    index = AtmosphereIndex(alice)
    schema = index.publish_schema(Song)
    one = {
        "$type": DATASET,
        "name": "n",
        "schemaRef": schema,
        "storage": {"$type": f"{DATASET.rpartition('.')[0]}.storageExternal", "locations": [{"url": URL}]},
    }
    alice.create_records((DATASET, {**one, "name": f"n{n}"}) for n in range(230))
    alice.create_record(DATASET, {**one, "schemaRef": "no reference"})
    elsewhere = {"$type": "org.example.elsewhere"}
    alice.create_record(DATASET, {**one, "name": "moved", "storage": elsewhere})
    with Front(network) as front:
        reader = AtmosphereIndex(AtmosphereClient(front.url, plc_url=front.url, allow_insecure=True))
        entries = reader.datasets_of("alice.test")
        before = len(front.requests)
        assert next(entries).name == "moved"
        assert sum("listRecords" in request for request in front.requests[before:]) == 1
    with pytest.warns(AtmosphereWarning, match="left out of a listing.*schemaRef"):
        names = [entry.name for entry in index.datasets]
    assert sorted(names) == sorted(["moved", *(f"n{n}" for n in range(230))])
    with pytest.raises(WrongRecord, match=r"org\.example\.elsewhere.*pip install -U"):
        _ = index.get_dataset("moved").data_urls


# ------------------------------------------------------------------------------------------------ schemas


def test_equal_schemas_are_published_once(alice: AtmosphereClient) -> None:
    index = AtmosphereIndex(alice)
    first = str(SchemaPublisher(alice).publish(Song))  # by hand, under a key of its own
    for version in ("1.0.0", None):
        assert index.publish_schema(Song, version=version) == first
    publisher = DatasetPublisher(alice)
    assert publisher._pin(first)[0] == first
    for uri in (
        index.insert_dataset(atdata.Dataset[Song](URL), name="a").uri,
        publisher.publish(atdata.Dataset[Song](URL), name="b"),
    ):
        assert index.get_dataset(uri).schema_ref == first
    second = index.publish_schema(Song, version="1.1.0")
    assert second == f"at://{alice.did}/{SCHEMA}/Song.1.1.0"
    assert index.insert_dataset(atdata.Dataset[Song](URL), name="c").schema_ref == second  # the highest
    assert index.insert_dataset(atdata.Dataset[Song](URL), name="d", schema_version="1.0.0").schema_ref == first
    assert len(index.list_schemas()) == 2
    # somebody else's does not count
    SchemaPublisher(alice).publish(Song)
    assert index.publish_schema(Song) == first  # nor does one that came later


def test_what_is_said_of_a_schema_is_kept(alice: AtmosphereClient) -> None:
    index = AtmosphereIndex(alice)
    refs = [
        index.publish_schema(Song, description="Songs", metadata={"rate": 0.1}),
        index.publish_schema(Song, description="Songs", metadata={"rate": 0.1}),
        index.publish_schema(Song, description="Other songs"),
        index.publish_schema(Song),
    ]
    assert refs[0] == refs[1] == refs[3] != refs[2]
    assert [index.get_schema(ref)["description"] for ref in refs[::2]] == ["Songs", "Other songs"]
    assert index.get_schema(refs[0])["metadata"] == {"rate": 0.1}


def test_a_version_is_of_one_schema(alice: AtmosphereClient) -> None:
    index = AtmosphereIndex(alice)
    index.publish_schema(songs("text"))
    with pytest.raises(NameTaken, match=r"Song@1\.0\.0 is published at at://.*version=None"):
        index.publish_schema(songs("melody"))
    with pytest.warns(SchemaWarning, match=r"Publish it as 2\.0\.0"):
        index.publish_schema(songs("melody"), version="1.1.0")
    with pytest.warns(SchemaWarning):
        entry = index.insert_dataset(atdata.Dataset.of(songs("voice"), URL), name="voices")
    assert index.get_schema(entry.schema_ref)["version"] == "1.1.1"
    with pytest.raises(NameTaken):
        DatasetPublisher(alice).publish(atdata.Dataset.of(songs("voice"), URL), name="voices")
    assert len(index.list_schemas()) == 3


def test_names_of_schemas(alice: AtmosphereClient, anyone: AtmosphereClient) -> None:
    index, reader = AtmosphereIndex(alice), AtmosphereIndex(anyone)
    refs = {version: index.publish_schema(Song, version=version) for version in ("1.9.0", "1.10.0", "2.0.0-rc.1")}
    named = "atdata://alice.test/sampleSchema/Song"
    for version, ref in refs.items():
        assert str(reader.get_schema(f"{named}@{version}").uri) == ref  # type: ignore[attr-defined]
    assert reader.get_schema(named)["version"] == "2.0.0-rc.1"
    assert reader.get_schema(f"atdata://{alice.did}/sampleSchema/Song")["version"] == "2.0.0-rc.1"
    entry = index.insert_dataset(atdata.Dataset[Song](URL), name="songs", schema_ref=f"{named}@1.9.0")
    assert entry.schema_ref == refs["1.9.0"]
    # from programs that did not look
    SchemaPublisher(alice).publish(songs("melody"), version="1.9.0")
    alice.create_record(SCHEMA, {**schema_of(Song), "$type": SCHEMA, "version": "the last one"})
    with pytest.raises(WrongRecord, match="different fields; name one of at://"):
        reader.get_schema(f"{named}@1.9.0")
    assert reader.get_schema(named)["version"] == "2.0.0-rc.1"


def test_names_that_keys_cannot_hold(alice: AtmosphereClient) -> None:
    index = AtmosphereIndex(alice)
    sample_type = atdata.packable(type("Vögel", (), {"__annotations__": {"a": int}}))
    ref = index.publish_schema(sample_type, version="1.0.0+2024")
    assert ref.rpartition("/")[2].startswith("bafyrei")
    assert index.publish_schema(sample_type, version="1.0.0+2024") == ref
    assert index.get_schema("atdata://alice.test/sampleSchema/Vögel@1.0.0+2024")["name"] == "Vögel"


@pytest.mark.filterwarnings("ignore::atdata.schema.SchemaWarning")
def test_racing_publishers(network: Network, alice: AtmosphereClient) -> None:
    def publish(sample_type: type[Any]) -> str:
        client = network.client()
        client.login_with_session(alice.export_session())
        return AtmosphereIndex(client).publish_schema(sample_type, version=None)

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(publish, [Song] * 6))) == 1
        assert len(set(pool.map(publish, [songs(f"f{n}") for n in range(6)]))) == 6
    versions = sorted(schema["version"] for schema in AtmosphereIndex(alice).schemas)
    assert versions == [f"1.0.{n}" for n in range(7)]


def test_a_key_that_something_else_has(alice: AtmosphereClient) -> None:
    alice.create_record(SCHEMA, {"$type": SCHEMA, "name": "no schema"}, rkey="Song.1.0.0")
    with pytest.warns(AtmosphereWarning, match="left out"):
        ref = AtmosphereIndex(alice).publish_schema(Song)
    assert AtmosphereIndex(alice).get_schema(ref)["name"] == "Song"


def test_decoded_types(network: Network, alice: AtmosphereClient) -> None:
    entry = AtmosphereIndex(alice).insert_dataset(atdata.Dataset[Bird](URL), name="birds")
    with Front(network) as front:
        index = AtmosphereIndex(AtmosphereClient(front.url, plc_url=front.url, allow_insecure=True))
        first: Any = index.decode_schema(entry.schema_ref)
        asked = len(front.requests)
        assert index.decode_schema(entry.schema_ref) is first
        assert len(front.requests) == asked
        assert index.decode_schema_as(str(entry.schema_ref), Bird) is first
        assert len(front.requests) == asked + 1
    sample = first(image=np.zeros((2, 2), np.uint8), label="b")
    assert Bird.from_bytes(sample.packed).label == "b"


def test_a_schema_that_changed_under_its_pin(alice: AtmosphereClient, anyone: AtmosphereClient) -> None:
    index = AtmosphereIndex(alice)
    entry = index.insert_dataset(atdata.Dataset[Song](URL), name="songs")
    changed = {**index.get_schema(entry.schema_ref), "description": "Something else"}
    alice.put_record(SCHEMA, entry.schema_ref.rpartition("/")[2], changed)
    reader = AtmosphereIndex(anyone)
    for call in (reader.decode_schema, reader.get_schema):
        with pytest.raises(SchemaChanged, match=r"its owner has changed it.*sample_type") as caught:
            call(reader.get_dataset(entry.uri).schema_ref)
        assert isinstance(caught.value, ValueError)
    with pytest.raises(SchemaChanged):
        atdata.load_dataset("@alice.test/songs", index=reader)
    assert atdata.load_dataset("@alice.test/songs", Song, split="train", index=reader).sample_type is Song
    assert reader.get_schema(str(entry.schema_ref))["description"] == "Something else"
    with pytest.raises(SchemaChanged):
        DatasetPublisher(alice).publish_with_urls([URL], entry.schema_ref, name="more songs")


# ------------------------------------------------------------------------------------------------ stores


def test_shards_go_into_the_store_first(
    alice: AtmosphereClient, anyone: AtmosphereClient, birds: atdata.Dataset[Bird], store: S3DataStore
) -> None:
    index = AtmosphereIndex(alice, data_store=store)
    assert index.data_store is store
    entry = index.insert_dataset(birds, name="birds", maxcount=3, prefix="some/place")
    assert all(url.startswith(f"s3://{store.bucket}/some/place") for url in entry.data_urls)
    assert (entry.samples, entry.shards) == (5, len(entry.data_urls))
    dataset = index.open_dataset(entry, Bird)  # with the credentials of the store
    assert [bird.label for bird in dataset] == [f"bird {n}" for n in range(5)]
    loaded = atdata.load_dataset("@alice.test/birds", index=index, split="train")
    assert len(loaded) == 5
    assert [bird.label for bird in loaded] == [f"bird {n}" for n in range(5)]
    assert atdata.load_dataset("@alice.test/birds", index=AtmosphereIndex(anyone)).num_shards == {"train": entry.shards}


def test_shards_that_cannot_be_published_are_removed(
    network: Network, alice: AtmosphereClient, birds: atdata.Dataset[Bird], store: S3DataStore
) -> None:
    with Front(network) as front:
        handle, did, access, refresh, _ = alice.export_session().split(":::")
        client = AtmosphereClient(front.url, plc_url=network.plc, allow_insecure=True)
        client.login_with_session(":::".join([handle, did, access, refresh, front.url]))
        index = AtmosphereIndex(client, data_store=store)
        ref = index.publish_schema(Bird)
        for error in (InvalidRecord, RecordNotFound, TypeError):
            options = {InvalidRecord: {"tags": [""]}, RecordNotFound: {"schema_ref": ref + "1"}, TypeError: {"a": 1}}
            with pytest.raises(error):
                index.insert_dataset(birds, name="birds", **options[error])
        front.rule = lambda handler: (
            "putRecord" in handler.path and handler.answer(400, {"error": "InvalidRequest", "message": "no"})
        )
        with pytest.raises(ValueError, match="no"):
            index.insert_dataset(birds, name="birds", schema_ref=ref)
    assert [url for url, _ in store.list_objects() if url.endswith(".tar")] == []
    assert AtmosphereIndex(alice).list_datasets() == []
