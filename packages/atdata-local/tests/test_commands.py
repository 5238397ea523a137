"""``atdata index``, ``atdata schema`` and ``atdata diagnose``, as the command runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import Server
from typer.testing import CliRunner, Result

import atdata
from atdata_cli.app import app
from atdata_local import DiskDataStore, Index, LocalDatasetEntry
from atdata_local.diagnose import Finding, diagnose
from atdata_local.entries import keep
from atdata_local.index import default_index


@atdata.packable
class Digit:
    """A digit."""

    label: int


@atdata.packable
class Word:
    text: str


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """The index that commands use when nobody says which."""
    index = Index(path=tmp_path / "index.sqlite3")
    monkeypatch.setenv("ATDATA_INDEX_URL", index.url)
    digits = atdata.write_samples([Digit(label=n) for n in range(3)], tmp_path / "digits.tar")
    index.insert_dataset(
        digits, name="digits", tags=["small", "numbers"], description="Three digits", license="CC0-1.0"
    )
    index.insert_dataset(atdata.Dataset[Word]("s3://bucket/words-{0..9}.tar"), name="words", tags=["small"])
    return index


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(app, list(arguments), **options)


def output(*arguments: str, **options: Any) -> str:
    done = run(*arguments, **options)
    assert done.exit_code == 0, done.output
    return done.stdout


def parsed(*arguments: str) -> Any:
    return json.loads(output(*arguments, "--json"))


def test_groups_are_registered() -> None:
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run([sys.executable, "-m", "atdata_cli", "--help"], capture_output=True, text=True, env=env)
    commands = [line.split()[0] for line in done.stdout.splitlines() if "atdata-local" in line]
    assert commands == ["diagnose", "index", "local", "schema", "store"]


def test_list(index: Index) -> None:
    lines = output("index", "list").splitlines()
    assert lines[0].split() == ["name", "schema", "samples", "shards", "created", "cid"]
    assert lines[1].split()[:4] == ["digits", "Digit@1.0.0", "3", "1"]
    assert [entry["name"] for entry in parsed("index", "list")] == ["digits", "words"]
    assert [entry["name"] for entry in parsed("index", "list", "--prefix", "w")] == ["words"]
    assert [entry["name"] for entry in parsed("index", "list", "--cursor", "digits")] == ["words"]
    done = run("index", "list", "--limit", "1")
    assert "--cursor 'digits'" in done.stderr
    assert run("index", "list", "--limit", "0").exit_code == 2


def test_search(index: Index) -> None:
    assert [entry["name"] for entry in parsed("index", "search", "three", "dig")] == ["digits"]
    assert [entry["name"] for entry in parsed("index", "search", "--tag", "small")] == ["digits", "words"]
    assert [entry["name"] for entry in parsed("index", "search", "--tag", "small", "--tag", "numbers")] == ["digits"]
    assert [entry["name"] for entry in parsed("index", "search", "--schema", "Word")] == ["words"]
    assert parsed("index", "search", "nothing") == []


def test_show(index: Index) -> None:
    entry = index.get_dataset("digits")
    assert parsed("index", "show", "digits") == parsed("index", "show", "@local/digits") == entry.as_dict()
    shown = output("index", "show", "digits")
    for part in (entry.cid, "Three digits", "CC0-1.0", "digits.tar"):
        assert part in shown
    index.insert_dataset(atdata.Dataset[Digit]("s3://bucket/more.tar"), name="digits")
    assert [version["cid"] for version in parsed("index", "show", "digits", "--versions")] == [
        version.cid for version in index.versions("digits")
    ]
    done = run("index", "show", "nothing")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("atdata: no dataset 'nothing'")


def test_rm_asks_first(index: Index) -> None:
    assert run("index", "rm", "digits", input="n\n").exit_code == 1
    assert run("index", "rm", "digits", input="").exit_code == 1
    assert len(index.list_datasets()) == 2
    assert "Removed 'digits' with 1 version." in output("index", "rm", "digits", input="y\n")
    assert parsed("index", "rm", "words", "--yes") == {"removed": "words", "cid": None}
    assert index.list_datasets() == []
    assert run("index", "rm", "words", "--yes").exit_code == 1


def test_rm_of_one_version(index: Index) -> None:
    newer = index.insert_dataset(atdata.Dataset[Digit]("s3://bucket/more.tar"), name="digits")
    output("index", "rm", "digits", "--cid", newer.cid, "--yes")
    assert [entry.samples for entry in index.versions("digits")] == [3]


def test_rename(index: Index) -> None:
    assert output("index", "rename", "digits", "numbers") == "'digits' is now 'numbers'.\n"
    assert parsed("index", "rename", "numbers", "figures")["name"] == "figures"
    done = run("index", "rename", "figures", "words")
    assert (done.exit_code, "another dataset" in done.stderr) == (1, True)


def test_schemas(index: Index, tmp_path: Path) -> None:
    assert [(schema["name"], schema["version"]) for schema in parsed("schema", "list")] == [
        ("Digit", "1.0.0"),
        ("Word", "1.0.0"),
    ]
    assert "A digit." in output("schema", "list")
    ref = "atdata://local/sampleSchema/Digit@1.0.0"
    for form in ("Digit", "Digit@1.0.0", ref):
        assert parsed("schema", "show", form) == index.get_schema(ref)
    assert "label: int" in output("schema", "show", "Digit")
    found = parsed("schema", "diff", "Digit", "Word")
    assert (found["added"], found["removed"], found["compatible"]) == (["text"], ["label"], False)
    assert "breaks readers" in output("schema", "diff", "Digit", "Word")
    written = parsed("schema", "stub", "Digit", "--dir", str(tmp_path / "stubs"))
    assert written["module"] == "local.Digit_1_0_0"
    assert "label: int" in Path(written["path"]).read_text()
    assert run("schema", "show", "Nothing").exit_code == 1
    assert run("schema", "show", "no schema").exit_code == 1


def test_schemas_of_datasets_files_and_classes(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    record = index.get_schema("atdata://local/sampleSchema/Digit@1.0.0")
    content = {key: record[key] for key in ("name", "version", "fields", "description")}
    assert parsed("schema", "show", "./digits.tar") == content
    assert parsed("schema", "show", "@local/digits") == record
    (tmp_path / "my_words.py").write_text("import atdata\n\n@atdata.packable\nclass Word:\n    letters: list[str]\n")
    assert parsed("schema", "show", "my_words:Word")["fields"][0]["name"] == "letters"
    assert "letters: list[str]" in output("schema", "show", "my_words:Word")
    (tmp_path / "digit.json").write_text(output("schema", "json-schema", "Digit"))
    assert parsed("schema", "show", "./digit.json") == record
    assert output("schema", "diff", "./digit.json", "@local/digits") == "no difference\n"
    assert parsed("schema", "diff", "./digits.tar", "my_words:Word")["added"] == ["letters"]
    written = parsed("schema", "stub", "my_words:Word", "--dir", str(tmp_path / "stubs"))
    assert "letters: list[str]" in Path(written["path"]).read_text()
    assert run("schema", "show", "my_words:Nothing").exit_code == 1
    (tmp_path / "plain").mkdir()
    assert "Of the dataset plain it is ./plain" in run("schema", "show", "plain").stderr


def test_index_and_store_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("ATDATA_CONFIG", str(file))
    for name in ("ATDATA_INDEX_URL", "ATDATA_STORE_URL", "ATDATA_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    file.write_text(f"[profiles.default]\nindex = 'sqlite://{tmp_path}/lab.sqlite3'\nstore = '{tmp_path}/store'\n")
    assert Index().url == f"sqlite://{tmp_path}/lab.sqlite3"
    assert Index().data_store is None
    assert default_index().data_store == DiskDataStore(tmp_path / "store")
    monkeypatch.setenv("ATDATA_INDEX_URL", f"sqlite://{tmp_path}/own.sqlite3")
    assert default_index().url == f"sqlite://{tmp_path}/own.sqlite3"
    monkeypatch.setenv("ATDATA_STORE_URL", f"file://{tmp_path}/other")
    assert default_index().data_store == DiskDataStore(tmp_path / "other")


def test_an_index_of_the_configuration_that_is_none_says_who_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATDATA_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("ATDATA_INDEX_URL", raising=False)
    assert run("config", "set", "index", "nowhere").exit_code == 0
    listed = run("index", "list")
    assert listed.exit_code == 1
    assert "It is what profile default says: see atdata config" in listed.stderr


def test_getting_shards_twice_is_told(index: Index, tmp_path: Path) -> None:
    copies = ("store", "get", str(tmp_path / "digits.tar"), "--to", str(tmp_path / "copies"))
    assert run(*copies).stderr == ""
    assert "had 1 shard before" in run(*copies).stderr


def test_index_may_be_named(index: Index, tmp_path: Path) -> None:
    other = f"sqlite://{tmp_path}/other.sqlite3"
    assert parsed("index", "list", "--index", other) == []
    done = run("index", "list", "--index", "http://me:secret@example.org")
    assert done.exit_code == 1
    assert "secret" not in done.stderr
    assert "redis://" in done.stderr


# -- diagnose


def findings(url: str, **options: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in diagnose(Index(url).catalog, **options)}


def statuses(found: dict[str, Finding]) -> dict[str, str]:
    return {check: finding.status for check, finding in found.items() if finding.status != "ok"}


def test_diagnose_of_a_file(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(index.url, audit=True)
    assert set(found) == {"file", "writing", "version", "disk", "file system", "records"}
    assert "index.sqlite3" in output("diagnose")
    assert parsed("diagnose", "--audit")["index"] == index.url
    monkeypatch.setattr("atdata_local.diagnose._file_system", lambda path: "nfs4")
    assert "Redis" in findings(index.url)["file system"].advice


def test_diagnose_of_a_server_as_it_should_be(redis_program: str, tmp_path: Path) -> None:
    from servers import server

    with server(tmp_path / "redis", appendonly="yes", maxmemory="100mb", maxmemory_policy="noeviction") as running:
        keep(Index(running.url).catalog, LocalDatasetEntry("a", "b", ["c"]))
        found = findings(running.url, audit=True)
        assert statuses(found) == {}
        assert {
            "latency",
            "password",
            "encryption",
            "version",
            "persistence",
            "saving",
            "memory policy",
            "memory",
            "evicted keys",
            "role",
            "records",
        } == set(found)
        done = run("diagnose", "--index", running.url, "--json")
        assert (done.exit_code, json.loads(done.stdout)["index"]) == (0, running.url)


def test_diagnose_explains_each_fault(redis_program: str, tmp_path: Path) -> None:
    from servers import server

    with server(tmp_path / "redis", maxmemory="3mb", maxmemory_policy="allkeys-lru") as running:
        client = running.client()
        for number in range(2_000):
            client.set(f"key {number}", "x" * 2_000)
        found = findings(running.url)
        assert statuses(found) == {
            "persistence": "warning",
            "memory policy": "error",
            "memory": "warning",
            "evicted keys": "warning",
        }
        assert "appendonly" in found["persistence"].advice
        assert "noeviction" in found["memory policy"].advice
        done = run("diagnose", "--index", running.url)
        assert done.exit_code == 1
        assert "allkeys-lru" in done.stdout


def test_diagnose_of_a_replica(redis_server: Server, redis_url: str, redis_program: str, tmp_path: Path) -> None:
    from servers import server

    with server(tmp_path / "replica", replicaof=f"127.0.0.1 {redis_server.port}") as replica:
        assert findings(replica.url)["role"].status == "warning"


def test_diagnose_of_a_cluster_looks_at_every_node(redis_cluster: list[Server]) -> None:
    found = findings(redis_cluster[0].url)
    assert len([check for check in found if check.startswith("persistence")]) == 3


def test_diagnose_of_records(make_index: Callable[[str], Index], redis_server: Server) -> None:
    index = make_index("redis")
    keep(index.catalog, LocalDatasetEntry("a", "b", ["c"]))
    redis_server.client().zrem("{atdata}:history", *redis_server.client().zrange("{atdata}:history", 0, -1))
    assert findings(index.url, audit=True)["records"].status == "error"


def test_diagnose_of_a_server_elsewhere_wants_a_password_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    from atdata_local import diagnose as room

    class Far:
        def connections(self) -> Any:
            return [("redis.example.org", {}), ("redis.example.org", {"password": "x", "tls": True})]

    found = list(room._connection(Far()))  # type: ignore[arg-type]
    assert [finding.status for finding in found] == ["warning", "warning", "ok", "ok"]
    assert all("x" not in finding.found.split() for finding in found)


def test_diagnose_of_no_server_is_one_line() -> None:
    done = run("diagnose", "--index", "redis://127.0.0.1:1/0")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "does not answer" in done.stderr
