"""Make a legacy database ready for capture: check, create what is missing, judge our cursor.

Creates at most one slot and two publications, never changes a table, and never publishes updates
of a table that has no usable replica identity: the application's own UPDATE would fail.
"""

from collections.abc import Callable, Sequence

import psycopg

from adapters.postgres.catalog import Slot
from adapters.postgres.inspection.look import Capturing, look
from adapters.postgres.publication import publication_names
from adapters.postgres.server import PostgresServer
from adapters.postgres.slot_creation import create_slot, drop_slot
from adapters.postgres.start_verdict import judge_start
from bridge.capture.cursor import CaptureCursor
from bridge.capture.findings import Finding
from bridge.capture.ports import Preparation, TableShape
from bridge.model.errors import SourceUnfit
from bridge.model.lsn import parse_lsn


class PostgresPreparation:
    """Prepares one source; every step can be repeated."""

    def __init__(self, server: PostgresServer, capturing: Capturing) -> None:
        self._server = server
        self._capturing = capturing
        self.publications = tuple(publication_names(capturing.publication).values())
        """Both are named to the stream, whichever of them has tables."""

    def prepare(
        self, cursor: CaptureCursor | None, check: Callable[[TableShape], None] | None = None
    ) -> Preparation:
        """Return the source's shape and where its stream starts."""
        with self._server.connect() as connection, self._server.errors("prepare"):
            found = look(connection, self._capturing)
            refuse(self._server, found.server_problems)
            system_id, timeline, flushed = self._identify()
            if cursor is not None:
                verdict = judge_start(
                    self._server,
                    connection,
                    cursor,
                    slot=self._capturing.slot,
                    system_id=system_id,
                    timeline=timeline,
                    flushed=flushed,
                )
                verdict.enforce(f"source database at {self._server.place}", cursor.end_lsn)
            refuse(self._server, found.table_problems)
            tables = tuple(found.tables[name].shape for name in self._capturing.tables)
            for table in tables:
                if check is not None:
                    check(table)
            # Nothing is created before everything was found right.
            with connection.transaction():
                for step in found.publication_steps:
                    connection.execute(step.sql.encode())
            start_lsn = cursor.end_lsn if cursor else self._first_lsn(connection, found.slot)
        return Preparation(
            system_id=system_id, timeline=timeline, start_lsn=start_lsn, tables=tables
        )

    def shapes(self) -> tuple[TableShape, ...]:
        """Return the captured tables that exist, as they are published now; changes nothing."""
        with self._server.connect() as connection, self._server.errors("look at"):
            found = look(connection, self._capturing)
        return tuple(table.shape for table in found.tables.values())

    def _identify(self) -> tuple[str, int, int]:
        """Return system id, timeline and flushed LSN."""
        with self._server.connect_replication() as connection:
            row = connection.execute("IDENTIFY_SYSTEM").fetchone()
        assert row is not None, "IDENTIFY_SYSTEM always has a row"
        return row[0], row[1], parse_lsn(row[2])

    def _first_lsn(self, connection: psycopg.Connection, slot: Slot | None) -> int:
        """Return where a slot that we have no place in yet begins; creates what is missing."""
        if slot is not None and slot.confirmed is not None and slot.wal_status != "lost":
            return slot.confirmed
        name = self._capturing.slot
        if slot is not None:
            drop_slot(connection, name)  # Its WAL is gone: nothing can be read from it.
        return create_slot(self._server, connection, name, failover=self._capturing.failover)


def refuse(server: PostgresServer, problems: Sequence[Finding]) -> None:
    """Raise `SourceUnfit` for the first of `problems`, and say how many more there are."""
    if not problems:
        return
    first = problems[0]
    parts = [first.what]
    if first.fix:
        parts.append(first.fix)
    if len(problems) > 1:
        parts.append(f"`legacy-bridge doctor` shows {len(problems) - 1} more")
    if first.sql:
        parts.append(f"run: {first.sql}")
    raise SourceUnfit(f"cannot capture source database at {server.place}: {'; '.join(parts)}")
