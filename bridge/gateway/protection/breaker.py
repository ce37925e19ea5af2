"""Give a failing upstream a rest (Nygard, "Release It!", 2007): closed, open, one probe, closed."""

from collections import deque
from enum import Enum
from typing import Final

_OPEN_GROWTH: Final = 2.0
OPEN_S_MAX: Final = 60.0
"""A rest is never longer: an upstream that is back is found within a minute."""

_SLICES: Final = 10


class BreakerState(Enum):
    """Who is let through."""

    CLOSED = "closed"  # Everybody.
    OPEN = "open"  # Nobody until the rest is over; set when too many exchanges have failed.
    PROBING = "probing"  # One request is under way to see whether it is back.


class Breaker:
    """Looks at exchanges of the last `window_s` seconds, in ten slices."""

    __slots__ = (
        "_count_min", "_first_rest_s", "_rest_s", "_share", "_slices", "_window_s", "epoch",
        "open_until", "state", "well",
    )  # fmt: skip

    def __init__(self, *, share: float, count_min: int, window_s: float, rest_s: float) -> None:
        self._share = share
        self._count_min = count_min
        self._window_s = window_s
        self._first_rest_s = rest_s
        self._rest_s = rest_s
        self._slices: deque[list[float]] = deque()
        """Begin, exchanges, failures."""
        self.open_until = 0.0
        self.state = BreakerState.CLOSED
        self.well = 0
        """Exchanges of this epoch that went well since the last look: while closed, whoever sees
        them adds them up here, and tells `ended` or `look` before long."""
        self.epoch = 0
        """Grows with each change: what was sent under an older one tells nothing of this state."""

    def let_through(self, now: float) -> bool:
        """Return whether a request may be sent; the first after a rest is the probe."""
        if self.state is BreakerState.CLOSED:
            return True
        if self.state is BreakerState.OPEN and now >= self.open_until:
            self._change(BreakerState.PROBING)
            return True
        return False

    def withdraw(self, epoch: int) -> None:
        """Note that the probe was given up before it told anything; the next one is it."""
        if self.state is BreakerState.PROBING and epoch == self.epoch:
            self._change(BreakerState.OPEN)

    def ended(self, now: float, epoch: int, *, failed: bool) -> bool:
        """Note how an exchange of `epoch` ended; return whether the state has changed."""
        if epoch != self.epoch:
            return False
        if self.well:
            self.look(now)
        if self.state is BreakerState.PROBING:
            if failed:
                self._rest_s = min(self._rest_s * _OPEN_GROWTH, OPEN_S_MAX)
                self._open(now)
            else:
                self._change(BreakerState.CLOSED)
                self._rest_s = self._first_rest_s
            return True
        slices = self._slices
        latest = self._slice(now)
        latest[1] += 1
        if not failed:
            return False
        latest[2] += 1
        count = sum(each[1] for each in slices)
        failures = sum(each[2] for each in slices)
        if count < self._count_min or failures < self._share * count:
            return False
        self._open(now)
        return True

    def look(self, now: float) -> None:
        """Take in those that went `well`."""
        if self.well:
            self._slice(now)[1] += self.well
            self.well = 0

    def _slice(self, now: float) -> list[float]:
        slices = self._slices
        if not slices or now - slices[-1][0] >= self._window_s / _SLICES:
            slices.append([now, 0, 0])
            while now - slices[0][0] > self._window_s:
                slices.popleft()
        return slices[-1]

    def _change(self, state: BreakerState) -> None:
        self.state = state
        self.epoch += 1
        self.well = 0

    def _open(self, now: float) -> None:
        self._change(BreakerState.OPEN)
        self.open_until = now + self._rest_s
        self._slices.clear()
