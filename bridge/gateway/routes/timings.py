"""How long exchanges took, by route, stage and side: what a decision counts into. Pure.

Each `Decision` holds the `RouteTimes` of its label from when its table was built, so that a request
looks nothing up. The tables of one worker share their `Timings`: a switch forgets nothing, and a
request that an old table decided is counted like any other.
"""

from bisect import bisect_left
from typing import Final

import orjson

from bridge.model.latency import BOUNDS_S, BUCKETS, Histogram, read_histogram

SETS_MAX: Final = 1_024
"""Labels of one worker. Each costs about 2 kB of memory, and some 300 bytes of a file that is
written every second; those that come later share one set for each side."""
OTHER: Final = "other"
"""Route and stage of what shares a set."""

# What a request may wait for on its way, in the order in which it does.
CONNECTION: Final = "connection"
LANE: Final = "lane"
INTENT: Final = "intent"
AUTHORITY: Final = "authority"
OUTCOME: Final = "outcome"
OWN: Final = "own"
PHASES: Final = (CONNECTION, LANE, INTENT, AUTHORITY, OUTCOME, OWN)
WHOLE: Final = "whole"
FIRST: Final = "first"
AT_ONCE: Final = "at_once"


class RouteTimes:
    """Times of the requests of one label.

    `at_once` counts answers of which head and whole body came together, most of them: one count is
    both their first byte and their end.
    """

    __slots__ = (
        "_all", "_cohorts", "at_once", "at_once_s", "first", "first_s", "label", "phases", "told",
        "whole", "whole_s",
    )  # fmt: skip

    def __init__(self, label: str, among: "Timings | None" = None) -> None:
        self._all = among
        self._cohorts: dict[str, RouteTimes] = {}
        self.label = label
        self.at_once = [0] * BUCKETS
        self.at_once_s = 0.0
        self.first = [0] * BUCKETS
        self.first_s = 0.0
        self.whole = [0] * BUCKETS
        self.whole_s = 0.0
        self.phases: dict[str, Histogram] = {}
        self.told = 0.0
        """Seconds that were told last: they grow with every request."""

    def __eq__(self, other: object) -> bool:
        # Decisions of two tables are the same when they count under the same label.
        return isinstance(other, RouteTimes) and other.label == self.label

    def __hash__(self) -> int:
        return hash(self.label)

    def answered(self, seconds: float) -> None:
        """Count an answer of which head and whole body came together."""
        self.at_once[bisect_left(BOUNDS_S, seconds)] += 1
        self.at_once_s += seconds

    def began(self, seconds: float) -> None:
        """Count the first byte of an answer of which more is to come."""
        self.first[bisect_left(BOUNDS_S, seconds)] += 1
        self.first_s += seconds

    def ended(self, seconds: float) -> None:
        """Count an answer whose first byte, if there was one, was counted before."""
        self.whole[bisect_left(BOUNDS_S, seconds)] += 1
        self.whole_s += seconds

    def on(self, side: str) -> "RouteTimes":
        """Return the same of `side`: the write path may ask another one than the authority."""
        route, stage, own, *more = self.label.split(".")
        if own == side or self._all is None:
            return self
        return self._all.of(".".join([route, stage, side, *more]))

    def within(self, cohort: str) -> "RouteTimes":
        """Return the same of `cohort` alone, for a request that was dealt by its key."""
        found = self._cohorts.get(cohort)
        if found is None:
            if self._all is None:
                return self
            found = self._cohorts[cohort] = self._all.of(f"{self.label}.{cohort}")
        return found

    def waited(self, phase: str, seconds: float) -> None:
        """Count the time of one of `PHASES`."""
        found = self.phases.get(phase)
        if found is None:
            found = self.phases[phase] = Histogram()
        found.take(seconds)

    def news(self) -> str | None:
        """Return all of it as text, see `read_times`; None when nothing came since the last."""
        grown = self.at_once_s + self.first_s + self.whole_s
        grown += sum(phase.total_s for phase in self.phases.values())
        if grown == self.told:
            return None
        self.told = grown
        kinds: list[tuple[str, list[int], float]] = [
            (AT_ONCE, self.at_once, self.at_once_s),
            (FIRST, self.first, self.first_s),
            (WHOLE, self.whole, self.whole_s),
            *((name, phase.buckets, phase.total_s) for name, phase in self.phases.items()),
        ]
        told = {
            name: (round(total_s * 1_000_000), buckets)
            for name, buckets, total_s in kinds
            if total_s
        }
        return orjson.dumps(told).decode()


class Timings:
    """All that one process counts, by label."""

    def __init__(self, sets_max: int = SETS_MAX) -> None:
        self._sets: dict[str, RouteTimes] = {}
        self._sets_max = sets_max

    def of(self, label: str) -> RouteTimes:
        """Return what is counted under `label` (`ROUTE.STAGE.SIDE…`), or with all the others."""
        found = self._sets.get(label)
        if found is None:
            if len(self._sets) >= self._sets_max:
                label = ".".join([OTHER, OTHER, *label.split(".")[2:]])
                found = self._sets.get(label)
            if found is None:
                # The others' own sets are a few more: one for each side (and cohort).
                found = self._sets[label] = RouteTimes(label, self)
        return found

    def news(self, part: int = 0, parts: int = 1) -> dict[str, str]:
        """Return label → text of what has grown, of every `parts`th label beginning with `part`."""
        found = {}
        for times in list(self._sets.values())[part::parts]:
            text = times.news()
            if text is not None:
                found[times.label] = text
        return found


def read_times(text: str) -> dict[str, Histogram]:
    """Return what `RouteTimes.news` told: `WHOLE`, `FIRST` and each of `PHASES` that occurred.

    Raises:
        ValueError: it is none of ours.
    """
    told = orjson.loads(text)
    if not isinstance(told, dict):
        raise ValueError("cannot read times: no object")
    found = {str(kind): read_histogram(value) for kind, value in told.items()}
    at_once = found.pop(AT_ONCE, None)
    if at_once is not None:
        for kind in (WHOLE, FIRST):
            found.setdefault(kind, Histogram()).add(at_once)
    return found


UNTIMED: Final = RouteTimes("-.-.-")
"""Of decisions that no table has made."""
