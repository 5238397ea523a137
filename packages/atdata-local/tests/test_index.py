"""What the index does beyond the contract, on each catalog."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

import atdata
from atdata import Dataset, DatasetDict, Lens, URLSource, concat, load_dataset, write_samples
from atdata.errors import EntryNotFound, InvalidReference, NameTaken, SampleTypeError, SchemaNotFound, UnsafeURL
from atdata_local import Index, LocalIndex

from .conftest import Note, TrainingSample, shard


@atdata.packable
class Word:
    word: str


@pytest.fixture
def notes(tmp_path: Path) -> Dataset[Note]:
    return write_samples([Note(text=f"note {n}") for n in range(10)], tmp_path / "notes-%06d.tar", maxcount=4)


# -- datasets


def test_every_shard_is_kept_as_it_was_given(index: Index) -> None:
    for number, given in enumerate(
        (
            ["data-{000000..000009}.tar"],
            ["s3://b/one.tar", "s3://b/two-{0..3}.tar", "https://example.org/three.tar"],
            [f"s3://b/{n}.tar" for n in range(2_000)],
        )
    ):
        entry = index.add_entry(Dataset[Note](given if len(given) > 1 else given[0]), name=f"d{number}")
        assert index.get_entry(entry.cid).data_urls == given
    assert index.add_entry(Dataset[Note]("a.tar::b-{0..1}.tar"), name="joined").data_urls == ["a.tar", "b-{0..1}.tar"]


def test_facts_come_from_the_manifest(index: Index, notes: Dataset[Note]) -> None:
    entry = index.insert_dataset(notes, name="notes")
    found = index.get_dataset("notes")
    assert (found.samples, found.shards) == (10, 3)
    paths = [Path(path) for path in notes.list_shards()]
    assert found.bytes == sum(path.stat().st_size for path in paths)
    assert found.digests is not None
    assert len(found.digests) == 3
    assert found == entry


def test_facts_that_are_not_known_are_none(index: Index) -> None:
    index.add_entry(shard(1), name="far")
    entry = index.get_dataset("far")
    assert (entry.samples, entry.bytes, entry.digests, entry.shards) == (None, None, None, 1)
    assert (entry.description, entry.license, entry.tags, entry.metadata) == (None, None, [], None)


def test_what_is_said_about_a_dataset_is_kept(index: Index) -> None:
    index.add_entry(shard(1), name="one", description="Ten notes", tags=["small", "text"], license="CC0-1.0")
    entry = index.get_dataset("one")
    assert (entry.description, entry.tags, entry.license) == ("Ten notes", ["small", "text"], "CC0-1.0")
    index.add_entry(shard(1), name="two", metadata={"description": "From its metadata"})
    assert index.get_dataset("two").description == "From its metadata"


def test_metadata_of_the_dataset_are_the_default(index: Index, tmp_path: Path) -> None:
    import ormsgpack

    (tmp_path / "about.msgpack").write_bytes(ormsgpack.packb({"origin": "here"}))
    ds = Dataset[Note]("s3://bucket/notes.tar", metadata_url=str(tmp_path / "about.msgpack"))
    assert index.add_entry(ds, name="a").metadata == {"origin": "here"}
    assert index.insert_dataset(ds, name="b", metadata={"origin": "there"}).metadata == {"origin": "there"}


def test_dataset_without_a_type_takes_that_of_its_manifest(index: Index, notes: Dataset[Note], tmp_path: Path) -> None:
    entry = index.insert_dataset(Dataset(notes.list_shards()), name="untyped")
    assert index.get_schema(entry.schema_ref)["name"] == "Note"
    with pytest.raises(SampleTypeError, match=r"Dataset\[T\]"):
        index.insert_dataset(Dataset("s3://bucket/unknown.tar"), name="unknown")


def test_view_that_only_picks_fields_is_its_type(index: Index, notes: Dataset[Note]) -> None:
    untyped = Dataset(notes.list_shards())
    for number, view in enumerate((untyped.as_type(Note), notes.as_type(Note.pick("text")))):  # type: ignore[attr-defined]
        entry = index.insert_dataset(view, name=f"view {number}")
        read = Dataset.of(index.decode_schema(entry.schema_ref), entry.data_urls)
        assert [sample.text for sample in read] == [sample.text for sample in view]


def test_reference_of_the_network_may_be_recorded(index: Index) -> None:
    ref = "at://did:plc:abc123/ac.foundation.dataset.sampleSchema/xyz"
    assert index.insert_dataset(shard(1), name="theirs", schema_ref=ref).schema_ref == ref
    assert index.list_schemas() == []
    with pytest.raises(SchemaNotFound, match="AtmosphereIndex"):
        index.decode_schema("atdata://alice.example.org/sampleSchema/Note@1.0.0")


def test_same_content_has_the_same_cid_everywhere(index: Index, tmp_path: Path) -> None:
    other = Index(path=tmp_path / "other.sqlite3")
    ref = "atdata://local/sampleSchema/Note@1.0.0"
    cids = {place.add_entry(shard(1), name=name, schema_ref=ref).cid for place, name in ((index, "a"), (other, "b"))}
    assert len(cids) == 1


def test_load_dataset_finds_it(index: Index, notes: Dataset[Note]) -> None:
    index.insert_dataset(notes, name="my-dataset", metadata={"about": "notes"})
    for reference in ("@local/my-dataset", "atdata://local/dataset/my-dataset"):
        loaded = load_dataset(reference, index=index, split="train")
        assert [sample.text for sample in loaded] == [f"note {n}" for n in range(10)]
    typed = load_dataset("@local/my-dataset", Note, index=index, split="train")
    assert typed.sample_type is Note
    with pytest.raises(KeyError, match="nothing"):
        load_dataset("@local/nothing", index=index)


@pytest.mark.parametrize(
    ("dataset", "error", "says"),
    [
        (lambda: Dataset[Note](URLSource("pipe:cat a.tar", allow_shell=True)), UnsafeURL, "command"),
        (lambda: Dataset[Note]("https://me:secret@example.org/a.tar"), UnsafeURL, "password"),
        (lambda: Dataset[Note]("a.tar").as_type(Lens.fields({"word": "text"}, Note, Word)), ValueError, "view"),
        (lambda: Dataset[Note](Path("strange{0..1}.tar")), ValueError, "braces"),
        (lambda: Dataset[Note]("a.tar").take(3), ValueError, "selection"),
        (lambda: Dataset[Note]("a.tar").as_type(Note.pick("text")).take(3), ValueError, "below it"),  # type: ignore[attr-defined]
        (lambda: Dataset[Note]("a.tar").filter(bool), ValueError, "filter"),
        (lambda: concat(Dataset[Note]("a.tar"), Dataset[Note]("b.tar")), ValueError, "several datasets as one"),
    ],
)
def test_what_may_not_be_indexed(make_index: Callable[[str], Index], dataset: Any, error: Any, says: str) -> None:
    index = make_index("sqlite")
    with pytest.raises(error, match=says) as caught:
        index.insert_dataset(dataset(), name="x")
    assert "secret" not in str(caught.value)
    assert index.list_datasets() == index.list_schemas() == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"maxcuont": 3}, TypeError),
        ({"metadata": {"x": object()}}, ValueError),
        ({"metadata": {"x": float("nan")}}, ValueError),
        ({"metadata": {"x": "\ud800"}}, ValueError),
        ({"metadata": ["x"]}, TypeError),
        ({"tags": ["two\nlines"]}, ValueError),
        ({"tags": [""]}, ValueError),
        ({"tags": "birds"}, ValueError),
        ({"schema_ref": ""}, ValueError),
    ],
)
def test_what_an_entry_cannot_hold(make_index: Callable[[str], Index], options: Any, error: Any) -> None:
    index = make_index("sqlite")
    with pytest.raises(error):
        index.insert_dataset(shard(1), name="x", **options)
    assert index.list_datasets() == index.list_schemas() == []


def test_what_is_no_dataset_is_told(make_index: Callable[[str], Index]) -> None:
    index = make_index("sqlite")
    wrong: Any = {"train": shard(1), "test": shard(2)}
    with pytest.raises(TypeError, match=r"found train, test: name one of them"):
        index.insert_dataset(DatasetDict(wrong), name="x")
    wrong = "data/"
    with pytest.raises(TypeError, match=r"found 'data/'\. load_dataset"):
        index.insert_dataset(wrong, name="x")


class Store:
    """A data store that remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def write_shards(self, ds: Dataset[Any], *, prefix: str, **kwargs: Any) -> list[str]:
        self.asked.append({"prefix": prefix, **kwargs})
        return [f"s3://bucket/{prefix}/000000.tar"]

    def read_url(self, url: str) -> str:
        return url

    def supports_streaming(self) -> bool:
        return True


