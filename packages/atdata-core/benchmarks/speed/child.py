"""A reader in a process of its own: makes one pass for each line that comes in.

Run: python -m speed.child WORKLOAD FORMAT MODE SHARD...
"""

from __future__ import annotations

import sys

from .tar import FORMATS
from .workloads import WORKLOADS


def main(workload: str, format: str, mode: str, *shards: str) -> None:
    """Say when ready and when each pass is done."""
    batches = FORMATS[format].batches
    print("ready", flush=True)
    for _ in sys.stdin:
        for _batch in batches(WORKLOADS[workload], list(shards), shuffle=mode == "shuffled"):
            pass
        print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
