"""What importing atdata costs beside numpy, and what its first use adds: medians of fresh interpreters."""

import re
import statistics
import subprocess
import sys

ROUNDS = 11
PROGRAMS = [
    "import numpy",
    "import atdata",
    "import numpy, atdata",
    "import numpy, atdata; atdata.packable, atdata.Dataset, atdata.write_samples",
]


def import_ms(program: str) -> float:
    """The time that `-X importtime` counts in all, interpreter start included."""
    report = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, check=True
    ).stderr
    return sum(map(int, re.findall(r"^import time: +(\d+) \|", report, re.MULTILINE))) / 1000


def main() -> None:
    # Round by round, so that a busy moment of the machine falls on all.
    rounds = [[import_ms(program) for program in ["pass", *PROGRAMS]] for _ in range(ROUNDS)]
    start, *times = (statistics.median(column) for column in zip(*rounds, strict=True))
    numpy = times[0] - start
    for program, time in zip(PROGRAMS, times, strict=True):
        print(f"{time - start:7.1f} ms  {time - start - numpy:+7.1f} to numpy's  {program}")


if __name__ == "__main__":
    main()