def test_shards_go_to_the_data_store_first(tmp_path: Path, notes: Dataset[Note]) -> None:
    store = Store()
    index = Index(path=tmp_path / "index.sqlite3", data_store=store)
    assert index.data_store is store
    entry = index.insert_dataset(notes, name="notes", prefix="datasets", cache_local=True, maxcount=5)
    assert store.asked == [{"prefix": "datasets", "cache_local": True, "maxcount": 5}]
    assert (entry.data_urls, entry.samples, entry.digests) == (["s3://bucket/datasets/000000.tar"], 10, None)
    index.insert_dataset(notes, name="again", metadata={"a": 1})
    assert store.asked[1:] == [{"prefix": "again"}]
    with pytest.raises(InvalidReference):
        index.insert_dataset(notes, name="a/b")
    assert len(store.asked) == 2, "nothing is stored under a name that cannot be indexed"


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_an_index_without_a_store_that_is_asked_to_store_does_so_on_disk(
    kind: str,
    make_index: Callable[[str], Index],
    tmp_path: Path,
    notes: Dataset[Note],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _name: tmp_path / "home")
    index = make_index(kind)
    for number, options in enumerate(({"prefix": "v1"}, {"cache_local": True}, {"maxcount": 3})):
        entry = index.insert_dataset(notes, name=f"notes {number}", **options)
        folder = tmp_path / ("home" if kind == "redis" else "") / "shards" / options.get("prefix", f"notes {number}")
        assert all(url.startswith(f"{folder.as_uri()}/data--") for url in entry.data_urls)
        assert (entry.samples, entry.shards) == (10, 4 if "maxcount" in options else len(notes.list_shards()))
        found = load_dataset(f"@local/notes {number}", Note, index=index, split="train")
        assert list(found) == list(notes)
    assert index.insert_dataset(notes, name="where it is").data_urls == [notes.url]


