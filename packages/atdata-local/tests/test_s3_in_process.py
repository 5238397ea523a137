"""Stores and sources in buckets that moto stands in for; what it takes too lightly is tested with a real server."""

import pickle
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

import atdata
from atdata import plugins
from atdata.errors import BackendNotInstalled, ShardNotFound
from atdata.sources.download import Passing
from atdata.testing import DataSourceContract, DataStoreContract
from atdata_local import S3DataStore, S3Source
from atdata_local.s3.access import S3Access
from atdata_local.s3.errors import NotPermitted, fault_of

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(autouse=True, scope="module")
def _aws() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def bucket() -> str:
    name = f"test-{secrets.token_hex(8)}"
    S3Access.of(KEYS).client().create_bucket(Bucket=name)
    return name


class TestStoreContract(DataStoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, bucket: str) -> None:
        self.bucket = bucket

    def make_store(self) -> S3DataStore:
        return S3DataStore(KEYS, bucket=self.bucket)

    def objects(self, store: Any, prefix: str) -> list[str]:
        return [url for url, _ in store.list_objects(prefix)]


class TestSourceContract(DataSourceContract):
    @pytest.fixture(autouse=True)
    def _place(self, bucket: str) -> None:
        self.bucket = bucket

    def make_source(self, shards: Mapping[str, bytes]) -> S3Source:
        for name, content in shards.items():
            S3Access.of(KEYS).client().put_object(Bucket=self.bucket, Key=name, Body=content)
        return S3Source(self.bucket, list(shards), access_key="key", secret_key="secret", region="us-east-1")


def test_the_forms_of_the_pages(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(
        "# comment\n\nexport AWS_ACCESS_KEY_ID = key # mine\nAWS_SECRET_ACCESS_KEY='secret'\nREDIS_PASSWORD=x\n"
        'AWS_DEFAULT_REGION="us-east-1"\n'
    )
    stores = [
        S3DataStore(KEYS, bucket=bucket),
        S3DataStore(credentials=KEYS, bucket=bucket, prefix="datasets/"),
        S3DataStore(credentials=str(tmp_path / ".env"), bucket=bucket),
        S3DataStore(tmp_path / ".env", bucket=bucket),
        plugins.get("atdata.stores", "s3")(f"s3://{bucket}/some/prefix", credentials=KEYS),
    ]
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    stores.append(S3DataStore(bucket=bucket, prefix="datasets/"))
    dataset = atdata.write_samples([{"n": 1}], tmp_path / "a.tar")
    for store in stores:
        urls = store.write_shards(dataset, prefix="v1")
        assert len(list(atdata.Dataset(store.source(urls)))) == 1
        assert store.read_url(urls[0]) == urls[0]
        assert "Signature=" in store.read_url(urls[0], signed=True)
    assert stores[0].credentials == KEYS
    assert all(url.startswith(f"s3://{bucket}/some/prefix/v1/") for url, _ in stores[4].list_objects("v1"))


def test_urls_are_read_by_an_s3_source(bucket: str) -> None:
    S3Access.of(KEYS).client().put_object(Bucket=bucket, Key="a b.tar", Body=b"content")
    options = {"access_key": "key", "secret_key": "secret"}
    source = plugins.get("atdata.sources", "s3")([f"s3://{bucket}/a b.tar"], **options)
    assert source.shard_list == [f"s3://{bucket}/a b.tar"]
    assert source.open_shard(f"s3://{bucket}/a b.tar").read() == b"content"
    with pytest.raises(ShardNotFound, match="no shard at s3://"):
        S3Source(bucket, ["none.tar"], **options).open_shard(f"s3://{bucket}/none.tar")


def test_a_denial_after_success_is_asked_again() -> None:
    from botocore.exceptions import ClientError

    access = S3Access.of(KEYS | {"AWS_SESSION_TOKEN": secrets.token_hex(8)})
    answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    denied = ClientError(answer, "GetObject")
    assert isinstance(fault_of(denied, access, "b", "a.tar"), NotPermitted)
    access.is_good()
    # the header with the signature may have been changed on its way; taken at its word, no manifest would be read
    again = fault_of(denied, access, "b", "a.tar")
    assert isinstance(again, Passing)
    assert isinstance(again.error, NotPermitted)
    assert again.after == 0


def test_all_urls_of_a_bucket_given_as_text_are_read_by_one_source(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3DataStore(KEYS, bucket=bucket)
    urls = store.write_shards(
        atdata.write_samples([{"n": n} for n in range(12)], tmp_path / "a-%06d.tar", maxcount=2), prefix="v1"
    )
    made = []
    begin = S3Source.__init__
    monkeypatch.setattr(S3Source, "__init__", lambda self, *a, **k: made.append(self) or begin(self, *a, **k))
    dataset = atdata.Dataset("::".join(urls))
    for _ in range(2):
        assert [sample["n"] for sample in dataset] == list(range(12))
    assert len(made) == 1
    copy = pickle.loads(pickle.dumps(dataset))
    assert b"secret" not in pickle.dumps(dataset)
    assert [sample["n"] for sample in copy] == list(range(12))
    # one that failed is made anew: there may be other credentials
    lost = atdata.Dataset([urls[0], f"s3://{bucket}/none.tar"])
    for _ in range(2):
        with pytest.raises(ShardNotFound):
            list(lost)
    assert len(made) == 4


def test_urls_are_read_with_the_credentials_of_the_store_that_there_is(bucket: str, tmp_path: Path) -> None:
    store = S3DataStore(KEYS, bucket=bucket)
    store = S3DataStore(KEYS, bucket=bucket)  # an equal one, when the first is gone
    (url,) = store.write_shards(atdata.write_samples([{"n": 1}], tmp_path / "a.tar"), prefix="")
    make = plugins.get("atdata.sources", "s3")
    assert make([url])._access == store.access
    other = S3DataStore(KEYS | {"AWS_ENDPOINT": "https://s3.example.com"}, bucket=bucket)
    assert make([url])._access == S3Access()  # who knows which
    del other
    assert len(list(atdata.Dataset(url))) == 1


def test_sources_of_urls() -> None:
    source = S3Source.from_urls(["s3://b/a-{0..2}.tar", "S3://b/c.tar"], endpoint="https://s3.example.com")
    assert source.list_shards() == ["s3://b/a-0.tar", "s3://b/a-1.tar", "s3://b/a-2.tar", "s3://b/c.tar"]
    assert source == S3Source("b", ["a-0.tar", "a-1.tar", "a-2.tar", "c.tar"], endpoint_url="https://s3.example.com")
    assert source.endpoint == "https://s3.example.com"
    for urls, cause in (
        (["s3://a/x.tar", "s3://b/x.tar"], "of one bucket"),
        ([], "no URLs"),
        (["https://a/x.tar"], "is not a URL such as"),
        (["s3://bucket"], "is not a URL such as"),
        (["s3://b/{0..9999999}.tar"], "stands for"),
    ):
        with pytest.raises(ValueError, match=cause):
            S3Source.from_urls(urls)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"bucket": ""}, "not the name of a bucket"),
        ({"access_key": "key"}, "lack AWS_SECRET_ACCESS_KEY"),
        ({"endpoint": "s3.example.com"}, "the endpoint is a URL"),
        ({"endpoint": "https://user:hunter2@s3.example.com"}, "the endpoint is a URL"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValueError, match=cause) as caught:
        S3Source(**({"bucket": "b", "keys": ["a.tar"]} | options))
    assert "hunter2" not in str(caught.value)


