"""Bound what repeats add to the load of an upstream that is in trouble.

A fifth of the live calls, counted over all workers and the replayer of one machine (cf. Finagle's
`RetryBudget`, and "Addressing Cascading Failures" in Site Reliability Engineering, 2016).
`dual.retry_budget` is for replays to an upstream that declares no protection: one process alone,
with a floor five times as high, by which what waits in the journal drains.
"""

from typing import Final

from bridge.gateway.protection.token_bucket import NoOthers, Spending, stable_hash

SHARE: Final = 0.2
FLOOR_PER_S: Final = 1.0
"""A quiet upstream whose kept connections have died must still get its second tries."""
BURST: Final = 10.0


class RetryBudget:
    """Repeats that may be sent to one upstream."""

    __slots__ = ("_at", "_calls", "_key_calls", "_key_repeats", "_left", "_repeats", "_share",
                 "_spending")  # fmt: skip

    def __init__(
        self, upstream: str, spending: Spending | None = None, share: float = SHARE
    ) -> None:
        self._spending = spending or NoOthers()
        self._share = share
        self._key_calls = stable_hash("retry-calls", upstream)
        self._key_repeats = stable_hash("retry-repeats", upstream)
        self._left = BURST
        self._at = 0.0
        self._calls = self._spending.others(self._key_calls)
        self._repeats = self._spending.others(self._key_repeats)

    def earn(self) -> None:
        """Note a first attempt."""
        self._left = min(self._left + self._share, BURST)
        self._spending.note(self._key_calls)

    def spend(self, now: float) -> bool:
        """Return whether a repeat may be sent at `now` (monotonic), and count it."""
        calls = self._spending.others(self._key_calls)
        repeats = self._spending.others(self._key_repeats)
        earned = ((calls - self._calls) & 0xFFFFFFFF) * self._share
        earned += max(now - self._at, 0.0) * FLOOR_PER_S
        spent = (repeats - self._repeats) & 0xFFFFFFFF
        self._calls, self._repeats, self._at = calls, repeats, now
        self._left = max(min(self._left + earned, BURST) - spent, 0.0)
        if self._left < 1:
            return False
        self._left -= 1
        self._spending.note(self._key_repeats)
        return True