# -- names and history


def test_name_moves_to_other_content_and_says_so(index: Index, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "atdata_local")
    first = index.insert_dataset(shard(1), name="notes")
    assert caplog.messages == []
    second = index.insert_dataset(shard(2), name="notes")
    (said,) = caplog.messages
    assert first.cid in said
    assert second.cid in said
    assert index.get_dataset("notes") == second
    assert index.get_entry(first.cid) == first
    assert index.versions("notes") == [first, second]
    assert index.list_datasets() == list(index.datasets) == [second]
    assert index.list_entries() == index.all_entries == list(index.entries) == [first, second]


def test_same_content_again_only_changes_what_is_said_about_it(index: Index, caplog: pytest.LogCaptureFixture) -> None:
    first = index.insert_dataset(shard(1), name="notes", tags=["old"])
    again = index.insert_dataset(shard(1), name="notes", tags=["new"])
    assert caplog.messages == []
    assert (again.cid, again.created, again.tags) == (first.cid, first.created, ["new"])
    assert index.versions("notes") == [again]
    assert index.search(tags=["old"]) == []
    assert index.search(tags=["new"]) == [again]


def test_name_may_come_back_to_content_it_had(index: Index) -> None:
    first = index.insert_dataset(shard(1), name="notes")
    index.insert_dataset(shard(2), name="notes")
    back = index.insert_dataset(shard(1), name="notes")
    assert back.cid == first.cid
    assert [entry.data_urls for entry in index.versions("notes")] == [shard(2).list_shards(), shard(1).list_shards()]


