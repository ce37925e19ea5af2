"""Create our logical slot, as a failover slot where the server has them; drop one that is lost."""

import threading
from contextlib import suppress
from typing import Final

import psycopg

from adapters.postgres.blockers import blocked
from adapters.postgres.catalog import quoted
from adapters.postgres.server import PostgresServer
from bridge.model.errors import SourceUnavailable
from bridge.model.lsn import parse_lsn

FAILOVER_VERSION_MIN: Final = 170000
"""From here on a slot can be copied to standbys, so that it survives a failover."""

# A standby waits for its primary to log which transactions run: at a checkpoint, or within 15 s of
# the next write. No lock is waited for, so `lock_timeout` does not bound it.
STANDBY_WAIT_S_DEFAULT: Final = 30.0

_DROP = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s"


def create_slot(
    server: PostgresServer,
    connection: psycopg.Connection,
    name: str,
    *,
    failover: bool,
    standby_wait_s: float = STANDBY_WAIT_S_DEFAULT,
) -> int:
    """Create the slot and return its consistent point; waits for open writers, for a bounded time.

    With `failover` it is created as a failover slot, if the server is not itself a standby and
    new enough.

    Raises:
        SourceUnavailable: writing transactions stayed open for too long, or a standby's primary
            was idle; it is tried again.
    """
    on_standby = connection.execute("select pg_is_in_recovery()").fetchone() == (True,)
    options = "NOEXPORT_SNAPSHOT"
    if failover and not on_standby and connection.info.server_version >= FAILOVER_VERSION_MIN:
        options = "(SNAPSHOT 'nothing', FAILOVER true)"
    command = f"CREATE_REPLICATION_SLOT {quoted(name)} LOGICAL pgoutput {options}"
    try:
        with server.connect_replication() as replication:
            timer = threading.Timer(standby_wait_s, _cancel, (replication,))
            if on_standby:
                timer.start()
            try:
                created = replication.execute(command.encode()).fetchone()
            finally:
                timer.cancel()
    except psycopg.errors.LockNotAvailable as exc:
        raise blocked(server, connection, f"create slot {name!r}") from exc
    except psycopg.errors.QueryCanceled as exc:
        if not on_standby:
            raise
        raise SourceUnavailable(
            f"cannot create slot {name!r} on standby {server.place}: its primary has logged no "
            f"snapshot of running transactions for {standby_wait_s:g} s; run on the primary: "
            "SELECT pg_log_standby_snapshot(); it is tried again"
        ) from exc
    assert created is not None, "CREATE_REPLICATION_SLOT always has a row"
    return parse_lsn(created[1])


def drop_slot(connection: psycopg.Connection, name: str) -> None:
    """Drop the slot, if it is there."""
    connection.execute(_DROP, (name,))


def _cancel(connection: psycopg.Connection) -> None:
    with suppress(psycopg.Error):  # It has ended meanwhile.
        connection.cancel_safe(timeout=2)
