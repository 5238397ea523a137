"""The session that the documentation shows runs as it is shown, and ends as it says."""

from __future__ import annotations

from pathlib import Path

from session.story import STORY, play
from session.terminal import picture
from testnet.network import Network

import atdata

SHOWN = Path(__file__).resolve().parent.parent / "docs" / "session.txt"


def test_the_session_of_the_documentation(network: Network, tmp_path: Path) -> None:
    steps = play(network, tmp_path)
    said = {step.command: step.text for step in steps}
    assert "500" in said["atdata inspect digits"]
    assert "all of it is what was signed" in said["atdata atmosphere verify @alice.test/digits"]
    here, there = (atdata.load_dataset(str(tmp_path / who / "digits"), split="all") for who in ("alice", "bob"))
    assert here.num_samples == there.num_samples == 500
    assert atdata.compare(here, there).equal
    assert (tmp_path / "bob" / "digits.png").stat().st_size > 1000
    picture(steps, tmp_path / "session.png")
    assert (tmp_path / "session.png").stat().st_size > 10_000


def test_the_documentation_shows_these_commands() -> None:
    shown = [line for line in SHOWN.read_text(encoding="utf-8").splitlines() if line.startswith(("alice $ ", "bob $ "))]
    assert shown == [f"{who} $ {command}" for who, command in STORY]