def test_one_content_under_several_names(index: Index) -> None:
    a = index.insert_dataset(shard(1), name="a", metadata={"of": "a"})
    b = index.insert_dataset(shard(1), name="b", metadata={"of": "b"}, tags=["t"])
    assert a.cid == b.cid
    assert [index.get_dataset(name).metadata for name in "ab"] == [{"of": "a"}, {"of": "b"}]
    assert index.get_entry(a.cid).name == "b"
    assert [entry.name for entry in index.list_entries()] == ["a", "b"]
    index.delete_entry("b")
    assert index.get_entry(a.cid) == a
    index.insert_dataset(shard(1), name="c")
    index.delete_entry("a")
    assert [entry.name for entry in index.list_entries()] == ["c"]
    index.delete_entry("c")
    with pytest.raises(EntryNotFound):
        index.get_entry(a.cid)


def test_deleting_a_dataset_takes_all_its_versions(index: Index) -> None:
    cids = [index.insert_dataset(shard(number), name="notes", tags=["t"]).cid for number in range(3)]
    index.insert_dataset(shard(7), name="kept", tags=["t"])
    index.delete_entry("notes")
    for call in (index.get_dataset, index.versions, index.delete_entry):
        with pytest.raises(EntryNotFound, match="notes"):
            call("notes")
    for cid in cids:
        with pytest.raises(EntryNotFound, match=cid):
            index.get_entry(cid)
    assert [entry.name for entry in index.search(tags=["t"])] == ["kept"]


def test_deleting_a_version_lets_the_name_fall_back(index: Index) -> None:
    entries = [index.insert_dataset(shard(n), name="notes", description=f"word{n}") for n in range(3)]
    index.delete_entry("notes", cid=entries[1].cid)
    assert index.get_dataset("notes") == entries[2]
    index.delete_entry("notes", cid=entries[2].cid)
    assert index.get_dataset("notes") == entries[0]
    assert index.search("word0") == [entries[0]]
    assert index.search("word2") == []
    with pytest.raises(EntryNotFound, match="has no entry"):
        index.delete_entry("notes", cid=entries[2].cid)
    index.delete_entry("notes", cid=entries[0].cid)
    assert index.list_entries() == []


def test_renaming_takes_the_history_along(index: Index) -> None:
    for number in range(2):
        index.insert_dataset(shard(number), name="old name", tags=["t"])
    index.insert_dataset(shard(0), name="other")
    renamed = index.rename("old name", "new name")
    assert renamed == index.get_dataset("new name")
    assert [entry.name for entry in index.versions("new name")] == ["new name"] * 2
    assert index.search("old") == []
    assert index.search("new", tags=["t"]) == [renamed]
    assert index.get_dataset("other").data_urls == shard(0).list_shards()
    with pytest.raises(EntryNotFound, match="old name"):
        index.get_dataset("old name")
    with pytest.raises(EntryNotFound, match="old name"):
        index.rename("old name", "x")
    with pytest.raises(NameTaken, match="other"):
        index.rename("new name", "other")
    with pytest.raises(InvalidReference):
        index.rename("new name", "a/b")
    assert index.rename("other", "other").name == "other"
    assert index.catalog.audit() == []


def test_references_to_datasets(index: Index) -> None:
    entry = index.insert_dataset(shard(1), name="notes")
    assert index.get_dataset("@local/notes") == index.get_dataset("atdata://local/dataset/notes") == entry
    with pytest.raises(EntryNotFound, match="AtmosphereIndex"):
        index.get_dataset("@alice.example.org/notes")
    with pytest.raises(InvalidReference, match="does not name a dataset"):
        index.get_dataset("atdata://local/sampleSchema/Note@1.0.0")
    with pytest.raises(InvalidReference):
        index.get_dataset("@local/")


def test_all_datasets_move_from_one_index_to_another(index: Index, notes: Dataset[Note], tmp_path: Path) -> None:
    source = Index(path=tmp_path / "source.sqlite3")
    for name in ("first", "second"):
        source.insert_dataset(notes, name=name)
    for entry in source.list_datasets():
        sample_type = source.decode_schema(entry.schema_ref)
        ref = index.publish_schema(sample_type)
        index.insert_dataset(Dataset.of(sample_type, entry.data_urls), name=entry.name, schema_ref=ref)
    assert [entry.name for entry in index.list_datasets()] == ["first", "second"]
    moved = load_dataset("@local/second", index=index, split="train")
    assert [sample.text for sample in moved] == [note.text for note in notes]


# -- listing and searching


