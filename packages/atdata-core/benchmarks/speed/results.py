"""What was measured."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .formats import BASELINE


@dataclass(frozen=True)
class Result:
    """One thing measured, in every round.

    Attributes:
        measure: ``read``, ``load``, ``first``, ``view``, ``write``, ``processes`` and ``resume`` are seconds,
            ``memory``, ``epochs`` and ``state`` are bytes, ``disk`` is a ratio.
        workload: name of the workload.
        mode: in which way, where there are several.
        format: name of the format.
        values: one for each round.
    """

    measure: str
    workload: str
    mode: str
    format: str
    values: list[float]


@dataclass
class Results:
    """All that a run has measured.

    Attributes:
        about: how and where.
        titles: what tables call each format.
        rows: the measurements.
    """

    about: dict[str, Any]
    titles: dict[str, str]
    rows: list[Result] = field(default_factory=list)

    def add(self, measure: str, workload: str, mode: str, format: str, values: list[float]) -> None:
        """Add one."""
        self.rows.append(Result(measure, workload, mode, format, values))

    def median(self, measure: str, workload: str, mode: str, format: str) -> float | None:
        """The median over rounds, or None if it was not measured."""
        wanted = (measure, workload, mode, format)
        found = [row.values for row in self.rows if (row.measure, row.workload, row.mode, row.format) == wanted]
        return statistics.median(found[0]) if found else None

    def speedup(self, measure: str, workload: str, mode: str, format: str) -> float | None:
        """How many times faster than the baseline, or None if either was not measured."""
        ours, baseline = (self.median(measure, workload, mode, name) for name in (format, BASELINE))
        return baseline / ours if ours and baseline else None

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What this runs on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = models[0] if models else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "webdataset", "ormsgpack", "atdata-core")},
    }
