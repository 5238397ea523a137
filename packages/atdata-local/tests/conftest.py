"""Indexes of every kind, and what is put into them. Servers are real ones on free ports, started once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from servers import Server, binary, cluster, server

import atdata
from atdata import Dataset
from atdata_local import Index


@atdata.packable
class TrainingSample:
    """Features with the label they stand for."""

    features: NDArray[np.float32]
    label: int


@atdata.packable
class Note:
    text: str
    stars: int = 0


def shard(number: int) -> Dataset[Note]:
    """A dataset somewhere else, of which nothing is known but its URL."""
    return Dataset[Note](f"s3://bucket/notes-{number}.tar")


def changed(**fields: Any) -> type:
    """A type called Note with other fields."""
    return atdata.packable(type("Note", (), {"__annotations__": fields, "__module__": __name__}))


KINDS = ["sqlite", "redis", "redis that decodes", "cluster"]


@pytest.fixture(scope="session")
def redis_program() -> str:
    try:
        return binary()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def redis_server(redis_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def redis_cluster(redis_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """An empty server."""
    with redis_server.client() as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def make_index(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Index]]:
    """Makes a new index of one of the ``KINDS``; all of one test are the same."""
    made: list[Any] = []

    def make(kind: str) -> Index:
        if kind == "sqlite":
            index = Index(path=tmp_path / "index.sqlite3")
        elif kind == "cluster":
            nodes: list[Server] = request.getfixturevalue("redis_cluster")
            if not made:
                for node in nodes:
                    with node.client() as client:
                        client.flushall()
            index = Index(nodes[0].url)
        else:
            url = request.getfixturevalue("redis_url") if not made else request.getfixturevalue("redis_server").url
            index = Index(f"{url}?decode_responses=true" if kind == "redis that decodes" else url)
        made.append(index)
        return index

    yield make
    for index in made:
        index.close()


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest, make_index: Callable[[str], Index]) -> Index:
    """A new, empty index, one of each kind."""
    return make_index(request.param)


@pytest.fixture
def again(request: pytest.FixtureRequest, make_index: Callable[[str], Index]) -> Callable[[], Index]:
    """The index of this test, opened once more by somebody else."""
    kind = request.node.callspec.params["index"]
    return lambda: make_index(kind)
