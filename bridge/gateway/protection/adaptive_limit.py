"""How many requests an upstream is given at once, learnt from how long it takes.

The idea is TCP Vegas' (Brakmo, Peterson 1995): a request that takes longer than it would alone has
waited somewhere, so the limit shrinks before anything is lost. The rule is the gradient of Netflix'
concurrency-limits ("Performance Under Load", 2018) and of Envoy's adaptive concurrency filter: the
limit follows the quotient of usual and present time, and grows by about its root. A failure takes a
tenth of it (multiplicative decrease; Chiu, Jain 1989).

Two things differ, both found on a simulated legacy. The usual time is learnt for each route by
itself, because a report that always takes a second is no overload. And it is never learnt from
answers that came while the limit was reached, unless the limit is at its bottom: an average that
goes on through an overload takes the overload for usual.
"""

from math import sqrt
from typing import Final

# An answer may take half as long again as usual before the limit shrinks: jitter is not overload.
_TOLERANCE: Final = 1.5
# How much of a new value is taken over at once: quickly downwards, for less is what it can do.
_SMOOTHING: Final = 0.2
_RATIO_SMOOTHING: Final = 0.1
_DOWN: Final = 0.2
_UP: Final = 0.02
_BACK_OFF: Final = 0.9
_START: Final = 8.0
_BOTTOM: Final = 2.0
_KINDS_MAX: Final = 1_000
"""Routes whose usual times are kept; there are hardly more."""


class AdaptiveLimit:
    """Between `least` and `most`; `most` alone when not `adaptive`."""

    __slots__ = ("_adaptive", "_least", "_limit", "_most", "_ratio", "_usual_s")

    def __init__(self, *, most: int, least: int = 1, adaptive: bool = True) -> None:
        self._most = float(most)
        self._least = float(least)
        self._adaptive = adaptive
        self._limit = min(self._most, max(self._least, _START)) if adaptive else self._most
        self._usual_s: dict[str, float] = {}
        self._ratio = 1.0
        """Of present and usual time, over the last answers."""

    @property
    def limit(self) -> int:
        """Return how many may be under way at once."""
        return int(self._limit)

    def answered(self, kind: str, took_s: float, in_flight: int) -> None:
        """Learn from an answer of a `kind` that took so long while so many were under way."""
        if not self._adaptive or took_s <= 0:
            return
        limit = self._limit
        usual_s = self._usual_s.get(kind)
        if usual_s is None:
            if len(self._usual_s) >= _KINDS_MAX:
                self._usual_s.clear()
            usual_s = took_s
        elif took_s < usual_s:
            usual_s += (took_s - usual_s) * _DOWN
        elif in_flight < limit / 2 or limit <= max(_BOTTOM, self._least):
            usual_s += (took_s - usual_s) * _UP
        self._usual_s[kind] = usual_s
        self._ratio += (took_s / usual_s - self._ratio) * _RATIO_SMOOTHING
        if in_flight < limit / 2:
            return  # The limit was not what held requests back: nothing is learnt about it.
        gradient = max(0.1, min(1.0, _TOLERANCE / self._ratio))
        wanted = limit * gradient + sqrt(limit)
        self._set(limit * (1 - _SMOOTHING) + wanted * _SMOOTHING)

    def failed(self) -> None:
        """Learn from a time-out or a refusal."""
        if self._adaptive:
            self._set(self._limit * _BACK_OFF)

    def _set(self, limit: float) -> None:
        self._limit = min(self._most, max(self._least, limit))
