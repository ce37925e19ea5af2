"""How old events are when the broker has confirmed them; one of each batch is looked at.

The age since the commit compares the source's clock with ours; a source ahead of us counts as none.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from bridge.model.ages import age_facts
from bridge.model.entry import StoredEntry
from bridge.model.observer import Observer

# A sink holds two batches at most; what was offered before a lost connection is forgotten.
_SAMPLES_MAX = 100


def utc_now() -> datetime:
    """Return the time of the confirm."""
    return datetime.now(UTC)


class ConfirmMeter:
    """Remembers the last event of each offered batch until it is confirmed."""

    def __init__(
        self, sink: str, observer: Observer, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._sink = sink
        self._observer = observer
        self._clock = clock
        self._samples: deque[tuple[int, datetime | None, datetime | None]] = deque(
            maxlen=_SAMPLES_MAX
        )

    def offered(self, events: Sequence[StoredEntry]) -> None:
        """Remember the last of `events`."""
        last = events[-1]
        leaf = orjson.loads(last.leaf)
        self._samples.append(
            (last.leaf_index, _moment(leaf, "time"), _moment(leaf, "recordedtime"))
        )

    def lost(self) -> None:
        """Forget what was offered: it is offered again."""
        self._samples.clear()

    def confirmed(self, next_index: int) -> None:
        """Note the ages of what stands before `next_index`."""
        committed, recorded = [], []
        now = self._clock()
        while self._samples and self._samples[0][0] < next_index:
            _, commit, record = self._samples.popleft()
            if commit is not None:
                committed.append(max((now - commit).total_seconds() * 1000, 0.0))
            if record is not None:
                recorded.append(max((now - record).total_seconds() * 1000, 0.0))
        for name, ages_ms in (("commit_to_broker", committed), ("log_to_broker", recorded)):
            if ages_ms:
                self._observer.note(
                    name, sink=self._sink, sampled=len(ages_ms), **age_facts(ages_ms)
                )


def _moment(leaf: dict[str, Any], name: str) -> datetime | None:
    text = leaf.get(name)
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
