"""What must be measured from outside: memory, and readers beside each other."""

from __future__ import annotations

import select
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Self

from .formats import BASELINE, OURS
from .measures import interleaved, say
from .results import Results
from .tar import shards_in
from .workloads import Workload

POLL = 0.001  # seconds between two looks at a process's memory


class Reader:
    """A reader in a process of its own."""

    def __init__(self, workload: Workload, format: str, mode: str, shards: list[str]) -> None:
        command = [sys.executable, "-m", "speed.child", workload.name, format, mode, *shards]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def begin(self) -> None:
        """Let it start a pass."""
        assert self._process.stdin
        self._process.stdin.write("\n")

    def wait(self) -> None:
        """Wait until the pass is done."""
        assert self._process.stdout
        if not self._process.stdout.readline():
            raise RuntimeError(f"a reader ended with status {self._process.wait()}")

    def anonymous(self) -> int:
        """Bytes of memory that it holds now, files mapped into it not counted."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) * 1024

    def peak(self) -> int:
        """The most that it holds during one pass, above what it holds before."""
        before = peak = self.anonymous()
        self.begin()
        while not select.select([self._process.stdout], [], [], POLL)[0]:
            peak = max(peak, self.anonymous())
        self.wait()
        return peak - before


def memory(workload: Workload, folder: Path, rounds: int, results: Results) -> None:
    """Peak anonymous memory of a shuffled pass, above that of a process that has imported everything."""
    if sys.platform != "linux":
        say("memory is left out: only Linux tells anonymous memory apart")
        return
    shards = shards_in(folder / OURS)

    def peak(format: str) -> float:
        with Reader(workload, format, "shuffled", shards) as reader:
            return reader.peak()

    cases = {format: partial(peak, format) for format in (OURS, BASELINE)}
    for format, values in interleaved(cases, rounds).items():
        results.add("memory", workload.name, "shuffled", format, values)


def two_readers(workload: Workload, folder: Path, rounds: int, results: Results) -> None:
    """Ordered passes over all shards: by one process, and by two with half of the shards each."""
    shards = shards_in(folder / OURS)

    def seconds(readers: list[Reader]) -> float:
        started = perf_counter()
        for reader in readers:
            reader.begin()
        for reader in readers:
            reader.wait()
        return perf_counter() - started

    with ExitStack() as stack:
        one, *two = (
            stack.enter_context(Reader(workload, OURS, "ordered", part)) for part in (shards, shards[::2], shards[1::2])
        )
        cases = {"one": partial(seconds, [one]), "two": partial(seconds, two)}
        interleaved(cases, 1)  # what is done once only is not counted
        for mode, values in interleaved(cases, rounds).items():
            results.add("processes", workload.name, mode, OURS, values)
