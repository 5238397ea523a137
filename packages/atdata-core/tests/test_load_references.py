"""``load_dataset`` by reference: which index is asked for what, and which shards an entry may name."""

import hashlib
import sys
from dataclasses import dataclass, field
from importlib.metadata import DistributionFinder, MetadataPathFinder
from pathlib import Path
from typing import Any

import pytest

import atdata
from atdata import DictSample, URLSource, load_dataset, plugins, write_samples
from atdata.errors import ManifestError, ShardCorrupted, ShardNotFound, UnsafeURL
from atdata.plugins import PluginNotFound
from atdata.protocols import AbstractIndex, IndexEntry
from atdata.sources.trust import check_trust


@atdata.packable
class Word:
    text: str


@dataclass
class Entry:
    name: str
    data_urls: list[str]
    schema_ref: str = "atdata://local/sampleSchema/Word@1.0.0"
    metadata: dict[str, Any] | None = None
    digests: list[str] | None = None


@dataclass
class Store:
    """A data store that signs what it gave out."""

    folder: Path
    asked: list[str] = field(default_factory=list)

    def read_url(self, url):
        self.asked.append(url)
        return str(self.folder / url.rpartition("/")[2])

    def write_shards(self, ds, *, prefix, **kwargs):
        raise NotImplementedError

    def supports_streaming(self):
        return True


class Index:
    """An index in memory. Remembers what it was asked for."""

    def __init__(self, *entries, data_store=None, **attributes):
        self._entries = {entry.name: entry for entry in entries}
        self.asked = []
        self.data_store = data_store
        vars(self).update(attributes)

    def get_dataset(self, ref):
        self.asked.append(ref)
        return self._entries[ref]

    def decode_schema(self, ref):
        return {"atdata://local/sampleSchema/Word@1.0.0": Word}[ref]

    def list_datasets(self):
        return list(self._entries.values())

    @property
    def datasets(self):
        return iter(self.list_datasets())

    def insert_dataset(self, ds, *, name, schema_ref=None, **kwargs):
        raise NotImplementedError

    def publish_schema(self, sample_type, *, version="1.0.0", **kwargs):
        raise NotImplementedError

    def get_schema(self, ref):
        raise KeyError(ref)

    def list_schemas(self):
        return []

    @property
    def schemas(self):
        return iter(())


@pytest.fixture
def words(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        write_samples([Word(f"{split} {n}") for n in range(count)], tmp_path / f"{split}-%03d.tar", maxcount=2)
    return tmp_path


@pytest.fixture
def entry(words):
    return Entry("words", [f"{words}/train-{{000..001}}.tar", f"{words}/test-000.tar"], metadata={"license": "MIT"})


def test_the_index_of_these_tests_is_one():
    assert isinstance(Index(), AbstractIndex)
    assert isinstance(Entry("a", []), IndexEntry)


def test_a_reference_loads_what_its_entry_names(entry):
    index = Index(entry)
    train = load_dataset("@local/words", index=index, split="train")
    assert index.asked == ["words"]
    assert train.sample_type is Word
    assert [word.text for word in train] == ["train 0", "train 1", "train 2"]
    assert train.metadata == {"license": "MIT"}
    assert len(train) == 3
    every = load_dataset("@local/words", index=index)
    assert every.num_shards == {"train": 2, "test": 1}
    assert every.sample_type is Word


def test_another_view_of_a_dataset_keeps_its_metadata_and_length(entry):
    seen = load_dataset("@local/words", index=Index(entry), split="train").as_type(Word.pick("text"))
    assert seen.metadata == {"license": "MIT"}
    assert len(seen) == 3
    assert seen.head(1)[0].text == "train 0"


def test_a_type_that_is_named_comes_before_that_of_the_index(entry):
    entry.schema_ref = "unknown"
    assert load_dataset("@local/words", DictSample, index=Index(entry), split="test").head(1)[0]["text"] == "test 0"
    with pytest.raises(KeyError, match="unknown"):
        load_dataset("@local/words", index=Index(entry))


def test_an_entry_without_metadata_leaves_it_none(entry):
    entry.metadata = None
    assert load_dataset("@local/words", index=Index(entry), split="test").metadata is None


def test_shards_elsewhere_are_what_the_entry_knows_of_them(words, server):
    shards = [words / "train-000.tar", words / "train-001.tar", words / "test-000.tar"]
    for shard in shards:
        server.serve(data=shard.read_bytes(), path=f"/{shard.name}")
    entry = Entry("words", [f"{server.url}/train-{{000..001}}.tar", f"{server.url}/test-000.tar"])
    entry.digests = [hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards]
    index = Index(entry, allow_insecure=True)
    assert [word.text for word in load_dataset("@local/words", index=index, split="test")] == ["test 0", "test 1"]
    entry.digests[1] = "0" * 64
    assert len(list(load_dataset("@local/words", index=index, split="test"))) == 2
    with pytest.raises(ShardCorrupted, match=r"train-001\.tar"):
        list(load_dataset("@local/words", index=index, split="train"))
    del entry.digests[1]
    with pytest.raises(ManifestError, match="'words' of the index names 3 shards and has digests of 2"):
        load_dataset("@local/words", index=index)


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        ("@local/words", "words"),
        ("atdata://local/dataset/words", "words"),
        ("@alice.example/words", "@alice.example/words"),
        ("@did:plc:abc123/words", "@did:plc:abc123/words"),
        ("at://did:plc:abc123/ac.foundation.dataset.record/3k", "at://did:plc:abc123/ac.foundation.dataset.record/3k"),
        ("atdata://alice.example/dataset/words", "@alice.example/words"),
        ("@Alice.Example/words", "@alice.example/words"),
    ],
)
def test_an_index_on_this_machine_is_asked_by_name_and_others_by_reference(reference, asked):
    index = Index(Entry(asked, ["https://example.com/a.tar"]))
    assert load_dataset(reference, index=index, split="train").shard_list == ["https://example.com/a.tar"]
    assert index.asked == [asked]


