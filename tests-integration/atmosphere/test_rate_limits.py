"""A server with the rate limits of hosted ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from testnet.network import Network

import atdata
from atdata.atmosphere import DatasetLoader, DatasetPublisher, SchemaPublisher
from atdata_atmosphere.errors import RateLimited
from atdata_atmosphere.records import DATASET


@atdata.packable
class Word:
    text: str


def test_a_thousand_datasets(limited_network: Network) -> None:
    with limited_network.client("alice", patience=0.0) as client:
        schema = SchemaPublisher(client).publish(Word)
        publisher = DatasetPublisher(client)
        one = publisher.publish_with_urls(["s3://bucket/{00..99}.tar"], schema, name="number 0")
        template = client.get_record(one)
        client.create_records((DATASET, {**template, "name": f"number {n}"}) for n in range(1, 1000))
        names = [record["name"] for record in DatasetLoader(client).list_all(limit=2000)]
        assert names == [f"number {n}" for n in reversed(range(1000))]
        assert client._session.budget.limited


def test_too_many_logins(limited_network: Network) -> None:
    url = f"{limited_network.pds}/xrpc/com.atproto.server.createSession"
    login = {"identifier": "nobody.test", "password": "aaaa-bbbb-cccc-dddd"}
    with ThreadPoolExecutor(30) as pool:  # the server takes its time over each
        answers = list(pool.map(lambda _: httpx.post(url, json=login).status_code, range(30)))
    assert answers == [401] * 30
    with limited_network.client(patience=0.0) as client:
        with pytest.raises(RateLimited, match="ask again after 20") as caught:
            client.login("nobody.test", "aaaa-bbbb-cccc-dddd")
        assert caught.value.reset_at is not None
        assert isinstance(caught.value, OSError)
