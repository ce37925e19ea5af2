"""Polling's place in its source: the log's cursor and the memory of rows, moved together.

The log is the truth. Whatever an append makes known is staged in the memory before it and taken
over after it; a process that dies between leaves a stage, and the version of the log's cursor says
whether it counts. So each change is in the log once, and known once.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.capture.polling.drafts import PollDrafts, rfc3339
from bridge.capture.polling.ports import PolledTable, PollMemory, RowMarks
from bridge.capture.polling.position import (
    PollCursor,
    TablePosition,
    format_poll_cursor,
    parse_poll_cursor,
)
from bridge.capture.ports import CaptureLog
from bridge.model.change import RowChange
from bridge.model.entry import CursorMove, EntryKind
from bridge.model.errors import StaleCursor
from bridge.model.observer import Observer


class PollLedger:
    """The only writer of one polled source's entries; any thread may use it."""

    def __init__(
        self,
        source: str,
        log: CaptureLog,
        memory: PollMemory,
        drafts: PollDrafts,
        *,
        observer: Observer,
        clock: Callable[[], datetime],
    ) -> None:
        """Read the cursor; what the last process left staged is settled.

        Raises:
            LogCorrupt: log and memory are not of one backup, or the cursor is of another kind.
        """
        self._source = source
        self._log = log
        self._memory = memory
        self._drafts = drafts
        self._observer = observer
        self._clock = clock
        self._lock = threading.Lock()
        self._unsure = False
        self._version = 0
        self._cursor = PollCursor(settled=None, tables={})
        self._read_cursor()
        self.appends = 0

    @property
    def settled(self) -> datetime | None:
        """No transaction that an earlier process left open started before it."""
        return self._cursor.settled

    def position(self, table: PolledTable) -> TablePosition:
        """Return our place in `table`; call it before asking the memory what is known.

        Raises `StorageUnavailable` when it cannot be found out what became of the last append.
        """
        with self._lock:
            self._make_sure()
            return self._place(table)

    def commit(
        self,
        table: PolledTable,
        changes: Sequence[RowChange],
        marks: RowMarks,
        position: TablePosition,
        *,
        after: datetime | None,
        before: datetime,
        settled: datetime | None = None,
        durable: bool = False,
    ) -> None:
        """Append `changes`, remember `marks` and move `table` to `position`, together.

        The changes became visible between `after` (None: nobody looked before) and `before`.

        Without changes only the memory is written: a place that is lost is found again by reading
        a little more. `durable` stores it anyway.

        Raises:
            StaleCursor: another process polls this source.
            StorageUnavailable: try again from `position`, which the next call may move.
        """
        with self._lock:
            self._make_sure()
            cursor = self._cursor.placed(table.name, position)
            if settled is not None:
                cursor = replace(cursor, settled=settled)
            if changes or durable:
                self._append(table, changes, marks, cursor, (after, before))
            elif marks:
                self._memory.note(marks)
            self._cursor = cursor

    def _append(
        self,
        table: PolledTable,
        changes: Sequence[RowChange],
        marks: RowMarks,
        cursor: PollCursor,
        between: tuple[datetime | None, datetime],
    ) -> None:
        version = self._version + 1
        drafts = self._drafts.drafts(
            table,
            changes,
            version=version,
            after=between[0],
            before=between[1],
            recorded_time=rfc3339(self._clock()),
        )
        self._unsure = True  # Until both have it.
        self._memory.stage(version, [marks])
        move = CursorMove(self._source, self._version, format_poll_cursor(cursor))
        try:
            self._log.append(drafts, cursor=move)
        except StaleCursor as exc:
            raise StaleCursor(
                f"cannot append changes of source {self._source!r}: its cursor was moved by "
                f"another process since version {self._version}; only one capture may run"
            ) from exc
        self._version = version
        self._memory.settle(version)
        self._unsure = False
        self.appends += 1
        if drafts:
            self._observer.note(
                "appended", source=self._source, table=table.name, entries=len(drafts)
            )
            parked = sum(draft.kind is EntryKind.PARKED for draft in drafts)
            if parked:
                self._observer.note("parked", source=self._source, entries=parked)

    def _place(self, table: PolledTable) -> TablePosition:
        return self._cursor.tables.get(table.name, TablePosition())

    def _make_sure(self) -> None:
        if self._unsure:
            self._read_cursor()
            self._unsure = False

    def _read_cursor(self) -> None:
        stored = self._log.cursor(self._source)
        self._version = stored.version if stored else 0
        self._memory.settle(self._version)
        if stored is not None:
            self._cursor = parse_poll_cursor(stored.state)
