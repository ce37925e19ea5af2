"""What happened to the copies of each route, counted. Pure.

Three questions, and a reason with each "no": was a request copied, was the pair compared, and what
did the comparison say.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Final

# Upper bounds in milliseconds of what metrics tell.
BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
# A tenth apart, so that quantiles are true to 5 %, from 0.05 ms to ten minutes.
_FINE_MS: Final = tuple(0.05 * 1.1**power for power in range(171))


class Latencies:
    """How long answers took, as a histogram."""

    __slots__ = ("_buckets", "count", "total_ms")

    def __init__(self) -> None:
        self._buckets = [0] * (len(_FINE_MS) + 1)
        self.count = 0
        self.total_ms = 0.0

    def add(self, milliseconds: float) -> None:
        """Take one."""
        self._buckets[bisect_left(_FINE_MS, milliseconds)] += 1
        self.count += 1
        self.total_ms += milliseconds

    def each(self) -> Iterator[tuple[float, int]]:
        """Return milliseconds, each true to 5 %, and how many answers took them."""
        for bucket, count in enumerate(self._buckets):
            if count:
                yield _FINE_MS[min(bucket, len(_FINE_MS) - 1)] / 1.05, count

    def coarse(self) -> Iterator[tuple[str, int]]:
        """Return the bounds that metrics tell, and how many answers are within each."""
        found: Counter[int] = Counter()
        for milliseconds, count in self.each():
            found[bisect_left(BOUNDS_MS, milliseconds)] += count
        for at, count in sorted(found.items()):
            yield (str(BOUNDS_MS[at]) if at < len(BOUNDS_MS) else "more"), count


class RouteCounts:
    """Counts of one route since the last time they were told."""

    __slots__ = (
        "busy", "compared", "copied", "document", "first", "latencies", "orders", "probed", "seen",
        "shed", "skew_ms", "slow", "uncompared",
    )  # fmt: skip

    def __init__(self) -> None:
        self.seen = 0
        """Requests of a tapped route."""
        self.copied = 0
        """Copies sent."""
        self.busy = 0
        self.slow = 0
        """Two reasons of `shed`, counted by themselves because they cost every request."""
        self.shed: Counter[str] = Counter()
        """Chosen to be copied and not copied, by reason."""
        self.uncompared: Counter[str] = Counter()
        """Copied and not compared, by reason."""
        self.compared: Counter[str] = Counter()
        """Compared, by outcome: `identical` `equal` `by-rules` `flapping` `mismatch`, and
        `unconfirmed` for mismatches without a second look."""
        self.document: Counter[str] = Counter()
        """Held to the route's documents: `checked.SIDE`, `drift.SIDE.RULE`, `skipped.REASON`."""
        self.probed: Counter[str] = Counter()
        """Legacy against itself: `same`, `different`, and why there was no answer."""
        self.orders: Counter[tuple[str, bool]] = Counter()
        """(order of the calls, whether the answers agreed): what the order has to do with it."""
        self.first: Counter[str] = Counter()
        """Whose answer was whole first: `authority` or `copy`."""
        self.skew_ms: dict[str, Latencies] = {}
        """By order of the calls: time between the two."""
        self.latencies: dict[tuple[str, str], Latencies] = {}
        """By side and cohort: at `canary` what modern answers is `in`, else it is `all`."""

    def settle(self) -> None:
        """Enter what was counted by itself among the reasons."""
        self.shed.update({"busy": self.busy, "slow": self.slow})
        self.busy = self.slow = 0

    def took(self, side: str, cohort: str, milliseconds: float) -> None:
        """Take the time of one answer."""
        found = self.latencies.get((side, cohort))
        if found is None:
            found = self.latencies[side, cohort] = Latencies()
        found.add(milliseconds)

    def skewed(self, order: str, milliseconds: float) -> None:
        """Take the time between the two calls of one pair."""
        found = self.skew_ms.get(order)
        if found is None:
            found = self.skew_ms[order] = Latencies()
        found.add(milliseconds)

    def facts(self) -> dict[str, float]:
        """Return every count under a flat name, `shed.busy`, for one note."""
        self.settle()
        found: dict[str, float] = {"seen": self.seen, "copied": self.copied}
        for name in ("shed", "uncompared", "compared", "document", "probed", "first"):
            counter: Counter[str] = getattr(self, name)
            found |= {f"{name}.{word}": count for word, count in counter.items()}
        for (order, agreed), count in self.orders.items():
            found[f"order.{order}.{'same' if agreed else 'different'}"] = count
        for order, skew in self.skew_ms.items():
            found[f"skew.{order}.count"] = skew.count
            found[f"skew.{order}.ms"] = skew.total_ms
        for (side, cohort), times in self.latencies.items():
            start = f"took.{side}.{cohort}"
            found[f"{start}.count"] = times.count
            found[f"{start}.ms"] = times.total_ms
            for bound, count in times.coarse():
                found[f"{start}.le_{bound}"] = count
        return {name: count for name, count in found.items() if count}
