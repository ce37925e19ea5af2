"""The index of the event log in the schema `bridge_index` of the database that has the log.

It may be lost at any time, so its commits do not wait for the disk. One process writes, any number
read; one object may be shared by threads.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final

import psycopg

from bridge.eventlog.history.index_rows import Form, FormKey, IndexRow, Slot
from bridge.eventlog.history.ports import (
    SEGMENT_ENTRIES_DEFAULT,
    IndexDamaged,
    IndexState,
    Posted,
    Selection,
    Span,
)
from bridge.model.errors import StorageUnavailable
from bridge.storage.event_log.postgres import CONNECT_TIMEOUT_S, TCP_USER_TIMEOUT_MS
from bridge.storage.log_index import postgres_sql as sql
from bridge.storage.log_index.predicate import predicate

# A place in a segment is kept as a `smallint`.
SEGMENT_ENTRIES_MAX: Final = 32_768

# The few segments of a look lead, each by its own stretch of the tree: with the statistics of a
# table that grows all the time the planner often takes all of it instead.
_OPTIONS: Final = (
    "-c synchronous_commit=off -c lock_timeout=5000 -c jit=off -c enable_seqscan=off "
    "-c enable_hashjoin=off -c enable_mergejoin=off"
)

_DAMAGED: Final = (
    psycopg.errors.DataCorrupted,
    psycopg.errors.IndexCorrupted,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
)


class PostgresLogIndex:
    """A `LogIndexWriter` in the database that `dsn` (libpq) names.

    Connecting happens with the first call, so that a damaged index can still be cleared.
    """

    def __init__(self, dsn: str, *, segment_entries: int = SEGMENT_ENTRIES_DEFAULT) -> None:
        assert segment_entries <= SEGMENT_ENTRIES_MAX, "a place in a segment is a smallint"
        self._dsn = dsn
        self._segment_entries = segment_entries
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._prepared = False

    @contextmanager
    def view(self) -> Iterator["PostgresIndexView"]:
        """Hold one picture; see `LogIndexReader.view`."""
        with self._using("read the log's index") as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgresIndexView(connection, self._segment_entries)

    def take(self, rows: Sequence[IndexRow], forms: Sequence[Form], moved: IndexState) -> bool:
        """Add rows and forms and move the state; see `LogIndexWriter.take`."""
        expected = moved.next_index - len(rows)
        with self._using("write the log's index") as connection, connection.transaction():
            values = (moved.next_index, moved.first_index, moved.anchor, expected)
            begins = moved.first_index == expected
            if connection.execute(sql.MOVE_STATE, (*values, begins)).rowcount != 1:
                return False
            with connection.cursor() as cursor:
                for form in forms:
                    cursor.execute(sql.ADD_FORM, (form.form_id, *form.key))
                    for at, slot in enumerate(form.slots):
                        cursor.execute(sql.ADD_SLOT, (form.form_id, at, *slot))
                with cursor.copy(sql.COPY_ROWS) as copy:
                    copy.set_types(sql.ROW_TYPES)
                    for row in rows:
                        copy.write_row(row)
            self._complete(connection, expected, moved)
        return True

    def clear(self) -> None:
        """Forget everything, whatever state it is in."""
        with self._using("clear the log's index", prepare=False) as connection:
            self._prepared = False
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (sql.SCHEMA_LOCK,))
                connection.execute(sql.DROP)
            self._prepare(connection)

    def size_bytes(self) -> int:
        """Return how much storage its tables take."""
        with self._using("measure the log's index") as connection:
            [(size,)] = connection.execute(sql.SIZE).fetchall()
            return int(size)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _complete(
        self, connection: psycopg.Connection[Any], before: int, moved: IndexState
    ) -> None:
        """Post the segments that are complete now."""
        entries = self._segment_entries
        for segment in range(before // entries, moved.next_index // entries):
            start, stop = segment * entries, (segment + 1) * entries
            connection.execute(sql.POST_SEGMENT, {"segment": segment, "start": start, "stop": stop})
            connection.execute(sql.ADD_SEGMENT, (segment, start, stop))

    @contextmanager
    def _using(self, what: str, *, prepare: bool = True) -> Iterator[psycopg.Connection[Any]]:
        """Hold the connection; connect again when it was lost."""
        with self._lock:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(
                        self._dsn,
                        autocommit=True,
                        connect_timeout=CONNECT_TIMEOUT_S,
                        tcp_user_timeout=TCP_USER_TIMEOUT_MS,
                        application_name="legacy-bridge log index",
                        options=_OPTIONS,
                    )
                    self._prepared = False
                if prepare and not self._prepared:
                    self._prepare(self._connection)
                yield self._connection
            except psycopg.Error as exc:
                raise _explained(what, exc) from exc

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Make the tables; an index of another version or form is as good as a damaged one."""
        [(found,)] = connection.execute(sql.FOUND).fetchall()
        if not found:
            with connection.transaction():
                # CREATE … IF NOT EXISTS still fails when two run at once; so one at a time.
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (sql.SCHEMA_LOCK,))
                connection.execute(sql.SCHEMA)
                connection.execute(sql.START_STATE, (sql.SCHEMA_VERSION, self._segment_entries))
        row = connection.execute(sql.LOAD_STATE).fetchone()
        if row is None or row[3:] != (self._segment_entries, sql.SCHEMA_VERSION):
            raise IndexDamaged(
                "cannot use the log's index in schema 'bridge_index': it is of another version; "
                "the log role makes a new one"
            )
        self._prepared = True