@pytest.mark.parametrize(
    "reference",
    [
        "@",
        "@local",
        "@local/",
        "@/x",
        "@local/a/b",
        "@local/../x",
        "atdata://local/x",
        "atdata://local/sampleSchema/X@1.0.0",
        "at://did:plc:abc123",
        "at://did:plc:abc123/blob/bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",
        "at://" + "x" * 5000,
    ],
)
def test_what_is_no_whole_reference_is_a_value_error(reference):
    with pytest.raises(ValueError, match=r"is not a reference|is no dataset|no reference has more"):
        load_dataset(reference, index=Index())


def test_what_an_index_does_not_have_is_its_key_error():
    with pytest.raises(KeyError, match="nothing"):
        load_dataset("@local/nothing", index=Index())


def test_an_entry_without_shards_is_an_error():
    with pytest.raises(ShardNotFound, match="'hollow'"):
        load_dataset("@local/hollow", index=Index(Entry("hollow", [])))


def test_data_files_do_not_go_with_a_reference(entry):
    with pytest.raises(ValueError, match="data_files"):
        load_dataset("@local/words", index=Index(entry), data_files="train-*.tar")


def test_a_path_beside_an_index_is_a_path_and_the_error_suggests_a_reference(words):
    assert load_dataset(words, index=Index()).num_shards == {"train": 2, "test": 1}
    for index in (Index(), None):
        with pytest.raises(FileNotFoundError, match=r"'@local/words'$"):
            load_dataset("words", index=index)
        with pytest.raises(FileNotFoundError, match=r"'@alice\.example/words'$"):
            load_dataset("alice.example/words", index=index)
    for path in ("data/words", "words.tar", "words/"):
        with pytest.raises(FileNotFoundError) as caught:
            load_dataset(path, index=Index())
        assert "@" not in str(caught.value)


def test_a_path_of_an_entry_that_is_relative_to_another_folder_says_so(words, monkeypatch):
    index = Index(Entry("words", ["train-000.tar"]))
    monkeypatch.chdir(words)
    assert load_dataset("@local/words", index=index, split="train").head(1) == [Word("train 0")]
    (words / "elsewhere").mkdir()
    monkeypatch.chdir(words / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"'words' names 'train-000\.tar', a path relative to .*elsewhere"):
        load_dataset("@local/words", index=index)


# -------------------------------------------------------------------------------- indexes that are installed


