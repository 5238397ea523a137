"""Sample types and schemas by what a person types."""

import json
import sys

import pytest

import atdata
from atdata.errors import InvalidReference, NoSampleType, SchemaError, ShardNotFound
from atdata.schema import schema_of, to_json_schema
from atdata.schema.named import load_type, record_at


@atdata.packable
class Digit:
    """A digit."""

    label: int


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    (tmp_path / "my_digits.py").write_text(
        "import atdata\n\n@atdata.packable\nclass Digit:\n    label: int\n\n"
        "class Outer:\n    Inner = Digit\n\nother = 3\n"
    )
    (tmp_path / "broken_digits.py").write_text("import a_library_that_is_not_there\n")
    return tmp_path


def test_a_class_of_the_current_folder(here):
    assert load_type("my_digits:Digit")(label=3).label == 3
    assert load_type("my_digits:Outer.Inner") is load_type("my_digits:Digit")
    assert record_at("my_digits:Digit")["fields"][0]["name"] == "label"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("my_digits", "write it as package.module:Class"),
        ("my_digits:", "write it as package.module:Class"),
        ("os.system('x'):y", "write it as package.module:Class"),
        ("my_digits:Nothing", "has no attribute 'Nothing'"),
        ("my_digits:other", "is no sample type"),
        ("nothing_here:Digit", "no module 'nothing_here'"),
    ],
)
def test_what_names_no_class(here, text, said):
    with pytest.raises(NoSampleType, match=said):
        load_type(text)


def test_a_fault_of_the_module_itself_is_seen(here):
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_there"):
        load_type("broken_digits:Digit")


def test_the_schema_of_a_dataset(here):
    atdata.write_samples([Digit(label=1)], here / "data" / "train.tar")
    atdata.write_samples([Digit(label=1)], here / "data" / "test.tar")
    for text in ("./data", "data/", str(here / "data"), "data/manifest.json", "data/test.tar", "./data/t*.tar"):
        assert record_at(text) == schema_of(Digit), text
    atdata.write_samples([{"n": 1}], here / "untyped" / "a.tar")
    with pytest.raises(SchemaError, match=r"nothing tells the schema of ./untyped"):
        record_at("./untyped")
    with pytest.raises(ShardNotFound):
        record_at("./nothing")


def test_the_schema_in_a_file(here):
    (here / "digit.json").write_text(json.dumps(schema_of(Digit)))
    (here / "json-schema.json").write_text(json.dumps(to_json_schema(schema_of(Digit))))
    (here / "broken.json").write_text("{")
    (here / "list.json").write_text("[]")
    assert record_at("digit.json") == record_at("json-schema.json") == schema_of(Digit)
    with pytest.raises(SchemaError, match=r"broken.json is not JSON"):
        record_at("broken.json")
    with pytest.raises(SchemaError):
        record_at("list.json")
    with pytest.raises(FileNotFoundError):
        record_at("nothing.json")


@pytest.mark.parametrize("text", ["Digit", "Digit@1.0.0", "atdata://local/sampleSchema/Digit@1.0.0"])
def test_names_of_schemas_are_the_business_of_an_index(here, text):
    (here / "Digit").mkdir()
    assert record_at(text) is None


def test_malformed_references_are_told(here):
    with pytest.raises(InvalidReference):
        record_at("@local/")
