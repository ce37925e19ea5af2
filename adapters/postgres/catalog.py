"""What the catalog says about the server and its slots, and how SQL names things.

Tables and publications have modules of their own beside this one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from bridge.model.change import Relation
from bridge.model.lsn import parse_lsn

_SLOT = """
select plugin, database, active_pid, wal_status,
       confirmed_flush_lsn::text as confirmed
  from pg_replication_slots
 where slot_name = %s
"""

_SERVER = """
select current_setting('server_version_num')::int as version,
       current_setting('server_version') as version_text,
       current_setting('wal_level') as wal_level,
       current_user::text as role,
       current_database()::text as database,
       r.rolreplication or r.rolsuper as may_replicate, r.rolsuper as is_superuser,
       r.rolconnlimit as connections_max,
       pg_is_in_recovery() as in_recovery,
       has_database_privilege(current_database(), 'CREATE') as may_create,
       current_setting('max_replication_slots')::int as slots_max,
       (select count(*)::int from pg_replication_slots) as slots_used,
       current_setting('max_wal_senders')::int as senders_max,
       (select count(*)::int from pg_stat_replication) as senders_used
  from pg_roles r where r.rolname = current_user
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A replication slot of the legacy database."""

    plugin: str | None
    database: str | None
    active_pid: int | None
    wal_status: str | None
    """`reserved`, `extended`, `unreserved` or `lost`."""
    confirmed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """Settings and rights that capture depends on."""

    version: int
    version_text: str
    wal_level: str
    role: str
    database: str
    may_replicate: bool
    is_superuser: bool
    connections_max: int
    """Of our role; -1 is no limit."""
    in_recovery: bool
    """The server is a standby."""
    may_create: bool
    slots_max: int
    slots_used: int
    senders_max: int
    senders_used: int


def quoted(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(relation: Relation) -> str:
    """Return the table's qualified, quoted name."""
    return f"{quoted(relation.schema)}.{quoted(relation.table)}"


def read_server(connection: psycopg.Connection) -> ServerFacts:
    """Return the server's settings and our role's rights."""
    (row,) = fetch_rows(connection, _SERVER)
    return ServerFacts(**row._asdict())


def read_slot(connection: psycopg.Connection, name: str) -> Slot | None:
    """Return the slot called `name`, or None when there is none."""
    found = fetch_rows(connection, _SLOT, (name,))
    if not found:
        return None
    row = found[0]
    return Slot(
        plugin=row.plugin,
        database=row.database,
        active_pid=row.active_pid,
        wal_status=row.wal_status,
        confirmed=parse_lsn(row.confirmed) if row.confirmed else None,
    )


def fetch_rows(
    connection: psycopg.Connection, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> list[Any]:
    """Return the rows of a catalog query as named tuples."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return list(cursor.execute(query, parameters or None).fetchall())
