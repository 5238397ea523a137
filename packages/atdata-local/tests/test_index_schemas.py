"""The schemas of an index, on each catalog."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import atdata
from atdata import Dataset
from atdata.errors import InvalidReference, NameTaken, SchemaNotFound
from atdata.schema import SchemaWarning, type_of
from atdata_local import Index, LocalSchemaRecord

from .conftest import Note, TrainingSample, changed, shard


def test_versions_count_up_by_themselves(index: Index, again: Callable[[], Index]) -> None:
    refs = [index.publish_schema(Note), again().publish_schema(Note), index.publish_schema(Note, version="2.0.0-rc.1")]
    refs += [index.publish_schema(Note), index.publish_schema(Note, version="1.5.0"), index.publish_schema(Note)]
    versions = ["1.0.0", "1.0.1", "2.0.0-rc.1", "2.0.1", "1.5.0", "2.0.2"]
    assert refs == [f"atdata://local/sampleSchema/Note@{version}" for version in versions]
    assert index.get_schema("atdata://local/sampleSchema/Note")["version"] == "2.0.2"
    listed = [schema["version"] for schema in again().list_schemas()]
    assert listed == ["1.0.0", "1.0.1", "1.5.0", "2.0.0-rc.1", "2.0.1", "2.0.2"]


def test_a_schema_that_was_published_without_a_description_keeps_none(index: Index) -> None:
    plain = atdata.packable(type("Plain", (), {"__annotations__": {"n": int}}))
    ref = index.publish_schema(plain, version="1.0.0")
    with pytest.warns(SchemaWarning, match=r"Plain@1\.0\.0 .*without a description, and stays so"):
        assert index.publish_schema(plain, version="1.0.0", description="Numbers") == ref
    assert not index.get_schema(ref).get("description")
    with pytest.raises(NameTaken, match="new version"):
        index.publish_schema(plain, version="1.0.0", metadata={"a": 1})


def test_version_belongs_to_one_schema(index: Index) -> None:
    ref = index.publish_schema(Note, version="1.0.0", description="notes")
    assert index.publish_schema(Note, version="1.0.0", description="notes") == ref
    for description, metadata in (("other", None), ("notes", {"a": 1})):
        with pytest.raises(NameTaken, match="new version"):
            index.publish_schema(Note, version="1.0.0", description=description, metadata=metadata)
    assert len(index.list_schemas()) == 1


def test_change_that_breaks_readers_warns_unless_its_version_says_so(index: Index) -> None:
    index.publish_schema(changed(text=str), version="1.0.0")
    with pytest.warns(SchemaWarning, match=r"2\.0\.0"):
        index.publish_schema(changed(text=int), version="1.1.0")
    with pytest.warns(SchemaWarning):
        index.publish_schema(changed(body=bytes))
    index.publish_schema(changed(body=str), version="2.0.0")
    index.publish_schema(changed(text=str), version="1.0.1")
    assert [schema["version"] for schema in index.schemas] == ["1.0.0", "1.0.1", "1.1.0", "1.1.1", "2.0.0"]


def test_inserting_uses_the_latest_schema_with_these_fields(index: Index) -> None:
    index.publish_schema(Note, description="As it was")
    latest = index.publish_schema(Note, version="1.2.0", description="As it is")
    assert index.insert_dataset(shard(1), name="one").schema_ref == latest
    with pytest.warns(SchemaWarning):
        other = index.insert_dataset(Dataset.of(changed(text=bytes), "s3://b/other.tar"), name="two")
    assert other.schema_ref == "atdata://local/sampleSchema/Note@1.2.1"
    assert index.insert_dataset(shard(3), name="three").schema_ref == latest


def test_schema_record_has_properties_and_is_a_mapping(index: Index) -> None:
    ref = index.publish_schema(TrainingSample, version="1.0.0", metadata={"team": "vision"})
    record = index.get_schema_record(ref)
    assert isinstance(record, LocalSchemaRecord)
    assert (record.name, record.version, record.ref) == ("TrainingSample", "1.0.0", ref)
    assert (record.description, record.metadata) == ("Features with the label they stand for.", {"team": "vision"})
    assert [(field.name, field.optional) for field in record.fields] == [("features", False), ("label", False)]
    assert record.created_at.tzinfo is not None
    assert record.cid.startswith("bafy")
    plain = index.get_schema(ref)
    assert dict(record) == record.to_dict() == plain
    assert record == plain
    assert record["name"] == record.get("name") == "TrainingSample"
    assert record.get("nothing", 1) == 1
    assert "fields" in record
    assert len(record) == len(plain)
    assert isinstance(next(index.schemas), LocalSchemaRecord)
    assert pickle.loads(pickle.dumps(record)) == record


def test_legacy_reference_still_works(index: Index) -> None:
    index.publish_schema(Note, version="1.0.0")
    with pytest.deprecated_call():
        record = index.get_schema("local://schemas/some.module.Note@1.0.0")
    assert record["$ref"] == "atdata://local/sampleSchema/Note@1.0.0"


def test_missing_schema_says_what_there_is(index: Index) -> None:
    index.publish_schema(Note, version="1.4.0")
    with pytest.raises(SchemaNotFound, match=r"highest version there is 1\.4\.0"):
        index.get_schema("atdata://local/sampleSchema/Note@9.0.0")
    with pytest.raises(SchemaNotFound, match="no version"):
        index.get_schema("atdata://local/sampleSchema/Nothing")
    for name in ("Note", "Note@1.4.0"):
        with pytest.raises(InvalidReference, match=f"'atdata://local/sampleSchema/{name}'$"):
            index.decode_schema(name)


def test_loaded_types_are_attributes(index: Index) -> None:
    index.publish_schema(Note, version="1.0.0")
    ref = index.publish_schema(TrainingSample, version="1.0.0")
    assert len(index.types) == 0
    with pytest.raises(AttributeError, match=r"none.*load_schema"):
        _ = index.types.Note
    loaded = index.load_schema(ref)
    assert index.types.TrainingSample is loaded is type_of(index.get_schema(ref))
    assert "TrainingSample" in index.types
    assert "TrainingSample" in dir(index.types)
    assert list(index.types) == ["TrainingSample"]
    sample = index.types.TrainingSample(features=np.zeros(3, np.float32), label=1)
    assert sample.label == 1


def test_stubs_are_written_and_cleared(tmp_path: Path) -> None:
    index = Index(path=tmp_path / "index.sqlite3", auto_stubs=True, stub_dir=tmp_path / "stubs")
    ref = index.publish_schema(Note, version="1.0.0")
    assert index.get_import_path(ref) == "local.Note_1_0_0"
    decoded = index.decode_schema_as(ref, Note)
    assert decoded(text="a").stars == 0
    assert (tmp_path / "stubs" / "local" / "Note_1_0_0.py").exists()
    assert index.load_schema(ref) is decoded
    assert index.clear_stubs() == 1
    assert index.clear_stubs() == 0


def test_without_stubs_there_is_nothing_to_import_or_clear(make_index: Callable[[str], Index]) -> None:
    index = make_index("sqlite")
    ref = index.publish_schema(Note)
    assert index.get_import_path(ref) is None
    assert index.clear_stubs() == 0
    assert index.decode_schema_as(ref, Note)(text="a").text == "a"


@dataclass
class NotPackable:
    x: dict[str, int]


def test_fields_that_schemas_cannot_express_are_named(make_index: Callable[[str], Index]) -> None:
    index = make_index("sqlite")
    with pytest.raises(TypeError, match="x"):
        index.publish_schema(atdata.packable(NotPackable))
    with pytest.raises(TypeError):
        index.publish_schema(type("Plain", (), {}))
    with pytest.raises(ValueError, match="sample type"):
        index.publish_schema(type("Plain", (), {}))
