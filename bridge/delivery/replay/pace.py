"""How many events may leave now, so that no more than so many do in a second. Pure."""

# A tenth of a second's worth may leave at once: fewer and larger writes at the same rate.
_BURST_S = 0.1


class Pace:
    """A bucket that fills with time; whoever asks tells the time (seconds, monotonic)."""

    def __init__(self, rate: int, now: float) -> None:
        self._rate = rate
        self._full = max(rate * _BURST_S, 1.0)
        self._level = 1.0  # The first event need not wait.
        self._at = now

    def allowed(self, now: float) -> int:
        """Return how many may leave now."""
        self._fill(now)
        return int(self._level)

    def spend(self, count: int) -> None:
        """Take note that `count` left; never more than `allowed` said."""
        self._level -= count
        assert self._level >= 0, "more left than was allowed"

    def wait_s(self, now: float) -> float:
        """Return how long it takes until one may leave."""
        self._fill(now)
        return max((1.0 - self._level) / self._rate, 0.0)

    def _fill(self, now: float) -> None:
        self._level = min(self._level + max(now - self._at, 0.0) * self._rate, self._full)
        self._at = max(now, self._at)
