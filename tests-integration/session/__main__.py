"""Record the session of the documentation anew: ``python -m session`` in ``tests-integration/``."""

import tempfile
from pathlib import Path

from testnet.network import Network

from .story import play
from .terminal import picture

DOCS = Path(__file__).resolve().parents[2] / "docs"

with Network("--handles", "alice.test,bob.test") as network, tempfile.TemporaryDirectory() as folder:
    steps = play(network, Path(folder))
    pages = [f"{step.who} $ {step.command}\n{step.text}\n" for step in steps]
    (DOCS / "session.txt").write_text("\n".join(pages), encoding="utf-8")
    picture(steps, DOCS / "images" / "session.png")
