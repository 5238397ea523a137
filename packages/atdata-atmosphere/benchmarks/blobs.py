"""How fast blobs are sent and read beside a plain HTTP client, on the same server in the same run.

    python packages/atdata-atmosphere/benchmarks/blobs.py [--gb 1] [--shard-mb 50] [--rounds 3] [--least 0.6]

It starts the test network (a directory of DIDs and a personal data server; the first run installs them). Rounds are
interleaved and the medians compared with two plain clients: one request at a time, and four. All is measured in a
process of its own, whose peak memory is told. With ``--least`` a smaller share of the first ends with status 1.
"""

import argparse
import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

import atdata
from atdata.atmosphere import AtmosphereClient, DatasetPublisher, PDSBlobStore, SchemaPublisher

sys.path.insert(0, str(Path(__file__).parents[3] / "tests-integration"))

IMAGE = (128, 128, 3)
BLOCK = 1 << 20


@atdata.packable
class Image:
    label: int
    image: NDArray[np.uint8]


def images(size: int) -> Iterator[Image]:
    rng = np.random.default_rng(0)
    each = int(np.prod(IMAGE)) + 2048
    return (Image(label=label, image=rng.integers(0, 256, IMAGE, np.uint8)) for label in range(size // each))


class Plain:
    """A plain HTTP client of an account.

    Args:
        server: URL of its server.
        handle, password: of the account.
    """

    def __init__(self, server: str, handle: str, password: str) -> None:
        self.host = urlsplit(server).netloc
        body = json.dumps({"identifier": handle, "password": password})
        answer = self.ask("POST", "com.atproto.server.createSession", body, {"Content-Type": "application/json"})
        self.token: str = json.loads(answer.read())["accessJwt"]

    def ask(self, method: str, name: str, body: Any, headers: dict[str, str]) -> HTTPResponse:
        connection = HTTPConnection(self.host, blocksize=256 << 10)
        connection.request(method, f"/xrpc/{name}", body, headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return answer

    def send(self, path: str) -> None:
        size = str(Path(path).stat().st_size)
        headers = {"Content-Type": "application/x-tar", "Content-Length": size, "Authorization": f"Bearer {self.token}"}
        with open(path, "rb") as file, self.ask("POST", "com.atproto.repo.uploadBlob", file, headers) as answer:
            answer.read()

    def read(self, url: str) -> None:
        did, _, cid = url.removeprefix("at://").split("/")
        buffer = bytearray(BLOCK)
        with self.ask("GET", f"com.atproto.sync.getBlob?did={did}&cid={cid}", None, {}) as answer:
            while answer.readinto(buffer):
                pass


def together(job: Callable[[str], None], items: list[str]) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(job, items))


def in_turn(job: Callable[[str], None], items: list[str]) -> None:
    for item in items:
        job(item)


def read_streams(source: atdata.BlobSource) -> None:
    buffer = bytearray(BLOCK)
    for _, stream in source.shards:
        with stream:
            while stream.readinto(buffer):  # type: ignore[attr-defined]
                pass


def read_batches(source: atdata.BlobSource) -> None:
    for batch in atdata.Dataset[Image](source).ordered(batch_size=64):
        assert batch.image.shape[1:] == IMAGE


def measure(name: str, total: int, rounds: int, ways: dict[str, Callable[[], None]]) -> dict[str, dict[str, float]]:
    """MB/s of several ways to do the same, their shares of the first one, and MiB of memory at most."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    memory: dict[str, float] = dict.fromkeys(ways, 0)
    for _ in range(rounds):
        for way, job in ways.items():
            Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
            begun = time.perf_counter()
            job()
            seconds[way].append(time.perf_counter() - begun)
            memory[way] = max(memory[way], peak())
    rates = {way: total / statistics.median(taken) / 1e6 for way, taken in seconds.items()}
    one, four = list(rates.values())[:2]
    for way, rate in rates.items():
        shares = f"{rate / one:>7.0%} of one {rate / four:>7.0%} of four"
        print(f"{name:<5} {way:<24} {rate:>7,.0f} MB/s {shares} {memory[way]:>5,.0f} MiB", flush=True)
    return {way: {"MB/s": rate, "share": rate / one, "peak MiB": memory[way]} for way, rate in rates.items()}


def peak() -> float:
    """MiB of memory that this process had at most; getrusage() would count the one that started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def run(given: dict[str, Any], rounds: int, answer: Any) -> None:
    """Measure everything."""
    paths, folder, total = given["paths"], Path(given["folder"]), given["bytes"]
    plain = Plain(given["pds"], given["handle"], given["password"])
    client = AtmosphereClient(given["pds"], plc_url=given["plc"], allow_insecure=True)
    client.login(given["handle"], given["password"])
    dataset = atdata.Dataset[Image](paths)

    def then_drop(job: Callable[[], object]) -> Callable[[], None]:
        def both() -> None:
            job()
            for left in Path(given["dir"], "blobs").glob("tempt/*/*"):
                left.unlink()

        return both

    found = {}
    found["send"] = measure(
        "send",
        total,
        rounds,
        {
            "plain, one at a time": then_drop(lambda: in_turn(plain.send, paths)),
            "plain, four at a time": then_drop(lambda: together(plain.send, paths)),
            "PDSBlobStore": then_drop(lambda: PDSBlobStore(client).write_shards(dataset, prefix="b")),
            "publish_with_blobs": then_drop(lambda: send(client, paths)),
        },
    )
    begun = time.perf_counter()
    schema = SchemaPublisher(client).publish(Image)
    store = PDSBlobStore(client)
    DatasetPublisher(client).publish_with_blobs(paths, schema, name="benchmark")
    print(f"published in {time.perf_counter() - begun:.1f} s")
    urls = store.write_shards(dataset, prefix="b")
    uncached = store.create_source(urls, cache_dir=False)
    kept = store.create_source(urls, cache_dir=folder)

    def first(job: Callable[[atdata.BlobSource], None]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        job(kept)

    found["read"] = measure(
        "read",
        total,
        rounds,
        {
            "plain, one at a time": lambda: in_turn(plain.read, urls),
            "plain, four at a time": lambda: together(plain.read, urls),
            "batches, first pass": lambda: first(read_batches),
            "batches, second pass": lambda: read_batches(kept),
            "batches, nothing kept": lambda: read_batches(uncached),
            "streams, first pass": lambda: first(read_streams),
            "streams, nothing kept": lambda: read_streams(uncached),
        },
    )
    answer.send(found)


def send(client: AtmosphereClient, paths: list[str]) -> None:
    from atdata_atmosphere.blob_writing import send_blobs

    send_blobs(client, paths, "application/x-tar")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--shard-mb", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--least", type=float, default=0.0, help="share of the plain client's speed to reach")
    options = parser.parse_args()
    from testnet.network import Network

    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name, Network("--handles", "alice.test") as network:
        limit = int(options.shard_mb * 1e6)
        shards = atdata.write_samples(images(int(options.gb * 1e9)), Path(name) / "s-%06d.tar", maxsize=limit)
        paths = shards.list_shards()
        given = {
            "paths": paths,
            "bytes": sum(Path(path).stat().st_size for path in paths),
            "folder": f"{name}/cache",
            "pds": network.pds,
            "plc": network.plc,
            "dir": str(network.dir),
            "handle": network.accounts["alice"].handle,
            "password": network.accounts["alice"].appPassword,
        }
        print(f"{len(paths)} shards, {given['bytes'] / 1e9:.2f} GB, {options.rounds} rounds", flush=True)
        here, there = context.Pipe()
        child = context.Process(target=run, args=(given, options.rounds, there))
        child.start()
        there.close()
        found: dict[str, dict[str, dict[str, float]]] = here.recv()
        child.join()
    print(json.dumps(found))
    ours = [measured for ways in found.values() for way, measured in ways.items() if not way.startswith("plain")]
    least, memory = min(measured["share"] for measured in ours), max(measured["peak MiB"] for measured in ours)
    print(f"at least {least:.0%} of the plain client's speed, at most {memory:,.0f} MiB")
    sys.exit(least < options.least)


if __name__ == "__main__":
    main()
