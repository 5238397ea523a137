"""How fast an index answers, with 1,000 and with 100,000 entries, on SQLite and on Redis.

python speed.py [--entries 100000] [--only sqlite|redis]
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from servers import server

from atdata_local import Index, LocalDatasetEntry
from atdata_local.entries import keep
from atdata_local.words import entry_words, words

LOOKUPS = 2_000


def entry(number: int) -> LocalDatasetEntry:
    return LocalDatasetEntry(
        f"dataset-{number:06d}",
        f"atdata://local/sampleSchema/Type{number % 50}@1.0.0",
        [f"s3://bucket/dataset-{number:06d}/data-{{000000..000009}}.tar"],
        {"origin": "benchmark", "number": number},
        tags=["even" if number % 2 == 0 else "odd"],
        samples=number,
    )


def fill(index: Index, first: int, last: int) -> float:
    """Put entries in, without waiting for the disk. Returns the seconds it took."""
    catalog: Any = index.catalog
    if index.url.startswith("sqlite"):
        with catalog._reading() as db:
            db.execute("PRAGMA synchronous = OFF")
    start = time.perf_counter()
    for number in range(first, last):
        one = entry(number)
        values = one.as_stored() | {"created": "2026-01-01T00:00:00.000Z"}
        catalog.insert(values, entry_words(None, one.tags, one.schema_ref), words(one.name))
    return time.perf_counter() - start


def median_ms(work: Callable[[Any], Any], arguments: list[Any]) -> float:
    """The median of a pass, the better of two: other programs and cold caches disturb the first."""
    passes = []
    for _ in range(2):
        times = []
        for argument in arguments:
            start = time.perf_counter()
            work(argument)
            times.append(time.perf_counter() - start)
        passes.append(statistics.median(times) * 1000)
    return min(passes)


def measure(index: Index, count: int) -> dict[str, float]:
    pick = random.Random(0)
    numbers = [pick.randrange(count) for _ in range(LOOKUPS)]
    names = [f"dataset-{number:06d}" for number in numbers]
    cids = [entry(number).cid for number in numbers]
    found = {
        "by name": median_ms(index.get_entry_by_name, names),
        "by CID": median_ms(index.get_entry, cids),
        "page of 100": median_ms(lambda name: index.list_datasets(limit=100, cursor=name), names[:200]),
        "search, 20 of a tag and word": median_ms(
            lambda name: index.search(name[:14], tags=["even"], limit=20), names[:50]
        ),
        "list all": median_ms(lambda _: index.list_datasets(), [None] * 3),
    }
    assert len(index.list_datasets()) == count
    found["list all and look at URLs"] = median_ms(lambda _: [e.data_urls for e in index.list_datasets()], [None] * 3)
    found["raw: all records, nothing else"] = median_ms(lambda _: raw(index), [None] * 3)
    return found


def raw(index: Index) -> list[Any]:
    """All records without an index around them: what a list cannot be faster than."""
    catalog: Any = index.catalog
    if index.url.startswith("sqlite"):
        with catalog._reading() as db:
            rows: list[Any] = db.execute("SELECT * FROM entries").fetchall()
            return rows
    keys = list(catalog.client.scan_iter("{atdata}:entry:*", count=1000))
    found = []
    for start in range(0, len(keys), 1000):
        with catalog.client.pipeline(transaction=False) as pipe:
            for key in keys[start : start + 1000]:
                pipe.hgetall(key)
            found += pipe.execute()
    return found


@contextlib.contextmanager
def places(only: str | None) -> Generator[list[Index]]:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        found = []
        if only != "redis":
            found.append(Index(path=Path(folder, "index.sqlite3")))
        if only != "sqlite":
            found.append(Index(stack.enter_context(server(Path(folder, "redis"))).url))
        yield found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=100_000)
    options.add_argument("--only", choices=["sqlite", "redis"])
    given = options.parse_args()
    few, many = given.entries // 100, given.entries
    with places(given.only) as indexes:
        for index in indexes:
            print(f"\n{index.url.partition(':')[0]}: ms, median")
            fill(index, 0, few)
            small = measure(index, few)
            seconds = fill(index, few, many)
            large = measure(index, many)
            print(f"  {'':30} {few:>10,} {many:>10,}   times")
            for what, value in large.items():
                print(f"  {what:30} {small[what]:10.3f} {value:10.3f} {value / small[what]:7.2f}")
            print(f"  {'insert, each':30} {'':10} {seconds / (many - few) * 1000:10.3f}")
            if hasattr(index.catalog, "client"):
                used = index.catalog.client.info("memory")["used_memory"]
                print(f"  {used / many:,.0f} bytes of the server's memory for each entry")
            assert keep(index.catalog, entry(0)).name == "dataset-000000"


if __name__ == "__main__":
    main()
