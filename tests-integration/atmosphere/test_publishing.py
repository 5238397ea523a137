"""Schemas, datasets and lenses, published to a real server and read by others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from testnet.network import Network

import atdata
from atdata.atmosphere import (
    AtmosphereClient,
    AtUri,
    Client,
    DatasetLoader,
    DatasetPublisher,
    LensLoader,
    LensPublisher,
    SchemaLoader,
    SchemaPublisher,
)
from atdata.errors import InvalidReference, NoSampleType, SampleTypeError, SchemaError, ShardCorrupted, UnsafeURL
from atdata.schema import schema_of, type_of
from atdata_atmosphere.errors import (
    AtmosphereWarning,
    InvalidRecord,
    RecordExists,
    RecordNotFound,
    WrongRecord,
)
from atdata_atmosphere.records import NAMESPACE
from atdata_atmosphere.storage import raw_cid


@atdata.packable
class Picture:
    """A picture and what is on it."""

    image: NDArray[Any]
    label: str
    confidence: float


@atdata.packable
class Caption:
    label: str


@atdata.lens
def caption(picture: Picture) -> Caption:
    """Only the label."""
    return Caption(label=picture.label)


@caption.putter
def caption_put(seen: Caption, picture: Picture) -> Picture:
    return Picture(image=picture.image, label=seen.label, confidence=picture.confidence)


URLS = ["s3://example-bucket/demo-{000000..000009}.tar"]


def test_two_accounts_publish_and_read_each_other(
    alice: AtmosphereClient, bob: AtmosphereClient, anyone: AtmosphereClient
) -> None:
    schema = SchemaPublisher(alice).publish(Picture)
    theirs = DatasetPublisher(bob).publish_with_urls(
        URLS, f"at://alice.test/{schema.collection}/{schema.rkey}", name="B"
    )
    mine = DatasetPublisher(alice).publish_with_urls(URLS, schema, name="A")
    for reader in (alice, bob, anyone):
        loader = DatasetLoader(reader)
        assert loader.get(theirs)["schemaRef"] == str(schema)  # by DID, however it was given
        assert loader.get(f"at://alice.test/{mine.collection}/{mine.rkey}")["name"] == "A"
        assert [record["name"] for record in loader.list_all(repo="bob.test")] == ["B"]
        assert [record["name"] for record in loader.list(repo=alice.did)] == ["A"]
        Read = type_of(SchemaLoader(reader).get(schema))
        assert schema_of(Read)["fields"] == schema_of(Picture)["fields"]


def test_two_servers(network: Network, alice: AtmosphereClient, anyone: AtmosphereClient) -> None:
    """Records come from the server of their owner, whichever server the reader is on."""
    schema = SchemaPublisher(alice).publish(Picture)
    with Network("--plc", network.plc, "--handles", "dora.test") as other, other.client("dora") as dora:
        assert other.pds != network.pds
        theirs = DatasetPublisher(dora).publish_with_urls(URLS, schema, name="elsewhere")
        for reader in (alice, anyone, dora):
            assert [record["name"] for record in DatasetLoader(reader).list_all(repo=dora.did)] == ["elsewhere"]
            pinned = DatasetLoader(reader).get(theirs)
            assert SchemaLoader(reader).get(pinned["schemaRef"]).cid == pinned["schemaCid"]  # type: ignore[attr-defined]


def test_short_names(alice: AtmosphereClient) -> None:
    assert Client is AtmosphereClient
    uri = alice.publish_schema(Picture)
    assert str(uri).startswith(f"at://{alice.did}/ac.foundation.dataset.sampleSchema/")


# ------------------------------------------------------------------------------------------------ schemas


def test_schema_metadata_and_types(alice: AtmosphereClient) -> None:
    metadata = {"rate": 0.1, "odd": [math.inf, -0.0, 2**70, b"\x00\xff"], "$map": {"a": 1.5}, "none": None}
    uri = SchemaPublisher(alice).publish(Picture, description="D", metadata=metadata, rkey="picture.1")
    assert uri.rkey == "picture.1"
    loader = SchemaLoader(alice)
    schema = loader.get(uri)
    assert schema["metadata"] == metadata
    assert schema["description"] == "D"
    assert math.copysign(1, schema["metadata"]["odd"][1]) == -1
    typed = loader.get_typed(uri)
    assert [field.name for field in typed.fields] == ["image", "label", "confidence"]
    assert typed.version == "1.0.0"
    with pytest.raises(RecordExists, match=r"rkey, or put_record\(\)"):
        SchemaPublisher(alice).publish(Picture, rkey="picture.1")


def test_schemas_that_cannot_be_published(alice: AtmosphereClient, anyone: AtmosphereClient) -> None:
    class Plain:
        pass

    @atdata.packable
    class Odd:
        table: dict[str, int]

    publisher = SchemaPublisher(alice)
    with pytest.raises(ValueError, match="above its class statement"):
        publisher.publish(Plain)
    with pytest.raises(NoSampleType):
        publisher.publish(Plain)
    with pytest.raises(TypeError, match="table"):
        publisher.publish(Odd)
    with pytest.raises(SampleTypeError):
        publisher.publish(Odd)
    with pytest.raises(SchemaError, match="three numbers"):
        publisher.publish(Picture, version="1")
    with pytest.raises(SchemaError):
        publisher.publish(Picture, name="not a name")
    with pytest.raises(ValueError, match="letters, digits"):
        publisher.publish(Picture, rkey="a@b")
    with pytest.raises(ValueError, match="login"):
        SchemaPublisher(anyone).publish(Picture)
    assert SchemaLoader(alice).list_all() == []


# ------------------------------------------------------------------------------------------------ datasets


def test_dataset_with_facts(alice: AtmosphereClient, tmp_path: Path) -> None:
    rows = [Picture(image=np.zeros((2, 2), np.float32), label=str(n), confidence=0.5) for n in range(25)]
    dataset = atdata.write_samples(rows, tmp_path / "rows.tar", maxcount=10)
    with pytest.warns(AtmosphereWarning, match="nobody else can read it"):
        uri = DatasetPublisher(alice).publish(dataset, name="rows", metadata={"split": 0.8})
    loader = DatasetLoader(alice)
    record = loader.get(uri)
    assert record["size"] == {
        "shards": 3,
        "samples": 25,
        "bytes": sum(p.stat().st_size for p in tmp_path.glob("*.tar")),
    }
    assert loader.get_metadata(uri) == {"split": 0.8}
    facts = [fact for location in record["storage"]["locations"] for fact in location["shards"]]
    assert [fact["samples"] for fact in facts] == [10, 10, 5]
    assert [fact["digest"] for fact in facts] == [atdata.cid.cid_of_file(p) for p in sorted(tmp_path.glob("*.tar"))]
    (schema,) = SchemaLoader(alice).list_all()
    assert record["schemaCid"] == schema.cid  # type: ignore[attr-defined]
    assert loader.get_typed(uri).schema_cid == record["schemaCid"]
    with pytest.raises(UnsafeURL, match="which it may not"):  # a record may not name files of its reader
        loader.to_dataset(uri, Picture)


def test_dataset_in_blobs(alice: AtmosphereClient, anyone: AtmosphereClient, tmp_path: Path) -> None:
    rows = [Picture(image=np.full((2, 2), n, np.float32), label=str(n), confidence=0.5) for n in range(25)]
    atdata.write_samples(rows, tmp_path / "rows.tar", maxcount=10)
    shards = [path.read_bytes() for path in sorted(tmp_path.glob("*.tar"))]
    schema = SchemaPublisher(alice).publish(Picture)
    uri = DatasetPublisher(alice).publish_with_blobs(shards, schema, name="blobs", metadata={"rate": 0.5})
    loader = DatasetLoader(anyone)
    assert loader.get_storage_type(uri) == "blobs"
    assert loader.get(uri)["size"] == {"shards": 3, "bytes": sum(map(len, shards))}
    assert [blob["size"] for blob in loader.get_blobs(uri)] == [len(shard) for shard in shards]
    assert len(loader.get_blob_urls(uri)) == 3
    dataset = loader.to_dataset(uri, Picture)
    assert [row.label for row in dataset.ordered()] == [row.label for row in rows]
    lie = alice.get_record(uri)
    lie["storage"]["blobs"][0]["blob"]["size"] += 1
    with pytest.raises(ShardCorrupted):
        list(loader.to_dataset(alice.create_record(uri.collection, lie), Picture).ordered())
    urls = loader.get_blob_urls(uri)
    facts = [{"digest": raw_cid("00" * 32), "bytes": len(shard), "samples": 10} for shard in shards]
    with pytest.warns(AtmosphereWarning, match="nobody else can read it"):  # plain http
        other = DatasetPublisher(alice).publish_with_urls(urls, schema, name="other bytes", shards=facts)
    dataset = loader.to_dataset(other, Picture)
    assert dataset.num_samples == 30
    with pytest.raises(ShardCorrupted):
        list(dataset.ordered())
    with pytest.raises(ValueError, match="get_blobs"):
        loader.get_urls(uri)


def test_datasets_whose_schema_nobody_tells(alice: AtmosphereClient) -> None:
    dataset, publisher = atdata.Dataset[Picture](URLS[0]), DatasetPublisher(alice)
    with pytest.raises(ValueError, match="is a view through Lens"):
        publisher.publish(dataset.as_type(Caption), name="n")
    with pytest.raises(ValueError, match="auto_publish_schema=True"):
        publisher.publish(dataset, name="n", auto_publish_schema=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"urls": []}, "0 URLs"),
        ({"urls": "s3://a/b.tar"}, "a list of texts"),
        ({"urls": ["pipe:cat a.tar"]}, "a command"),
        ({"urls": ["https://user:secret@example.org/a.tar"]}, "password"),
        ({"urls": ["s3://a/{0..9999999}.tar"]}, "expanded"),
        ({"name": ""}, "name"),
        ({"name": "x" * 513}, "512"),
        ({"tags": "abc"}, "a list of texts"),
        ({"tags": ["a"] * 101}, "tags"),
        ({"license": 5}, "license"),
        ({"metadata": {"a": object()}}, r"metadata\.a is a object"),
        ({"metadata": {"a": "x" * 1_100_000}}, "at most 1,000,000"),
        ({"shards": [{"samples": 1}]}, "10 shards, and facts are given on 1"),
        ({"shards": [{"samples": "many"}] * 10}, "counts"),
        ({"shards": [{"samples": -1}] * 10}, "counts"),
        ({"shards": [{"digest": "sha256:00"}] * 10}, "digest"),
        ({"rkey": "a+b"}, "letters, digits"),
    ],
)
def test_datasets_that_cannot_be_published(alice: AtmosphereClient, change: dict[str, Any], says: str) -> None:
    schema = SchemaPublisher(alice).publish(Picture)
    with pytest.raises(ValueError, match=says) as caught:
        DatasetPublisher(alice).publish_with_urls(**{"urls": URLS, "schema_uri": schema, "name": "n"} | change)
    assert "secret" not in str(caught.value)
    assert DatasetLoader(alice).list_all() == []


def test_what_cannot_be_published_is_told_before_anything_is_asked(alice: AtmosphereClient) -> None:
    nowhere = f"at://did:web:nobody.invalid/{NAMESPACE}.sampleSchema/x"
    for call in (
        lambda: DatasetPublisher(alice).publish_with_urls(URLS, nowhere, name=""),
        lambda: DatasetPublisher(alice).publish_with_urls(URLS, nowhere, name="n", rkey="a+b"),
        lambda: DatasetPublisher(alice).publish_with_blobs([b"x"], nowhere, name="n", license="x" * 200),
        lambda: LensPublisher(alice).publish("x" * 1000, nowhere, nowhere),
        lambda: LensPublisher(alice).publish("x", nowhere, nowhere, rkey="@"),
        lambda: LensPublisher(alice).publish("x", nowhere, nowhere, metadata={"a": {1, 2}}),
    ):
        with pytest.raises((InvalidRecord, InvalidReference)):
            call()


def test_dataset_of_a_schema_that_is_not_there(alice: AtmosphereClient) -> None:
    publisher = DatasetPublisher(alice)
    with pytest.raises(KeyError, match="RecordNotFound"):
        publisher.publish_with_urls(URLS, f"at://{alice.did}/ac.foundation.dataset.sampleSchema/none", name="n")
    with pytest.raises(WrongRecord, match="what is needed here"):
        publisher.publish_with_urls(URLS, f"at://{alice.did}/ac.foundation.dataset.record/none", name="n")


def test_what_is_not_as_it_should_be_is_left_out_of_lists_and_refused_alone(alice: AtmosphereClient) -> None:
    schema = SchemaPublisher(alice).publish(Picture)
    good = DatasetPublisher(alice).publish_with_urls(URLS, schema, name="good")
    kind = "ac.foundation.dataset.record"
    for broken in ({"name": 5}, {"name": "x", "schemaRef": "nothing"}, {}):
        alice.create_record(kind, {"$type": kind, **broken})
    foreign = alice.get_record(good) | {"theirs": {"of": ["another", "app"]}, "$type": kind}
    extended = alice.create_record(kind, foreign)
    other = alice.create_record(kind, {**foreign, "storage": {"$type": "org.example.tape", "reel": 7}})
    loader = DatasetLoader(alice)
    with pytest.warns(AtmosphereWarning, match="left out of a listing"):
        assert [record["name"] for record in loader.list_all()] == ["good"] * 3
    assert loader.get(extended)["theirs"] == {"of": ["another", "app"]}
    with pytest.raises(ValueError, match=r"org\.example\.tape"):
        loader.get_storage_type(other)
    with pytest.raises(ValueError, match="get_urls"):
        loader.get_blobs(good)
    with pytest.raises(ValueError, match="what is needed here"):
        loader.get(schema)
    with pytest.raises(RecordNotFound):
        loader.get(f"at://{alice.did}/{kind}/none")


def test_hostile_records_open_nothing(alice: AtmosphereClient) -> None:
    schema = SchemaPublisher(alice).publish(Picture)
    good = DatasetPublisher(alice).publish_with_urls(URLS, schema, name="good")
    record = alice.get_record(good)
    for url in ("pipe:touch x", "file:///etc/passwd", "/etc/passwd", "s3://a/{0..99999999}"):
        record["storage"] = {"$type": "ac.foundation.dataset.storageExternal", "locations": [{"url": url}]}
        uri = alice.create_record(good.collection, record)
        with pytest.raises(UnsafeURL):
            DatasetLoader(alice).to_dataset(uri, Picture)


# ------------------------------------------------------------------------------------------------ lenses


@pytest.fixture
def schemas(alice: AtmosphereClient) -> tuple[AtUri, AtUri]:
    publisher = SchemaPublisher(alice)
    return publisher.publish(Picture), publisher.publish(Caption)


CODE = {"repository": "https://github.com/org/repo", "commit": "abc123def456"}


def test_lens_by_paths(alice: AtmosphereClient, schemas: tuple[AtUri, AtUri]) -> None:
    source, target = schemas
    uri = LensPublisher(alice).publish(
        name="my_lens",
        source_schema_uri=str(source),
        target_schema_uri=str(target),
        code_repository=CODE["repository"],
        code_commit=CODE["commit"],
        getter_path="mymodule.lenses:my_lens",
        putter_path="mymodule.lenses:my_lens_putter",
    )
    record = LensLoader(alice).get(uri)
    assert (record["name"], record["sourceSchema"], record["targetSchema"]) == ("my_lens", str(source), str(target))
    assert record.get("getterCode", {}).get("repository") == CODE["repository"]
    assert record["putterCode"] == {**CODE, "path": "mymodule.lenses:my_lens_putter"}
    assert record["sourceSchemaCid"] == alice.get_record(source).cid


def test_lens_by_code_one_way(alice: AtmosphereClient, schemas: tuple[AtUri, AtUri]) -> None:
    source, target = schemas
    getter = {**CODE, "path": "transforms/simplify.py:simplify_getter"}
    publisher = LensPublisher(alice)
    uri = publisher.publish(
        name="simplify", source_schema=source, target_schema=target, description="Label only", getter_code=getter
    )
    record = LensLoader(alice).get(uri)
    assert record["getterCode"] == getter
    assert "putterCode" not in record
    typed = LensLoader(alice).get_typed(uri)
    assert typed.getter_code is not None
    assert typed.getter_code.path == getter["path"]


def test_lens_from_a_lens(alice: AtmosphereClient, schemas: tuple[AtUri, AtUri]) -> None:
    source, target = schemas
    publisher = LensPublisher(alice)
    uri = publisher.publish_from_lens(caption, source_schema=source, target_schema=target)
    record = LensLoader(alice).get(uri)
    assert (record["name"], record["description"]) == ("caption", "Only the label.")
    assert record["getterCode"] == {"path": f"{__name__}:caption"}
    named = publisher.publish_from_lens(
        caption,
        name="other",
        source_schema_uri=str(source),
        target_schema_uri=str(target),
        code_repository=CODE["repository"],
        code_commit=CODE["commit"],
    )
    assert LensLoader(alice).get(named)["putterCode"] == {**CODE, "path": f"{__name__}:caption_put"}


def test_lenses_found_by_schemas(alice: AtmosphereClient, schemas: tuple[AtUri, AtUri]) -> None:
    source, target = schemas
    template = alice.get_record(LensPublisher(alice).publish("one", source, target))
    kind = "ac.foundation.dataset.lens"
    writes = [(kind, {**template, "name": f"n{n}"}) for n in range(119)]
    alice.create_records([*writes, (kind, {**template, "name": "back", "targetSchema": str(source)})])
    loader = LensLoader(alice)
    assert len(loader.find_by_schemas(str(source))) == 121
    assert len(loader.find_by_schemas(source_schema_uri=str(source), target_schema_uri=str(target))) == 120
    by_handle = f"at://alice.test/{source.collection}/{source.rkey}"
    assert [record["name"] for record in loader.find_by_schemas(by_handle, source, repo="alice.test")] == ["back"]
    assert len(loader.list_all()) == 100
    assert len(loader.list_all(limit=500)) == 121


def test_lenses_that_cannot_be_published(alice: AtmosphereClient, schemas: tuple[AtUri, AtUri]) -> None:
    source, target = schemas
    publisher = LensPublisher(alice)
    for code in (
        {"code_repository": CODE["repository"]},
        {"getter_path": "a:b"},
        {"getter_path": "a:b", "code_commit": "abc"},
        {"getter_code": {"path": "a:b"}},
        {"getter_code": {**CODE, "path": "a:b", "shell": "rm"}},
        {"getter_code": {**CODE, "path": "a:b"}, "getter_path": "a:b"},
    ):
        with pytest.raises(ValueError, match=r"repository|given twice"):
            publisher.publish("n", source, target, **code)  # type: ignore[arg-type]
    with pytest.raises(InvalidRecord, match="source_schema_uri"):
        publisher.publish("n", target_schema=target)
    with pytest.raises(InvalidRecord, match="is a chain"):
        publisher.publish_from_lens(caption | atdata.Lens.fields({"label": "label"}, Caption, Caption), name="n")
    with pytest.warns(AtmosphereWarning, match="cannot import"):
        publisher.publish_from_lens(
            atdata.Lens.fields({"label": "label"}, Picture, Caption),
            name="n",
            source_schema=source,
            target_schema=target,
        )
