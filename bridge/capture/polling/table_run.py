"""One table while it is polled: what its runs share, and who may read it now.

A table is read and its changes are appended under one lock, so that a later read is never appended
before an earlier one: order per key is the order of our looks.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bridge.capture.polling.diff import Found, compare, row_key
from bridge.capture.polling.horizon import lateness_s
from bridge.capture.polling.ledger import PollLedger
from bridge.capture.polling.limits import DUTY_DEFAULT, ROWS_MAX_DEFAULT
from bridge.capture.polling.plan import Deletes, Strategy
from bridge.capture.polling.ports import PolledRow, PolledTable, PollMemory, PollSource
from bridge.capture.polling.position import TablePosition
from bridge.model.observer import Observer

TIDY_INTERVAL_S: Final = 60.0
"""Forgetting costs an append of its own; a minute of an outbox is not much to remember."""

_REST_S_MAX: Final = 5.0

_LATE_SHARE: Final = 0.5
"""A row that came later than this share of the window means that a slower one would be missed."""


@dataclass(slots=True)
class PollBench:
    """What the runs of one source work with."""

    source_name: str
    source: PollSource
    ledger: PollLedger
    memory: PollMemory
    observer: Observer
    stop: threading.Event
    rows_max: int = ROWS_MAX_DEFAULT
    duty: float = DUTY_DEFAULT

    def rest(self, took_s: float) -> None:
        """Leave the source alone for a while after it worked for us."""
        self.stop.wait(min(_REST_S_MAX, took_s * (1 / self.duty - 1)))


@dataclass(slots=True)
class TableUnderPoll:
    """One table with its lock and the lateness that was seen."""

    table: PolledTable
    lock: threading.Lock = field(default_factory=threading.Lock)
    lateness_s_max: float = 0.0
    window_told: bool = False
    tidied_at: float | None = None
    """When outbox rows were forgotten last, by the monotonic clock."""

    def is_untidy(self) -> bool:
        """Whether it is time to forget outbox rows that cannot be read again."""
        if self.table.plan.strategy is not Strategy.OUTBOX:
            return False
        return self.tidied_at is None or time.monotonic() >= self.tidied_at + TIDY_INTERVAL_S

    def compare(
        self, bench: PollBench, rows: Sequence[PolledRow], scan: int, *, first_reading: bool
    ) -> Found:
        """Return what is new in `rows`; the lock is held."""
        keys = [row_key(self.table, row.cells) for row in rows]
        known = bench.memory.known(self.table.name, keys)
        return compare(self.table, rows, keys, known, scan=scan, first_reading=first_reading)

    def note_window(self, bench: PollBench, overlap_s: float, exact: bool) -> None:
        """Say once that the database does not show its open transactions."""
        if exact or self.window_told:
            return
        self.window_told = True
        bench.observer.note(
            "poll_window", source=bench.source_name, table=self.table.name, overlap_s=overlap_s
        )

    def note_lateness(
        self, bench: PollBench, found: Found, position: TablePosition, overlap_s: float, exact: bool
    ) -> None:
        """Measure how late new rows came, and say so before the window is too short."""
        ordering = self.table.ordering
        if ordering is None or not position.read:
            return
        late = max(
            (
                lateness_s(ordering, row.value, position.looked_at, position.marks)
                for row in found.rows
            ),
            default=0.0,
        )
        if late <= self.lateness_s_max:
            return
        self.lateness_s_max = late
        name = "poll_late"
        if not exact and late > overlap_s * _LATE_SHARE:
            name = "poll_window_short"
        bench.observer.note(
            name,
            source=bench.source_name,
            table=self.table.name,
            late_s=round(late, 3),
            overlap_s=overlap_s,
        )

    @property
    def compares_keys(self) -> bool:
        """Whether deletes are found by reading all keys, beside the runs by order column."""
        plan = self.table.plan
        return plan.strategy is Strategy.KEYSET and plan.deletes is Deletes.COMPARE


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def ms(self) -> float:
        """Return milliseconds so far."""
        return (time.monotonic() - self._started) * 1000
