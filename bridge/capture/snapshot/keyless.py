"""Read the tables without a key, at one exact place of the stream.

Their rows cannot be told apart, so a row that was read cannot be compared with what changed
meanwhile, and none may be read twice. The stream waits while they are read:

1. finish the spool of such a table, if the last run left one;
2. take a snapshot at some position P of the stream;
3. append everything that committed before P, and hold back what comes after;
4. spool the rows as of P, then append them from there, each chunk in one commit with the mark;
5. go on with the stream, beginning with what was held back.

Changes of such a table before P are left out: its rows as of P include them.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bridge.capture.appender import Appender
from bridge.capture.cursor import SnapshotMark, SpoolMark
from bridge.capture.ports import ChangeSource, Received, Snapshot, TableShape
from bridge.capture.reader import StreamReader
from bridge.capture.snapshot.spool import RowSpool
from bridge.model.change import Row
from bridge.model.errors import SourceUnfit
from bridge.model.observer import Observer

# One chunk is one commit of the log, of about 50 ms.
CHUNK_ROWS_MAX_DEFAULT: Final = 2_000

_TAKE_TIMEOUT_S: Final = 0.2


class KeylessReading:
    """One run over the tables without a key that are not done; `run` either finishes or raises."""

    def __init__(
        self,
        source_name: str,
        source: ChangeSource,
        tables: tuple[TableShape, ...],
        appender: Appender,
        *,
        spool_folder: Path,
        observer: Observer,
        observe: Callable[[Sequence[Received]], SnapshotMark | None],
        table_rows_max: int,
        rows_max: int = CHUNK_ROWS_MAX_DEFAULT,
    ) -> None:
        """`observe` sees what is appended, as in the capture loop; `table_rows_max` bounds how
        long the stream may have to wait."""
        self._source_name = source_name
        self._source = source
        self._tables = {table.relation.name: table for table in tables if not table.key}
        self._appender = appender
        self._spool_folder = spool_folder
        self._observer = observer
        self._observe = observe
        self._table_rows_max = table_rows_max
        self._rows_max = rows_max

    def pending(self) -> list[TableShape]:
        """Return the tables that are not done."""
        done = self._appender.cursor.snapshot.done
        return [table for name, table in self._tables.items() if name not in done]

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
            for table in self.pending():
                self._check_size(table, snapshot)
            held = self._catch_up(reader, snapshot.position, stop)
            for table in self.pending():
                self._append_keyless(table, snapshot, reader, stop)
            return held
        finally:
            snapshot.close()

    def _catch_up(
        self, reader: StreamReader, position: int, stop: threading.Event
    ) -> Received | None:
        """Append everything that committed before `position`; return the first read beyond."""
        keyless = frozenset(table.relation.name for table in self.pending())
        while not stop.is_set():
            received = reader.take(_TAKE_TIMEOUT_S)
            if received is None:
                self._appender.settle()
                continue
            before, held = split(received, position)
            self._appender.append_received(
                [before], skip_tables=keyless, snapshot=self._observe([before])
            )
            if held is not None or self._appender.cursor.end_lsn >= position:
                self._appender.reach(position)
                return held
            reader.confirm(self._appender.durable_lsn)
        return None

    def _check_size(self, table: TableShape, snapshot: Snapshot) -> None:
        estimate = snapshot.row_estimate(table)
        if estimate > self._table_rows_max:
            raise SourceUnfit(
                f"cannot read table {table.relation.name!r} of source {self._source_name!r}: it "
                f"has no key and about {estimate} rows, and the stream waits while such a table is "
                f"read, so the source keeps its WAL; give it a key, or raise "
                f"snapshot.keyless_rows_max (now {self._table_rows_max})"
            )

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
        for rows in snapshot.chunks(table, self._rows_max):
            reader.check()
            if stop.is_set():
                return
            yield rows

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
        self._appender.move_snapshot(self._mark(done=done, spool=None))
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
            later = Received(parts[index:], received.position, received.size)
            return Received(parts[:index], None), later
    return received, None
