"""The lexicons keep the rules of their README, and changes that break them are noticed."""

import copy
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from lexicon_changes import breaking, current
from lexicon_samples import records

LEXICONS = current()


def parts(value: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All definitions in a document, with their places."""
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield where, value
        for key, inner in value.items():
            yield from parts(inner, f"{where}.{key}")


def test_they_are_installed_with_the_package() -> None:
    folder = files("atdata_atmosphere.lexicon") / "documents" / "ac" / "foundation" / "dataset"
    installed = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in folder.iterdir()}
    assert installed == {f"{name.rpartition('.')[2]}.json": document for name, document in LEXICONS.items()}


@pytest.mark.parametrize("name", sorted(LEXICONS))
def test_style(name: str) -> None:
    for where, part in parts(LEXICONS[name]["defs"], name):
        kind = part["type"]
        assert kind not in ("bytes", "token"), where  # bytes do not survive JSON in all programs
        assert not part.get("closed"), where
        assert "enum" not in part, where
        if kind == "string":
            assert "maxLength" in part or "format" in part, where
        if kind == "array":
            assert "maxLength" in part, where
        if kind in ("object", "record"):
            properties = part.get("properties", part.get("record", {}).get("properties"))
            assert part.get("description") or where.endswith(".record"), where
            assert not [key for key in properties if "$" in key or not key[0].islower() or "_" in key], where
        elif kind not in ("array", "union", "ref"):
            assert part.get("description") or where.endswith(".items"), where


def test_what_others_may_do_to_a_lexicon() -> None:
    new = copy.deepcopy(LEXICONS)
    record = new["ac.foundation.dataset.record"]["defs"]["main"]["record"]
    record["properties"]["doi"] = {"type": "string", "maxLength": 100}
    record["properties"]["storage"]["refs"].append("ac.foundation.dataset.storageMirrors")
    record["description"] = "Another text."
    new["ac.foundation.dataset.storageMirrors"] = {"lexicon": 1, "id": "x", "defs": {}}
    primitive = new["ac.foundation.dataset.schemaType"]["defs"]["primitive"]["properties"]["primitive"]
    primitive["knownValues"].append("date")
    assert breaking(LEXICONS, new) == []
    assert len(breaking(new, LEXICONS)) == 4


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("record.defs.main.record.required", ["name"]),
        ("record.defs.main.record.required", ["name", "schemaRef", "storage", "license"]),
        ("record.defs.main.record.properties.name.maxLength", 1000),
        ("record.defs.main.record.properties.name.maxLength", 10_000),
        ("record.defs.main.record.properties.tags.type", "string"),
        ("record.defs.main.record.properties.schemaRef.format", "uri"),
        ("record.defs.main.record.properties.size.ref", "#other"),
        ("record.defs.main.record.properties.storage.refs", ["ac.foundation.dataset.storageBlobs"]),
        ("record.defs.main.record.properties.storage.closed", True),
        ("record.defs.main.record.properties.license", None),
        ("record.defs.main.key", "tid"),
        ("schemaType.defs.ndarray.properties.shape.items.minimum", 0),
        ("schemaType.defs.array", None),
        ("lens", None),
    ],
)
def test_what_breaks_a_lexicon(path: str, value: Any) -> None:
    new: Any = copy.deepcopy(LEXICONS)
    name, *keys = path.split(".")
    keys = [f"ac.foundation.dataset.{name}", *keys]
    holder = new
    for key in keys[:-1]:
        holder = holder[key]
    if value is None:
        del holder[keys[-1]]
    else:
        holder[keys[-1]] = value
    (line,) = breaking(LEXICONS, new)
    assert keys[-1] in line


def test_records_that_the_publishers_write_are_read_again() -> None:
    from atdata_atmosphere.errors import WrongRecord
    from atdata_atmosphere.kinds import typed

    for name, record in records().items():
        if name.startswith("invalid"):
            with pytest.raises(WrongRecord):
                typed(record["$type"], record)
        else:
            typed(record["$type"], json.loads(json.dumps(record)))
