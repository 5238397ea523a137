"""Stores and sources in a bucket of a real server."""

import datetime
import http.server
import multiprocessing
import os
import pickle
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.auth
import numpy as np
import pytest
from numpy.typing import NDArray
from s3_reader import count

import atdata
from atdata.errors import ShardCorrupted, ShardNotFound, ShardPermissionError, ShardUnreadable
from atdata.testing import DataSourceContract, DataStoreContract
from atdata_local import S3DataStore, S3Source
from atdata_local.s3.access import S3Access


@atdata.packable
class Row:
    number: int
    image: NDArray[np.float32]


def rows(count: int) -> Iterator[Row]:
    return (Row(number=n, image=np.full((32, 32), n, np.float32)) for n in range(count))


class TestStoreContract(DataStoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, seaweedfs: S3Access, bucket: str, credentials: dict[str, str]) -> None:
        self.bucket, self.credentials = bucket, credentials

    def make_store(self) -> S3DataStore:
        return S3DataStore(self.credentials, bucket=self.bucket)

    def objects(self, store: Any, prefix: str) -> list[str]:
        client = store.access.client()
        uploads = client.list_multipart_uploads(Bucket=store.bucket, Prefix=prefix).get("Uploads", [])
        return [url for url, _ in store.list_objects(prefix)] + [upload["Key"] for upload in uploads]


class TestSourceContract(DataSourceContract):
    @pytest.fixture(autouse=True)
    def _bucket(self, seaweedfs: S3Access, bucket: str, credentials: dict[str, str]) -> None:
        self.client, self.bucket, self.credentials = seaweedfs.client(), bucket, credentials

    def make_source(self, shards: Mapping[str, bytes]) -> S3Source:
        for name, content in shards.items():
            self.client.put_object(Bucket=self.bucket, Key=f"folder/{name}", Body=content)
        return S3Source.from_credentials(self.credentials, self.bucket, [f"folder/{name}" for name in shards])


@pytest.fixture
def stored(store: S3DataStore, tmp_path: Path) -> list[str]:
    """A hundred rows in four shards."""
    return store.write_shards(atdata.write_samples(rows(100), tmp_path / "r-%06d.tar", maxcount=30), prefix="rows/v1")


# ------------------------------------------------------------------------------------------- reading


def test_urls_are_read_with_the_credentials_of_the_store(store: S3DataStore, stored: list[str]) -> None:
    assert [row.number for row in atdata.Dataset[Row](stored)] == list(range(100))
    batches = list(atdata.Dataset[Row](stored).ordered(batch_size=40))
    assert [batch.image.shape for batch in batches] == [(40, 32, 32), (40, 32, 32), (20, 32, 32)]


def test_without_a_store_urls_are_read_as_the_environment_says(
    stored: list[str], credentials: dict[str, str], tmp_path: Path
) -> None:
    import subprocess
    import sys

    program = "import sys, atdata; print(sum(1 for _ in atdata.Dataset(sys.argv[1:])))"
    environment = os.environ | credentials | {"AWS_ENDPOINT_URL": credentials["AWS_ENDPOINT"]}
    command = [sys.executable, "-c", program, *stored]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("100\n", 0), done.stderr


def test_a_signed_url_is_read_by_strangers_until_it_expires(store: S3DataStore, stored: list[str]) -> None:
    content = store.source(stored).open_shard(stored[0]).read()
    with urllib.request.urlopen(store.read_url(stored[0], signed=True, expires=60)) as response:
        assert response.read() == content
    assert [row.number for row in atdata.Dataset[Row](store.read_url(stored[0], signed=True))] == list(range(30))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(store.read_url(stored[0]))
    changed = store.read_url(stored[0], signed=True).replace("000000.tar", "000001.tar")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(changed)


