"""Make a legacy database ready for capture: check, create what is missing, judge our cursor.

Creates at most one slot and two publications, never changes a table, and never publishes updates
of a table that has no usable replica identity: the application's own UPDATE would fail.
"""

from collections.abc import Callable
from typing import Final

import psycopg

from adapters.postgres.catalog import (
    CatalogTable,
    Publication,
    ServerFacts,
    Slot,
    quoted,
    quoted_table,
    read_publications,
    read_server,
    read_slot,
    read_table,
)
from adapters.postgres.server import PostgresServer
from adapters.postgres.slot_creation import create_slot, drop_slot
from adapters.postgres.start_verdict import judge_start
from bridge.capture.cursor import CaptureCursor
from bridge.capture.ports import Preparation, TableShape
from bridge.model.errors import SourceUnfit
from bridge.model.lsn import parse_lsn

VERSION_MIN: Final = 140000

INSERT_SUFFIX: Final = "_insert"
"""Ends the name of the publication for tables that publish inserts and truncates only."""

_ALL_KINDS: Final = "insert, update, delete, truncate"
_INSERT_KINDS: Final = "insert, truncate"
_KINDS_STORED: Final = {_ALL_KINDS: "(t,t,t,t)", _INSERT_KINDS: "(t,f,f,t)"}

# Our own slot, and the temporary one that each run of the snapshot takes.
_SLOTS_NEEDED: Final = 2


