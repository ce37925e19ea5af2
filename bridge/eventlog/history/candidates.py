"""Walk an index in the log's order, stretch by stretch, at a cost that is known beforehand. Pure.

A stretch is a few complete segments, or the newest one that is still being filled. In each, either
the postings of the rarest condition are looked up, or its rows are read one after the other: what
is expected to cost less. So a rare value is found in milliseconds, and what half of all entries
have fills a page from the newest few.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.eventlog.history.ports import IndexView, Posted, Selection, Span

SEGMENTS_AT_ONCE: Final = 8
"""One look into a quarter of a million entries: a page of a frequent value is in the first."""

COUNT_MAX: Final = 16_384
"""Above it a stretch is read row by row, whatever the exact number is."""

# Measured on one core, in microseconds; only their relation decides anything.
ROW_COST: Final = 0.15
POSTING_COST: Final = 1.0
LOOK_COST: Final = 40.0

Term = tuple[Posted, ...]
"""Postings of which any fits: one condition."""


class Found(NamedTuple):
    """What a stretch held, and how far the walk is."""

    indices: list[int]
    """In the walk's order."""
    reached: int
    """Everything up to and including this index has been looked at."""
    cost: float
    """Microseconds that this took, as estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One search over one picture of the index."""

    view: IndexView
    selection: Selection
    terms: tuple[Term, ...]
    newest_first: bool
    count_max: int
    """How many candidates are handed over at once."""

    def found(self, bounds: range) -> Iterator[Found]:
        """Yield candidates within `bounds`, in order, stretch by stretch."""
        for stretch, segments in self._stretches(bounds):
            yield from self._within(stretch, segments)

    def _stretches(self, bounds: range) -> Iterator[tuple[range, list[int]]]:
        """Yield ranges of indices in order, with the complete segments that they lie in."""
        entries = self.view.segment_entries
        spans = self.view.spans()
        complete = (spans[-1].segment + 1) * entries if spans else 0
        segments = [span.segment for span in spans if self._may_hold(span)]
        segments = [
            segment
            for segment in segments
            if segment * entries < bounds.stop and (segment + 1) * entries > bounds.start
        ]
        groups = _groups(segments)
        tail = range(max(bounds.start, complete), bounds.stop)
        if self.newest_first:
            if tail:
                yield tail, []
            groups.reverse()
        for group in groups:
            start = max(bounds.start, group[0] * entries)
            yield range(start, min(bounds.stop, (group[-1] + 1) * entries)), group
        if not self.newest_first and tail:
            yield tail, []

    def _may_hold(self, span: Span) -> bool:
        return _overlaps(self.selection.time, span.time_low, span.time_high) and _overlaps(
            self.selection.recorded, span.recorded_low, span.recorded_high
        )

    def _within(self, stretch: range, segments: list[int]) -> Iterator[Found]:
        driver, cost = None, 0.0
        if segments and self.terms:
            counts = []
            for term in self.terms:
                counts.append(self._count(segments, term))
                cost += LOOK_COST * len(term) + counts[-1] * 0.05
                if counts[-1] == 0:
                    yield Found([], _end(stretch, self.newest_first), cost)
                    return
            driver = self._driver(counts, len(stretch))
        if driver is None:
            yield from self._read(stretch, cost)
            return
        term, count = driver
        yield from self._look_up(stretch, segments, term, cost + count * POSTING_COST)

    def _count(self, segments: Sequence[int], term: Term) -> int:
        found = 0
        for posted in term:
            found += self.view.count(segments, posted, COUNT_MAX - found)
            if found >= COUNT_MAX:
                break
        return found

    def _driver(self, counts: Sequence[int], size: int) -> tuple[Term, int] | None:
        """Return the rarest condition if looking it up is expected to cost less than reading."""
        least = min(counts)
        if least >= COUNT_MAX:
            return None
        joint = 1.0
        for count in counts:
            joint *= count / size
        rows = min(size, self.count_max / joint)
        if rows * ROW_COST < least * POSTING_COST:
            return None
        return self.terms[counts.index(least)], least

    def _look_up(
        self, stretch: range, segments: list[int], term: Term, cost: float
    ) -> Iterator[Found]:
        rest = stretch
        while rest:
            indices: set[int] = set()
            for posted in term:
                indices.update(
                    self.view.probe(
                        segments,
                        posted,
                        self.selection,
                        rest,
                        newest_first=self.newest_first,
                        count_max=self.count_max,
                    )
                )
            ordered = sorted(indices, reverse=self.newest_first)[: self.count_max]
            full = len(ordered) == self.count_max
            reached = ordered[-1] if full else _end(rest, self.newest_first)
            yield Found(ordered, reached, cost)
            rest = _beyond(rest, reached, self.newest_first)

    def _read(self, stretch: range, cost: float) -> Iterator[Found]:
        rest = stretch
        size = self.view.segment_entries
        while rest:
            # At most one segment at a time, so that a walk can be ended in between.
            part = rest[-size:] if self.newest_first else rest[:size]
            ordered = self.view.scan(
                part, self.selection, newest_first=self.newest_first, count_max=self.count_max
            )
            full = len(ordered) == self.count_max
            reached = ordered[-1] if full else _end(part, self.newest_first)
            looked = part.stop - reached if self.newest_first else reached - part.start + 1
            yield Found(ordered, reached, cost + looked * ROW_COST)
            cost = 0.0
            rest = _beyond(rest, reached, self.newest_first)


def _groups(segments: list[int]) -> list[list[int]]:
    """Return neighbouring segments together, so many that one look is quick."""
    groups: list[list[int]] = []
    for segment in segments:
        if groups and len(groups[-1]) < SEGMENTS_AT_ONCE and groups[-1][-1] == segment - 1:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return groups


def _overlaps(asked: tuple[int, int] | None, low: int | None, high: int | None) -> bool:
    if asked is None:
        return True
    return low is not None and high is not None and low <= asked[1] and high >= asked[0]


def _end(stretch: range, newest_first: bool) -> int:
    return stretch.start if newest_first else stretch.stop - 1


def _beyond(rest: range, reached: int, newest_first: bool) -> range:
    return range(rest.start, reached) if newest_first else range(reached + 1, rest.stop)