def test_credentials_of_other_names_are_refused_before_others_are_used_instead() -> None:
    with pytest.raises(ValueError, match="the credentials have key, secret, and nothing that is known") as caught:
        S3DataStore({"key": "AK", "secret": "hunter2"}, bucket="b")
    assert "hunter2" not in str(caught.value)


def test_messages_name_the_server_that_boto3_is_told_of_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert S3DataStore(KEYS, bucket="b").access.place == "AWS"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://alice:hunter2@127.0.0.1:9000")
    assert S3DataStore(KEYS, bucket="b").access.place == "http://127.0.0.1:9000"


def test_without_boto3_reading_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(name for name in sys.modules if name.partition(".")[0] in ("boto3", "botocore")), "boto3"]:
        monkeypatch.setitem(sys.modules, name, None)
    source = S3Source("b", ["a.tar"], "http://127.0.0.1:1", "AK", "SK", region="without-boto3", digests={})
    with pytest.raises(BackendNotInstalled, match=r"pip install 'atdata-local\[s3\]'"):
        source.open_shard("s3://b/a.tar")


def test_a_credentials_file_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match="no credentials file"):
        S3DataStore("not-there.env", bucket="b")


def test_addresses_at_an_endpoint() -> None:
    store = S3DataStore(bucket="b", endpoint_url="https://s3.example.com/", credentials=KEYS)
    assert store.read_url("s3://b/a/b c#.tar") == "https://s3.example.com/b/a/b%20c%23.tar"
    assert store.read_url("s3://other/a.tar") == "s3://other/a.tar"
    signed = store.read_url("s3://b/a.tar", signed=True, expires=60)
    assert signed.startswith("https://s3.example.com/b/a.tar?")
    with pytest.raises(ValueError, match="at most a week"):
        store.read_url("s3://b/a.tar", signed=True, expires=10**6)
