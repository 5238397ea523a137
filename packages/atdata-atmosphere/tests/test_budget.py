"""The allowance for writing, by a clock that is turned by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata_atmosphere.budget import LIMITS, WriteBudget
from atdata_atmosphere.errors import RateLimited


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def budget(clock: Clock, limits: tuple[tuple[int, float], ...] = LIMITS) -> WriteBudget:
    made = WriteBudget(limits, clock, clock.sleep)
    made.limited = True
    return made


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 30)), max_size=60))
def test_no_window_holds_more_than_its_limit(spending: list[tuple[int, float]]) -> None:
    limits = ((50, 10.0), (120, 100.0))
    clock, spent = Clock(), []
    made = budget(clock, limits)
    for points, pause in spending:
        clock.sleep(pause)
        made.spend(points, 1e9, "")
        spent.append((clock.now, points))
    for limit, seconds in limits:
        for start, _ in spent:
            assert sum(points for at, points in spent if start <= at < start + seconds - 1e-6) <= limit


def test_what_fits_into_an_hour_waits_for_nothing() -> None:
    clock = Clock()
    made = budget(clock)
    for _ in range(1666):
        made.spend(3, 0, "")
    assert clock.now == 1000
    with pytest.raises(RateLimited, match="may write more only at"):
        made.spend(3, 60, "create")
    made.spend(3, 3600, "")
    assert clock.now == pytest.approx(4600)


def test_servers_that_do_not_count_are_not_waited_for() -> None:
    clock = Clock()
    made = budget(clock)
    made.limited = False
    for _ in range(100):
        made.spend(600, 0, "")
    assert clock.now == 1000
