"""What the metrics count of a stream: how old a commit is when it is durable here, rows per table.

The age compares the source's clock with ours; a source that runs ahead of us counts as no age.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Final

from bridge.capture.ports import Received
from bridge.model.change import RowChange
from bridge.model.observer import Observer

# Upper bounds in milliseconds: from one disk flush to an outage that somebody notices.
BUCKETS_MS: Final = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000)


class StreamMeter:
    """Notes each batch once; the observer adds up."""

    def __init__(self, source: str, observer: Observer, clock: Callable[[], datetime]) -> None:
        self._source = source
        self._observer = observer
        self._clock = clock

    def note(self, reads: Sequence[Received]) -> None:
        """Note what `reads`, which are durable now, held."""
        parts = [part for received in reads for part in received.parts]
        ages_ms = self._ages_ms([part.commit_time for part in parts if part.final])
        if ages_ms:
            counts = Counter(_bucket(age_ms) for age_ms in ages_ms)
            cumulative = accumulate(counts[bound] for bound in BUCKETS_MS)
            buckets = {
                f"le_{bound}": count for bound, count in zip(BUCKETS_MS, cumulative, strict=True)
            }
            self._observer.note(
                "commit_to_log",
                source=self._source,
                transactions=len(ages_ms),
                age_ms=sum(ages_ms),
                **buckets,
            )
        # By the object: a relation's name is made anew each time that it is asked for.
        relations = Counter(
            id(change.relation)
            for part in parts
            for change in part.changes
            if type(change) is RowChange
        )
        if relations:
            names = {
                id(change.relation): change.relation
                for part in parts
                for change in part.changes
                if type(change) is RowChange
            }
            tables: Counter[str] = Counter()
            for number, count in relations.items():
                tables[names[number].name] += count
            self._observer.note("captured_rows", **tables)

    def _ages_ms(self, commits: list[datetime]) -> list[float]:
        if not commits:
            return []
        now = self._clock()
        return [max((now - commit).total_seconds() * 1000, 0.0) for commit in commits]


def _bucket(age_ms: float) -> int | None:
    """Return the smallest bound that `age_ms` does not exceed; None beyond the last."""
    return next((bound for bound in BUCKETS_MS if age_ms <= bound), None)
