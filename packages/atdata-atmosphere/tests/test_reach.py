"""By which URLs others can read what is read here; no server is asked."""

from __future__ import annotations

import pytest

from atdata.errors import UnsafeURL
from atdata_atmosphere.reach import public_urls
from atdata_local import DiskDataStore, S3DataStore


@pytest.mark.parametrize(
    "url",
    [
        *("data.tar", "/data/{000..009}.tar", "file:///data.tar", "C:/data.tar", "memory://data.tar"),
        *("http://1.1.1.1/data.tar", "https://127.0.0.1/data.tar", "https://localhost:8443/data-{0..3}.tar"),
        *("https://10.0.0.7/data.tar", "https://[::1]/data.tar", "https://{1.1.1.1,192.168.0.1}/data.tar"),
    ],
)
def test_urls_that_nobody_else_can_read(url: str) -> None:
    with pytest.raises(UnsafeURL, match="allow_private=True") as caught:
        public_urls(["https://1.1.1.1/data.tar", url])
    assert isinstance(caught.value, ValueError)


def test_no_secret_is_told() -> None:
    with pytest.raises(UnsafeURL) as caught:
        public_urls(["https://user:word@127.0.0.1/data.tar?token=secret"])
    assert "word" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_urls_that_others_can_read() -> None:
    urls = ["https://1.1.1.1/{000..999}.tar", "gs://bucket/data.tar", "at://did:plc:abc/blob/bafkrei"]
    assert public_urls(urls) == urls


def test_buckets() -> None:
    urls = ["s3://team/data/{000..009}.tar", "s3://team/a b+c.tar"]
    aws = S3DataStore({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, bucket="team")
    assert public_urls(urls, aws) == urls
    elsewhere = S3DataStore(bucket="team", endpoint_url="https://1.1.1.1/s3/")
    assert public_urls(urls, elsewhere) == [
        "https://1.1.1.1/s3/team/data/{000..009}.tar",
        "https://1.1.1.1/s3/team/a%20b%2Bc.tar",
    ]
    for endpoint, said in (("https://192.168.0.1", "no public address"), ("http://1.1.1.1", "not https")):
        with pytest.raises(UnsafeURL, match=said):
            public_urls(urls, S3DataStore(bucket="team", endpoint_url=endpoint))


def test_a_store_that_has_other_urls(tmp_path: object) -> None:
    with pytest.raises(UnsafeURL, match="a file of this machine"):
        public_urls([f"{DiskDataStore(str(tmp_path)).url}/data.tar"], DiskDataStore(str(tmp_path)))


def test_a_bucket_that_another_store_of_this_process_reads() -> None:
    store = S3DataStore(bucket="elsewhere", endpoint_url="https://127.0.0.1:9000")
    with pytest.raises(UnsafeURL, match="no public address"):
        public_urls(["s3://elsewhere/data.tar"])
    assert store.bucket == "elsewhere"
