"""How much one may write: servers of the network count points by the hour and by the day."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from .errors import RateLimited

CREATE, UPDATE, DELETE = 3, 2, 1
# What hosted servers allow: points within seconds
LIMITS = ((5_000, 3_600.0), (35_000, 86_400.0))

_log = logging.getLogger("atdata.atmosphere")


class WriteBudget:
    """Counts the points of one account, and waits before a server would have to refuse.

    Args:
        limits: points within seconds.
        clock: gives seconds.
        sleep: waits for seconds.

    Attributes:
        limited: whether the server counts at all; nothing waits before that is known.
    """

    def __init__(
        self,
        limits: tuple[tuple[int, float], ...] = LIMITS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limited = False
        self._limits = limits
        self._clock, self._sleep = clock, sleep
        self._spent: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()

    def spend(self, points: int, patience: float, what: str) -> None:
        """Take points, and wait for them if need be.

        Args:
            points: how many.
            patience: most seconds to wait.
            what: what they are for, for messages.

        Raises:
            RateLimited: it would take longer than that.
        """
        if not points:
            return
        with self._lock:
            wait = self._wait(points) if self.limited else 0.0
            if wait > patience:
                when = datetime.now(UTC) + timedelta(seconds=wait)
                raise RateLimited(
                    f"{what}: this account may write more only at {when:%Y-%m-%d %H:%M:%S} UTC; go on then, or say "
                    "AtmosphereClient(..., patience=seconds) to wait that long"
                )
            if wait:
                _log.info("%s: waiting %.0f s for the account's allowance", what, wait)
                self._sleep(wait)
            self._spent.append((self._clock(), points))

    def _wait(self, points: int) -> float:
        """Seconds until so many points are free within every limit."""
        now = self._clock()
        while self._spent and self._spent[0][0] <= now - max(seconds for _, seconds in self._limits):
            self._spent.popleft()
        wait = 0.0
        for limit, seconds in self._limits:
            over = sum(taken for at, taken in self._spent if at > now - seconds) + points - limit
            for at, taken in self._spent:
                if over <= 0:
                    break
                if at > now - seconds:
                    over -= taken
                    wait = max(wait, at + seconds - now)
        return wait
