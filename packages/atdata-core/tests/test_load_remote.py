"""``load_dataset`` over HTTP: manifests and the shards beside them, from a real server."""

import http.server
import json
import threading
from pathlib import Path

import pytest

import atdata
from atdata import DictSample, load_dataset, write_samples
from atdata.errors import ManifestError, ShardNotFound, UnsafeURL


@atdata.packable
class Word:
    text: str


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for; ``manifest.json`` of ``/endless`` has no end."""

    def do_GET(self):
        self.server.seen.append(self.path)
        if not self.path.startswith("/endless"):
            super().do_GET()
            return
        self.send_response(200)
        self.end_headers()
        block = b" " * (1 << 20)
        try:
            for _ in range(1000):
                self.wfile.write(block)
        except ConnectionError:
            pass  # the reader has had enough

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    for split, count in (("train", 5), ("test", 1)):
        write_samples([Word(f"{split} {n}") for n in range(count)], tmp_path / f"data/{split}-%d.tar", maxcount=2)
    handler = lambda *arguments: Handler(*arguments, directory=str(tmp_path))  # noqa: E731
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_port}/data"
        server.folder = tmp_path / "data"
        yield server
        server.shutdown()
        thread.join()


def rewrite(server, change):
    path: Path = server.folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_manifest_stands_for_the_shards_beside_it(server):
    loaded = load_dataset(f"{server.url}/manifest.json")
    assert server.seen == ["/data/manifest.json"]  # and nothing of the shards
    assert loaded.num_shards == {"train": 3, "test": 1}
    assert loaded.sample_type.__name__ == "Word"
    assert [word.text for word in loaded["train"]] == [f"train {n}" for n in range(5)]
    assert loaded["test"].shard_list == [f"{server.url}/test-0.tar"]
    typed = load_dataset(f"{server.url}/manifest.json", Word, split="test")
    assert typed.head() == [Word("test 0")]


def test_a_manifest_knows_the_counts_and_what_every_shard_must_be(server):
    train = load_dataset(f"{server.url}/manifest.json", Word, split="train")
    assert len(train) == len(train.as_type(Word.pick("text"))) == 5
    assert "3 shards, 5 samples" in repr(train)
    shard = server.folder / "train-1.tar"
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    with pytest.raises(atdata.errors.ShardCorrupted, match="train-1"):
        list(train)


def test_the_query_of_a_manifest_is_not_sent_with_its_shards(server):
    dataset = load_dataset(f"{server.url}/manifest.json?token=secret#part", Word, split="test")
    assert dataset.shard_list == [f"{server.url}/test-0.tar"]
    list(dataset)
    assert server.seen[0] == "/data/manifest.json?token=secret"
    assert not [path for path in server.seen[1:] if "secret" in path]


def test_several_manifests_make_one_dataset(server):
    write_samples([Word("more")], server.folder / "extra/train-9.tar")
    loaded = load_dataset(f"{server.url}/{{manifest.json,extra/manifest.json}}", Word)
    assert loaded.num_shards == {"train": 4, "test": 1}
    files = {"all": ["manifest.json", "extra/manifest.json"]}
    assert load_dataset(server.url, Word, data_files=files).num_shards == {"all": 5}


@pytest.mark.parametrize(
    "name", ["a b.tar", "a?b.tar", "a#b.tar", "a%2Fb.tar", "a{1,2}.tar", "a::b.tar", "ä.tar", "pipe:x"]
)
def test_the_names_in_a_manifest_are_names_and_nothing_else(server, name):
    (server.folder / "test-0.tar").rename(server.folder / name)
    rewrite(server, lambda content: content["shards"][0].update(name=name))
    dataset = load_dataset(f"{server.url}/manifest.json", Word, data_files=None)
    assert sum(dataset.num_shards.values()) == 4
    assert "test 0" in [word.text for split in dataset.values() for word in split]
    assert all(path.startswith("/data/") for path in server.seen)


@pytest.mark.parametrize("name", ["../x.tar", "/etc/passwd", "https://other.example/x.tar", "..", "a\\b.tar", ""])
def test_a_manifest_names_nothing_that_is_not_beside_it(server, name):
    rewrite(server, lambda content: content["shards"][0].update(name=name))
    with pytest.raises(ManifestError, match="impossible entry"):
        load_dataset(f"{server.url}/manifest.json")


def test_a_manifest_in_a_bucket_names_files_beside_it_too():
    memory = pytest.importorskip("fsspec", reason="fsspec is not installed").filesystem("memory")

    def manifest(name):
        facts = {"name": name, "samples": 1, "bytes": 1, "sha256": "0" * 64, "firstKey": "a"}
        content = {"format": "atdata-manifest", "version": 1, "layout": "samples", "schemas": {}, "shards": [facts]}
        memory.pipe("/load/manifest.json", json.dumps(content).encode())
        return "memory://load/manifest.json"

    try:
        assert load_dataset(manifest("a b%.tar"), split="train").shard_list == ["memory://load/a b%.tar"]
        for name in ("a::file:secret", "a{,b}.tar", "{a,::file:}"):
            with pytest.raises(UnsafeURL, match="would stand for something else"):
                load_dataset(manifest(name))
    finally:
        memory.rm("/load", recursive=True)


def test_what_is_no_manifest_is_an_error_that_names_it(server):
    (server.folder / "manifest.json").write_text("[]")
    with pytest.raises(ManifestError, match=r"/data/manifest\.json is not an atdata manifest"):
        load_dataset(f"{server.url}/manifest.json?token=secret")
    (server.folder / "manifest.json").write_text("<html>")
    with pytest.raises(ManifestError, match="not JSON") as caught:
        load_dataset(f"{server.url}/manifest.json?token=secret")
    assert "secret" not in str(caught.value)
    (server.folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="404"):
        load_dataset(f"{server.url}/manifest.json")


def test_a_manifest_without_end_is_given_up(server):
    url = server.url.replace("/data", "/endless")
    with pytest.raises(ManifestError, match="larger than 64 MiB"):
        load_dataset(f"{url}/manifest.json")


def test_a_manifest_of_no_shards_is_an_error(server):
    rewrite(server, lambda content: content["shards"].clear())
    with pytest.raises(ShardNotFound, match="names no shards"):
        load_dataset(f"{server.url}/manifest.json")


def test_shards_of_several_types_or_of_none_are_dicts(server):
    rewrite(server, lambda content: [entry.pop("schema") for entry in content["shards"][1:2]])
    loaded = load_dataset(f"{server.url}/manifest.json")
    assert loaded["train"].sample_type is DictSample
    assert loaded["test"].sample_type.__name__ == "Word"


# ------------------------------------------------------------------------------------ schemes of plugins


@pytest.fixture
def shelf(monkeypatch):
    """A plugin that serves ``shelf:`` and can list, and one for ``box:`` that cannot."""
    from atdata import plugins

    class Source:
        def __init__(self, urls):
            self.urls = urls

        def list_shards(self):
            names = ("test-10", "test-9", "deep/train-0")
            given = [url for url in self.urls if "*" not in url or url.startswith("box:")]
            return given or [f"shelf://b/data/{name}.tar" for name in names if "empty" not in self.urls[0]]

        def open_shard(self, shard_id):
            raise KeyError(shard_id)

    monkeypatch.setattr(plugins, "get", lambda group, name: Source)


@pytest.mark.usefixtures("shelf")
def test_a_source_that_lists_serves_folders_and_globs():
    for path in ("shelf://b/data/", "shelf://b/data/**/*.tar"):
        loaded = load_dataset(path, DictSample)
        assert loaded["test"].shard_list == ["shelf://b/data/test-9.tar", "shelf://b/data/test-10.tar"]
        assert loaded["train"].shard_list == ["shelf://b/data/deep/train-0.tar"]
    with pytest.raises(ShardNotFound, match="match shelf://b/empty"):
        load_dataset("shelf://b/empty/")
    with pytest.raises(ValueError, match="cannot be listed over box"):
        load_dataset("box://b/data/")


def test_what_fsspec_reads_it_lists_too():
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    memory = fsspec.filesystem("memory")
    for name in ("test-10.tar", "test-9.tar", "deep/train-0.tar", "readme.txt"):
        memory.pipe(f"/load/{name}", b"")
    try:
        loaded = load_dataset("memory://load/", DictSample)
        assert loaded["test"].shard_list == ["memory://load/test-9.tar", "memory://load/test-10.tar"]
        assert loaded["train"].shard_list == ["memory://load/deep/train-0.tar"]
        assert load_dataset("memory://load/t*.tar", DictSample).num_shards == {"test": 2}
        with pytest.raises(ShardNotFound, match="match memory://load/v"):
            load_dataset("memory://load/v*.tar")
    finally:
        memory.rm("/load", recursive=True)
