"""The command groups ``store`` and ``local``, with the servers that they start."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from string import Template

import pytest
import yaml

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


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    for command in ("ls", "verify", "sweep"):
        assert "there is no folder" in run("store", command, str(tmp_path / "nothing"), rc=2)
    assert not (tmp_path / "nothing").exists()


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


def test_with_docker_a_compose_file_is_written_and_run(tmp_path: Path, shards: str) -> None:
    # a stand-in for docker, since not every machine has an engine: see stand_in_docker.py for what it leaves untested
    docker, log, folder = tmp_path / "bin" / "docker", tmp_path / "log", tmp_path / "servers"
    docker.parent.mkdir()
    stand_in = Path(__file__).with_name("stand_in_docker.py")
    docker.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in}" "$@"\n')
    docker.chmod(0o755)
    given = {"PATH": f"{docker.parent}{os.pathsep}{os.environ['PATH']}", "DOCKER_LOG": str(log)}
    redis, s3 = servers.free_port(), servers.free_port(offset=10_000)
    there = ["--folder", str(folder)]
    try:
        run("local", "up", "--redis-port", str(redis), "--s3-port", str(s3), *there, given=given)
        told = json.loads(run("local", "status", "--json", *there, given=given))
        assert (told["with"], told["running"]) == ("docker", {"redis": True, "s3": True})
        run("store", "put", shards, "--to", f"s3://{told['bucket']}/rows", given=told["environment"])
        assert "4 shards" in run("store", "verify", f"s3://{told['bucket']}", given=told["environment"])
    finally:
        run("local", "down", *there, given=given)
    assert json.loads(run("local", "status", "--json", *there, given=given, rc=1))["running"] == {
        "redis": False,
        "s3": False,
    }
    compose = ["compose", "--project-directory", str(folder), "--file", str(folder / "compose.yaml")]
    asked = [json.loads(line) for line in log.read_text().splitlines()]
    assert asked == [["compose", "version"], ["info"], [*compose, "up", "--detach"], [*compose, "down"]]
    check_compose_file(folder, redis, s3)


def check_compose_file(folder: Path, redis: int, s3: int) -> None:
    """It says what the compose specification has words for, binds to loopback only, and holds no secret."""
    content = yaml.safe_load((folder / "compose.yaml").read_text())
    given = dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())
    assert given.keys() == {"REDIS_PASSWORD", "REDIS_PORT", "S3_PORT"}
    assert content.keys() <= {"name", "services", "volumes", "networks", "configs", "secrets"}
    known = {"image", "command", "ports", "volumes", "restart", "environment", "healthcheck", "depends_on"}
    for service in content["services"].values():
        assert {"image", "command", "ports", "volumes"} <= service.keys() <= known
        assert service["restart"] in ("no", "always", "on-failure", "unless-stopped")
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in content["volumes"] or (folder / source).is_file()
    # as compose fills in what .env says
    ports = [Template(port).substitute(given) for one in content["services"].values() for port in one["ports"]]
    assert ports == [f"127.0.0.1:{redis}:6379", f"127.0.0.1:{s3}:8333"]
    command = [Template(word).substitute(given) for word in content["services"]["redis"]["command"]]
    assert command[-2:] == ["--requirepass", given["REDIS_PASSWORD"]]
    assert "-master.telemetry=false" in content["services"]["s3"]["command"]
    (owner,) = json.loads((folder / "s3.json").read_bytes())["identities"]
    secrets = [given["REDIS_PASSWORD"], *owner["credentials"][0].values()]
    assert all(len(secret) >= 20 for secret in secrets)
    assert not any(secret in (folder / "compose.yaml").read_text() for secret in secrets)
    for name in (".env", "s3.json", "servers.json"):
        assert oct((folder / name).stat().st_mode)[-3:] == "600"
    assert oct(folder.stat().st_mode)[-3:] == "700"