def test_a_changed_byte_is_found(store: S3DataStore, stored: list[str]) -> None:
    key = stored[1].removeprefix(f"s3://{store.bucket}/")
    client = store.access.client()
    content = bytearray(client.get_object(Bucket=store.bucket, Key=key)["Body"].read())
    content[5000] ^= 1
    client.put_object(Bucket=store.bucket, Key=key, Body=bytes(content))
    with pytest.raises(ShardCorrupted, match="sha256") as caught:
        list(atdata.Dataset[Row](stored))
    assert stored[1] in str(caught.value)
    source = S3Source(store.bucket, [key], digests={}, _access=store.access)
    assert len(source.open_shard(stored[1]).read()) == len(content)
    client.put_object(Bucket=store.bucket, Key=key, Body=bytes(content[:-512]))
    with pytest.raises(ShardCorrupted, match="bytes"):
        store.source(stored).open_shard(stored[1])


def test_an_object_that_changes_while_it_is_read_is_never_mixed(store: S3DataStore) -> None:
    client = store.access.client()
    client.put_object(Bucket=store.bucket, Key="large", Body=bytes(200 << 20))
    source = store.source([f"s3://{store.bucket}/large"])
    with source.open_shard(source.list_shards()[0]) as stream:
        stream.read(10)
        client.put_object(Bucket=store.bucket, Key="large", Body=b"1" * (200 << 20))
        try:
            rest = stream.read()
            whole = len(rest) == rest.count(0) == (200 << 20) - 10
            outcome = "all of the old one" if whole else "a mixture"  # which a connection had begun to send
        except ShardUnreadable as error:
            outcome = str(error)
    assert outcome == "all of the old one" or "changed" in outcome


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_with_clients_of_their_own(store: S3DataStore, stored: list[str], method: str) -> None:
    source = store.source(stored)
    assert source.open_shard(stored[0]).read(1)  # this process has a client
    context: Any = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=count, args=(source, sender))
    process.start()
    assert receiver.poll(300)
    assert receiver.recv() == 100
    process.join()