@pytest.fixture
def installed(tmp_path, monkeypatch, entry):
    """A distribution that provides both kinds of index, as if no other were installed."""
    info = tmp_path / "site" / "atdata_fixture_indexes-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: atdata-fixture-indexes\nVersion: 1.0\n")
    lines = "local = fixture_indexes:local\natmosphere = fixture_indexes:atmosphere\n"
    (info / "entry_points.txt").write_text(f"[atdata.indexes]\n{lines}")
    (tmp_path / "site" / "fixture_indexes.py").write_text("local = atmosphere = None\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    find, path = MetadataPathFinder.find_distributions, [str(tmp_path / "site")]

    def only_here(context):
        return find(DistributionFinder.Context(name=context.name, path=path))

    monkeypatch.setattr(MetadataPathFinder, "find_distributions", only_here)
    plugins.refresh()
    import fixture_indexes  # type: ignore[import-not-found]

    remote = Entry("@alice.example/words", ["https://example.com/val-{0..1}.tar"])
    monkeypatch.setattr(fixture_indexes, "local", lambda: Index(entry))
    monkeypatch.setattr(fixture_indexes, "atmosphere", lambda: Index(remote))
    yield
    plugins.refresh()
    del sys.modules["fixture_indexes"]


@pytest.mark.usefixtures("installed")
def test_without_an_index_the_installed_ones_are_asked():
    assert load_dataset("@local/words", split="test").head(1) == [Word("test 0")]
    assert load_dataset("@alice.example/words").num_shards == {"validation": 2}
    with pytest.raises(KeyError):
        load_dataset("@alice.example/words", index=Index())


def test_without_any_index_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(plugins, "_scan", lambda: ())
    for reference, distribution in (
        ("@local/x", "local"),
        ("@a.example/x", "atmosphere"),
        ("at://a.example/b.c.d/e", "atmosphere"),
    ):
        with pytest.raises(PluginNotFound, match=f"atdata-{distribution}"):
            load_dataset(reference)


# ------------------------------------------------------------------------------------------------- stores


def test_the_store_of_an_index_says_where_its_shards_are_read(words):
    store = Store(words)
    index = Index(Entry("words", ["s3://bucket/words/{train-000,test-000}.tar"]), data_store=store)
    loaded = load_dataset("@local/words", index=index)
    assert store.asked == ["s3://bucket/words/train-000.tar", "s3://bucket/words/test-000.tar"]
    assert [word.text for word in loaded["test"]] == ["test 0", "test 1"]


def test_an_index_may_open_its_datasets_itself(words):
    """It is told which shards are wanted, unless all are; the store is its own affair."""

    class Opening(Index):
        def open_dataset(self, entry, sample_type, shards):
            self.asked.append(shards)
            return atdata.Dataset.of(sample_type, shards or entry.data_urls)

    store = Store(words)
    one = Entry("@alice.example/one", ["https://example.org/train-{000..001}.tar"])
    two = Entry("@alice.example/two", ["https://example.org/{train,test}.tar"])
    index = Opening(one, two, data_store=store)
    assert load_dataset("@alice.example/one", index=index).num_shards == {"train": 2}
    assert load_dataset("@alice.example/two", index=index, split="test").sample_type is Word
    assert index.asked == ["@alice.example/one", None, "@alice.example/two", ["https://example.org/test.tar"]]
    assert store.asked == []


def test_names_of_blobs_tell_no_split():
    cid = "bafkrei2test2" + "a" * 46
    entry = Entry("@alice.example/blobs", [f"at://did:plc:abc/blob/{cid}", "at://did:plc:abc/blob/b7val7"])
    assert load_dataset("@alice.example/blobs", index=Index(entry)).num_shards == {"train": 2}


def test_the_store_is_not_asked_about_what_an_entry_may_not_name(words):
    store = Store(words)
    index = Index(Entry("@a.example/words", ["http://169.254.169.254/train.tar"]), data_store=store)
    with pytest.raises(UnsafeURL):
        load_dataset("@a.example/words", index=index)
    assert store.asked == []


# -------------------------------------------------------------------------------------------------- trust

REFUSED = [
    "http://example.com/x.tar",
    "HTTP://example.com/x.tar",
    "http://localhost/x.tar",
    "http://127.0.0.1/x.tar",
    "http://127.1/x.tar",
    "http://2130706433/x.tar",
    "http://0x7f000001/x.tar",
    "http://017700000001/x.tar",
    "http://0/x.tar",
    "http://[0:0:0:0:0:0:0:1]/x.tar",
    "http://[0:0:0:0:0:ffff:7f00:1]/x.tar",
    "http://169.254.169.254/latest/meta-data/x.tar",
    "http://10.0.0.1/x.tar",
    "http://example.com@127.0.0.1/x.tar",
    "http://example.com:80@localhost/x.tar",
    "ftp://example.com/x.tar",
    "sftp://example.com/x.tar",
    "gopher://127.0.0.1:6379/_x.tar",
    "data://text/x.tar",
    "pipe:cat /etc/passwd",
    "PIPE:cat /etc/passwd",
    "javascript://x",
]
FILES = [
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "file:/etc/passwd",
    "file:passwd",
    "file://localhost/etc/passwd",
    "/etc/passwd",
    "../passwd",
    "passwd.tar",
    " https://example.com/x.tar",
    "https:/example.com/x.tar",
    "//example.com/x.tar",
    "\\\\server\\share\\x.tar",
    "C:\\x.tar",
    "-x",
]


@pytest.mark.parametrize("url", [*REFUSED, *FILES, "https://example.com/x::file:///etc/passwd"])
def test_an_entry_of_a_network_names_nothing_but_safe_places(url):
    index = Index(Entry("@a.example/x", ["https://example.com/train.tar", url]))
    with pytest.raises(UnsafeURL, match=r"may not|shell"):
        load_dataset("@a.example/x", index=index)


@pytest.mark.parametrize(
    "url", ["https://h/x:{,b}:file:///etc/passwd", "https://h/x:{:,}pipe:ls", "https://h/\\{a,b\\}"]
)
def test_no_url_hides_another_in_its_braces(url):
    entry = Entry("@a.example/x", [url])
    shards = load_dataset("@a.example/x", index=Index(entry), split="train").shard_list
    assert all(shard.startswith("https://h/") for shard in shards)
    entry.data_urls = [url.replace("https", "s3")]
    with pytest.raises(UnsafeURL, match="would stand for something else"):
        load_dataset("@a.example/x", index=Index(entry))


@pytest.mark.parametrize("url", [*REFUSED, "file://server/share/x.tar"])
def test_an_entry_on_this_machine_names_files_too_but_nothing_else(url):
    with pytest.raises(UnsafeURL):
        load_dataset("@local/x", index=Index(Entry("x", [url])))


@pytest.mark.parametrize("url", ["https://example.com/x.tar", "HTTPS://h/x", "s3://b/x", "gs://b/x", "at://did/c/x"])
def test_safe_places_are_taken_from_any_entry(url):
    assert load_dataset("@a.example/x", index=Index(Entry("@a.example/x", [url])), split="train").shard_list == [url]


def test_a_client_of_a_test_network_takes_http():
    entry = Entry("@a.example/x", ["http://127.0.0.1:9/x.tar"])
    assert load_dataset("@a.example/x", index=Index(entry, allow_insecure=True), split="train").shard_list
    for url in ("file:///etc/passwd", "x.tar", "ftp://h/x.tar"):
        with pytest.raises(UnsafeURL):
            check_trust([url], of="a record", insecure=True)


def test_shards_of_an_entry_are_followed_to_no_plain_http():
    entry = Entry("@a.example/x", ["https://example.com/x.tar"])
    source = load_dataset("@a.example/x", index=Index(entry), split="train").source
    assert source == URLSource("https://example.com/x.tar", keep_tls=True, public_only=True)
    assert source != load_dataset("https://example.com/x.tar", split="train").source


def test_shards_of_an_entry_of_the_network_are_read_at_public_addresses_only():
    entry = Entry("@a.example/x", ["https://127.0.0.1:9/x.tar"])
    for index, public in ((Index(entry), True), (Index(entry, allow_insecure=True), False)):
        source = load_dataset("@a.example/x", index=index, split="train").source
        assert source == URLSource("https://127.0.0.1:9/x.tar", keep_tls=True, public_only=public)
    team = load_dataset("@local/x", index=Index(Entry("x", ["https://10.0.0.9/x.tar"])), split="train").source
    assert team == URLSource("https://10.0.0.9/x.tar", keep_tls=True)


def test_secrets_in_a_refused_url_are_not_shown():
    with pytest.raises(UnsafeURL) as caught:
        check_trust(["http://user:secret@h/x.tar?token=secret"], of="a record")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["a::b.tar", "a{1,2}.tar", "x[1].tar"])
def test_a_file_of_an_odd_name_in_a_folder_is_read_as_it_is(tmp_path, name):
    write_samples([Word("odd")], tmp_path / "plain.tar")
    (tmp_path / "plain.tar").rename(tmp_path / name)
    assert [word.text for word in load_dataset(tmp_path, Word, split="train")] == ["odd"]
