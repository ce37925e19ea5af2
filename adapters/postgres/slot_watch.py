"""Read our slot beside the stream: positions, headroom, and what its sender waits for."""

import contextlib
from typing import Final

import psycopg
from psycopg.rows import dict_row

from adapters.postgres.server import PostgresServer
from bridge.capture.guard.wal_guard import SlotReading
from bridge.model.errors import SourceUnavailable
from bridge.model.lsn import parse_lsn

# A look reads shared memory; one that takes longer waits for a server in trouble.
_STATEMENT_TIMEOUT_MS: Final = 5_000

# As JSON: columns came with the versions. What a process waits for is shown to its own role.
_READING = """
select extract(epoch from clock_timestamp())::float8 as at_s,
       (case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
             else pg_current_wal_lsn() end)::text as position,
       to_jsonb(s) as slot, r.sent_lsn::text as sent, a.wait_event
  from (values (1)) one
  left join pg_replication_slots s on s.slot_name = %s
  left join pg_stat_replication r on r.pid = s.active_pid
  left join pg_stat_activity a on a.pid = s.active_pid
"""

_DROP = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s"


# Shown to the role that reads, and to members of pg_monitor; to others only the pid.
_HOLDER = """
select a.application_name, host(a.client_addr),
       floor(extract(epoch from clock_timestamp() - a.backend_start))::int
  from pg_replication_slots s join pg_stat_activity a on a.pid = s.active_pid
 where s.slot_name = %s
"""


def read_holder(server: PostgresServer, slot: str) -> str:
    """Return who reads `slot` now, as ` (application …, from …, since … s)`; empty if unknown."""
    try:
        with server.connect() as connection:
            row = connection.execute(_HOLDER, (slot,)).fetchone()
    except (psycopg.Error, SourceUnavailable):
        return ""
    if row is None or row[2] is None:
        return ""
    return f" (application {row[0]!r}, from {row[1] or 'this machine'}, since {row[2]} s)"


class PostgresSlotReader:
    """Implements `SlotReader`; opens its connection when first asked, and again after an error."""

    def __init__(self, server: PostgresServer, slot: str) -> None:
        self._server = server
        self._slot = slot
        self._connection: psycopg.Connection | None = None

    def read(self) -> SlotReading:
        """Return what the server says about the slot now."""
        try:
            with (
                self._server.errors("look at the slot of"),
                self._open().cursor(row_factory=dict_row) as cursor,
            ):
                row = cursor.execute(_READING, (self._slot,)).fetchone()
        except BaseException:
            self.close()
            raise
        assert row is not None, "the query always has one row"
        slot = row["slot"] or {}
        invalidation = slot.get("invalidation_reason")
        if invalidation is None and slot.get("conflicting"):
            invalidation = "conflicting"
        return SlotReading(
            at_s=row["at_s"],
            position=parse_lsn(row["position"]),
            restart_lsn=_lsn(slot.get("restart_lsn")),
            confirmed=_lsn(slot.get("confirmed_flush_lsn")),
            wal_status=slot.get("wal_status"),
            safe_bytes=slot.get("safe_wal_size"),
            active=bool(slot.get("active")),
            sent=_lsn(row["sent"]),
            wait_event=row["wait_event"],
            invalidation=invalidation,
            exists=bool(slot),
        )

    def drop(self) -> None:
        """Drop the slot; the stream that read it must have ended."""
        # A connection of its own: this is called by the thread that reads the stream.
        with self._server.connect() as connection:
            try:
                connection.execute(_DROP, (self._slot,))
            except psycopg.errors.ObjectInUse as exc:
                raise SourceUnavailable(
                    f"cannot drop slot {self._slot!r} at {self._server.place}: "
                    f"{exc.diag.message_primary}; it is tried again"
                ) from exc
            except psycopg.Error as exc:
                raise self._server.translate(exc, "drop the slot of") from exc

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _open(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = self._server.connect()
            self._connection.execute(f"set statement_timeout = {_STATEMENT_TIMEOUT_MS}".encode())
        return self._connection


def _lsn(text: str | None) -> int | None:
    return parse_lsn(text) if text else None