class PostgresIndexView:
    """One transaction's picture of the index."""

    def __init__(self, connection: psycopg.Connection[Any], segment_entries: int) -> None:
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
            for form_id, rows in groupby(self._all(sql.LOAD_SLOTS), _form_id)
        }
        return [
            Form(form_id=form_id, key=FormKey(*key), slots=slots.get(form_id, ()))
            for form_id, *key in self._all(sql.LOAD_FORMS)
        ]

    def spans(self) -> Sequence[Span]:
        """Return the complete segments, in order."""
        return [Span(*row) for row in self._all(sql.SPANS)]

    def count(self, segments: Sequence[int], posted: Posted, count_max: int) -> int:
        """Return how many postings there are, counted up to `count_max`."""
        [(count,)] = self._all(sql.COUNT, list(segments), *posted, count_max)
        return int(count)

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
        condition, given = predicate(selection, "%s")
        values = [list(segments), self.segment_entries, *posted, bounds.start, bounds.stop, *given]
        statement = sql.probe(condition, newest_first=newest_first)
        return [index for (index,) in self._all(statement, *values, count_max)]

    def scan(
        self, bounds: range, selection: Selection, *, newest_first: bool, count_max: int
    ) -> list[int]:
        """Return indices whose rows fit; see `IndexView.scan`."""
        condition, given = predicate(selection, "%s")
        statement = sql.scan(condition, newest_first=newest_first)
        found = self._all(statement, bounds.start, bounds.stop, *given, count_max)
        return [index for (index,) in found]

    def rows(self, start: int, count_max: int) -> list[IndexRow]:
        """Return rows from index `start` on, in order."""
        return [IndexRow(*row) for row in self._all(sql.READ_ROWS, start, count_max)]

    def _all(self, statement: str, *values: object) -> list[Any]:
        return self._connection.execute(statement, values, binary=True).fetchall()


def _form_id(row: tuple[Any, ...]) -> int:
    return int(row[0])


def _explained(what: str, exc: psycopg.Error) -> StorageUnavailable:
    # The server's main line only: its details may hold values of a row.
    cause = exc.diag.message_primary or str(exc).strip() or type(exc).__name__
    if isinstance(exc, _DAMAGED):
        return IndexDamaged(
            f"cannot {what} in schema 'bridge_index': {cause}; the log itself is not concerned, "
            "and the log role makes a new index"
        )
    return StorageUnavailable(
        f"cannot {what} in schema 'bridge_index': {cause}; check that the server runs and that "
        "this user may use it; the call is repeated"
    )
