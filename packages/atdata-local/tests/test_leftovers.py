"""What writers on disk leave that are killed, and what is nobody's leftover."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import atdata
from atdata_local import DiskDataStore
from atdata_local.stores.leftovers import Leftover, _by_writer

# A writer that dies before its manifest tells of the shards that it has named, or before it names any
WRITER = """
import os, signal, sys
import atdata
from atdata import atomic
from atdata_local import DiskDataStore

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "naming":
    os.replace = die
else:
    atomic.Staging.publish = die
DiskDataStore(sys.argv[1]).write_shards(atdata.Dataset(sys.argv[2]), prefix="v1", **eval(sys.argv[4]))
"""


@pytest.fixture
def shards(tmp_path: Path) -> str:
    atdata.write_samples([{"n": n} for n in range(6)], tmp_path / "a-%06d.tar", maxcount=3)
    return str(tmp_path / "a-{000000..000001}.tar")


def killed(store: DiskDataStore, shards: str, when: str, options: str) -> None:
    command = [sys.executable, "-c", WRITER, str(store.root), shards, when, options]
    assert subprocess.run(command).returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("options", ["{}", "{'maxcount': 2}"], ids=["copied", "made anew"])
@pytest.mark.parametrize("when", ["writing", "naming"])
def test_what_a_killed_writer_left_is_removed(tmp_path: Path, shards: str, when: str, options: str) -> None:
    store = DiskDataStore(tmp_path / "store")
    urls = store.write_shards(atdata.Dataset(shards), prefix="v1")
    before = sorted(store.root.rglob("*"))
    killed(store, shards, when, options)
    found = store.leftovers()
    assert [left.kind for left in found].count("folder") == 1
    assert ("shard" in {left.kind for left in found}) == (when == "naming")
    assert store.sweep() == []  # of today
    assert store.sweep(timedelta(0), dry_run=True) == found
    assert store.sweep(timedelta(0)) == found
    assert store.leftovers() == []
    left = [path for path in sorted(store.root.rglob("*")) if not path.name.startswith(".atdata-tmp-manifest")]
    assert left == before
    assert [sample["n"] for sample in atdata.Dataset(urls)] == list(range(6))


def test_a_writer_at_work_is_left_alone(tmp_path: Path, shards: str) -> None:
    store = DiskDataStore(tmp_path / "store")
    swept = []

    class Source:
        def list_shards(self) -> list[str]:
            return atdata.Dataset(shards).list_shards()

        def open_shard(self, shard: str) -> object:
            swept.extend(store.sweep(timedelta(0)))
            return open(shard, "rb")

    urls = store.write_shards(atdata.Dataset(Source()), prefix="v1")  # type: ignore[arg-type]
    assert swept == store.sweep(timedelta(0)) == []
    assert [sample["n"] for sample in atdata.Dataset(urls)] == list(range(6))


def test_copies_without_a_manifest_are_no_leftovers(tmp_path: Path, shards: str) -> None:
    store = DiskDataStore(tmp_path / "store")
    for url in store.write_shards(atdata.Dataset(shards), prefix="v1"):
        path = Path(url.removeprefix("file://"))
        (tmp_path / "store" / path.name).write_bytes(path.read_bytes())
    assert store.leftovers() == []


def test_all_that_a_writer_left_is_as_alive_as_the_latest_of_it() -> None:
    old, new = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 5, tzinfo=UTC)
    mine, other = "s3://b/v1/data--0123456789abcdef--00000%d.tar", "s3://b/v1/data--fedcba9876543210--000000.tar"
    found = [
        Leftover(mine % 0, "shard", 5, old),
        Leftover(mine % 1, "upload", 5, new, "id"),
        Leftover(other, "shard", 5, old),
    ]
    assert [left.alive for left in _by_writer(found)] == [new, new, old]
