"""The command groups ``store`` and ``local``, with the servers that they start."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import atdata
from atdata_local import S3DataStore, servers


@atdata.packable
class Row:
    number: int


@pytest.fixture
def shards(tmp_path: Path) -> str:
    """A hundred rows in four shards."""
    atdata.write_samples((Row(number=n) for n in range(100)), tmp_path / "r-%03d.tar", maxcount=30)
    return str(tmp_path / "r-{000..003}.tar")


def run(*arguments: str, given: dict[str, str] | None = None, rc: int = 0) -> str:
    command = [sys.executable, "-m", "atdata_cli", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(command, env=environment | (given or {}), capture_output=True, text=True)
    assert done.returncode == rc, done.stdout + done.stderr
    return done.stdout or done.stderr


def test_shards_go_into_a_bucket_and_out_again(
    store: S3DataStore, credentials: dict[str, str], shards: str, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in credentials.items()))
    given = ["--credentials", str(tmp_path / ".env")]
    place = f"s3://{store.bucket}/rows"
    urls = json.loads(run("store", "put", shards, "--to", place, "--json", *given))
    assert [url.rpartition("/")[0] for url in urls] == [place] * 4
    listed = json.loads(run("store", "ls", place, "--json", *given))
    assert [(row["url"], row["samples"], row["problem"]) for row in listed] == [
        (url, count, None) for url, count in zip(urls, [30, 30, 30, 10], strict=True)
    ]
    assert "4 shards" in run("store", "verify", place, *given)
    copies = run("store", "get", place, "--to", str(tmp_path / "out"), "--maxcount", "25", *given).split()
    assert len(copies) == 4
    assert [row.number for row in atdata.Dataset[Row](copies)] == list(range(100))
    # what is wrong is told, each with its shard
    client, key = store.access.client(), urls[1].removeprefix(f"s3://{store.bucket}/")
    content = bytearray(client.get_object(Bucket=store.bucket, Key=key)["Body"].read())
    content[700] ^= 1
    client.put_object(Bucket=store.bucket, Key=key, Body=bytes(content))
    client.put_object(Bucket=store.bucket, Key="rows/stray.tar", Body=b"stray")
    client.delete_object(Bucket=store.bucket, Key=urls[2].removeprefix(f"s3://{store.bucket}/"))
    rows = json.loads(run("store", "verify", place, "--json", *given, rc=1))
    problems = {row["url"]: row["problem"] for row in rows if row["problem"]}
    assert problems.keys() == {urls[1], urls[2], f"{place}/stray.tar"}
    assert "sha256" in problems[urls[1]]
    assert "it is not there" in problems[urls[2]]
    assert "no manifest names it" in problems[f"{place}/stray.tar"]
    assert "has no bucket 'no-such-bucket'" in run("store", "ls", "s3://no-such-bucket", *given, rc=1)


def test_counts_and_members_are_verified_on_disk(shards: str, tmp_path: Path) -> None:
    run("store", "put", shards, "--to", str(tmp_path / "store"))
    path = tmp_path / "store" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["shards"][0]["samples"] = 31
    path.write_text(json.dumps(manifest))
    told = run("store", "verify", str(tmp_path / "store"), rc=1)
    assert "it has 30 samples from" in told
    assert "1 problem\n" in told


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "servers"
    run("local", "down", "--folder", str(tmp_path / "servers"))


def test_servers_of_ones_own(folder: Path, shards: str) -> None:
    there = ["--folder", str(folder)]
    ports = ["--redis-port", str(servers.free_port()), "--s3-port", str(servers.free_port(offset=10_000))]
    assert "no servers" in run("local", "status", *there, rc=1)
    run("local", "up", "--with", "pip", *ports, *there)
    told = json.loads(run("local", "status", "--json", *there))
    assert told["running"] == {"redis": True, "s3": True}
    assert oct(folder.stat().st_mode)[-3:] == "700"
    environment = told["environment"]
    run("store", "put", shards, "--to", f"s3://{told['bucket']}/rows", given=environment)
    lines = run("local", "up", *there).splitlines()  # they run already
    assert f"export AWS_ENDPOINT_URL={environment['AWS_ENDPOINT_URL']}" in lines
    redis = json.loads((folder / "servers.json").read_bytes())["redis_pid"]
    assert redis > 0
    os.kill(redis, 9)
    while servers.alive(redis):
        time.sleep(0.01)
    assert "# redis: does not run" in run("local", "status", *there, rc=1)
    run("local", "up", *there)
    assert json.loads(run("local", "status", "--json", *there))["running"] == {"redis": True, "s3": True}
    assert "4 shards" in run("store", "verify", f"s3://{told['bucket']}", given=environment)
