"""What the catalog says about tables, publications and slots, read with plain queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from bridge.capture.ports import TableShape
from bridge.model.change import Column, Relation
from bridge.model.lsn import parse_lsn

# Identity columns are what an UPDATE or DELETE sends of the old row; the snapshot orders by the
# primary key, or by the identity index of a table that has none.
_TABLE = """
select c.oid, n.nspname as schema, c.relname as table, c.relkind::text as kind,
       c.relpersistence::text as persistence, c.relreplident::text as identity,
       pg_get_userbyid(c.relowner) as owner,
       has_table_privilege(c.oid, 'SELECT') as may_select,
       pg_has_role(c.relowner, 'USAGE') as may_publish,
       (select i.indexrelid from pg_index i
         where i.indrelid = c.oid and i.indisprimary) as primary_index,
       (select i.indexrelid from pg_index i
         where i.indrelid = c.oid and i.indisreplident) as identity_index
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.oid = to_regclass(%s)
"""

_COLUMNS = """
select attnum, attname, atttypid, atttypmod, attgenerated::text as generated
  from pg_attribute
 where attrelid = %s and attnum > 0 and not attisdropped
 order by attnum
"""

_INDEX_COLUMNS = """
select k.attnum
  from pg_index i, unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality as k(attnum, place)
 where i.indexrelid = %s
 order by k.place
"""

_PUBLICATIONS = """
select p.pubname as name, p.puballtables as all_tables,
       (p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate)::text as kinds,
       pg_get_userbyid(p.pubowner) as owner,
       (select coalesce(array_agg(t.schemaname || '.' || t.tablename), '{}')
          from pg_publication_tables t where t.pubname = p.pubname) as tables
  from pg_publication p
 where p.pubname = any(%s)
"""

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
       (select rolreplication or rolsuper from pg_roles where rolname = current_user)
         as may_replicate,
       has_database_privilege(current_database(), 'CREATE') as may_create,
       current_setting('max_replication_slots')::int as slots_max,
       (select count(*)::int from pg_replication_slots) as slots_used
"""

# Creating a slot waits for every transaction that writes now; these are the oldest of them.
_WRITERS = """
select pid, floor(extract(epoch from clock_timestamp() - xact_start))::int as age_s
  from pg_stat_activity
 where backend_xid is not null and pid <> pg_backend_pid()
 order by xact_start
 limit 3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogTable:
    """A table of the legacy database as the catalog describes it now."""

    shape: TableShape
    kind: str
    persistence: str
    owner: str
    may_select: bool
    may_publish: bool
    identifiable: bool
    """Whether a published UPDATE or DELETE is possible: otherwise publishing it would make the
    application's own statement fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A publication of the legacy database."""

    name: str
    all_tables: bool
    kinds: str
    owner: str
    tables: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A replication slot of the legacy database."""

    plugin: str | None
    database: str | None
    active_pid: int | None
    wal_status: str | None
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
    may_create: bool
    slots_max: int
    slots_used: int


def quoted(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(relation: Relation) -> str:
    """Return the table's qualified, quoted name."""
    return f"{quoted(relation.schema)}.{quoted(relation.table)}"


def read_server(connection: psycopg.Connection) -> ServerFacts:
    """Return the server's settings and our role's rights."""
    (row,) = _rows(connection, _SERVER)
    return ServerFacts(**row._asdict())


def read_table(connection: psycopg.Connection, name: str) -> CatalogTable | None:
    """Return the table that `schema.table` names, or None when there is none."""
    schema, _, table = name.rpartition(".")
    found = _rows(connection, _TABLE, (f"{quoted(schema)}.{quoted(table)}",))
    if not found:
        return None
    row = found[0]
    primary = _index_columns(connection, row.primary_index)
    identity = primary if row.identity == "d" else _index_columns(connection, row.identity_index)
    key_numbers = primary or identity
    names: dict[int, str] = {}
    columns = []
    for column in _rows(connection, _COLUMNS, (row.oid,)):
        names[column.attnum] = column.attname
        if column.generated:
            continue  # The stream does not carry generated columns either.
        is_key = row.identity == "f" or (row.identity != "n" and column.attnum in identity)
        columns.append(
            Column(
                name=column.attname,
                type_oid=column.atttypid,
                type_modifier=column.atttypmod,
                is_key=is_key,
            )
        )
    relation = Relation(
        oid=row.oid,
        schema=row.schema,
        table=row.table,
        identity=row.identity,
        columns=tuple(columns),
    )
    key = tuple(names[number] for number in key_numbers)
    return CatalogTable(
        shape=TableShape(relation=relation, key=key),
        kind=row.kind,
        persistence=row.persistence,
        owner=row.owner,
        may_select=row.may_select,
        may_publish=row.may_publish,
        identifiable=row.identity == "f" or (row.identity != "n" and bool(identity)),
    )


def read_publications(
    connection: psycopg.Connection, names: Sequence[str]
) -> dict[str, Publication]:
    """Return those of the named publications that exist."""
    return {
        row.name: Publication(
            name=row.name,
            all_tables=row.all_tables,
            kinds=row.kinds,
            owner=row.owner,
            tables=frozenset(row.tables),
        )
        for row in _rows(connection, _PUBLICATIONS, (list(names),))
    }


def read_slot(connection: psycopg.Connection, name: str) -> Slot | None:
    """Return the slot called `name`, or None when there is none."""
    found = _rows(connection, _SLOT, (name,))
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


def read_writers(connection: psycopg.Connection) -> str:
    """Return the oldest writing transactions as text: `pid 41 (12 s), pid 57 (3 s)`."""
    rows = _rows(connection, _WRITERS)
    return ", ".join(f"pid {row.pid} ({row.age_s} s)" for row in rows) or "none any more"


def _index_columns(connection: psycopg.Connection, index_oid: int | None) -> tuple[int, ...]:
    if index_oid is None:
        return ()
    return tuple(row.attnum for row in _rows(connection, _INDEX_COLUMNS, (index_oid,)))


def _rows(connection: psycopg.Connection, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return list(cursor.execute(query, parameters or None).fetchall())
