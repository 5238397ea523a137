"""What is measured in this process: reading, the first batch, writing, size on disk."""

from __future__ import annotations

import gc
import io
import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from atdata import Dataset, Lens, write_samples

from .check import check, checksum
from .formats import BASELINE, OURS, Format, Pass
from .results import Results
from .tar import FORMATS, packed, shards_in, write_with_webdataset
from .workloads import Workload

# Modes of reading, and what a pass yields. Every field is decoded.
MODES = {
    "ordered": "batches in order",
    "foreign": "batches in order, from shards of webdataset's own writer",
    "shuffled": "shuffled batches",
    "samples": "typed samples",
    "stream": "batches from a stream that cannot seek",
}
SHAPE_MODES = ("ordered", "shuffled", "samples")
FIRST_ROUNDS = 5  # a first batch is quick, and varies much
LONG = 4.0  # seconds: a peer's pass that takes longer varies little, and is timed once
WRITTEN = 0.1  # of the samples, into one shard
SHARD = "shard.tar"
BY_HAND = "by hand"

K = TypeVar("K")


def say(text: str) -> None:
    """Tell how it goes, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def interleaved(
    cases: Mapping[K, Callable[[], float]], rounds: int, once: Callable[[K, float], bool] = lambda key, value: False
) -> dict[K, list[float]]:
    """Run all cases in every round, so that a busy moment of the machine falls on all; each round starts elsewhere.

    Args:
        cases: what measures, by name.
        rounds: how often.
        once: (name, first value) -> whether that case needs no more rounds.
    """
    values: dict[K, list[float]] = {key: [] for key in cases}
    keys = list(cases)
    for number in range(rounds):
        first = number % len(keys)
        for key in keys[first:] + keys[:first]:
            if values[key] and once(key, values[key][0]):
                continue
            gc.collect()
            values[key].append(cases[key]())
    return values


def prepare(workload: Workload, format: Format, folder: Path) -> None:
    """Have a folder hold the workload's samples. What is there already is kept."""
    if folder.exists():
        return
    say(f"{workload.name}: writing, {format.title}")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    format.write(workload, unfinished)
    unfinished.rename(folder)


def reading(
    workload: Workload, formats: Mapping[str, Format], folder: Path, modes: Iterable[str], rounds: int, results: Results
) -> None:
    """Whole passes, checked and then timed."""
    written = [checksum(row) for row in workload.rows()]
    passes = {name: format.passes(workload, folder / name) for name, format in formats.items()}
    for mode in modes:
        cases = {}
        for name, begin in ((name, begins[mode]) for name, begins in passes.items() if mode in begins):
            try:
                # the baseline is slow, and decodes with the same four lines in all modes
                if name != BASELINE or mode == "ordered":
                    check(workload, mode, begin, written)
            except Exception as error:
                if name in FORMATS:
                    error.add_note(f"{workload.name}, {mode}, {formats[name].title}")
                    raise
                say(f"{workload.name}, {mode}: {formats[name].title} is left out: {type(error).__name__}: {error}")
            else:
                cases[name] = partial(pass_seconds, begin)
        say(f"{workload.name}, {mode}: timing {len(cases)} formats, {rounds} rounds")
        for name, values in interleaved(cases, rounds, is_long).items():
            results.add("read", workload.name, mode, name, values)


def is_long(name: str, seconds: float) -> bool:
    """Whether a pass needs no more rounds."""
    return name not in FORMATS and seconds > LONG


def pass_seconds(begin: Pass) -> float:
    """How long a pass takes."""
    started = perf_counter()
    for _ in begin():
        pass
    return perf_counter() - started


def first_batch(workload: Workload, folder: Path, results: Results) -> None:
    """From asking for batches to having the first, of files that were read before."""

    def seconds(begin: Pass) -> float:
        started = perf_counter()
        next(iter(begin()))
        return perf_counter() - started

    begins = {
        (mode, name): format.passes(workload, folder / name)[mode]
        for mode in ("ordered", "shuffled")
        for name, format in FORMATS.items()
    }
    cases = {key: partial(seconds, begin) for key, begin in begins.items()}
    for (mode, name), values in interleaved(cases, FIRST_ROUNDS).items():
        results.add("first", workload.name, mode, name, values)


def views(workload: Workload, folder: Path, rounds: int, results: Results) -> None:
    """Batches of all fields, and of all but the arrays: with a lens that picks them, and with a function."""
    source, names = workload.typed, [name for name in workload.fields if name not in workload.arrays]
    view = source.pick(*names)
    function = Lens(
        lambda sample: view(**{name: getattr(sample, name) for name in names}), source_type=source, view_type=view
    )
    whole = Dataset.of(source, shards_in(folder / OURS))
    shown = {"whole": whole, "picked": whole.as_type(view), "function": whole.as_type(function)}

    def seconds(dataset: Dataset[Any]) -> float:
        fields = names if dataset is not whole else list(workload.fields)
        started = perf_counter()
        for batch in dataset.ordered(batch_size=workload.batch_size):
            for name in fields:
                batch.list(name) if name in workload.ragged else batch[name]
        return perf_counter() - started

    for mode, values in interleaved({name: partial(seconds, it) for name, it in shown.items()}, rounds).items():
        results.add("view", workload.name, mode, OURS, values)


def disk(workload: Workload, folder: Path, name: str, results: Results) -> None:
    """Bytes of all files over bytes of all values."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    results.add("disk", workload.name, "", name, [size / workload.useful_bytes])


def writing(workload: Workload, folder: Path, rounds: int, results: Results) -> None:
    """Write samples that are in memory already into one shard."""
    part = workload.scaled(WRITTEN)
    dicts = list(part.dicts())
    typed = [part.typed(**values) for values in dicts]

    def ours(into: Path) -> None:
        write_samples(typed, into / SHARD)

    def baseline(into: Path) -> None:
        write_with_webdataset(map(packed, dicts), into, maxcount=part.count)

    def by_hand(into: Path) -> None:
        with tarfile.open(into / SHARD, "w") as tar:
            for number, payload in enumerate(map(packed, dicts)):
                member = tarfile.TarInfo(f"{number:09}.msgpack")
                member.size = len(payload)
                tar.addfile(member, io.BytesIO(payload))

    def seconds(write: Callable[[Path], Any]) -> float:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        os.sync()  # ours waits until the disk has its shards, and should not wait for the others'
        started = perf_counter()
        write(folder)
        return perf_counter() - started

    cases = {name: partial(seconds, write) for name, write in ((OURS, ours), (BASELINE, baseline), (BY_HAND, by_hand))}
    say(f"{workload.name}: timing writers, {rounds} rounds")
    for name, values in interleaved(cases, rounds).items():
        results.add("write", workload.name, "", name, values)
    shutil.rmtree(folder)
