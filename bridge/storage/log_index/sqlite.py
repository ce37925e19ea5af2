"""The index of the event log in an SQLite file of its own.

It may be lost at any time, so a commit does not wait for the disk: after a power loss the file is
as of some earlier commit, and the follower goes on from there. One process writes, any number read;
one object may be shared by threads.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from bridge.eventlog.history.index_rows import Form, FormKey, IndexRow, Slot
from bridge.eventlog.history.ports import (
    SEGMENT_ENTRIES_DEFAULT,
    IndexDamaged,
    IndexState,
    Posted,
    Selection,
    Span,
)
from bridge.storage.log_index import sqlite_sql as sql
from bridge.storage.log_index.predicate import predicate
from bridge.storage.sqlite_file import connect, create_schema, explained, one_commit, roll_back

# The segment that is being filled, and what is sorted when it is complete, fit in.
_CACHE_KIB: Final = 32_768
# Each copy of the write-ahead log into the file waits for the disk twice; 32 MB of it is a segment
# or two.
_WAL_PAGES: Final = 8_192
# A reader jumps over the whole file; the kernel keeps what is asked for often.
_MAP_BYTES: Final = 1 << 31


class SqliteLogIndex:
    """A `LogIndexWriter` over the SQLite file at `path`, which is made when it is missing.

    Opening happens with the first call, so that a damaged file can still be cleared.
    """

    def __init__(self, path: Path, *, segment_entries: int = SEGMENT_ENTRIES_DEFAULT) -> None:
        self.path = path
        self._segment_entries = segment_entries
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def view(self) -> Iterator["SqliteIndexView"]:
        """Hold one picture; see `LogIndexReader.view`."""
        with self._lock, self._explained("read the log's index"):
            connection = self._open()
            connection.execute("BEGIN")
            try:
                yield SqliteIndexView(connection, self._segment_entries)
            finally:
                roll_back(connection)

    def take(self, rows: Sequence[IndexRow], forms: Sequence[Form], moved: IndexState) -> bool:
        """Add rows and forms and move the state; see `LogIndexWriter.take`."""
        with self._lock, self._explained("write the log's index"):
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                expected = moved.next_index - len(rows)
                if not self._move(connection, moved, expected):
                    connection.execute("ROLLBACK")
                    return False
                for form in forms:
                    connection.execute(sql.ADD_FORM, (form.form_id, *form.key))
                    slots = [(form.form_id, at, *slot) for at, slot in enumerate(form.slots)]
                    connection.executemany(sql.ADD_SLOT, slots)
                connection.executemany(sql.ADD_ROW, rows)
                self._complete(connection, expected, moved)
                connection.execute("COMMIT")
            except BaseException:
                roll_back(connection)
                raise
        return True

    def clear(self) -> None:
        """Forget everything, the file itself if it cannot be used."""
        with self._lock:
            try:
                with self._explained("clear the log's index"):
                    self._drop(self._open())
            except IndexDamaged:
                self._close()
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                with self._explained("make the log's index"):
                    self._open()

    def size_bytes(self) -> int:
        """Return how much storage file and write-ahead log take."""
        size = 0
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                size += self.path.with_name(self.path.name + suffix).stat().st_size
        return size

    def close(self) -> None:
        """Release the file; may be called twice."""
        with self._lock:
            self._close()

    def _move(self, connection: sqlite3.Connection, moved: IndexState, expected: int) -> bool:
        found = connection.execute(sql.LOAD_STATE).fetchone()
        if found[0] == 0 and not found[2] and moved.first_index == expected:
            # A new index begins where the log does, which may have been pruned.
            connection.execute("UPDATE state SET next_index = ?", (expected,))
        values = (moved.next_index, moved.first_index, moved.anchor, expected)
        return connection.execute(sql.MOVE_STATE, values).rowcount == 1

    def _complete(self, connection: sqlite3.Connection, before: int, moved: IndexState) -> None:
        """Post the segments that are complete now."""
        entries = self._segment_entries
        for segment in range(before // entries, moved.next_index // entries):
            start, stop = segment * entries, (segment + 1) * entries
            connection.execute(
                sql.POST_SEGMENT,
                {"segment": segment, "start": start, "stop": stop, "entries": entries},
            )
            connection.execute(sql.ADD_SEGMENT, (segment, start, stop))

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connection = connect(self.path)
            connection.execute("PRAGMA synchronous=NORMAL").close()
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB:d}").close()
            connection.execute(f"PRAGMA mmap_size={_MAP_BYTES:d}").close()
            connection.execute("PRAGMA temp_store=MEMORY").close()
            connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES:d}").close()
            try:
                self._prepare(connection)
            except BaseException:
                self._close()
                raise
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables; an index of another version or form is as good as a damaged one."""
        marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _MARKS]
        if marks[0] == sql.APPLICATION_ID and marks[1] != sql.SCHEMA_VERSION:
            raise IndexDamaged(
                f"cannot use the log's index {str(self.path)!r}: it has version {marks[1]}, needed "
                f"is {sql.SCHEMA_VERSION}; the log role makes a new one"
            )
        create_schema(
            connection,
            self.path,
            application_id=sql.APPLICATION_ID,
            version=sql.SCHEMA_VERSION,
            script=sql.SCHEMA,
        )
        state = connection.execute(sql.LOAD_STATE).fetchone()
        if state is None:
            connection.execute(sql.START_STATE, (self._segment_entries,))
        elif state[3] != self._segment_entries:
            raise IndexDamaged(
                f"cannot use the log's index {str(self.path)!r}: its segments have {state[3]} "
                f"entries, needed are {self._segment_entries}; the log role makes a new one"
            )

    def _drop(self, connection: sqlite3.Connection) -> None:
        with one_commit(connection):
            for table in sql.TABLES:
                connection.execute(f"DROP TABLE {table}")
            for statement in sql.SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(sql.START_STATE, (self._segment_entries,))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Say in our words what SQLite refuses; errors of others pass through."""
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            if getattr(exc, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                raise IndexDamaged(
                    f"cannot {what} {str(self.path)!r}: {exc}; the log itself is not concerned, "
                    "and the log role makes a new index"
                ) from exc
            with explained(what, self.path):
                raise


_MARKS: Final = ("application_id", "user_version")
# A missing table or column is an error of the statement to SQLite; ours are right.
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


class SqliteIndexView:
    """One transaction's picture of the index."""

    def __init__(self, connection: sqlite3.Connection, segment_entries: int) -> None:
        self._connection = connection
        self.segment_entries = segment_entries
        row = connection.execute(sql.LOAD_STATE).fetchone()
        if row is None:
            raise IndexDamaged(
                "cannot read the log's index: its state is gone; the log role makes a new index"
            )
        self.state = IndexState(next_index=row[0], first_index=row[1], anchor=row[2])

    def forms(self) -> Sequence[Form]:
        """Return all forms."""
        slots = {
            form_id: tuple(Slot(*row[1:]) for row in rows)
            for form_id, rows in groupby(self._connection.execute(sql.LOAD_SLOTS), _form_id)
        }
        return [
            Form(form_id=form_id, key=FormKey(*key), slots=slots.get(form_id, ()))
            for form_id, *key in self._connection.execute(sql.LOAD_FORMS)
        ]

    def spans(self) -> Sequence[Span]:
        """Return the complete segments, in order."""
        return [Span(*row) for row in self._connection.execute(sql.SPANS)]

    def count(self, segments: Sequence[int], posted: Posted, count_max: int) -> int:
        """Return how many postings there are, counted up to `count_max`."""
        values = (json.dumps(list(segments)), *posted, count_max)
        return int(self._connection.execute(sql.COUNT, values).fetchone()[0])

    def probe(
        self,
        segments: Sequence[int],
        posted: Posted,
        selection: Selection,
        bounds: range,
        *,
        newest_first: bool,
        count_max: int,
    ) -> list[int]:
        """Return indices that are posted and fit; see `IndexView.probe`."""
        condition, given = predicate(selection, "?")
        values = [json.dumps(list(segments)), *posted, self.segment_entries]
        values += [bounds.start, bounds.stop, *given, count_max]
        return self._indices(sql.probe(condition, newest_first=newest_first), values)

    def scan(
        self, bounds: range, selection: Selection, *, newest_first: bool, count_max: int
    ) -> list[int]:
        """Return indices whose rows fit; see `IndexView.scan`."""
        condition, given = predicate(selection, "?")
        values = [bounds.start, bounds.stop, *given, count_max]
        return self._indices(sql.scan(condition, newest_first=newest_first), values)

    def rows(self, start: int, count_max: int) -> list[IndexRow]:
        """Return rows from index `start` on, in order."""
        found = self._connection.execute(sql.READ_ROWS, (start, count_max))
        return [IndexRow(*row) for row in found]

    def _indices(self, statement: str, values: Sequence[Any]) -> list[int]:
        return [index for (index,) in self._connection.execute(statement, values)]


def _form_id(row: tuple[Any, ...]) -> int:
    return int(row[0])