class PostgresPreparation:
    """Prepares one source; every step can be repeated."""

    def __init__(
        self,
        server: PostgresServer,
        *,
        slot: str,
        publication: str,
        tables: tuple[str, ...],
        failover: bool = True,
    ) -> None:
        self._server = server
        self._slot = slot
        self._failover = failover
        self._names = {
            _ALL_KINDS: publication,
            _INSERT_KINDS: f"{publication}{INSERT_SUFFIX}",
        }
        self.publications = tuple(self._names.values())
        """Both always exist, even without a table: the server decodes old changes with the
        catalog of their time, and fails for good where a publication did not exist yet."""
        self._tables = tables

    def prepare(
        self, cursor: CaptureCursor | None, check: Callable[[TableShape], None] | None = None
    ) -> Preparation:
        """Return the source's shape and where its stream starts."""
        with self._server.connect() as connection, self._server.errors("prepare"):
            facts = read_server(connection)
            slot = read_slot(connection, self._slot)
            self._check_server(facts, slot)
            if slot is not None:
                self._check_slot(slot, facts)
            system_id, timeline, flushed = self._identify()
            if cursor is not None:
                verdict = judge_start(
                    self._server,
                    connection,
                    cursor,
                    slot=self._slot,
                    system_id=system_id,
                    timeline=timeline,
                    flushed=flushed,
                )
                verdict.enforce(f"source database at {self._server.place}", cursor.end_lsn)
            tables = [self._read_table(connection, name, facts.role) for name in self._tables]
            for table in tables:
                if check is not None:
                    check(table.shape)
            # Nothing is created before everything was found right.
            with connection.transaction():
                self._publish(connection, facts, tables, slot)
            start_lsn = cursor.end_lsn if cursor else self._first_lsn(connection, slot)
        return Preparation(
            system_id=system_id,
            timeline=timeline,
            start_lsn=start_lsn,
            tables=tuple(table.shape for table in tables),
        )

    def _check_server(self, facts: ServerFacts, slot: Slot | None) -> None:
        if facts.version < VERSION_MIN:
            raise self._unfit(f"server version is {facts.version_text}; 14 is the oldest supported")
        if facts.wal_level != "logical":
            raise self._unfit(
                f"wal_level is {facts.wal_level!r}; set wal_level = logical and restart the server"
            )
        if not facts.may_replicate:
            raise self._unfit(
                f"role {facts.role!r} lacks REPLICATION; "
                f"run: ALTER ROLE {quoted(facts.role)} REPLICATION"
            )
        needed = _SLOTS_NEEDED if slot is None else _SLOTS_NEEDED - 1
        if facts.slots_used + needed > facts.slots_max:
            raise self._unfit(
                f"{facts.slots_used} of {facts.slots_max} replication slots are in use, {needed} "
                f"more are needed; raise max_replication_slots or drop an unused slot"
            )

    def _read_table(self, connection: psycopg.Connection, name: str, role: str) -> CatalogTable:
        table = read_table(connection, name)
        if table is None:
            raise self._unfit(f"table {name!r} does not exist; correct its contract's mapping")
        if table.kind not in "rp" or table.persistence != "p":
            raise self._unfit(
                f"{name!r} is not an ordinary, logged table; its changes are not in the WAL"
            )
        if not table.may_select:
            raise self._unfit(
                f"no SELECT right on table {name!r}; run: "
                f"GRANT SELECT ON {quoted_table(table.shape.relation)} TO {quoted(role)}"
            )
        return table

    def _publish(
        self,
        connection: psycopg.Connection,
        facts: ServerFacts,
        tables: list[CatalogTable],
        slot: Slot | None,
    ) -> None:
        """Give both publications exactly our tables, each table in the one that fits it."""
        existing = read_publications(connection, self.publications)
        wanted = {
            kinds: {
                table.shape.relation.name: table
                for table in tables
                if table.identifiable == (kinds == _ALL_KINDS)
            }
            for kinds in self._names
        }
        for kinds, name in self._names.items():
            if name in existing:
                self._check_publication(existing[name], kinds)
            elif slot is not None:
                raise self._unfit(
                    f"publication {name!r} is gone but slot {self._slot!r} is not, and the server "
                    "cannot decode changes from before a publication; drop the slot and name a "
                    "new source to read the tables afresh"
                )
        # Out of the wrong publication first: a table must never be in both.
        for kinds, name in self._names.items():
            if name in existing:
                self._withdraw(connection, existing[name], wanted[kinds])
        commands = [
            command
            for kinds, name in self._names.items()
            if (command := _publish_command(name, kinds, existing.get(name), wanted[kinds]))
        ]
        self._check_rights(facts, tables, existing, commands)
        for command in commands:
            connection.execute(command.encode())

    def _check_rights(
        self,
        facts: ServerFacts,
        tables: list[CatalogTable],
        existing: dict[str, Publication],
        commands: list[str],
    ) -> None:
        if not commands:
            return
        strange = [table for table in tables if not table.may_publish]
        if strange:
            lacking = f"ownership of table {strange[0].shape.relation.name!r}"
        elif len(existing) < len(self._names) and not facts.may_create:
            lacking = f"CREATE on database {facts.database!r}"
        else:
            return
        raise self._unfit(
            f"role {facts.role!r} cannot publish: it lacks {lacking}; let an owner run: "
            + "; ".join(commands)
        )

    def _check_publication(self, publication: Publication, kinds: str) -> None:
        if publication.all_tables:
            raise self._unfit(
                f"publication {publication.name!r} is FOR ALL TABLES, which makes UPDATE fail on "
                f"tables without a key; drop it, it is then created per table"
            )
        if publication.kinds != _KINDS_STORED[kinds]:
            raise self._unfit(
                f"publication {publication.name!r} does not publish exactly {kinds!r}; run: "
                f"ALTER PUBLICATION {quoted(publication.name)} SET (publish = '{kinds}')"
            )
        strangers = publication.tables - set(self._tables)
        if strangers:
            raise self._unfit(
                f"publication {publication.name!r} has table {min(strangers)!r}, which has no "
                f"contract; add one, or run: ALTER PUBLICATION {quoted(publication.name)} "
                f"DROP TABLE {min(strangers)}"
            )

    def _withdraw(
        self,
        connection: psycopg.Connection,
        publication: Publication,
        wanted: dict[str, CatalogTable],
    ) -> None:
        for name in sorted(publication.tables - set(wanted)):
            schema, _, table = name.rpartition(".")
            command = (
                f"ALTER PUBLICATION {quoted(publication.name)} "
                f"DROP TABLE {quoted(schema)}.{quoted(table)}"
            )
            connection.execute(command.encode())

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
        if slot is not None:
            drop_slot(connection, self._slot)  # Its WAL is gone: nothing can be read from it.
        return create_slot(self._server, connection, self._slot, failover=self._failover)

    def _check_slot(self, slot: Slot, facts: ServerFacts) -> None:
        if slot.plugin != "pgoutput" or slot.database != facts.database:
            raise self._unfit(
                f"slot {self._slot!r} belongs to plugin {slot.plugin!r} on database "
                f"{slot.database!r}; configure another slot name"
            )

    def _unfit(self, why: str) -> SourceUnfit:
        return SourceUnfit(f"cannot capture source database at {self._server.place}: {why}")


def _publish_command(
    name: str, kinds: str, existing: Publication | None, wanted: dict[str, CatalogTable]
) -> str | None:
    """Return the SQL that publishes what is `wanted` and missing, or None."""
    published = existing.tables if existing else frozenset()
    # ONLY: children of an inheritance parent are tables of their own.
    listed = ", ".join(
        ("" if table.kind == "p" else "ONLY ") + quoted_table(table.shape.relation)
        for table_name, table in sorted(wanted.items())
        if table_name not in published
    )
    if existing is None:
        tables = f" FOR TABLE {listed}" if listed else ""
        options = f"publish = '{kinds}', publish_via_partition_root = true"
        return f"CREATE PUBLICATION {quoted(name)}{tables} WITH ({options})"
    return f"ALTER PUBLICATION {quoted(name)} ADD TABLE {listed}" if listed else None
