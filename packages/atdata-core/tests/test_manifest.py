"""``manifest.json``: merged by all who write, clobbered by none."""

import contextlib
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atdata.errors import ManifestError
from atdata.manifest import (
    Manifest,
    ShardFacts,
    manifest_lock,
    merge_into_manifest,
    own_manifest,
    parse_manifest,
    read_manifest,
)


def facts(name: str, **changes: Any) -> ShardFacts:
    return ShardFacts(**{"name": name, "samples": 3, "bytes": 4096, "sha256": "ab" * 32, "first_key": "k", **changes})


def entry(**changes: Any) -> dict[str, Any]:
    return {"name": "a.tar", "samples": 3, "bytes": 4096, "sha256": "ab" * 32, "firstKey": "k", **changes}


def document(**changes: Any) -> dict[str, Any]:
    return {"format": "atdata-manifest", "version": 1, "layout": "samples", "schemas": {}, "shards": [], **changes}


def merge(folder: Path, *shards: ShardFacts, **options: Any) -> None:
    with manifest_lock(folder):
        merge_into_manifest(folder, shards, options.pop("schemas", {}), **options)


texts = st.text(st.characters(exclude_categories=["Cs"]))
shard_facts = st.builds(
    ShardFacts,
    name=texts.filter(lambda name: name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}),
    samples=st.integers(0, 1 << 62),
    bytes=st.integers(0, 1 << 62),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    first_key=texts,
    schema=st.none() | st.sampled_from(["bafyone", "bafytwo"]),
)
SCHEMAS = {"bafytwo": {"name": "Two", "fields": [{"name": "ü"}]}, "bafyone": {"name": "One"}}


@settings(deadline=None)
@given(st.lists(shard_facts, unique_by=lambda item: item.name))
def test_a_manifest_comes_back_from_its_bytes(shards: list[ShardFacts]) -> None:
    manifest = Manifest({item.name: item for item in shards}, SCHEMAS)
    found = parse_manifest(manifest.to_json(), "manifest.json")
    assert found == manifest
    assert found.to_json() == manifest.to_json()


def test_the_file_is_plain_json_as_documented(tmp_path: Path) -> None:
    merge(tmp_path, facts("b.tar"), facts("a.tar", schema="bafyone", first_key="é"), schemas=SCHEMAS)
    assert json.loads((tmp_path / "manifest.json").read_bytes()) == document(
        schemas={"bafyone": {"name": "One"}}, shards=[entry(schema="bafyone", firstKey="é"), entry(name="b.tar")]
    )


@settings(deadline=None)
@given(st.permutations([("a.tar", "bafyone"), ("b.tar", "bafytwo"), ("c.tar", None), ("d.tar", "bafyone")]))
def test_the_content_is_the_same_in_whatever_order_shards_came(order: list[tuple[str, str | None]]) -> None:
    shards = {name: facts(name, schema=schema) for name, schema in order}
    schemas = {schema: SCHEMAS[schema] for _, schema in order if schema}
    expected = Manifest(dict(sorted(shards.items())), dict(sorted(SCHEMAS.items()))).to_json()
    assert Manifest(shards, schemas).to_json() == expected


