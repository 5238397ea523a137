"""A network that cuts, stalls, corrupts and is busy between stores and their server: nothing is lost or half there."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import atdata
from atdata.errors import AtdataError
from atdata.manifest import parse_manifest
from atdata.testing.proxy import FaultyProxy
from atdata_local import S3DataStore

# of a date whose time zone was changed on its way
pytestmark = pytest.mark.filterwarnings("ignore:tzname")

READS, WRITES = 1000, 200
FAULTS = {"cut": 0.03, "stall": 0.01, "corrupt": 0.02, "busy": 0.05}


@atdata.packable
class Noise:
    number: int
    noise: bytes


def dataset(folder: Path, seed: int, samples: int = 12) -> atdata.Dataset[Noise]:
    """Some samples in three shards of about 100 KB."""
    rng = random.Random(seed)
    rows = (Noise(number=n, noise=rng.randbytes(25_000)) for n in range(samples))
    return atdata.write_samples(rows, folder / f"d{seed}-%06d.tar", maxcount=4)


def through(store: S3DataStore, proxy: FaultyProxy) -> S3DataStore:
    """The same store behind a proxy, and with less patience."""
    given = store.credentials | {"AWS_ENDPOINT": f"http://127.0.0.1:{proxy.port}"}
    return S3DataStore(given, bucket=store.bucket, timeout=0.5, retries=8)


def port_of(store: S3DataStore) -> int:
    return urlsplit(str(store.access.endpoint)).port or 0


def outcome(work: Callable[[], Any]) -> Any:
    """What came of it; a clear error counts as that, any other fault of the code does not."""
    try:
        return work()
    except AtdataError as error:
        return error


def audit(store: S3DataStore) -> set[str]:
    """Every shard that manifests name is there and is what they say. Returns what is there and no manifest names."""
    client = store.access.client()
    there = dict(store.list_objects())
    named = set()
    for url in there:
        if not url.endswith("/manifest.json"):
            continue
        named.add(url)
        key = url.removeprefix(f"s3://{store.bucket}/")
        manifest = parse_manifest(client.get_object(Bucket=store.bucket, Key=key)["Body"].read(), url)
        assert manifest is not None
        for facts in manifest.shards.values():
            shard = url.removesuffix("manifest.json") + facts.name
            named.add(shard)
            assert there[shard] == facts.bytes
            content = client.get_object(Bucket=store.bucket, Key=shard.removeprefix(f"s3://{store.bucket}/"))
            assert hashlib.sha256(content["Body"].read()).hexdigest() == facts.sha256
    uploads = client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])
    return (there.keys() - named) | {upload["Key"] for upload in uploads}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    # the same waits, twenty times shorter
    monkeypatch.setattr("atdata.sources.download._FIRST_DELAY", 0.025)


def test_reads_end_with_the_right_bytes_or_a_clear_error(store: S3DataStore, tmp_path: Path) -> None:
    stored = store.write_shards(dataset(tmp_path, 0), prefix="d")
    content = {url: store.source(stored).open_shard(url).read() for url in stored}
    with FaultyProxy(port_of(store), pause=1.0, **FAULTS) as proxy:
        faulty = through(store, proxy)

        def read(number: int) -> Any:
            url = stored[number % len(stored)]
            with faulty.source(stored).open_shard(url) as stream:
                return bytes(stream.read()) == content[url]

        with ThreadPoolExecutor(16) as threads:
            results = list(threads.map(lambda number: outcome(lambda: read(number)), range(READS)))
    assert min(proxy.faults.values()) > 10, proxy.faults
    counted = Counter(result if isinstance(result, bool) else type(result).__name__ for result in results)
    print(f"{READS} reads, faults {proxy.faults}: {dict(counted)}")
    assert counted[False] == 0
    assert counted[True] > READS * 0.8, counted


def test_writes_are_there_whole_or_not_at_all(store: S3DataStore, tmp_path: Path) -> None:
    datasets = [dataset(tmp_path, seed) for seed in range(4)]
    with FaultyProxy(port_of(store), pause=1.0, **FAULTS) as proxy:
        faulty = through(store, proxy)

        def write(number: int) -> Any:
            options: dict[str, Any] = {} if number % 2 else {"maxcount": 3}
            return faulty.write_shards(datasets[number % 4], prefix=f"p{number % 10}", **options)

        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(lambda number: outcome(lambda: write(number)), range(WRITES)))
    assert min(proxy.faults.values()) > 10, proxy.faults
    left = audit(store)
    counted = Counter("written" if isinstance(result, list) else type(result).__name__ for result in results)
    print(f"{WRITES} writes, faults {proxy.faults}: {dict(counted)}; left {len(left)}")
    for number, urls in enumerate(results):
        if isinstance(urls, list):
            wanted = [sample.noise for sample in datasets[number % 4]]
            assert [sample.noise for sample in atdata.Dataset[Noise](store.source(urls))] == wanted
    told = [note for result in results if isinstance(result, AtdataError) for note in getattr(result, "__notes__", [])]
    assert left == set() or told, left
    store.sweep(timedelta(0))  # nobody writes any more
    assert audit(store) == set()
    assert counted["written"] > WRITES * 0.7, counted
