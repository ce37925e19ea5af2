"""A consistent reading of tables, tied to one position of the replication stream.

A temporary slot exports the snapshot. It is made from the WAL, so "committed before the slot's
consistent point" and "visible in the snapshot" are the same thing, which is not true for a plain
SELECT: commit order in the WAL is not visibility order.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import psycopg

from adapters.postgres.blockers import blocked
from adapters.postgres.catalog import quoted, quoted_table
from adapters.postgres.server import PostgresServer
from bridge.capture.ports import SnapshotChunk, TableShape
from bridge.model.change import Row
from bridge.model.errors import DecodeError
from bridge.model.lsn import parse_lsn

_KIND_AND_TYPES = """
select c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod)
  from pg_class c join pg_attribute a on a.attrelid = c.oid
 where c.oid = %s and a.attnum > 0 and not a.attisdropped
"""


# Of the 63 bytes that a name may have, a process id and an underscore need up to 11.
_SLOT_NAME_MAX: Final = 52


class PostgresSnapshot:
    """Implements `Snapshot` on one connection in one read-only transaction."""

    def __init__(self, server: PostgresServer, *, slot: str) -> None:
        """Takes the snapshot; the name of the temporary slot that exports it begins with `slot`."""
        self._server = server
        self._connection = server.connect()
        try:
            with server.errors("take a snapshot of"):
                self.position, self.taken_at = self._take(slot)
        except BaseException:
            self._connection.close()
            raise

    def _take(self, slot: str) -> tuple[int, datetime]:
        with self._server.connect_replication() as exporter:
            # Not a fixed name: the backend of a process that was killed may still hold that one.
            name = f"{slot[:_SLOT_NAME_MAX]}_{exporter.info.backend_pid}"
            try:
                row = exporter.execute(
                    f"CREATE_REPLICATION_SLOT {quoted(name)} TEMPORARY LOGICAL pgoutput "
                    "EXPORT_SNAPSHOT".encode()
                ).fetchone()
            except psycopg.errors.LockNotAvailable as exc:
                raise blocked(self._server, self._connection, "take a snapshot") from exc
            assert row is not None, "CREATE_REPLICATION_SLOT always has a row"
            _, consistent_point, snapshot, _ = row
            # Once imported, the snapshot lives as long as our transaction: the exporter and its
            # slot end here and hold back no WAL.
            connection = self._connection
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'".encode())
            now = connection.execute("select clock_timestamp()").fetchone()
        assert now is not None, "a select without a table always has a row"
        return parse_lsn(consistent_point), now[0].astimezone(UTC)

    def chunks(
        self, table: TableShape, after: tuple[str, ...] | None, rows_max: int
    ) -> Iterator[SnapshotChunk]:
        """Yield the rows of `table` beyond `after`, in key order."""
        with self._server.errors(f"read table {table.relation.name!r} of"):
            if table.key:
                yield from self._keyed_chunks(table, after, rows_max)
            else:
                yield from self._keyless_chunks(table, rows_max)

    def _keyed_chunks(
        self, table: TableShape, after: tuple[str, ...] | None, rows_max: int
    ) -> Iterator[SnapshotChunk]:
        select, types = self._describe(table)
        key = ", ".join(_name(name) for name in table.key)
        beyond = ", ".join(f"%s::{_escaped(types[name])}" for name in table.key)
        tail = f"ORDER BY {key} LIMIT {rows_max}"
        names = [column.name for column in table.relation.columns]
        places = [names.index(name) for name in table.key]
        while True:
            if after is None:
                rows = self._fetch(f"{select} {tail}", ())
            else:
                rows = self._fetch(f"{select} WHERE ({key}) > ({beyond}) {tail}", after)
            if rows:
                after = tuple(str(rows[-1][place]) for place in places)
                yield SnapshotChunk(rows, after)
            if len(rows) < rows_max:
                return

    def _keyless_chunks(self, table: TableShape, rows_max: int) -> Iterator[SnapshotChunk]:
        select, _ = self._describe(table)
        self._execute(f"DECLARE bridge_rows NO SCROLL CURSOR FOR {select}", ())
        while rows := self._fetch(f"FETCH FORWARD {rows_max} FROM bridge_rows", ()):
            yield SnapshotChunk(rows, None)
        self._execute("CLOSE bridge_rows", ())

    def _describe(self, table: TableShape) -> tuple[str, dict[str, str]]:
        """Return the table's SELECT without a condition, and the type of each column."""
        found = self._execute(_KIND_AND_TYPES, (str(table.relation.oid),)).fetchall()
        # A partitioned table's rows are in its partitions; an inheritance parent's are its own.
        only = "" if any(kind == "p" for kind, _, _ in found) else "ONLY "
        columns = ", ".join(_name(column.name) for column in table.relation.columns)
        select = f"SELECT {columns} FROM {only}{_escaped(quoted_table(table.relation))}"  # noqa: S608  quoted identifiers only
        return select, {name: type_name for _, name, type_name in found}

    def _fetch(self, query: str, parameters: tuple[str, ...]) -> list[Row]:
        """Return rows as the server prints them: the same text as in the stream."""
        result = self._execute(query, parameters).pgresult
        assert result is not None, "a query has a result"
        get_value = result.get_value
        columns = range(result.nfields)
        return [
            tuple(
                None if (value := get_value(row, column)) is None else _text(value)
                for column in columns
            )
            for row in range(result.ntuples)
        ]

    def _execute(self, query: str, parameters: tuple[str, ...]) -> psycopg.Cursor:
        # Never prepared: a generic plan does not know that the key is far into the table.
        return self._connection.execute(query.encode(), parameters, prepare=False)

    def close(self) -> None:
        """End the transaction."""
        self._connection.close()


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        # No cause attached: its message would carry a piece of the value.
        raise DecodeError("cannot decode a cell of a snapshot: it is not UTF-8") from None


def _name(name: str) -> str:
    return _escaped(quoted(name))


def _escaped(text: str) -> str:
    """Return `text` for a query with parameters, where a single percent sign begins one."""
    return text.replace("%", "%%")
