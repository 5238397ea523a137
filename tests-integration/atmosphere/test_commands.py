"""The command group ``atmosphere``, as a person uses it: one account publishes, and everybody reads."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import stat
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from testnet.network import Network
from typer.testing import CliRunner

import atdata
from atdata.atmosphere import AtmosphereClient
from atdata.cid import cid_of_file
from atdata_cli.app import app
from atdata_local import Index


@atdata.packable
class Row:
    number: int


def rows(count: int) -> Iterator[Row]:
    return (Row(number=n) for n in range(count))


# what is published in these tests is mostly on this machine
pytestmark = pytest.mark.filterwarnings("ignore:.*nobody else can read it")


class Person:
    """Somebody with a home of their own.

    Args:
        network: the network.
        home: their home folder.
    """

    def __init__(self, network: Network, home: Path) -> None:
        home.mkdir()
        self.environment: dict[str, str | None] = {
            **network.environment,
            "HOME": str(home),
            "XDG_DATA_HOME": None,
            "XDG_CONFIG_HOME": None,
        }

    def does(self, *arguments: str, rc: int = 0, **given: str) -> str:
        """What a command of the group says; on both channels, where it fails."""
        return self.runs("atmosphere", *arguments, rc=rc, **given)

    def runs(self, *arguments: str, rc: int = 0, **given: str) -> str:
        """What a command says; on both channels, where it fails."""
        done = CliRunner().invoke(app, arguments, env=self.environment | given, prog_name="atdata")
        assert done.exit_code == rc, done.output
        assert "\r" not in done.stderr  # no bars where there is no terminal
        return done.stdout if rc == 0 else done.output

    def sees(self, *arguments: str, asked: str = "", answer: str = "") -> str:
        """What a command shows on a terminal, where it gets an answer."""
        terminal, end = pty.openpty()
        environment = {name: value for name, value in {**os.environ, **self.environment}.items() if value is not None}
        command = [sys.executable, "-m", "atdata_cli", "atmosphere", *arguments]
        process = subprocess.Popen(command, env=environment, stdin=end, stdout=end, stderr=end)
        shown = b""
        while asked.encode() not in shown and process.poll() is None:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 1000)
        # what is typed before the terminal shows it no more is thrown away
        while answer and process.poll() is None and termios.tcgetattr(end)[3] & termios.ECHO:
            time.sleep(0.01)
        os.write(terminal, answer.encode() + b"\n" if answer else b"")
        os.close(end)
        with contextlib.suppress(OSError):  # closed at the other end
            while data := os.read(terminal, 1000):
                shown += data
        os.close(terminal)
        assert process.wait() == 0, shown
        return shown.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a hundred rows in four shards."""
    atdata.write_samples(rows(100), tmp_path / "rows" / "r-%03d.tar", maxcount=30)
    return tmp_path / "rows"


def test_publish_and_read(network: Network, alice: AtmosphereClient, folder: Path, tmp_path: Path) -> None:
    owner, reader = Person(network, tmp_path / "owner"), Person(network, tmp_path / "reader")
    account = network.accounts["alice"]
    assert "atdata atmosphere login" in owner.does("whoami", rc=1)
    said = owner.does("login", "alice.test", ATDATA_APP_PASSWORD=account.appPassword)
    assert said.startswith(f"alice.test ({account.did}) at http://localhost:")
    (session,) = (path for path in (tmp_path / "owner").rglob("session") if path.is_file())
    assert stat.S_IMODE(session.stat().st_mode) == 0o600
    assert json.loads(owner.does("whoami", "--json"))["did"] == account.did

    uri = owner.does(
        *("publish", str(folder), "--name", "Rows", "--blobs", "--tag", "numbers", "--tag", "rows", "--license", "MIT")
    ).strip()
    assert uri.startswith(f"at://{account.did}/ac.foundation.dataset.record/")
    private = ["publish", f"{folder}/r-000.tar", "--name", "Mine", "--description", "x", "--json"]
    assert json.loads(owner.does(*private))["uri"].startswith("at://")
    (row, other) = json.loads(reader.does("ls", "@alice.test", "--json"))[::-1]
    assert (row["name"], row["samples"], row["uri"]) == ("Rows", 100, uri)
    assert other["name"] == "Mine"
    assert "Rows" in owner.does("ls")
    assert [schema["name"] for schema in json.loads(reader.does("ls", "@alice.test", "--schemas", "--json"))] == ["Row"]
    shown = reader.does("show", "@alice.test/Rows")
    for part in (uri, "numbers, rows", "MIT", "blobs", f"at://{account.did}/blob/bafk"):
        assert part in shown
    assert json.loads(reader.does("show", uri, "--json"))["record"]["license"] == "MIT"
    assert "atdata atmosphere login" in reader.does("show", "Rows", rc=1)
    assert uri in owner.does("show", "Rows")

    there = tmp_path / "there"
    cache = tmp_path / "cache"
    said = reader.runs("get", "@alice.test/Rows", str(there), ATDATA_CACHE_DIR=str(cache))
    assert "4 shards, 100 samples" in said
    assert not any(path.is_file() for path in cache.rglob("*"))  # a copy is not kept twice
    paths = sorted(there.glob("*.tar"))
    assert [path.read_bytes() for path in paths] == [shard.read_bytes() for shard in sorted(folder.glob("*.tar"))]
    assert [row.number for row in atdata.load_dataset(str(there), Row, split="train")] == list(range(100))
    whole = atdata.load_dataset(str(there), split="train")
    assert whole.num_samples == 100
    assert atdata.validate(whole).ok
    times = [path.stat().st_mtime_ns for path in paths]
    paths[2].unlink()  # an interruption
    assert json.loads(reader.runs("get", uri, str(there), "--json"))["shards"] == [*map(str, paths)]
    assert [path.stat().st_mtime_ns == time for path, time in zip(paths, times, strict=True)] == [
        *(True, True, False, True)
    ]
    paths[0].write_bytes(b"mine")
    (there / "manifest.json").unlink()
    assert f"{paths[0]} exists" in reader.runs("get", uri, str(there), rc=1)
    assert paths[0].read_bytes() == b"mine"

    assert reader.does("verify", uri).endswith("ok: all of it is what was signed\n")
    shown = reader.sees("verify", uri)
    assert "\x1b[" in shown  # a bar
    assert "4 of 4 shards" in shown
    assert json.loads(reader.does("verify", "@alice.test/Rows", "--json"))["ok"] is True
    (blob,) = network.dir.glob(f"blobs/**/{cid_of_file(paths[1])}")
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    elsewhere = tmp_path / "elsewhere"
    assert "sha256" in reader.runs("get", uri, str(elsewhere), rc=1)
    assert [*elsewhere.glob("*.tar")] == []
    assert "3 of 4 shards" in reader.does("verify", uri, rc=1)
    alice.put_record("ac.foundation.dataset.sampleSchema", "Row.1.0.0", {**schema_of_others(alice)})
    assert "it changed" in reader.does("verify", uri, rc=1)

    assert owner.does("logout") == "Logged out alice.test.\n"
    assert not session.exists()
    assert "atdata atmosphere login" in owner.does("publish", str(folder), "--name", "x", rc=1)


