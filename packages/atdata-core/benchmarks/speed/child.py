"""A reader in a process of its own: makes one pass for each line that comes in.

Run: python -m speed.child WORKLOAD FORMAT MODE SHARD...
"""

from __future__ import annotations

import sys
from pathlib import Path

from .tar import FORMATS
from .workloads import WORKLOADS


def main(workload: str, format: str, mode: str, *shards: str) -> None:
    """Say when ready and when each pass is done."""
    about, reader = WORKLOADS[workload], FORMATS[format]
    loader = reader.loader(about, Path(shards[0]).parent, True, 0) if mode == "loader" else None
    print("ready", flush=True)
    for _ in sys.stdin:
        for _batch in loader or reader.batches(about, list(shards), shuffle=mode == "shuffled"):
            pass
        print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
