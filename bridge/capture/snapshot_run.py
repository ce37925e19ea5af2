"""Read the tables that are not in the log yet, at one exact place of the stream.

The same steps for the first run, for one that goes on after a crash, and for a table that is
added later:

1. finish the spool of a table without a key, if the last run left one;
2. take a snapshot at some position P of the stream;
3. append everything that committed before P, and hold back what comes after;
4. append the missing rows as of P, chunk by chunk, each in one commit with the snapshot's mark;
5. go on with the stream, beginning with what was held back.

A row that changed before P and was not read yet may be in the log twice, first as a change and
then, no older, as read. For a table without a key that would be one row too many, so its changes
before P are left out: its rows as of P include them.
"""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bridge.capture.appender import Appender
from bridge.capture.cursor import SnapshotMark, SpoolMark, TableMark
from bridge.capture.ports import ChangeSource, Received, Snapshot, TableShape
from bridge.capture.reader import StreamReader
from bridge.capture.spool import RowSpool
from bridge.model.change import Row
from bridge.model.observer import Observer

# One chunk is one commit of the log, of about 50 ms.
CHUNK_ROWS_MAX_DEFAULT: Final = 2_000

_TAKE_TIMEOUT_S: Final = 0.2


class SnapshotRun:
    """One run over the tables that are not done; `run` either finishes or raises."""

    def __init__(
        self,
        source_name: str,
        source: ChangeSource,
        tables: tuple[TableShape, ...],
        appender: Appender,
        *,
        spool_folder: Path,
        observer: Observer,
        rows_max: int = CHUNK_ROWS_MAX_DEFAULT,
    ) -> None:
        self._source_name = source_name
        self._source = source
        self._tables = {table.relation.name: table for table in tables}
        self._appender = appender
        self._spool_folder = spool_folder
        self._observer = observer
        self._rows_max = rows_max

    def pending(self) -> list[TableShape]:
        """Return the tables that are not done: the one begun first, then those without a key."""
        mark = self._appender.cursor.snapshot
        begun = mark.table.table if mark.table else None
        pending = [table for name, table in self._tables.items() if name not in mark.done]
        return sorted(pending, key=lambda table: (table.relation.name != begun, bool(table.key)))

    def finish_spool(self, stop: threading.Event) -> None:
        """Append what the last run left in a spool; before anything later is appended."""
        spool = self._appender.cursor.snapshot.spool
        if spool is not None:
            self._append_spool(spool, stop)

    def run(self, reader: StreamReader, stop: threading.Event) -> Received | None:
        """Read every pending table; return what was held back of the stream."""
        if not self.pending() or stop.is_set():
            return None
        snapshot = self._source.snapshot()
        try:
            held = self._catch_up(reader, snapshot.position, stop)
            for table in self.pending():
                if table.key:
                    self._append_keyed(table, snapshot, reader, stop)
                else:
                    self._append_keyless(table, snapshot, reader, stop)
            return held
        finally:
            snapshot.close()

    def _catch_up(
        self, reader: StreamReader, position: int, stop: threading.Event
    ) -> Received | None:
        """Append everything that committed before `position`; return the first read beyond."""
        keyless = frozenset(table.relation.name for table in self.pending() if not table.key)
        while not stop.is_set():
            received = reader.take(_TAKE_TIMEOUT_S)
            if received is None:
                self._appender.settle()
                continue
            before, held = split(received, position)
            self._appender.append_received([before], skip_tables=keyless)
            if held is not None or self._appender.cursor.end_lsn >= position:
                self._appender.reach(position)
                return held
            reader.confirm(self._appender.durable_lsn)
        return None

    def _append_keyed(
        self, table: TableShape, snapshot: Snapshot, reader: StreamReader, stop: threading.Event
    ) -> None:
        name = table.relation.name
        begun = self._appender.cursor.snapshot.table
        after = begun.after if begun is not None and begun.table == name else None
        for chunk in snapshot.chunks(table, after, self._rows_max):
            if stop.is_set():
                return
            reader.check()
            assert chunk.after is not None, "rows of a table with a key have one"
            mark = TableMark(table=name, after=chunk.after)
            self._appender.append_rows(table.relation, chunk.rows, snapshot, self._mark(table=mark))
            reader.confirm(self._appender.durable_lsn)
        if not stop.is_set():
            self._finish(name)

    def _append_keyless(
        self, table: TableShape, snapshot: Snapshot, reader: StreamReader, stop: threading.Event
    ) -> None:
        name = table.relation.name
        spool = self._spool(name)
        spool.write(table.relation, self._keyless_rows(table, snapshot, reader, stop))
        if stop.is_set():
            spool.remove()  # Not all rows may be in it.
            return
        mark = SpoolMark(
            table=name, position=snapshot.position, taken_at=snapshot.taken_at, offset=0
        )
        self._appender.move_snapshot(self._mark(spool=mark))
        self._append_spool(mark, stop)

    def _keyless_rows(
        self, table: TableShape, snapshot: Snapshot, reader: StreamReader, stop: threading.Event
    ) -> Iterator[list[Row]]:
        for chunk in snapshot.chunks(table, None, self._rows_max):
            reader.check()
            if stop.is_set():
                return
            yield chunk.rows

    def _append_spool(self, mark: SpoolMark, stop: threading.Event) -> None:
        spool = self._spool(mark.table)
        if mark.table in self._tables:
            relation = spool.relation()
            for rows, offset in spool.read(mark.offset, self._rows_max):
                if stop.is_set():
                    return
                moved = self._mark(spool=replace(mark, offset=offset))
                self._appender.append_rows(relation, rows, mark, moved)
        self._finish(mark.table)
        spool.remove()

    def _finish(self, name: str) -> None:
        done = (*self._appender.cursor.snapshot.done, name)
        self._appender.move_snapshot(self._mark(done=done, table=None, spool=None))
        self._observer.note("table_read", source=self._source_name, table=name)

    def _mark(self, **changes: Any) -> SnapshotMark:
        return replace(self._appender.cursor.snapshot, **changes)

    def _spool(self, name: str) -> RowSpool:
        return RowSpool(self._spool_folder, self._source_name, name)


def split(received: Received, position: int) -> tuple[Received, Received | None]:
    """Split a read before its first transaction that committed at or after `position`."""
    for index, part in enumerate(received.parts):
        if part.commit_lsn >= position:
            parts = received.parts
            return Received(parts[:index], None), Received(parts[index:], received.position)
    return received, None
