"""Datasets of others, loaded by reference: no index, no login, no class at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from testnet.files import Files
from testnet.network import Network

import atdata
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, DatasetPublisher, PDSBlobStore
from atdata.errors import EntryNotFound, ShardCorrupted, SplitNotFound
from atdata_atmosphere.errors import AtmosphereWarning, IdentityError
from atdata_atmosphere.storage import facts_of


@atdata.packable
class Leaf:
    """A leaf of a tree."""

    image: NDArray[np.uint8]
    tree: str
    age: int | None = None


def leaves(count: int) -> list[Leaf]:
    return [Leaf(image=np.full((3, n + 1), n, np.uint8), tree=f"tree {n}") for n in range(count)]


@pytest.fixture(autouse=True)
def environment(network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The test network is the one to read; the account that is named is not needed for that."""
    login = {"ATDATA_HANDLE": "nobody.test", "ATDATA_APP_PASSWORD": "wrong"}
    for name, value in {**network.environment, **login, "ATDATA_CACHE_DIR": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """A web server with the shards of two splits."""
    atdata.write_samples(leaves(5), tmp_path / "files" / "train-%03d.tar", maxcount=2)
    atdata.write_samples(leaves(2), tmp_path / "files" / "test-%03d.tar", maxcount=2)
    with Files(tmp_path / "files") as server:
        yield server


@pytest.fixture
def external(alice: AtmosphereClient, files: Files, tmp_path: Path) -> str:
    """The AT URI of a dataset behind URLs."""
    index = AtmosphereIndex(alice)
    dataset = atdata.Dataset[Leaf](f"{tmp_path}/files/{{train-{{000..002}},test-000}}.tar")
    facts = facts_of(dataset)
    urls = [f"{files.url}/train-{{000..002}}.tar", f"{files.url}/test-000.tar"]
    with pytest.warns(AtmosphereWarning, match="nobody else can read it"):  # over http
        uri = DatasetPublisher(alice).publish_with_urls(
            urls, index.publish_schema(Leaf), name="leaves", metadata={"park": "south"}, shards=facts
        )
    return str(uri)


@pytest.fixture
def blobs(alice: AtmosphereClient, tmp_path: Path) -> str:
    """The AT URI of a dataset in blobs."""
    dataset = atdata.write_samples(leaves(5), tmp_path / "written" / "train-%03d.tar", maxcount=2)
    return AtmosphereIndex(alice, data_store=PDSBlobStore(alice)).insert_dataset(dataset, name="leaves").uri


@pytest.mark.parametrize("kind", ["external", "blobs"])
def test_by_reference(kind: str, alice: AtmosphereClient, request: pytest.FixtureRequest) -> None:
    uri: str = request.getfixturevalue(kind)
    named = ("@alice.test/leaves", f"@{alice.did}/leaves", "atdata://alice.test/dataset/leaves")
    for reference in (*named, uri, uri.replace(alice.did, "alice.test")):
        dataset = atdata.load_dataset(reference, split="train")
        assert dataset.sample_type.__name__ == "Leaf"
        assert dataset.sample_type is not Leaf
        assert (len(dataset), len(dataset.list_shards())) == (5, 3)
        assert dataset.metadata == ({"park": "south"} if kind == "external" else None)
        read = list(dataset.ordered())
        for found, leaf in zip(read, leaves(5), strict=True):
            assert (found.tree, found.age) == (leaf.tree, None)
            assert np.array_equal(found.image, leaf.image)
        assert [leaf.tree for leaf in atdata.load_dataset(reference, Leaf, split="train")] == [
            leaf.tree for leaf in read
        ]
        assert sorted(leaf.tree for leaf in dataset.shuffled(seed=1)) == [leaf.tree for leaf in read]


def test_splits(external: str) -> None:
    splits = atdata.load_dataset(external)
    assert splits.num_shards == {"train": 3, "test": 1}
    assert [len(splits["train"]), len(splits["test"])] == [5, 2]
    assert [leaf.tree for leaf in splits["test"]] == ["tree 0", "tree 1"]
    with pytest.raises(SplitNotFound, match="validation"):
        atdata.load_dataset(external, split="validation")


def test_in_another_process(network: Network, blobs: str) -> None:
    program = (
        "import atdata, sys\n"
        "dataset = atdata.load_dataset('@alice.test/leaves', split='train')\n"
        "print(len(dataset), [leaf.tree for leaf in dataset], dataset.head(1)[0].image.shape)\n"
    )
    environment = {key: value for key, value in os.environ.items() if "PASSWORD" not in key and "HANDLE" not in key}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"5 {[f'tree {n}' for n in range(5)]} (3, 1)\n"


def test_what_is_not_there(alice: AtmosphereClient) -> None:
    with pytest.raises(EntryNotFound, match=r"alice\.test has published no dataset 'leaves'"):
        atdata.load_dataset("@alice.test/leaves")
    with pytest.raises(KeyError):
        atdata.load_dataset(f"at://{alice.did}/ac.foundation.dataset.record/leaves")
    with pytest.raises(IdentityError, match="leads to no DID"):
        atdata.load_dataset("@nobody.test/leaves")


def test_a_changed_byte_is_told(external: str, files: Files, tmp_path: Path) -> None:
    shard = tmp_path / "files" / "train-001.tar"
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ShardCorrupted, match="train-001"):
        list(atdata.load_dataset(external, split="train"))
    assert len(list(atdata.load_dataset(external, split="test"))) == 2


def test_network_that_is_not_meant(monkeypatch: pytest.MonkeyPatch, external: str) -> None:
    """Without leave to do otherwise, servers on this machine are not asked."""
    monkeypatch.delenv("ATDATA_ALLOW_INSECURE")
    with pytest.raises(ValueError, match="is not https"):
        atdata.load_dataset(external)
