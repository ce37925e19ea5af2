"""What goes on in the server beside us: slots, open transactions, publications of others, WAL."""

from collections.abc import Iterator
from typing import Final

import psycopg

from adapters.postgres.blockers import read_blockers, told
from adapters.postgres.catalog import ServerFacts, fetch_rows
from adapters.postgres.table_catalog import CatalogTable
from bridge.capture.findings import Finding, Level

# A transaction that has written and stays open for a minute is not an ordinary one.
_OPEN_S_MIN: Final = 60

# A slot that keeps more than this either lags or has lost its reader.
_RETAINED_BYTES_MAX: Final = 1024**3

_SLOTS = """
select slot_name::text as name, database::text as database, active, wal_status,
       (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end
         - restart_lsn)::bigint as retained, to_jsonb(s) ->> 'synced' as synced
  from pg_replication_slots s
 order by slot_name
"""

_STRANGERS = """
select p.pubname::text as name, t.schemaname || '.' || t.tablename as table
  from pg_publication p join pg_publication_tables t on t.pubname = p.pubname
 where (p.pubupdate or p.pubdelete) and p.pubname <> all(%s)
   and t.schemaname || '.' || t.tablename = any(%s)
 order by 1, 2
"""

_STANDBY_SLOTS = """
select w.name, s.active
  from regexp_split_to_table(current_setting('synchronized_standby_slots'), '\\s*,\\s*') w(name)
  left join pg_replication_slots s on s.slot_name = w.name and s.slot_type = 'physical'
 where w.name <> ''
"""

_WAL = "select count(*)::int as files, coalesce(sum(size), 0)::bigint as bytes from pg_ls_waldir()"

_SUBSCRIPTIONS = """
select s.subname::text as name from pg_subscription s join pg_database d on d.oid = s.subdbid
 where d.datname = current_database() order by 1
"""


def slot_notes(connection: psycopg.Connection, facts: ServerFacts, ours: str) -> Iterator[Finding]:
    """Judge the slots that are there, ours and others'."""
    rows = fetch_rows(connection, _SLOTS)
    mine = next((row for row in rows if row.name == ours), None)
    if mine is None:
        yield Finding(
            level=Level.NOTICE,
            check="slot",
            what=f"slot {ours!r} does not exist yet",
            why="it is created by `legacy-bridge source setup`, or when capture first starts; from "
            "then on it keeps WAL",
        )
    elif mine.wal_status == "lost":
        yield Finding(
            level=Level.ERROR,
            check="slot",
            what=f"slot {ours!r} is lost: the server gave up its WAL",
            why="changes that capture had not read yet cannot be had any more",
            fix="start capture: it records the gap, and says how to go on",
        )
    else:
        reader = "is read" if mine.active else "has no reader now"
        yield Finding(
            level=Level.OK,
            check="slot",
            what=f"slot {ours!r} {reader} and keeps {_megabytes(mine.retained)} of WAL",
        )
    for row in rows:
        lost = row.wal_status in ("lost", "unreserved")
        lags = (row.retained or 0) > _RETAINED_BYTES_MAX
        told_above = row.name == ours and row.wal_status == "lost"
        if not (lost or lags) or row.synced == "true" or told_above:
            continue
        state = f"is {row.wal_status}" if lost else f"keeps {_megabytes(row.retained)} of WAL"
        yield Finding(
            level=Level.WARNING,
            check="slots-that-lag",
            what=f"slot {row.name!r} of database {row.database!r} {state}"
            + ("" if row.active else ", and nobody reads it"),
            why="a slot that nobody reads keeps WAL and old catalog rows, for the whole server",
            fix="start its reader, or drop it if its reader will not come back",
            sql="" if row.name == ours else _drop_slot(row.name),
        )


