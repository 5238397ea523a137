"""Small versions of ``benchmarks/index_races.py``, which runs the same for longer."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from index_races import churn, race_to_publish

from atdata_local import Index

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed in the POSIX way")
KINDS = pytest.mark.parametrize("kind", ["sqlite", "redis", "cluster"])


@KINDS
def test_no_version_is_given_twice(kind: str, make_index: Callable[[str], Index]) -> None:
    assert race_to_publish(make_index(kind).url, processes=4, versions=25) == 100


@KINDS
def test_killed_writers_leave_nothing_behind(kind: str, make_index: Callable[[str], Index]) -> None:
    killed, problems = churn(make_index(kind).url, processes=4, operations=1_200, kill_every=0.1)
    assert killed > 0
    assert problems == []