def schema_of_others(client: AtmosphereClient) -> dict[str, object]:
    (record,) = client.list_schemas(repo=client.did)
    return {**record, "description": "something else"}


def test_promote(network: Network, alice: AtmosphereClient, folder: Path, tmp_path: Path) -> None:
    owner, account = Person(network, tmp_path / "owner"), network.accounts["alice"]
    login = {"ATDATA_HANDLE": "alice.test", "ATDATA_APP_PASSWORD": account.appPassword}
    index = tmp_path / "index.sqlite3"
    Index(path=index).insert_dataset(atdata.load_dataset(str(folder), Row, split="train"), name="rows", tags=["t"])
    given = ["promote", "rows", "--index", f"sqlite://{index}"]
    uri = owner.does(*given, "--blobs", "--name", "Rows", **login).strip()
    assert owner.does(*given, "--blobs", "--name", "Rows", **login).strip() == uri
    shown = json.loads(owner.does("show", "@alice.test/Rows", "--json"))
    assert (shown["uri"], shown["record"]["tags"], shown["record"]["size"]["samples"]) == (uri, ["t"], 100)
    assert owner.does("verify", uri)
    copied = owner.does(*given, "--to", str(tmp_path / "copies"), **login).strip()
    record = json.loads(owner.does("show", copied, "--json"))["record"]
    assert all(location["url"].startswith("file://") for location in record["storage"]["locations"])
    assert "two places" in owner.does(*given, "--blobs", "--to", "x", rc=2, **login)
    assert "no dataset 'nothing'" in owner.does("promote", "nothing", "--index", f"sqlite://{index}", rc=1, **login)


def test_the_password_is_asked_for_and_never_shown(network: Network, tmp_path: Path) -> None:
    owner, account = Person(network, tmp_path / "owner"), network.accounts["bob"]
    assert "No such option" in owner.does("login", "bob.test", "--password", "x", rc=2)
    assert "set ATDATA_APP_PASSWORD" in owner.does("login", "bob.test", rc=1)  # nobody to ask
    assert "app password" in owner.does("login", "bob.test", rc=1, ATDATA_APP_PASSWORD="aaaa-bbbb-cccc-dddd")
    shown = owner.sees("login", "bob.test", "--json", asked="App password", answer=account.appPassword)
    assert account.appPassword not in shown
    assert '"handle": "bob.test"' in shown
    assert json.loads(owner.does("logout", "--json")) == {"handle": "bob.test"}


def test_names_of_strangers_do_not_reach_the_terminal(
    network: Network, alice: AtmosphereClient, tmp_path: Path
) -> None:
    schema = alice.publish_schema(Row)
    kind = "ac.foundation.dataset.record"
    storage = {
        "$type": "ac.foundation.dataset.storageExternal",
        "locations": [{"url": "https://example.org/\x1b[2J.tar"}],
    }
    name = "\x1b]0;evil\x07\x9b31m\u202e"
    uri = alice.create_record(
        kind, {"$type": kind, "name": name, "schemaRef": str(schema), "storage": storage, "description": name}
    )
    reader = Person(network, tmp_path / "reader")
    for arguments in (["ls", "@alice.test"], ["show", str(uri)], ["show", str(uri), "--json"]):
        shown = reader.does(*arguments)
        assert "evil" in shown
        assert all(char.isprintable() or char == "\n" for char in shown)
    shown = reader.does("verify", str(uri), rc=1)
    assert all(char.isprintable() or char == "\n" for char in shown)
