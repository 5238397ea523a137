"""``atdata get`` and ``atdata publish``: the real command, between folders, a server and an index."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import atdata
from atdata_cli.sharing import _names

from .conftest import Run


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, but for the paths that ``broken`` names."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.requests.append(self.path)
        if self.path in server.broken:
            self.send_error(404)
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(folder: Path) -> Iterator[Any]:
    class Bound(Handler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        serving: Any = server
        serving.requests, serving.broken = [], set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        serving.url = f"http://127.0.0.1:{server.server_port}"
        yield serving
        server.shutdown()


def counts(folder: Path) -> dict[str, int]:
    return {name: len(part) for name, part in atdata.load_dataset(folder).items()}


def test_get_copies_bytes_and_the_manifest(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("get", folder, "here")
    assert done.code == 0, done.err
    assert "30 samples" in done.out
    assert done.err == "Look at it: atdata head here\n"
    for shard in folder.glob("*.tar"):
        assert (tmp_path / "here" / shard.name).read_bytes() == shard.read_bytes()
    assert counts(tmp_path / "here") == {"train": 25, "test": 5}
    assert run("get", folder, "test", "--split", "test", "--json").code == 0
    assert counts(tmp_path / "test") == {"test": 5}


def test_get_over_http_goes_on_where_it_was(execute: Run, server: Any, tmp_path: Path) -> None:
    server.broken.add("/test.tar")
    done = execute("get", f"{server.url}/manifest.json", "here")
    assert done.code == 1
    assert done.err.splitlines()[0] == "What is there so far is kept, hidden in here; the same command goes on with it."
    assert [path.name for path in (tmp_path / "here").iterdir()] == [".atdata-partial"]
    server.broken.clear()
    server.requests.clear()
    done = execute("get", f"{server.url}/manifest.json", "here")
    assert done.code == 0, done.err
    assert server.requests == ["/manifest.json", "/test.tar"]
    assert counts(tmp_path / "here") == {"train": 25, "test": 5}
    server.requests.clear()
    assert execute("get", f"{server.url}/manifest.json", "here").code == 0  # nothing is left to do
    assert server.requests == ["/manifest.json"]


def test_get_compares_digests(run: Run, folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    run("get", folder, there)
    data = bytearray((there / "test.tar").read_bytes())
    data[1000] ^= 1
    (there / "test.tar").write_bytes(data)
    done = run("get", there, "here")
    assert done.code == 1
    assert "has sha256" in done.err
    assert not [*(tmp_path / "here").glob("*.tar")]


def test_get_in_a_terminal(terminal: Run, folder: Path, tmp_path: Path) -> None:
    done = terminal("get", folder, "here")
    assert done.code == 0, done.out
    assert "Look at it" in done.out
    assert counts(tmp_path / "here") == {"train": 25, "test": 5}


@pytest.mark.parametrize(
    ("shards", "names"),
    [
        (["/a/x.tar", "/a/y.tar"], ["x.tar", "y.tar"]),
        (["/train/0.tar", "/test/0.tar"], ["train-0.tar", "test-0.tar"]),
        (["https://example.org/a/x.tar?token=1"], ["x.tar"]),
        (["https://example.org/a/..%2f..%2fx.tar"], ["x.tar"]),
        (["https://example.org/a/%2e%2e.tar"], ["a-...tar"]),
        (["https://example.org/a/x%00.tar"], ["shard-000000.tar"]),
        (["https://example.org/a/.hidden.tar"], ["a-.hidden.tar"]),
        (["https://example.org/.hidden/.hidden.tar"], ["shard-000000.tar"]),
        (["https://example.org/a/manifest.json"], ["shard-000000.tar"]),
        (["at://did:plc:abc/blob/bafyx", "at://did:plc:abc/blob/bafyy"], ["shard-000000.tar", "shard-000001.tar"]),
        (["/a/x.tar", "/b/X.tar"], ["a-x.tar", "b-X.tar"]),
        (["/x/a/s.tar", "/y/a/s.tar"], ["shard-000000.tar", "shard-000001.tar"]),
    ],
)
def test_names_are_good_ones(shards: list[str], names: list[str]) -> None:
    assert _names(shards) == names


# -- publish


@pytest.fixture
def index(environment: dict[str, str], tmp_path: Path) -> None:
    """An index of this test's own, and no configuration."""
    environment["ATDATA_INDEX_URL"] = f"sqlite://{tmp_path}/index.sqlite3"
    environment["ATDATA_CONFIG"] = str(tmp_path / "config.toml")


def test_publish_and_get(run: Run, index: None, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text('{"source": "a camera"}')
    facts = ("--tag", "small", "--tag", "digits", "--license", "CC0-1.0", "--description", "Some digits")
    done = run("publish", folder, "--to", "@local/digits", *facts, "--metadata", "about.json")
    assert done.code == 0, done.err
    assert done.out == "@local/digits: atdata://local/sampleSchema/Digit@1.0.0, 4 shards\n"
    assert done.err == "Get it: atdata get @local/digits DIR\n"
    shown = json.loads(run("index", "show", "digits", "--json").out)
    assert (shown["tags"], shown["license"], shown["samples"]) == (["small", "digits"], "CC0-1.0", 30)
    assert shown["metadata"] == {"source": "a camera"}
    assert run("get", "@local/digits", "here").code == 0
    assert counts(tmp_path / "here") == {"train": 25, "test": 5}


def test_publish_names_files_such_that_they_are_found_from_anywhere(execute: Run, index: None, tmp_path: Path) -> None:
    execute("write", "-", "data/numbers", stdin=b"n\n1\n2\n")
    told = json.loads(execute("publish", "data/numbers", "--to", "@local/numbers", "--json").out)
    assert told["reference"] == "@local/numbers"
    assert all(url.startswith(str(tmp_path)) for url in told["data_urls"])


def test_publish_into_the_store_of_the_configuration(run: Run, index: None, folder: Path, tmp_path: Path) -> None:
    assert run("config", "set", "store", "store").code == 0
    assert run("publish", folder, "--to", "@local/digits").code == 0
    stored = [*(tmp_path / "store" / "digits").glob("*.tar")]
    assert sorted(path.name.partition("--")[0] for path in stored) == ["test", "train", "train", "train"]
    assert run("get", "@local/digits", "here").code == 0
    assert counts(tmp_path / "here") == {"train": 25, "test": 5}


def test_what_cannot_be_published_is_told(run: Run, index: None, folder: Path, tmp_path: Path) -> None:
    assert "names no dataset" in run("publish", folder, "--to", "atdata://local/sampleSchema/Digit@1.0.0").err
    assert "names no dataset" in run("publish", folder, "--to", "digits").err
    atdata.write_samples([{"n": 1}], tmp_path / "untyped" / "a.tar")
    done = run("publish", "untyped", "--to", "@local/untyped")
    assert (done.code, "--type module:Class" in done.err) == (2, True)
    (tmp_path / "own.py").write_text("import atdata\n\n@atdata.packable\nclass Number:\n    n: int\n")
    assert run("publish", "untyped", "--to", "@local/untyped", "--type", "own:Number").code == 0
    (tmp_path / "about.json").write_text("[]")
    assert run("publish", folder, "--to", "@local/x", "--metadata", "about.json").code == 2
    assert run("publish", "nothing", "--to", "@local/x").code == 1
    assert json.loads(run("index", "list", "--json").out)[0]["name"] == "untyped"
