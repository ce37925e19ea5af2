"""Latencies as histograms that add up, and what can be said of them. Pure."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Final

# Steps of a quarter at most: no quantile is further from the truth, and one of times that are
# spread is within a tenth. Of these steps, metrics tell the round ones.
_STEPS: Final = (10, 12, 15, 18, 20, 25, 30, 35, 40, 50, 60, 70, 80, 90)
_SHORTEST_US: Final = 50
_LONGEST_US: Final = 60_000_000
BOUNDS_S: Final = tuple(
    bound / 1_000_000
    for bound in (step * 10**power for power in range(7) for step in _STEPS)
    if _SHORTEST_US <= bound <= _LONGEST_US
)
"""Upper bounds in seconds: from what a proxy needs by itself to what clients do not wait for."""
BUCKETS: Final = len(BOUNDS_S) + 1
"""The last one has no bound."""
TOLD_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0
)  # fmt: skip
"""Upper bounds in seconds that metrics have; each is one of `BOUNDS_S`."""
_TOLD_AT: Final = tuple(BOUNDS_S.index(bound) for bound in TOLD_S)


class Histogram:
    """How often something took how long."""

    __slots__ = ("buckets", "total_s")

    def __init__(self, buckets: Sequence[int] = (), total_s: float = 0.0) -> None:
        self.buckets = list(buckets) or [0] * BUCKETS
        self.total_s = total_s

    @property
    def count(self) -> int:
        """How often."""
        return sum(self.buckets)

    def take(self, seconds: float) -> None:
        """Count one more."""
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def add(self, other: "Histogram") -> None:
        """Add what another one has counted."""
        self.buckets = [one + two for one, two in zip(self.buckets, other.buckets, strict=True)]
        self.total_s += other.total_s

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Return the bounds that metrics have, in seconds, and how many are within each."""
        below, begin = 0, 0
        for bound, at in zip(TOLD_S, _TOLD_AT, strict=True):
            below += sum(self.buckets[begin : at + 1])
            begin = at + 1
            yield bound, below

    def quantile_s(self, share: float) -> float | None:
        """Return what `share` of all took at most, interpolated; None when nothing was counted."""
        return quantile_s(BOUNDS_S, self.buckets, share)


def quantile_s(bounds_s: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return a quantile of counts by upper bounds; the last count is of what is beyond them all.

    What is beyond the last bound is told as that bound: nothing more is known of it.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    before = 0
    for bucket, count in enumerate(counts[:-1]):
        if before + count >= wanted:
            lower = bounds_s[bucket - 1] if bucket else 0.0
            return lower + (bounds_s[bucket] - lower) * (wanted - before) / count
        before += count
    return bounds_s[-1]


def read_histogram(value: Any) -> Histogram:
    """Return the histogram of `[total in microseconds, [count of each bucket]]`.

    Raises:
        ValueError: it is none of ours, or has other buckets.
    """
    try:
        total_us, buckets = value
        found = Histogram([int(count) for count in buckets], int(total_us) / 1_000_000)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"cannot read histogram: {type(exc).__name__}") from exc
    if len(found.buckets) != BUCKETS:
        raise ValueError(f"cannot read histogram: {len(found.buckets)} buckets, not {BUCKETS}")
    return found
