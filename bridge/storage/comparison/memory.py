"""Counts and samples of comparisons in memory."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bridge.gateway.comparison.ports import RouteNews, Series
from bridge.gateway.comparison.samples import Sample
from bridge.gateway.comparison.tally import Tally
from bridge.storage.comparison.limits import CLASS_SAMPLES_MAX, ROUTE_SAMPLES_MAX


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryComparisonStore:
    """`ComparisonStore` of one process, for tests and for a gateway without a data folder."""

    def __init__(self, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, str], Tally] = {}
        self._times: dict[tuple[str, str], tuple[datetime, datetime]] = {}
        self._samples: list[Sample] = []

    def add(self, news: Sequence[RouteNews]) -> None:
        """Add counts and samples."""
        now = self._clock()
        for one in news:
            key = (one.route, one.rules)
            self._counts.setdefault(key, Tally()).update(one.counts)
            self._times[key] = (self._times.get(key, (now, now))[0], now)
            for sample in one.samples:
                if self.sample(sample.sample_id) is None:
                    self._samples.append(sample)
                self._trim(CLASS_SAMPLES_MAX, sample.route, sample.difference)
            self._trim(ROUTE_SAMPLES_MAX, one.route, None)

    def _trim(self, most: int, route: str, difference: str | None) -> None:
        same = [
            sample
            for sample in self._samples
            if sample.route == route and difference in (None, sample.difference)
        ]
        for sample in same[: max(0, len(same) - most)]:
            self._samples.remove(sample)

    def series(self) -> Sequence[Series]:
        """Return the open series, newest change first."""
        found = [Series(*key, *times) for key, times in self._times.items()]
        return sorted(found, key=lambda one: (-one.changed_at.timestamp(), one.route))

    def counts(self, route: str, rules: str) -> Tally:
        """Return the counts of the open series; empty when there is none."""
        return Tally(self._counts.get((route, rules), {}))

    def samples(
        self, *, route: str | None = None, difference: str | None = None, count_max: int = 50
    ) -> Sequence[Sample]:
        """Return samples, newest first."""
        found = [
            sample
            for sample in reversed(self._samples)
            if route in (None, sample.route) and (difference or "") in sample.difference
        ]
        return found[:count_max]

    def sample(self, sample_id: str) -> Sample | None:
        """Return one sample."""
        return next((one for one in self._samples if one.sample_id == sample_id), None)

    def restart(self, route: str) -> int:
        """Begin the route's counts anew and forget its samples."""
        self._samples = [sample for sample in self._samples if sample.route != route]
        return self._end([key for key in self._counts if key[0] == route])

    def prune(self, before: datetime) -> int:
        """Forget samples made before, and series that have not changed since."""
        kept = [one for one in self._samples if one.made_at >= before.timestamp()]
        gone = len(self._samples) - len(kept)
        self._samples = kept
        return gone + self._end([key for key, times in self._times.items() if times[1] < before])

    def close(self) -> None:
        """Nothing to release."""

    def _end(self, keys: Sequence[tuple[str, str]]) -> int:
        for key in keys:
            del self._counts[key], self._times[key]
        return len(keys)
