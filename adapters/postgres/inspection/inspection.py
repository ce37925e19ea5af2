"""Look at a PostgreSQL source without touching it, with whatever rights the role has."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import psycopg

from adapters.postgres.catalog import fetch_rows
from adapters.postgres.inspection.activity import (
    count_large_objects,
    slot_notes,
    standby_notes,
    stranger_notes,
    subscription_notes,
    transaction_notes,
    wal_notes,
)
from adapters.postgres.inspection.look import Capturing, Look, look
from adapters.postgres.inspection.server_notes import read_settings, server_notes
from adapters.postgres.inspection.table_notes import not_captured, table_notes
from adapters.postgres.publication import publication_names
from adapters.postgres.server import PostgresServer
from bridge.capture.findings import Finding, Level, SetupStep, sort_findings, worst
from bridge.model.errors import BridgeError, SourceUnfit

# What needs more than connecting, and the right that opens it.
_RIGHTS: Final = {"wal-volume": "pg_monitor", "origin": "a superuser"}


class PostgresInspection:
    """Implements `SourceInspection`. Every look is one or a few plain catalog queries."""

    def __init__(
        self, server: PostgresServer, capturing: Capturing, *, writes: Sequence[str] = ()
    ) -> None:
        """`writes` names what the settings ask to be written into the source, if anything."""
        self._server = server
        self._capturing = capturing
        self._writes = tuple(writes)

    def inspect(self) -> list[Finding]:
        """Return what was found; a source that does not answer is a finding too."""
        try:
            with self._server.connect() as connection, self._server.errors("look at"):
                connection.execute("set default_transaction_read_only = on")
                found = look(connection, self._capturing)
                findings = self._all(connection, found)
            findings += self._replication(found)
        except BridgeError as exc:
            return [Finding(level=Level.ERROR, check="connect", what=str(exc))]
        return sort_findings(findings)

    def setup_steps(self) -> list[SetupStep]:
        """Return what setting up would run now."""
        with self._server.connect() as connection, self._server.errors("look at"):
            found = look(connection, self._capturing)
        return list(found.steps)

    def _all(self, connection: psycopg.Connection, found: Look) -> list[Finding]:
        ours = publication_names(self._capturing.publication)
        facts = found.facts

        def attempt(check: str, notes: Callable[[], Iterable[Finding]]) -> list[Finding]:
            try:
                return list(notes())
            except psycopg.errors.InsufficientPrivilege:
                return [_unseen(check, facts.role)]

        findings = [*found.server_problems, *found.table_problems]
        findings += server_notes(facts, found.slot, read_settings(connection))
        findings += attempt("slot", lambda: slot_notes(connection, facts, self._capturing.slot))
        findings += attempt(
            "open-transactions",
            lambda: transaction_notes(connection, facts, slot_exists=found.slot is not None),
        )
        findings += attempt(
            "other-publications",
            lambda: stranger_notes(connection, tuple(ours.values()), dict(found.tables)),
        )
        findings += attempt("failover", lambda: standby_notes(connection, facts))
        findings += attempt("wal-volume", lambda: wal_notes(connection))
        findings += attempt("origin", lambda: subscription_notes(connection))
        findings += self._not_captured(connection)
        findings += self._publications(found)
        findings.append(self._written())
        findings += self._tables(found)
        return findings

    def _tables(self, found: Look) -> list[Finding]:
        broken = {problem.table for problem in found.table_problems}
        return [
            note
            for name, table in sorted(found.tables.items())
            # What is no table at all has no identity to speak of.
            if name not in broken or table.kind in "rp"
            for note in table_notes(
                table,
                next(
                    (p.published[name] for p in found.publications.values() if name in p.published),
                    None,
                ),
                self._capturing.mapped.get(name),
                found.facts.version,
            )
            if note.check not in {p.check for p in found.table_problems if p.table == name}
        ]

    def _publications(self, found: Look) -> list[Finding]:
        if worst(found.table_problems) is Level.ERROR and any(
            problem.check.startswith("publication") for problem in found.table_problems
        ):
            return []
        if found.publication_steps:
            return [
                Finding(
                    level=Level.NOTICE,
                    check="publication",
                    what=f"{len(found.publication_steps)} statements would bring the publications "
                    "to what the contracts ask for",
                    why="capture runs them when it starts, as far as its role may; --dry-run shows "
                    "them",
                )
            ]
        names = ", ".join(repr(name) for name in found.publications)
        return [
            Finding(
                level=Level.OK,
                check="publication",
                what=f"publications {names} have exactly the {len(found.tables)} tables",
            )
        ]

    def _not_captured(self, connection: psycopg.Connection) -> list[Finding]:
        try:
            count = count_large_objects(connection)
        except psycopg.errors.InsufficientPrivilege:
            count = None
        return [
            Finding(level=Level.NOTICE, check=check, what=what)
            for check, what in not_captured(count).items()
        ]

    def _written(self) -> Finding:
        if not self._writes:
            return Finding(
                level=Level.OK,
                check="writes",
                what="capture writes nothing into the database: no heartbeat, no watermark, no "
                "trigger, no table",
            )
        return Finding(
            level=Level.NOTICE,
            check="writes",
            what=f"the settings ask for writes into the database: {', '.join(self._writes)}",
        )

    def _replication(self, found: Look) -> list[Finding]:
        """Try what no catalog tells: whether a replication connection is let in."""
        if not found.facts.may_replicate:
            return []  # It is told already that the role lacks the right.
        try:
            with self._server.connect_replication() as connection:
                (row,) = fetch_rows(connection, "IDENTIFY_SYSTEM")
        except SourceUnfit as exc:
            return [Finding(level=Level.ERROR, check="replication-connection", what=str(exc))]
        return [
            Finding(
                level=Level.OK,
                check="replication-connection",
                what=f"a replication connection is let in (cluster {row.systemid}, timeline "
                f"{row.timeline})",
            )
        ]


def _unseen(check: str, role: str) -> Finding:
    return Finding(
        level=Level.NOTICE,
        check=check,
        what=f"could not look: role {role!r} lacks the right",
        fix=f"look as {_RIGHTS.get(check, 'a member of pg_monitor')}, or leave it",
    )
