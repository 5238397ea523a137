"""Peak memory of passes and of an export over little and over much data, which should be the same; Linux only.

    python memory.py [FOLDER]

Each figure is the most anonymous memory (files mapped into it not counted) of a process of its own, in MB.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import atdata

MB = 1_000_000
SIZES = [200 * MB, 2000 * MB]
SHARD = 100 * MB
POLL = 0.002  # seconds between two looks at a process's memory


@atdata.packable
class Item:
    vector: NDArray[np.float32]
    number: int
    text: str


def export(dataset: atdata.Dataset[Item], folder: str) -> None:
    dataset.to_parquet(Path(folder, "out.parquet"))


def export_rows(dataset: atdata.Dataset[Item], folder: str) -> None:
    dataset.to_parquet(Path(folder, "out.parquet"), sample_map=vars, maxcount=20_000)


def ordered(dataset: atdata.Dataset[Item], folder: str) -> None:
    for batch in dataset.ordered(batch_size=64):
        _ = batch.vector, batch.number, batch.text


def single(dataset: atdata.Dataset[Item], folder: str) -> None:
    for sample in dataset.ordered():
        _ = sample.vector


def shuffled(dataset: atdata.Dataset[Item], folder: str) -> None:
    for batch in dataset.shuffled(batch_size=64):
        _ = batch.vector, batch.number, batch.text


TASKS = {task.__name__: task for task in (ordered, single, shuffled, export, export_rows)}


def write(size: int, path: Path) -> None:
    """Samples of 4 KB of noise each."""
    noise = np.random.default_rng(0).standard_normal(1 << 20).astype(np.float32)
    count = size // 4096
    starts = np.random.default_rng(1).integers(0, len(noise) - 1024, count).tolist()
    items = (Item(noise[start : start + 1024], n, f"item {n}") for n, start in enumerate(starts))
    atdata.write_samples(items, path / "data-%06d.tar", maxsize=SHARD)


def peak(task: str, shards: Path) -> float:
    """The most anonymous memory, in MB, of a process that does the task."""
    with tempfile.TemporaryDirectory(dir=shards) as folder:
        process = subprocess.Popen([sys.executable, __file__, task, str(shards), folder])
        most = 0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max([most, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))])
            time.sleep(POLL)
        if process.returncode:
            raise SystemExit(f"{task} ended with status {process.returncode}")
    return most * 1024 / MB


def main(where: str | None) -> None:
    figures = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory(dir=where) as folder:
            write(size, Path(folder))
            figures[size] = {task: peak(task, Path(folder)) for task in TASKS}
    print("task".ljust(12), *(f"{size // MB:>6,} MB" for size in SIZES))
    for task in TASKS:
        print(task.ljust(12), *(f"{figures[size][task]:>9.0f}" for size in SIZES))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        task, shards, folder = sys.argv[1:]
        TASKS[task](atdata.Dataset[Item](sorted(Path(shards).glob("*.tar"))), folder)
    else:
        main(*(sys.argv[1:] or [None]))
