"""Whether an index stays whole while many processes change it and some of them are killed.

python packages/atdata-local/benchmarks/index_races.py [--processes 8] [--versions 200] [--operations 10000]
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

from servers import cluster, server

import atdata
from atdata.errors import EntryNotFound, NameTaken
from atdata_local import Index, LocalDatasetEntry
from atdata_local.entries import keep, logger

# Clean processes that start at once, so that most of their time goes into changes.
START = multiprocessing.get_context("forkserver")
START.set_forkserver_preload(["atdata_local.catalog.sqlite", "atdata_local.catalog.records", "atdata_local.index"])
# Few enough that processes meet.
NAMES = 40
CONTENTS = 25


@atdata.packable
class Measurement:
    value: float
    unit: str


def publish(url: str, versions: int) -> list[str]:
    """Publish one schema again and again. Returns the references."""
    index = Index(url)
    return [index.publish_schema(Measurement) for _ in range(versions)]


def race_to_publish(url: str, processes: int, versions: int) -> int:
    """How many different versions that many processes get for one schema name."""
    with ProcessPoolExecutor(processes, mp_context=START) as pool:
        given = [ref for refs in pool.map(publish, [url] * processes, [versions] * processes) for ref in refs]
    kept = [schema["$ref"] for schema in Index(url).list_schemas()]
    assert len(set(given)) == len(given), "a version was given twice"
    assert set(given) == set(kept), "a version was given and not kept"
    return len(set(given))


def change(url: str, seed: int, done: Any, operations: int) -> None:
    """Insert, delete, rename: at random, among names and contents that all processes share."""
    logger.disabled = True
    index = Index(url)
    pick = random.Random(f"{seed} {done.value}")
    while done.value < operations:
        with contextlib.suppress(EntryNotFound, NameTaken):
            change_once(index, pick)
        done.value += 1


def change_once(index: Index, pick: random.Random) -> None:
    name = f"dataset {pick.randrange(NAMES)}"
    content = f"s3://bucket/{pick.randrange(CONTENTS)}.tar"
    what = pick.random()
    if what < 0.5:
        entry = LocalDatasetEntry(
            name,
            "atdata://local/sampleSchema/Measurement@1.0.0",
            [content],
            description=f"content of {content}",
            tags=[f"tag {pick.randrange(5)}"],
        )
        keep(index.catalog, entry)
    elif what < 0.7:
        index.delete_entry(name)
    elif what < 0.85:
        index.delete_entry(name, cid=pick.choice(index.versions(name)).cid)
    else:
        index.rename(name, f"dataset {pick.randrange(NAMES)}")


def churn(url: str, processes: int, operations: int, kill_every: float) -> tuple[int, list[str]]:
    """Change an index from several processes, of which one is killed now and then and replaced by another.

    Returns:
        How many were killed, and what the audit found.
    """
    done = [RawValue("i", 0) for _ in range(processes)]
    quota = operations // processes

    def start(number: int) -> Any:
        process = START.Process(target=change, args=(url, number, done[number], quota))
        process.start()
        return process

    running = {number: start(number) for number in range(processes)}
    shot: set[int] = set()
    pick, killed, next_kill = random.Random(0), 0, time.monotonic() + kill_every
    while running:
        time.sleep(0.01)
        for number, process in list(running.items()):
            if process.is_alive():
                continue
            # of a process that was killed while it started, the exit code may be unknown
            if process.exitcode != 0 and number not in shot:
                raise RuntimeError(f"a process ended with {process.exitcode}; its error stands above")
            del running[number]
            if process.exitcode != 0:
                shot.discard(number)
                running[number] = start(number)
        # those that are only starting change nothing yet
        busy = [number for number, process in running.items() if process.is_alive() and 0 < done[number].value < quota]
        if busy and time.monotonic() > next_kill:
            victim = pick.choice(busy)
            running[victim].kill()
            shot.add(victim)
            killed += 1
            next_kill = time.monotonic() + kill_every
    return killed, Index(url).catalog.audit()


@contextlib.contextmanager
def places(folder: Path) -> Generator[dict[str, str]]:
    """URLs of an index of each kind."""
    with server(folder / "redis") as single, cluster(folder / "cluster") as nodes:
        yield {"SQLite": f"sqlite://{folder}/index.sqlite3", "Redis": single.url, "Redis Cluster": nodes[0].url}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.monotonic()
    return work(), time.monotonic() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--processes", type=int, default=8)
    options.add_argument("--versions", type=int, default=200)
    options.add_argument("--operations", type=int, default=10_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, places(Path(folder)) as urls:
        for kind, url in urls.items():
            distinct, seconds = timed(lambda url=url: race_to_publish(url, given.processes, given.versions))
            print(f"{kind}: {given.processes} processes published {distinct:,} different versions in {seconds:.1f} s")
            (killed, problems), seconds = timed(lambda url=url: churn(url, given.processes, given.operations, 1.0))
            print(f"{kind}: {given.operations:,} changes in {seconds:.1f} s, {killed} processes killed")
            print(f"{kind}: audit: {'; '.join(problems) or 'nothing wrong'}; {len(Index(url).list_entries())} entries")


if __name__ == "__main__":
    main()
