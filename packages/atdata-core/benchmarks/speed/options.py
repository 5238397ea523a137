"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from .peers import LOADERS, PEERS

RESULTS = Path(__file__).parent.parent / "results"


def parse() -> argparse.Namespace:
    """The options of this run."""
    parser = argparse.ArgumentParser(
        prog="nox -s bench --", description="Compare atdata with other formats, side by side in one run."
    )
    parser.add_argument(
        "--workload", type=_names, metavar="W1,W2,...", help="only these; docs/benchmarks.md lists them"
    )
    parser.add_argument(
        "--peers",
        type=_peers,
        default=list(PEERS),
        metavar="A,B,...",
        help=f"only these of {', '.join(PEERS)}; or none. By default all",
    )
    parser.add_argument("--loaders", action="store_true", help="compare the loaders of batches for training instead")
    parser.add_argument("--rounds", type=int, default=3, help="timed passes of each reader (%(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 takes a tenth of the samples")
    parser.add_argument("--data", type=Path, help="folder to keep what was written in, and to find it again")
    parser.add_argument("--json", type=Path, default=RESULTS / "speed.json", help="where all figures go")
    parser.add_argument("--plot", type=Path, default=RESULTS / "speed.png", help="where the picture goes")
    parser.add_argument("--update-docs", action="store_true", help="put tables and picture into docs/benchmarks.md")
    options = parser.parse_args()
    if options.loaders:
        options.peers = [name for name in options.peers if name in LOADERS]
    return options


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _peers(text: str) -> list[str]:
    names = [] if text == "none" else _names(text)
    if unknown := set(names) - set(PEERS):
        raise argparse.ArgumentTypeError(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return names
