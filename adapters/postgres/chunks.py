"""Read tables in short transactions, each with the server's own word on what is in it.

A chunk is read under REPEATABLE READ: its snapshot, its place in the WAL and its rows belong
together. The lock comes first and the snapshot after it, because a table that is truncated or
rewritten looks empty to a snapshot from before, whatever isolation it has.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

import psycopg

from adapters.postgres.blockers import read_blockers, told
from adapters.postgres.catalog import quoted, quoted_table
from adapters.postgres.server import PostgresServer
from adapters.postgres.text_rows import (
    KeyText,
    read_target,
    register_key_text,
    row_estimate,
    text_rows,
)
from bridge.capture.snapshot.ports import Chunk, ChunkOrder, Look, TableAltered
from bridge.capture.snapshot.visibility import Visibility, parse_visibility
from bridge.capture.snapshot.window import Key, key_of, key_places
from bridge.model.change import Relation, Row
from bridge.model.errors import SourceUnavailable, SourceUnfit
from bridge.model.lsn import parse_lsn

# A chunk that would take longer than this is cut off; smaller ones follow.
STATEMENT_TIMEOUT_MS: Final = 60_000

# Who alters a table holds it for themselves; nobody queues behind us, but we need not queue either.
_LOCK_TIMEOUT_MS: Final = 1_000

# Ends a chunk of wide rows before it fills memory.
_BYTES_MAX: Final = 8 * 1024 * 1024

_FETCH_ROWS_FIRST: Final = 50
_FETCH_ROWS_MAX: Final = 1_000

# How many keys one query names; the server plans such a list anew each time.
_KEYS_PER_QUERY: Final = 200

# Its snapshot is taken before it runs: whatever is visible has ended below the position, which is
# where the next WAL record will stand. A standby has no such place; what it received covers it.
_MOMENT = """
select pg_current_snapshot()::text, pg_is_in_recovery(), clock_timestamp(),
       (case when pg_is_in_recovery()
             then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
             else pg_current_wal_insert_lsn() end)::text
"""

# Everybody may see who holds the lock on a transaction's number: it is held from the first write
# until the transaction is visible to all, also while it waits for a synchronous standby.
_OPEN = """
select transactionid::text from pg_locks
 where locktype = 'transactionid' and mode = 'ExclusiveLock' and granted
"""

_SHAPE = """
select n.nspname, a.attname, a.atttypid::text, a.atttypmod::text,
       format_type(a.atttypid, a.atttypmod)
  from pg_class c join pg_attribute a on a.attrelid = c.oid
  join pg_type t on t.oid = a.atttypid
  join pg_type b on b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
  join pg_namespace n on n.oid = b.typnamespace
 where c.oid = %s::oid and c.oid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