def test_a_stream_is_not_for_a_forked_child(store: S3DataStore, stored: list[str]) -> None:
    with store.source(stored).open_shard(stored[0]) as stream:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                stream.read(1)
            except ShardUnreadable as error:
                os.write(writer, str(error).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert b"in another process" in os.read(reader, 1000)
        assert stream.read(1)


def test_secrets_are_in_no_repr_and_no_pickle_of_a_file(
    store: S3DataStore, stored: list[str], credentials: dict[str, str], tmp_path: Path
) -> None:
    secret = credentials["AWS_SECRET_ACCESS_KEY"]
    (tmp_path / ".env").write_text(
        "".join(f"{name}='{value}'\n" for name, value in credentials.items()).replace("'", '"')
    )
    of_file = S3DataStore(str(tmp_path / ".env"), bucket=store.bucket)
    for thing in (store, store.access, of_file, store.source(stored), atdata.Dataset(store.source(stored))):
        assert secret not in repr(thing)
    for thing in (of_file, of_file.source(stored)):
        assert secret.encode() not in pickle.dumps(thing)
    again = pickle.loads(pickle.dumps(of_file.source(stored)))
    assert [row.number for row in atdata.Dataset[Row](again)] == list(range(100))


# ------------------------------------------------------------------------------------------- writing


def test_a_large_shard_is_written_in_parts(store: S3DataStore, tmp_path: Path) -> None:
    samples = (Row(number=n, image=np.random.default_rng(n).random((1024, 1024), np.float32)) for n in range(10))
    dataset = atdata.write_samples(samples, tmp_path / "large.tar")
    for limits in ({}, {"maxcount": 7}, {"maxcount": 7, "cache_local": True}):
        urls = store.write_shards(dataset, prefix="large", **limits)
        assert [row.number for row in atdata.Dataset[Row](store.source(urls))] == list(range(10))
    assert store.access.client().list_multipart_uploads(Bucket=store.bucket).get("Uploads", []) == []


def test_a_manifest_of_somebody_else_is_not_written_over(store: S3DataStore, tmp_path: Path) -> None:
    store.access.client().put_object(Bucket=store.bucket, Key="v1/manifest.json", Body=b"{}")
    with pytest.raises(atdata.errors.ManifestError, match="not an atdata manifest"):
        store.write_shards(atdata.write_samples(rows(3), tmp_path / "a.tar"), prefix="v1")
    assert [url for url, _ in store.list_objects()] == [f"s3://{store.bucket}/v1/manifest.json"]


def test_nothing_is_written_over(store: S3DataStore, stored: list[str]) -> None:
    from atdata_local.s3.requests import Bucket
    from atdata_local.s3.upload import PART, Uploads

    key = stored[0].removeprefix(f"s3://{store.bucket}/")
    for content in (b"small", bytes(2 * PART)):
        uploads = Uploads(Bucket(store.access, store.bucket))
        upload = uploads.create(key)
        upload.write(content)
        with pytest.raises(atdata.errors.ShardExists):
            upload.finish()
        uploads.undo()  # which must not remove what is another's
    assert [row.number for row in atdata.Dataset[Row](stored)] == list(range(100))


# ------------------------------------------------------------------------------------------- what can be wrong


def message(credentials: dict[str, str], bucket: str, key: str = "a.tar") -> str:
    """What reading and writing say, both, of credentials or a bucket that are wrong."""
    store = S3DataStore(credentials, bucket=bucket, retries=0)
    with pytest.raises((ShardPermissionError, ShardNotFound, ShardUnreadable)) as reading:
        store.source([f"s3://{bucket}/{key}"]).open_shard(f"s3://{bucket}/{key}")
    with pytest.raises(type(reading.value)) as writing:
        store.write_shards(atdata.Dataset("is-not-read.tar"), prefix="p")
    for caught in (reading, writing):
        assert credentials.get("AWS_SECRET_ACCESS_KEY", "no secret") not in str(caught.value)
    return f"{reading.value}\n{writing.value}"


def test_wrong_access_key(credentials: dict[str, str], bucket: str) -> None:
    text = message(credentials | {"AWS_ACCESS_KEY_ID": "nobody"}, bucket)
    assert text.count("the server does not know the access key; check AWS_ACCESS_KEY_ID") == 2


def test_wrong_secret(credentials: dict[str, str], bucket: str) -> None:
    text = message(credentials | {"AWS_SECRET_ACCESS_KEY": "wrong secret"}, bucket)
    assert text.count("the secret key does not belong to the access key; check AWS_SECRET_ACCESS_KEY") == 2


def test_no_such_bucket(credentials: dict[str, str]) -> None:
    assert message(credentials, "no-such-bucket").count("has no bucket 'no-such-bucket'") == 2


def test_no_permission(seaweedfs: S3Access, credentials: dict[str, str], bucket: str, tmp_path: Path) -> None:
    client = seaweedfs.client()
    client.create_bucket(Bucket="public-reading")
    client.put_object(Bucket="public-reading", Key="a.tar", Body=b"a")
    reader = credentials | {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-reader"}
    assert message(reader, bucket).count("these credentials do not permit it") == 2
    assert S3Source.from_credentials(reader, "public-reading", ["a.tar"]).open_shard("s3://public-reading/a.tar").read()
    store = S3DataStore(reader, bucket="public-reading", retries=0)
    with pytest.raises(ShardPermissionError, match="cannot be written: these credentials do not permit it"):
        store.write_shards(atdata.write_samples(rows(3), tmp_path / "a.tar"), prefix="p")


def test_a_wrong_clock(credentials: dict[str, str], bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = botocore.auth.get_current_datetime
    late = datetime.timedelta(hours=2)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: now(*a, **k) + late)
    assert message(credentials, bucket).count("this machine's clock differs too much") == 2


def test_no_server(credentials: dict[str, str]) -> None:
    text = message(credentials | {"AWS_ENDPOINT": "http://127.0.0.1:9"}, "bucket")
    assert text.count("nothing answers there; check the endpoint") == 2


def test_no_credentials(seaweedfs: S3Access, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    text = message({"AWS_ENDPOINT": str(seaweedfs.endpoint)}, bucket)
    assert text.count("no credentials were found, and the public may not") == 2


class _Answers(http.server.BaseHTTPRequestHandler):
    """What AWS answers to temporary credentials that have expired; SeaweedFS has none that expire."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
        self.send_response(400)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, *_: Any) -> None:
        pass


def test_an_expired_session_token(credentials: dict[str, str]) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever).start()
        given = {"AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "AWS_SESSION_TOKEN": "a token"}
        text = message(credentials | given, "bucket")
        server.shutdown()
    assert text.count("the session token has expired; get new temporary credentials") == 2
    assert "a token" not in text
