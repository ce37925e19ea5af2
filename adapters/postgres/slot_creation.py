"""Create our logical slot, as a failover slot where the server has them; drop one that is lost."""

from typing import Final

import psycopg

from adapters.postgres.blockers import blocked
from adapters.postgres.catalog import quoted
from adapters.postgres.server import PostgresServer
from bridge.model.lsn import parse_lsn

FAILOVER_VERSION_MIN: Final = 170000
"""From here on a slot can be copied to standbys, so that it survives a failover."""

_DROP = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s"


def create_slot(
    server: PostgresServer, connection: psycopg.Connection, name: str, *, failover: bool
) -> int:
    """Create the slot and return its consistent point; waits for open writers, for a bounded time.

    With `failover` it is created as a failover slot, if the server is not itself a standby and
    new enough.

    Raises:
        SourceUnavailable: writing transactions stayed open for too long; it is tried again.
    """
    options = "NOEXPORT_SNAPSHOT"
    if failover and connection.info.server_version >= FAILOVER_VERSION_MIN:
        row = connection.execute("select pg_is_in_recovery()").fetchone()
        if row == (False,):
            options = "(SNAPSHOT 'nothing', FAILOVER true)"
    command = f"CREATE_REPLICATION_SLOT {quoted(name)} LOGICAL pgoutput {options}"
    try:
        with server.connect_replication() as replication:
            created = replication.execute(command.encode()).fetchone()
    except psycopg.errors.LockNotAvailable as exc:
        raise blocked(server, connection, f"create slot {name!r}") from exc
    assert created is not None, "CREATE_REPLICATION_SLOT always has a row"
    return parse_lsn(created[1])


def drop_slot(connection: psycopg.Connection, name: str) -> None:
    """Drop the slot, if it is there."""
    connection.execute(_DROP, (name,))