def test_pages_follow_each_other(index: Index) -> None:
    names = [f"{kind} {number}" for kind in ("a", "ab", "b") for number in range(5)]
    for number, name in enumerate(names):
        index.insert_dataset(shard(number), name=name)
    found, cursor = [], None
    while page := index.list_datasets(limit=4, cursor=cursor):
        assert len(page) <= 4
        found += [entry.name for entry in page]
        cursor = found[-1]
    assert found == sorted(names)
    assert [entry.name for entry in index.list_datasets(prefix="ab")] == names[5:10]
    assert [entry.name for entry in index.list_datasets(limit=2, cursor="a 3", prefix="a")] == ["a 4", "ab 0"]
    assert [entry.name for entry in index.list_datasets(limit=2, cursor="Z", prefix="b")] == ["b 0", "b 1"]
    assert index.list_datasets(cursor="b 9") == index.list_datasets(prefix="c") == []
    with pytest.raises(ValueError, match="limit is 0"):
        index.list_datasets(limit=0)


def test_search_finds_by_name_description_tags_and_schema(index: Index, tmp_path: Path) -> None:
    index.insert_dataset(shard(1), name="mnist-train_v2", description="Handwritten DIGITS, Größe 28")
    index.insert_dataset(shard(2), name="street", tags=["house numbers", "rgb"])
    index.insert_dataset(Dataset[TrainingSample]("s3://b/t.tar"), name="features", tags=["rgb"])

    def names(*args: Any, **kwargs: Any) -> list[str]:
        return [entry.name for entry in index.search(*args, **kwargs)]

    assert names("digits") == names("MNIST") == names("train v2") == names("grösse") == ["mnist-train_v2"]
    assert names("handw mni") == ["mnist-train_v2"]
    assert names("numbers") == names(tags=["house numbers"]) == names(tags="house numbers") == ["street"]
    assert names("training sample") == names("trainingsample") == ["features"]
    assert names(tags=["rgb"]) == ["features", "street"]
    assert names("street", tags=["rgb"]) == ["street"]
    assert names(tags=["rgb", "house numbers"]) == ["street"]
    assert names(tags=["house"]) == names("digits street") == names("igits") == []
    for schema in ("Note", "Note@1.0.0", "atdata://local/sampleSchema/Note@1.0.0"):
        assert names(schema=schema) == ["mnist-train_v2", "street"]
    assert names(schema="Not") == []
    assert names() == names("  ") == ["features", "mnist-train_v2", "street"]
    assert names(limit=2) == ["features", "mnist-train_v2"]
    assert names(limit=2, cursor="mnist-train_v2") == names(schema="Note", cursor="mnist")[1:] == ["street"]


# -- the object itself


def test_local_index_is_the_same_class() -> None:
    assert LocalIndex is Index


def test_an_index_is_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="one place"):
        Index("redis://localhost", path=tmp_path / "x")
    with pytest.raises(TypeError, match="one place"):
        Index(path=tmp_path / "x", host="localhost")
    for strange in (7, object(), redis.asyncio.Redis()):
        with pytest.raises(TypeError, match=r"redis\.Redis"):
            Index(strange)
    assert Index(tmp_path / "x").list_datasets() == []
    files = ("index.sqlite3", "sqlite://host/x", "sqlite://", "sqlite:///x?mode=ro", "sqlite:///x#1")
    for url in ("http://localhost", "localhost:6379", "redis://a:b:c", *files):
        with pytest.raises(ValueError, match=r"index|redis|sqlite"):
            Index(url)


def test_repr_names_the_place_and_no_secret() -> None:
    shown = [repr(Index("redis://user:secret@localhost:7/3")), repr(Index(host="h", password="secret", port=1))]
    assert shown == ["Index('redis://localhost:7/3')", "Index('redis://h:1/0')"]
    assert repr(Index("rediss://:secret@h")) == "Index('rediss://h:6379/0')"
    for url in ("unix:///run/redis.sock", "unix:///run/redis.sock?db=3"):
        assert repr(Index(url)) == f"Index({url!r})"
    with pytest.raises(ValueError, match="cannot be understood") as caught:
        Index("redis://user:secret@localhost:port/3")
    assert "secret" not in str(caught.value)
