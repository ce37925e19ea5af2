"""Create what capture needs in a database, and take leave of it without a trace.

Often by another role than the one that captures: an owner of the tables sets up, and capture needs
REPLICATION and SELECT only.
"""

import time
from typing import Final

import psycopg

from adapters.postgres.blockers import blocked
from adapters.postgres.catalog import ServerFacts, Slot, fetch_rows, quoted, read_server, read_slot
from adapters.postgres.inspection.look import Capturing, look
from adapters.postgres.preparation import refuse
from adapters.postgres.publication import publication_names
from adapters.postgres.publication_catalog import Publication, read_publications
from adapters.postgres.server import PostgresServer
from bridge.capture.findings import Leave, SetupStep
from bridge.model.errors import SourceUnavailable, SourceUnfit

# Rights that only the capturing role needs.
_READING: Final = frozenset({"table-rights", "row-security"})

# A reader that was ended comes back within a fraction of a second, to find its slot gone; the one
# that came back before is ended too.
_DROP_S_MAX: Final = 10.0
_TERMINATE_MS: Final = 2_000

# A primary logs its running transactions at each checkpoint, and every 15 s while it is busy.
_STANDBY_WAIT_MS: Final = 20_000

_READER = """
select pid, application_name as application, usename::text as user_name,
       coalesce(host(client_addr), 'a local socket') as address, backend_start
  from pg_stat_activity
 where pid = %s
"""

_LEFT = {
    "replication slots": """
        select slot_name::text from pg_replication_slots
         where slot_name = %(slot)s or slot_name like %(slot_prefix)s""",
    "publications": """
        select pubname::text from pg_publication where pubname = any(%(publications)s)""",
    "published tables": """
        select schemaname || '.' || tablename from pg_publication_tables
         where pubname = any(%(publications)s)""",
    "replication origins": """
        select roname from pg_replication_origin where roname like %(name_prefix)s""",
    "sessions": """
        select 'pid ' || pid from pg_stat_activity
         where application_name = %(application)s and pid <> pg_backend_pid()""",
    "tables, views, sequences and indexes": """
        select relname::text from pg_class where relname like %(name_prefix)s""",
    "functions": "select proname::text from pg_proc where proname like %(name_prefix)s",
    "triggers": "select tgname::text from pg_trigger where tgname like %(name_prefix)s",
    "event triggers": """
        select evtname::text from pg_event_trigger where evtname like %(name_prefix)s""",
    "schemas": "select nspname::text from pg_namespace where nspname like %(name_prefix)s",
}


