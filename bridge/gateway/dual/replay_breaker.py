"""Leave a side in peace that fails: one probe at a time until it answers again."""

from typing import Final

# Fewer could be one bad request's own fault, repeated.
FAILURES_MAX: Final = 5
PROBE_PAUSE_S_MIN: Final = 0.1
# Lanes begin to drain at most this long after the side is back.
PROBE_PAUSE_S_MAX: Final = 2.0


class Breaker:
    """Counts one side's failures. The caller gives the (monotonic) time and the chance."""

    def __init__(self) -> None:
        self._failures = 0
        self._probing = False
        self._probe_at = 0.0
        self._pause_s = PROBE_PAUSE_S_MIN

    @property
    def is_open(self) -> bool:
        """Whether only probes are let through."""
        return self._failures >= FAILURES_MAX

    def admits(self, now: float) -> bool:
        """Return whether a request may be sent; it must be followed by `succeeded` or `failed`."""
        if not self.is_open:
            return True
        if not self.due(now):
            return False
        self._probing = True
        return True

    def due(self, now: float) -> bool:
        """Return whether a probe would be admitted."""
        return not self._probing and now >= self._probe_at

    def succeeded(self) -> None:
        """Note that the side answered."""
        self._failures = 0
        self._probing = False
        self._pause_s = PROBE_PAUSE_S_MIN

    def failed(self, now: float, chance: float) -> None:
        """Note that it did not; `chance` in [0, 1) spreads the probes of several gateways."""
        self._failures += 1
        self._probing = False
        if self.is_open:
            self._probe_at = now + self._pause_s * (0.5 + chance / 2)
            self._pause_s = min(self._pause_s * 2, PROBE_PAUSE_S_MAX)
