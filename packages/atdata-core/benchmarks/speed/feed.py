"""What a training run adds to reading: going on in the middle of an epoch, and epoch after epoch."""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from atdata import Dataset, SampleStream, packable, write_samples

from .formats import OURS, SEED
from .measures import interleaved, say
from .processes import Reader
from .results import Results
from .tar import shards_in
from .workloads import Workload

SAMPLES, SHARDS, BATCH = 1_000_000, 10, 256
PLACES = {"at the start": 0.0, "in the middle": 0.5, "near the end": 0.99}
EPOCHS = (5, 50)


@packable
class Small:
    """A sample of few bytes."""

    number: int


def resume(scale: float, rounds: int, results: Results) -> None:
    """From a saved state to the next batch: a dataset of a million samples is opened, and its stream goes on."""
    samples = round(SAMPLES * scale)
    say(f"going on: writing {samples:,} samples")
    with tempfile.TemporaryDirectory(prefix="atdata-resume-") as folder:
        write_samples(map(Small, range(samples)), Path(folder, "data-%06d.tar"), maxcount=-(-samples // SHARDS))
        shards = shards_in(Path(folder))

        def stream(shuffle: bool) -> SampleStream[Any]:
            dataset = Dataset.of(Small, shards)
            return dataset.shuffled(batch_size=BATCH, seed=SEED) if shuffle else dataset.ordered(batch_size=BATCH)

        def seconds(shuffle: bool, state: dict[str, Any]) -> float:
            started = perf_counter()
            fresh = stream(shuffle)
            fresh.load_state_dict(state)
            next(iter(fresh))
            return perf_counter() - started

        for mode, shuffle in (("ordered", False), ("shuffled", True)):
            states = {
                name: stream(shuffle).state_after(int(place * samples) // BATCH) for name, place in PLACES.items()
            }
            results.add("state", "", mode, OURS, [max(len(json.dumps(state)) for state in states.values())])
            cases = {name: partial(seconds, shuffle, state) for name, state in states.items()}
            for name, values in interleaved(cases, rounds).items():
                results.add("resume", "", f"{mode}, {name}", OURS, values)


def epochs(workload: Workload, folder: Path, results: Results) -> None:
    """Anonymous memory of a process after a few epochs of a loader, and after many."""
    if sys.platform != "linux":
        say("memory is left out: only Linux tells anonymous memory apart")
        return
    say(f"{workload.name}: {max(EPOCHS)} epochs")
    with Reader(workload, OURS, "loader", shards_in(folder / OURS)) as reader:
        for number in range(1, max(EPOCHS) + 1):
            reader.begin()
            reader.wait()
            if number in EPOCHS:
                results.add("epochs", workload.name, str(number), OURS, [reader.anonymous()])