class PostgresSetup:
    """Implements `SourceSetup`, by a role that may create and drop."""

    def __init__(self, server: PostgresServer, capturing: Capturing, *, reader: str) -> None:
        """`reader` is the `application_name` of our own stream."""
        self._server = server
        self._capturing = capturing
        self._publications = tuple(publication_names(capturing.publication).values())
        self._reader = reader

    def set_up(self) -> list[SetupStep]:
        """Create what is missing: publications in one transaction, then the slot.

        Raises:
            SourceUnfit: a setting, a right or a table is not as it has to be; nothing was created.
            SourceUnavailable: writing transactions kept the slot from being created; what was
                created before stays, and setting up again goes on there.
        """
        with self._server.connect() as connection, self._server.errors("set up"):
            found = look(connection, self._capturing)
            refuse(self._server, found.server_problems)
            refuse(self._server, [p for p in found.table_problems if p.check not in _READING])
            with connection.transaction():
                for step in found.publication_steps:
                    connection.execute(step.sql.encode())
            for step in found.slot_steps:
                self._create_slot(connection, step, on_standby=found.facts.in_recovery)
        return list(found.steps)

    def _create_slot(
        self, connection: psycopg.Connection, step: SetupStep, *, on_standby: bool
    ) -> None:
        name = self._capturing.slot
        if on_standby:
            # There it waits for WAL that an idle primary does not write, not for a lock.
            connection.execute(f"set statement_timeout = {_STANDBY_WAIT_MS}".encode())
        try:
            connection.execute(step.sql.encode())
        except psycopg.errors.LockNotAvailable as exc:
            raise blocked(self._server, connection, f"create slot {name!r}") from exc
        except psycopg.errors.QueryCanceled as exc:
            raise SourceUnavailable(
                f"cannot create slot {name!r} on standby {self._server.place}: its primary has "
                f"logged no snapshot of running transactions for {_STANDBY_WAIT_MS / 1000:g} s; "
                "run SELECT pg_log_standby_snapshot() on the primary meanwhile, and set up again"
            ) from exc

    def teardown_steps(self) -> list[SetupStep]:
        """Return what taking leave would run now."""
        with self._server.connect() as connection, self._server.errors("look at"):
            return self._leaving(connection)

    def take_down(self, *, force: bool = False) -> Leave:
        """Drop the slot, then the publications, then look whether anything is left."""
        with self._server.connect() as connection, self._server.errors("take leave of"):
            facts = read_server(connection)
            slot = read_slot(connection, self._capturing.slot)
            self._refuse_others(
                facts, slot, read_publications(connection, self._publications), force=force
            )
            steps = self._leaving(connection)
            if slot is not None and slot.active_pid is not None:
                self._refuse_reader(connection, slot.active_pid, force=force)
            for step in steps:
                self._run(connection, step, force=force)
            looked_at, left = self._look_after(connection)
        return Leave(removed=tuple(steps), looked_at=looked_at, left=left)

    def _leaving(self, connection: psycopg.Connection) -> list[SetupStep]:
        slots = fetch_rows(
            connection,
            "select slot_name::text as name from pg_replication_slots"
            " where slot_name = %(slot)s or (slot_name like %(slot_prefix)s and not active)",
            self._names(),
        )
        existing = read_publications(connection, self._publications)
        return [
            *(
                SetupStep(
                    sql=f"SELECT pg_drop_replication_slot({_literal(slot.name)});",
                    why="from now on no WAL is kept for capture",
                )
                for slot in slots
            ),
            *(
                SetupStep(
                    sql=f"DROP PUBLICATION {quoted(name)};",
                    why=f"it published {len(existing[name].tables)} tables",
                )
                for name in self._publications
                if name in existing
            ),
        ]

    def _refuse_others(
        self,
        facts: ServerFacts,
        slot: Slot | None,
        existing: dict[str, Publication],
        *,
        force: bool,
    ) -> None:
        if slot is not None and (slot.plugin != "pgoutput" or slot.database != facts.database):
            raise self._unfit(
                f"slot {self._capturing.slot!r} belongs to plugin {slot.plugin!r} on database "
                f"{slot.database!r}; it is not ours"
            )
        for publication in existing.values():
            strangers = sorted(publication.tables - set(self._capturing.tables))
            if (strangers or publication.all_tables or publication.schemas) and not force:
                what = f"table {strangers[0]!r}" if strangers else "more than captured tables"
                raise self._unfit(
                    f"publication {publication.name!r} has {what}, which has no contract, so it "
                    "may be somebody else's; use --force if it is ours"
                )

    def _refuse_reader(self, connection: psycopg.Connection, pid: int, *, force: bool) -> None:
        """Raise unless the slot's reader is ours and may be ended."""
        rows = fetch_rows(connection, _READER, (pid,))
        if not rows:
            return  # It has just gone.
        reader = rows[0]
        who = (
            f"slot {self._capturing.slot!r} is read by pid {pid} (application "
            f"{reader.application!r}, user {reader.user_name!r}, from {reader.address})"
        )
        if not force:
            raise self._unfit(f"{who}; stop capture first, or use --force to end that session")
        if reader.application != self._reader:
            raise self._unfit(f"{who}, which is not our capture ({self._reader!r}); stop it first")

    def _run(self, connection: psycopg.Connection, step: SetupStep, *, force: bool) -> None:
        give_up = time.monotonic() + _DROP_S_MAX
        while True:
            slot = read_slot(connection, self._capturing.slot)
            if force and slot is not None and slot.active_pid is not None:
                self._refuse_reader(connection, slot.active_pid, force=True)
                connection.execute(
                    "select pg_terminate_backend(%s, %s)", (slot.active_pid, _TERMINATE_MS)
                )
            try:
                connection.execute(step.sql.encode())
            except psycopg.errors.ObjectInUse:
                if not force or time.monotonic() > give_up:
                    raise
                continue
            return

    def _look_after(
        self, connection: psycopg.Connection
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what was looked through, and what is left of ours."""
        looked_at, left = [], []
        for kind, query in _LEFT.items():
            with connection.cursor() as cursor:
                found = [row[0] for row in cursor.execute(query.encode(), self._names())]
            looked_at.append(f"{kind}: {len(found)} of ours")
            left += [f"{kind}: {name}" for name in found]
        return tuple(looked_at), tuple(left)

    def _names(self) -> dict[str, object]:
        slot = self._capturing.slot
        return {
            "slot": slot,
            "slot_prefix": f"{_like(slot)}\\_snapshot\\_%",
            "publications": list(self._publications),
            "name_prefix": f"{_like(slot)}%",
            "application": self._reader,
        }

    def _unfit(self, why: str) -> SourceUnfit:
        return SourceUnfit(f"cannot take leave of source database at {self._server.place}: {why}")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _like(text: str) -> str:
    """Return `text` as a LIKE pattern of itself."""
    return text.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