"""

_PAGE_HEADER: Final = 24
_SEGMENT_HEADER: Final = 40


class PostgresChunkReader:
    """Implements `ChunkReader` on one connection, opened when first needed."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._connection: psycopg.Connection | None = None
        self._closing = Lock()
        self._closed = False
        self._page = self._segment = 0
        self._targets: dict[int, str] = {}

    def look(self) -> Look:
        """Return what is going on."""
        with self._server.errors("look at"):
            connection = self._connected()
            visibility, position, _ = self._moment(connection)
            if visibility.running is None:
                # A standby shows no locks of its primary's transactions: wait for all up to now.
                return Look(visibility, position, frozenset({visibility.xmax - 1 & 0xFFFF_FFFF}))
            rows = connection.execute(_OPEN).fetchall()
            return Look(visibility, position, frozenset(int(row[0]) for row in rows))

    def read(self, order: ChunkOrder) -> Chunk:
        """Read rows in one short transaction, read-only."""
        with self._server.errors(f"read table {order.relation.name!r} of"):
            connection = self._connected()
            began = time.monotonic()
            try:
                return self._read(connection, order, began)
            except psycopg.errors.QueryCanceled as exc:
                raise SourceUnavailable(
                    f"cannot read table {order.relation.name!r} of source database at "
                    f"{self._server.place}: a chunk took longer than {STATEMENT_TIMEOUT_MS} ms"
                ) from exc
            except psycopg.errors.ReadOnlySqlTransaction as exc:
                connection.rollback()
                raise SourceUnfit(
                    f"cannot read table {order.relation.name!r} of source database at "
                    f"{self._server.place}: its condition would write; give one that only reads"
                ) from exc
            except psycopg.Error:
                # Not for a lost connection: that has no transaction any more.
                if not connection.broken:
                    connection.rollback()
                raise

    def blockers(self) -> str:
        """Return the oldest open transactions, for a person."""
        with self._server.errors("look at"):
            return told(read_blockers(self._connected())) or "none any more"

    def close(self) -> None:
        """End what runs, from any thread, and release the connection."""
        with self._closing:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):  # A dead server has nothing to cancel.
                connection.cancel_safe(timeout=2)
            connection.close()

    def _connected(self) -> psycopg.Connection:
        with self._closing:
            if self._closed:
                raise SourceUnavailable(f"cannot read from {self._server.place}: we are stopping")
            if self._connection is None or self._connection.broken:
                self._connection = self._server.connect()
                register_key_text(self._connection)
                rows = self._connection.execute(
                    "select setting::int from pg_settings"
                    " where name in ('wal_block_size', 'wal_segment_size') order by name"
                ).fetchall()
                self._page, self._segment = (row[0] for row in rows)
            return self._connection

    def _read(self, connection: psycopg.Connection, order: ChunkOrder, began: float) -> Chunk:
        target = self._target(connection, order.relation)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(
            f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS};"
            f" SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}".encode()
        )
        connection.execute(f"LOCK TABLE {target} IN ACCESS SHARE MODE".encode())
        visibility, position, taken_at = self._moment(connection)
        select = _Selection(order, target, self._types(connection, order))
        rows: list[Row] = []
        after, full, ended = order.after, False, False
        if not order.only_keys:
            rows, full, ended = self._page_rows(connection, select, order)
            after = key_of(rows[-1], select.places) if rows else after
        rows = select.kept(rows)
        absent: list[Key] = []
        for keys in _slices(order.keys, _KEYS_PER_QUERY):
            found = select.kept(_fetch(connection, *select.named(keys)))
            rows += found
            there = {key_of(row, select.places) for row in found}
            absent += [key for key in keys if key not in there]
        estimate = row_estimate(connection, order.relation)
        # Committed, not rolled back: the server then flushes what it wrote while it cleaned up
        # pages, and the stream can pass the place where we are.
        connection.execute("COMMIT")
        took_ms = (time.monotonic() - began) * 1000
        return Chunk(
            rows, after, ended, absent, visibility, position, taken_at, took_ms, full, estimate
        )

    def _page_rows(
        self, connection: psycopg.Connection, select: "_Selection", order: ChunkOrder
    ) -> tuple[list[Row], bool, bool]:
        """Return rows beyond the last key, whether all that were wished for, and if none is left.

        Through a cursor, a little at a time, so that wide rows end the chunk and not the memory.
        """
        query, parameters = select.beyond(order.after, order.rows_max)
        connection.execute(
            f"DECLARE bridge_chunk NO SCROLL CURSOR FOR {query}".encode(), parameters
        )
        rows: list[Row] = []
        size = 0
        step = _FETCH_ROWS_FIRST
        ended = False
        while len(rows) < order.rows_max and size < _BYTES_MAX and not ended:
            step = min(step, order.rows_max - len(rows))
            fetched = _fetch(connection, f"FETCH FORWARD {step} FROM bridge_chunk", ())
            rows += fetched
            ended = len(fetched) < step
            size += sum(
                len(cell) for row in fetched for cell in row if isinstance(cell, str | bytes)
            )
            average = size // max(len(rows), 1) + 1
            step = max(1, min(_FETCH_ROWS_MAX, (_BYTES_MAX - size) // average))
        return rows, len(rows) >= order.rows_max, ended

    def _moment(self, connection: psycopg.Connection) -> tuple[Visibility, int, datetime]:
        row = connection.execute(_MOMENT).fetchone()
        assert row is not None, "a select without a table always has a row"
        snapshot, recovering, now, position = row
        place = self._without_header(parse_lsn(position))
        return parse_visibility(snapshot, recovering=recovering), place, now.astimezone(UTC)

    def _without_header(self, position: int) -> int:
        """Return `position` before the header of a page that holds nothing yet.

        An idle server's last record ends before it, and so does its stream: waiting for the place
        behind the header would be waiting for the next write of somebody.
        """
        if position % self._segment == _SEGMENT_HEADER:
            return position - _SEGMENT_HEADER
        if position % self._page == _PAGE_HEADER:
            return position - _PAGE_HEADER
        return position

    def _target(self, connection: psycopg.Connection, relation: Relation) -> str:
        """Return what to lock and to read from; asked for once a session."""
        target = self._targets.get(relation.oid)
        if target is None:
            target = read_target(connection, relation)
            if target is None:
                raise SourceUnfit(
                    f"cannot read table {relation.name!r} of source database at "
                    f"{self._server.place}: it does not exist; correct its contract's mapping"
                )
            self._targets[relation.oid] = target
        return target

    def _types(self, connection: psycopg.Connection, order: ChunkOrder) -> dict[str, str]:
        """Return each column's type, spelled for a cast; the table must be as we know it.

        From here on `>` means, for each key column, what the order of its index means: a type of
        an extension has comparisons of its own, which are found by its schema.
        """
        relation = order.relation
        found = connection.execute(_SHAPE, (relation.oid, quoted_table(relation))).fetchall()
        now = {name: (type_oid, modifier) for _, name, type_oid, modifier, _ in found}
        for column in relation.columns:
            known = (str(column.type_oid), str(column.type_modifier))
            if now.get(column.name) != known:
                connection.rollback()
                raise TableAltered(
                    f"cannot read table {relation.name!r} of source database at "
                    f"{self._server.place}: column {column.name!r} was altered; it is looked at "
                    "again"
                )
        schemas = {schema for schema, name, *_ in found if name in order.key}
        path = ", ".join(map(quoted, sorted(schemas - {"pg_catalog"})))
        connection.execute(f"SET LOCAL search_path = pg_catalog{path and ', ' + path}".encode())
        return {name: type_name for _, name, _, _, type_name in found}


class _Selection:
    """The queries of one chunk. A single percent sign would begin a parameter: it is doubled."""

    def __init__(self, order: ChunkOrder, target: str, types: dict[str, str]) -> None:
        places = key_places(order.relation, order.key)
        assert places is not None, "a key is made of the table's own columns"
        self.places = places
        columns = ", ".join(_name(column.name) for column in order.relation.columns)
        conditions = [text for text in (order.row_filter, order.where) if text is not None]
        self._conditional = bool(conditions)
        if conditions:
            # Chosen by us, not by the query: a chunk then costs the same whatever it keeps.
            wanted = " AND ".join(f"({text})" for text in conditions)
            columns += f", ({_escaped(wanted)}) IS TRUE"
        self._select = f"SELECT {columns} FROM {_escaped(target)}"  # noqa: S608  quoted identifiers, and a condition that an operator gave on purpose
        self._key = ", ".join(_name(name) for name in order.key)
        self._values = ", ".join(f"%s::{_escaped(types[name])}" for name in order.key)

    def beyond(self, after: Key | None, rows_max: int) -> tuple[str, tuple[KeyText, ...]]:
        """Return the query of the rows beyond key `after`."""
        tail = f"ORDER BY {self._key} LIMIT {rows_max}"
        if after is None:
            return f"{self._select} {tail}", ()
        return (
            f"{self._select} WHERE ({self._key}) > ({self._values}) {tail}",
            tuple(map(KeyText, after)),
        )

    def named(self, keys: Sequence[Key]) -> tuple[str, tuple[KeyText, ...]]:
        """Return the query of the rows with these keys."""
        listed = ", ".join(f"({self._values})" for _ in keys)
        parameters = tuple(KeyText(cell) for key in keys for cell in key)
        return f"{self._select} WHERE ({self._key}) IN ({listed})", parameters

    def kept(self, rows: list[Row]) -> list[Row]:
        """Return the rows that the conditions choose, without the column that says so."""
        if not self._conditional:
            return rows
        return [row[:-1] for row in rows if row[-1] == "t"]


def _fetch(connection: psycopg.Connection, query: str, parameters: Sequence[Any]) -> list[Row]:
    # Never prepared: a generic plan does not know that the key is far into the table.
    result = connection.execute(query.encode(), parameters, prepare=False).pgresult
    assert result is not None, "a query has a result"
    return text_rows(result)


def _slices(keys: Sequence[Key], size: int) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _name(name: str) -> str:
    return _escaped(quoted(name))


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