def test_merging_gives_the_same_file_whoever_writes_first(tmp_path: Path) -> None:
    shards = [facts("a.tar", schema="bafyone"), facts("b.tar", schema="bafytwo"), facts("c.tar")]
    contents = set()
    for number, order in enumerate(itertools.permutations(shards)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for item in order:
            merge(folder, item, schemas={item.schema: SCHEMAS[item.schema]} if item.schema else {})
        contents.add((folder / "manifest.json").read_bytes())
        assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    assert len(contents) == 1


def test_merging_keeps_other_shards_and_replaces_those_of_the_same_name(tmp_path: Path) -> None:
    merge(tmp_path, facts("a.tar"), facts("b.tar"))
    merge(tmp_path, facts("b.tar", samples=7), facts("c.tar"))
    found = read_manifest(tmp_path)
    assert {name: item.samples for name, item in found.shards.items()} == {"a.tar": 3, "b.tar": 7, "c.tar": 3}


def test_removed_shards_and_schemas_that_nobody_uses_any_more_go(tmp_path: Path) -> None:
    merge(tmp_path, facts("a.tar", schema="bafyone"), facts("b.tar", schema="bafytwo"), schemas=SCHEMAS)
    merge(tmp_path, facts("c.tar"), remove=["a.tar", "never.tar"])
    found = read_manifest(tmp_path)
    assert (sorted(found.shards), sorted(found.schemas)) == (["b.tar", "c.tar"], ["bafytwo"])


def test_every_change_of_the_file_is_seen_at_once(tmp_path: Path) -> None:
    for number in range(100, 140):
        merge(tmp_path, facts("a.tar", samples=number))
        assert read_manifest(tmp_path).shards["a.tar"].samples == number


def test_a_folder_without_a_manifest_has_none(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    assert own_manifest(tmp_path) == Manifest()
    assert read_manifest(tmp_path / "missing") is None
    (tmp_path / "file").touch()
    assert read_manifest(tmp_path / "file") is None


# -------------------------------------------------------------------------------------------- foreigners

FOREIGN: dict[str, bytes] = {
    "null": b"null",
    "list": b"[]",
    "empty-object": b"{}",
    "web-app": b'{"name": "app", "version": "1.0", "manifest_version": 3}',
    "other-format": json.dumps(document(format="other")).encode(),
    "format-list": json.dumps(document(format=["atdata-manifest"])).encode(),
}
DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "not-json": b"a plain text",
    "not-utf8": b'{"format": "\xff"}',
    "cut": json.dumps(document(shards=[entry()])).encode()[:-30],
    "deep": b"[" * 100_000,
    "deep-objects": b'{"a":' * 100_000,
    "number-of-5000-digits": json.dumps(document(shards=[entry(samples="N")])).replace('"N"', "9" * 5000).encode(),
    "newer": json.dumps(document(version=2)).encode(),
    "version-text": json.dumps(document(version="1")).encode(),
    "no-version": json.dumps({key: value for key, value in document().items() if key != "version"}).encode(),
    "other-layout": json.dumps(document(layout="columns")).encode(),
    "no-shards": json.dumps({key: value for key, value in document().items() if key != "shards"}).encode(),
    "no-schemas": json.dumps({key: value for key, value in document().items() if key != "schemas"}).encode(),
    "shards-object": json.dumps(document(shards={"a.tar": entry()})).encode(),
    "schemas-list": json.dumps(document(schemas=[])).encode(),
    "schema-number": json.dumps(document(schemas={"bafyone": 5}, shards=[entry(schema="bafyone")])).encode(),
    "entry-null": json.dumps(document(shards=[None])).encode(),
    "entry-text": json.dumps(document(shards=["a.tar"])).encode(),
    "entry-empty": json.dumps(document(shards=[{}])).encode(),
    **{f"no-{key}": json.dumps(document(shards=[{**entry(), key: None}])).encode() for key in entry()},
    **{
        f"{key}-{value!r}": json.dumps(document(shards=[entry(**{key: value})])).encode()
        for key, value in [
            ("name", 5),
            ("name", ""),
            ("name", "."),
            ("name", ".."),
            ("name", "../a.tar"),
            ("name", "sub/a.tar"),
            ("name", "/etc/passwd"),
            ("name", "..\\a.tar"),
            ("name", "\ud800.tar"),
            ("samples", -1),
            ("samples", True),
            ("samples", 1.5),
            ("samples", float("nan")),
            ("samples", "3"),
            ("bytes", -1),
            ("bytes", 1e300),
            ("sha256", 5),
            ("firstKey", ["k"]),
            ("firstKey", "\udfff"),
        ]
    },
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_somebody_elses_manifest_is_no_manifest_to_readers(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_or_newer_manifest_is_an_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_a_newer_manifest_asks_for_an_upgrade(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(DAMAGED["newer"])
    with pytest.raises(ManifestError, match="pip install -U atdata-core"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [*FOREIGN.values(), *DAMAGED.values()], ids=[*FOREIGN, *DAMAGED])
def test_what_is_not_our_manifest_is_never_clobbered(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ManifestError):
        own_manifest(tmp_path)
    with pytest.raises(ManifestError):
        merge(tmp_path, facts("new.tar"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"manifest.json": content}


def test_a_folder_in_the_manifests_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises((ManifestError, OSError), match=r"manifest\.json"):
        merge(tmp_path, facts("new.tar"))
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("depth", [400, 900])
def test_a_deeply_nested_schema_is_merged_or_refused(depth: int, tmp_path: Path) -> None:
    nested = json.dumps(document(schemas={"bafyone": "N"}, shards=[entry(schema="bafyone")]))
    content = nested.replace('"N"', '{"a":' * depth + "{}" + "}" * depth).encode()
    (tmp_path / "manifest.json").write_bytes(content)
    try:
        merge(tmp_path, facts("new.tar"))
    except ManifestError:
        assert (tmp_path / "manifest.json").read_bytes() == content
    else:
        assert sorted(read_manifest(tmp_path).shards) == ["a.tar", "new.tar"]


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["shards", "schemas", "version", "layout", "format", "entry", *entry()]),
)
def test_any_json_is_a_manifest_or_none_or_an_error(value: Any, place: str) -> None:
    if place in document():
        content = document(**{place: value})
    else:
        content = document(shards=[value if place == "entry" else entry(**{place: value})])
    found: object = ManifestError
    with contextlib.suppress(ManifestError):
        found = parse_manifest(json.dumps(content).encode(), "manifest.json")
    if isinstance(found, Manifest):
        assert parse_manifest(found.to_json(), "again") == found
    else:
        assert found in (None, ManifestError)


# ------------------------------------------------------------------------------------------------ races

MERGER = """
import sys
from pathlib import Path
from atdata.manifest import ShardFacts, manifest_lock, merge_into_manifest

folder, me = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    name = f"{me}-{number}.tar"
    with manifest_lock(folder):
        merge_into_manifest(folder, [ShardFacts(name, number, 1, me * 64, name, me)], {me: {"name": me}})
"""

WRITER = """
import sys
import atdata

folder, me = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for number in range(4):
    atdata.write_samples([{"n": n} for n in range(number + 1)], f"{folder}/{me}-{number}.tar")
"""


def race(code: str, folder: Path, names: str) -> None:
    """Let one process per name run the code at the same time."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    try:
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        assert [racer.wait(timeout=300) for racer in racers] == [0] * len(racers)
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def test_racing_processes_lose_no_entry(tmp_path: Path) -> None:
    race(MERGER, tmp_path, "abcd")
    everything = [
        facts(f"{me}-{n}.tar", samples=n, bytes=1, sha256=me * 64, first_key=f"{me}-{n}.tar", schema=me)
        for me in "dcba"
        for n in range(25)
    ]
    expected = Manifest({item.name: item for item in everything}, {me: {"name": me} for me in "abcd"})
    assert read_manifest(tmp_path) == expected
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"manifest.json": expected.to_json()}


def test_racing_writers_of_one_folder_are_all_in_the_manifest(tmp_path: Path) -> None:
    race(WRITER, tmp_path, "abc")
    found = read_manifest(tmp_path)
    assert {name: item.samples for name, item in found.shards.items()} == {
        f"{me}-{number}.tar": number + 1 for me in "abc" for number in range(4)
    }
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