def transaction_notes(
    connection: psycopg.Connection, facts: ServerFacts, *, slot_exists: bool
) -> Iterator[Finding]:
    """Judge transactions that have written and stay open."""
    blockers = read_blockers(connection, age_s_min=_OPEN_S_MIN)
    if not blockers:
        yield Finding(
            level=Level.OK,
            check="open-transactions",
            what=f"no writing transaction is open for more than {_OPEN_S_MIN} s",
        )
        return
    yield Finding(
        level=Level.NOTICE if slot_exists else Level.WARNING,
        check="open-transactions",
        what=f"{len(blockers)} writing transactions may be open for long: {told(blockers)}",
        why="creating a slot, and each first reading, waits for all of them; WAL is kept from the "
        "start of the oldest",
        fix="let them end before setting up",
    )


def stranger_notes(
    connection: psycopg.Connection, ours: tuple[str, ...], tables: dict[str, CatalogTable]
) -> Iterator[Finding]:
    """Name publications of others that make UPDATE fail on tables that we know."""
    unfit = [name for name, table in tables.items() if not table.identifiable]
    for row in fetch_rows(connection, _STRANGERS, (list(ours), unfit)):
        yield Finding(
            level=Level.WARNING,
            check="other-publications",
            table=row.table,
            what=f"publication {row.name!r}, which is not ours, publishes its updates",
            why="the table has no usable replica identity: the application's own UPDATE fails "
            "already",
            fix="ask whose publication it is",
        )


def standby_notes(connection: psycopg.Connection, facts: ServerFacts) -> Iterator[Finding]:
    """Judge whether the stream waits for a standby that is not there."""
    if facts.version < 170000:
        if not facts.in_recovery:
            yield Finding(
                level=Level.NOTICE,
                check="failover",
                what=f"PostgreSQL {facts.version // 10_000} does not copy slots to standbys",
                why="after a failover the slot is gone: capture stops, and the tables are compared "
                "and repaired",
            )
        return
    for row in fetch_rows(connection, _STANDBY_SLOTS):
        if row.active:
            continue
        state = "does not exist" if row.active is None else "has no standby now"
        yield Finding(
            level=Level.WARNING,
            check="failover",
            what=f"synchronized_standby_slots names slot {row.name!r}, which {state}",
            why="a failover slot sends nothing until every standby named there has confirmed: the "
            "stream stands still (also after a failover, when the setting came with the copy)",
            fix="bring the standby back, or take its slot out of the setting",
            sql="ALTER SYSTEM RESET synchronized_standby_slots; SELECT pg_reload_conf();",
        )


def wal_notes(connection: psycopg.Connection) -> Iterator[Finding]:
    """Tell how much WAL there is; free space is not to be seen from a connection."""
    (row,) = fetch_rows(connection, _WAL)
    yield Finding(
        level=Level.NOTICE,
        check="wal-volume",
        what=f"the WAL folder has {row.files} files, {_megabytes(row.bytes)}",
        why="the free space of its volume cannot be seen from here: compare it with "
        "max_slot_wal_keep_size on the server",
    )


def subscription_notes(connection: psycopg.Connection) -> Iterator[Finding]:
    """Tell whether some of the changes come from another database."""
    names = [row.name for row in fetch_rows(connection, _SUBSCRIPTIONS)]
    if names:
        yield Finding(
            level=Level.NOTICE,
            check="origin",
            what=f"the database subscribes to others ({', '.join(names)})",
            why="their changes are captured too and carry their origin; with replication in both "
            "directions that makes a loop",
        )


def count_large_objects(connection: psycopg.Connection) -> int:
    """Return how many large objects the database has."""
    (row,) = fetch_rows(connection, "select count(*)::int as n from pg_largeobject_metadata")
    return int(row.n)


def _drop_slot(name: str) -> str:
    literal = name.replace("'", "''")
    return f"SELECT pg_drop_replication_slot('{literal}');"


def _megabytes(size: int | None) -> str:
    return "an unknown amount" if size is None else f"{size / 1024**2:,.0f} MiB"
