"""How many copies a side gets at once, by how it answers them. Pure.

Additive increase, multiplicative decrease, as TCP shares a link (Chiu and Jain, 1989): a side that
answers in time gets one more copy at once for every round of them; one that is slow or fails gets
fewer, down to one, which tells when it is well again.
"""

from typing import Final

_DECREASE: Final = 0.7
# Slower than this and three times slower than the authority: such a side is overloaded.
_SLOW_S: Final = 0.25
_TIMES_SLOWER: Final = 3.0
# The authority's time is smoothed over about so many answers.
_SMOOTHING: Final = 1 / 16


class Pace:
    """Concurrency of the copies to one upstream."""

    __slots__ = ("_authority_s", "_decreased_at", "_limit", "_limit_max", "in_flight", "limit")

    def __init__(self, limit_max: int) -> None:
        self._limit_max = limit_max
        self._limit = float(limit_max)
        self._authority_s = 0.0
        self._decreased_at = 0.0
        self.limit = limit_max
        """Copies that may be under way at once now."""
        self.in_flight = 0

    @property
    def lowered(self) -> bool:
        """Whether it gets fewer than it could."""
        return self.limit < self._limit_max

    def has_room(self) -> bool:
        """Whether one more copy may begin."""
        return self.in_flight < self.limit

    def authority_took(self, seconds: float) -> None:
        """Hear how long the authority took for a request."""
        self._authority_s += (seconds - self._authority_s) * _SMOOTHING

    def answered(self, seconds: float, began_at: float, now: float) -> None:
        """Hear that a copy was answered; `began_at` and `now` are monotonic seconds."""
        if seconds > max(_SLOW_S, _TIMES_SLOWER * self._authority_s):
            self.failed(began_at, now)
        elif self._limit < self._limit_max:
            self._limit = min(self._limit_max, self._limit + 1 / self._limit)
            self.limit = int(self._limit)

    def failed(self, began_at: float, now: float) -> None:
        """Hear that a copy was not answered, or too late.

        Copies that began before the last decrease say nothing about the pace since.
        """
        if began_at >= self._decreased_at:
            self._limit = max(1.0, self._limit * _DECREASE)
            self.limit = int(self._limit)
            self._decreased_at = now
