"""Install what the peers need into this Python: ``python -m speed.install``, with the options of ``speed`` itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from .options import parse
from .peers import LOADER, PEERS, TORCH, Needs

PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")


class Refused(Exception):
    """Something cannot be installed, or should not be."""


def pip(*arguments: str) -> str:
    """What ``pip install`` prints.

    Raises:
        Refused: it failed; says how.
    """
    done = subprocess.run([*PIP, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr.strip().splitlines()[-1])
    return done.stdout


def install(needs: Needs, constraints: Path) -> None:
    """Install what one peer needs.

    Raises:
        Refused: it cannot be installed, or comes with gigabytes for graphics cards.
    """
    wanted = ("--constraint", str(constraints), *needs.install)
    plan = json.loads(pip("--dry-run", "--report", "-", *wanted))
    names = [package["metadata"]["name"] for package in plan["install"]]
    if cuda := [name for name in names if name.lower().startswith(("nvidia", "cuda", "triton"))]:
        raise Refused(f"pip would install {', '.join(cuda)}; let it find a torch for CPUs alone, then run this again")
    pip(*wanted)
    if needs.install_alone:
        pip("--no-deps", *needs.install_alone)


def main() -> None:
    """Install for the peers that were asked for."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        # all are measured with the same NumPy
        constraints.write_text(f"numpy=={version('numpy')}\n{TORCH}\n")
        options = parse()
        wanted = {"to_torch": LOADER} if options.loaders else {}
        for name, needs in (wanted | {name: PEERS[name] for name in options.peers}).items():
            if find_spec(needs.module):
                continue
            print(f"installing what {name} needs", flush=True)
            try:
                install(needs, constraints)
            except Refused as refused:
                print(f"{name} is left out: {refused}", flush=True)


if __name__ == "__main__":
    main()
