"""What the metrics count of a stream: how old a commit is when it is durable here, rows per table.

The age compares the source's clock with ours; a source that runs ahead of us counts as no age.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from bridge.capture.ports import Received
from bridge.model.ages import age_facts
from bridge.model.change import RowChange
from bridge.model.observer import Observer


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
            self._observer.note(
                "commit_to_log",
                source=self._source,
                transactions=len(ages_ms),
                **age_facts(ages_ms),
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
