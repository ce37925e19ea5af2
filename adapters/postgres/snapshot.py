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
from adapters.postgres.catalog import quoted
from adapters.postgres.server import PostgresServer
from adapters.postgres.text_rows import read_target, row_estimate, text_rows
from bridge.capture.ports import TableShape
from bridge.model.change import Row
from bridge.model.lsn import parse_lsn

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

    def chunks(self, table: TableShape, rows_max: int) -> Iterator[list[Row]]:
        """Yield the rows of `table`, up to `rows_max` at a time, in no order."""
        connection, relation = self._connection, table.relation
        with self._server.errors(f"read table {relation.name!r} of"):
            target = read_target(connection, relation)
            if target is None:
                return  # The table is gone since the source was prepared.
            columns = ", ".join(quoted(column.name) for column in relation.columns)
            chosen = f" WHERE {table.row_filter}" if table.row_filter else ""
            # Quoted identifiers, and the condition of a publication.
            query = f"SELECT {columns} FROM {target}{chosen}"  # noqa: S608  see above
            connection.execute(f"DECLARE bridge_rows NO SCROLL CURSOR FOR {query}".encode())
            while rows := self._fetch(rows_max):
                yield rows
            connection.execute("CLOSE bridge_rows")

    def row_estimate(self, table: TableShape) -> int:
        """Return about how many rows the table has; 0 when nobody knows."""
        with self._server.errors(f"look at table {table.relation.name!r} of"):
            return row_estimate(self._connection, table.relation)

    def _fetch(self, rows_max: int) -> list[Row]:
        cursor = self._connection.execute(f"FETCH FORWARD {rows_max} FROM bridge_rows".encode())
        assert cursor.pgresult is not None, "a query has a result"
        return text_rows(cursor.pgresult)

    def close(self) -> None:
        """End the transaction."""
        self._connection.close()
