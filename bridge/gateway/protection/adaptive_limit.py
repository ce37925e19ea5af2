"""How many requests an upstream is given at once, learnt from how long it takes.

The gradient rule of Netflix' concurrency-limits (Gradient2Limit, Apache-2.0; described in
"Performance Under Load", 2018), itself TCP Vegas' idea (Brakmo, Peterson 1995): while answers take
as long as they use to, the limit grows by about its root; when they take longer, it shrinks in
proportion, before anything is lost. A failure halves nothing by itself: it takes a tenth, as
additive increase and multiplicative decrease do (Chiu, Jain 1989).
"""

from math import sqrt
from typing import Final

# An answer may take half as long again as usual before the limit shrinks: jitter is not overload.
_TOLERANCE: Final = 1.5
# How much of the newly computed limit is taken over at once.
_SMOOTHING: Final = 0.2
# The usual time is an average over about this many answers: minutes of a quiet upstream.
_LONG_WINDOW: Final = 600
_WARM_UP: Final = 10
_BACK_OFF: Final = 0.9


class AdaptiveLimit:
    """Between `least` and `most`; `most` alone when not `adaptive`."""

    __slots__ = ("_adaptive", "_count", "_least", "_limit", "_long_s", "_most")

    def __init__(self, *, most: int, least: int = 1, adaptive: bool = True) -> None:
        self._most = float(most)
        self._least = float(least)
        self._adaptive = adaptive
        # A start in the middle of the scale: the first answers are all that is known.
        self._limit = min(self._most, max(self._least, 20.0)) if adaptive else self._most
        self._long_s = 0.0
        self._count = 0

    @property
    def limit(self) -> int:
        """Return how many may be under way at once."""
        return int(self._limit)

    def answered(self, took_s: float, in_flight: int) -> None:
        """Learn from an answer that took so long while so many were under way."""
        if not self._adaptive:
            return
        self._count += 1
        window = min(self._count, _LONG_WINDOW)
        self._long_s += (took_s - self._long_s) / window
        if self._count < _WARM_UP or took_s <= 0:
            return
        if self._long_s > 2 * took_s:
            # After an overload the average is far too long: let it come down quickly.
            self._long_s *= 0.95
        if in_flight < self._limit / 2:
            return  # The limit was not what held requests back: nothing is learnt about it.
        gradient = max(0.5, min(1.0, _TOLERANCE * self._long_s / took_s))
        wanted = self._limit * gradient + sqrt(self._limit)
        self._set(self._limit * (1 - _SMOOTHING) + wanted * _SMOOTHING)

    def failed(self) -> None:
        """Learn from a time-out or a refusal."""
        if self._adaptive:
            self._set(self._limit * _BACK_OFF)

    def _set(self, limit: float) -> None:
        self._limit = min(self._most, max(self._least, limit))
