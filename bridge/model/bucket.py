"""At most so many of something a second: one bucket of tokens that fills with time. Pure.

For one caller and one purpose. Buckets by client, over several processes, and repeats that are
earned by first attempts have rules of their own (`bridge.gateway.protection`).
"""

from typing import Self


class Bucket:
    """Holds `full` tokens at most and gets `rate` a second; who asks tells the (monotonic) time."""

    __slots__ = ("_at", "_full", "_level", "_rate")

    def __init__(self, rate: float, *, full: float, level: float, now: float) -> None:
        """`level` tokens are in it at `now`."""
        self._rate = rate
        # With room for less than one it would never give any.
        self._full = max(full, 1.0)
        self._level = level
        self._at = now

    @classmethod
    def of_a_second(cls, rate: float, now: float) -> Self:
        """Return a full one that holds what it gets in a second."""
        return cls(rate, full=rate, level=max(rate, 1.0), now=now)

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._fill(now)
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def allowed(self, now: float) -> int:
        """Return how many tokens there are."""
        self._fill(now)
        return int(self._level)

    def spend(self, count: int) -> None:
        """Take `count` tokens; never more than `allowed` said."""
        self._level -= count
        assert self._level >= 0, "more was taken than was allowed"

    def wait_s(self, now: float) -> float:
        """Return how long it takes until there is a token."""
        self._fill(now)
        return max((1.0 - self._level) / self._rate, 0.0)

    def _fill(self, now: float) -> None:
        self._level = min(self._level + max(now - self._at, 0.0) * self._rate, self._full)
        self._at = max(now, self._at)
