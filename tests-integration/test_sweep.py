"""What a writer leaves that is killed in the middle of its work, and who takes it away."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

import atdata
from atdata.errors import ShardUnreadable
from atdata_local import S3DataStore
from atdata_local.s3.upload import PART, Uploads

# A shard that is one object, one that is sent in parts, and a source that gives no more
WRITER = """
import json, sys, time
import atdata
from atdata_local import S3DataStore

credentials, bucket, large = json.loads(sys.argv[1])

class Source:
    def list_shards(self):
        return ["0", "1", "2"]

    @property
    def shards(self):
        return ((name, self.open_shard(name)) for name in self.list_shards())

    def open_shard(self, name):
        number = int(name)
        while number == 2:
            time.sleep(1)
        atdata.write_samples([{"data": bytes(large if number else 100)}], f"{name}.tar", overwrite=True)
        return open(f"{name}.tar", "rb")

S3DataStore(credentials, bucket=bucket).write_shards(atdata.Dataset(Source()), prefix="rows/v1", maxcount=1)
"""


def left_there(store: S3DataStore) -> list[tuple[str, str]]:
    return sorted((left.kind, left.name.rpartition("--")[2]) for left in store.leftovers())


@pytest.fixture
def killed(store: S3DataStore, tmp_path: Path) -> S3DataStore:
    """A store in which a finished dataset is, and what a killed writer left."""
    store.write_shards(atdata.write_samples([{"n": n} for n in range(4)], tmp_path / "a.tar"), prefix="rows/v1")
    given = json.dumps([store.credentials, store.bucket, 3 * PART])
    writer = subprocess.Popen([sys.executable, "-c", WRITER, given], cwd=tmp_path)
    try:
        while left_there(store) != [("shard", "000000.tar"), ("upload", "000001.tar")] or not parts(store):
            assert writer.poll() is None
            time.sleep(0.05)
        assert store.sweep() == []  # it is at work, or was a moment ago
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    return store


def parts(store: S3DataStore) -> int:
    """Bytes of parts that have been sent."""
    return sum(left.bytes for left in store.leftovers() if left.kind == "upload")


def test_what_a_killed_writer_left_is_found_and_removed(killed: S3DataStore, tmp_path: Path) -> None:
    store = killed
    before = {url for url, _ in store.list_objects()}
    assert store.sweep() == []  # of today
    found = store.sweep(timedelta(0), dry_run=True)
    assert sorted(left.kind for left in found) == ["shard", "upload"]
    assert {url for url, _ in store.list_objects()} == before
    assert store.sweep(timedelta(0)) == found
    assert left_there(store) == []
    left = [url for url, _ in store.list_objects()]
    assert len(left) == 2  # the shard of the finished dataset, and the manifest
    assert [sample["n"] for sample in atdata.Dataset([url for url in left if url.endswith(".tar")])] == [0, 1, 2, 3]
    assert store.access.client().list_multipart_uploads(Bucket=store.bucket).get("Uploads", []) == []


def test_the_command_finds_and_removes_it(killed: S3DataStore, tmp_path: Path) -> None:
    place = f"s3://{killed.bucket}"
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in killed.credentials.items()))

    def run(*arguments: str, rc: int = 0) -> str:
        command = [sys.executable, "-m", "atdata_cli", "store", *arguments, "--credentials", str(tmp_path / ".env")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == rc, done.stdout + done.stderr
        return done.stdout

    told = json.loads(run("verify", place, "--json", rc=1))
    assert [row["problem"] is not None and "atdata store sweep" in row["problem"] for row in told].count(True) == 2
    assert "0 leftovers" in run("sweep", place)
    assert "2 leftovers" in run("sweep", place, "--older-than", "0s", "--dry-run")
    assert sorted(row["kind"] for row in json.loads(run("sweep", place, "--older-than", "0s", "--json"))) == [
        "shard",
        "upload",
    ]
    assert "1 shards" in run("verify", place)
    run("sweep", place, "--older-than", "soon", rc=2)


def test_what_others_put_there_is_left_alone(store: S3DataStore, tmp_path: Path) -> None:
    (url,) = store.write_shards(atdata.write_samples([{"n": 1}], tmp_path / "a.tar"), prefix="rows")
    client, name = store.access.client(), url.rpartition("/")[2]
    # copies of a stored shard, with what it says of itself, but without a manifest; and another program's
    copied = {"Bucket": store.bucket, "Key": f"rows/{name}"}
    client.copy_object(Bucket=store.bucket, Key=f"copies/{name}", CopySource=copied)
    client.put_object(Bucket=store.bucket, Key="rows/other.tar", Body=b"x")
    client.create_multipart_upload(Bucket=store.bucket, Key="rows/other-2.tar")
    client.put_object(Bucket=store.bucket, Key=f"foreign/{name}", Body=b"x")
    client.put_object(Bucket=store.bucket, Key="foreign/manifest.json", Body=b"{}")
    assert store.sweep(timedelta(0)) == []
    assert len(list(store.list_objects())) == 6


def test_a_writer_whose_shards_were_swept_fails(
    store: S3DataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atdata_local.s3.upload._LONG", -1.0)  # as if it had begun long ago
    dataset = atdata.write_samples([{"n": 1}], tmp_path / "a.tar")
    assert len(store.write_shards(dataset, prefix="kept")) == 1
    check = Uploads.check

    def check_after_a_sweep(uploads: Uploads) -> None:
        assert len(store.sweep(timedelta(0))) == 1
        check(uploads)

    monkeypatch.setattr(Uploads, "check", check_after_a_sweep)
    with pytest.raises(ShardUnreadable, match="was removed while others were written; write again"):
        store.write_shards(dataset, prefix="gone")
    assert list(store.list_objects("gone")) == []
