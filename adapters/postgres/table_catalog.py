"""What the catalog says about one table: its columns, its key, and whether its rows can be told
apart when they change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import psycopg

from adapters.postgres.catalog import fetch_rows, quoted
from bridge.capture.ports import TableShape
from bridge.model.change import Column, Relation

# An index identifies a row for replication only when the server checks it at once: neither a
# deferrable nor an unfinished one does.
_TABLE = """
select c.oid, n.nspname as schema, c.relname as table, c.relkind::text as kind,
       c.relpersistence::text as persistence, c.relreplident::text as identity,
       row_security_active(c.oid) as row_security, c.relispartition as is_partition,
       pg_get_userbyid(c.relowner) as owner,
       has_schema_privilege(n.oid, 'USAGE') as may_use_schema,
       has_table_privilege(c.oid, 'SELECT') as may_select,
       pg_has_role(c.relowner, 'USAGE') as may_publish,
       n.nspname = 'information_schema' or n.nspname ~ '^pg_' as of_system,
       exists (select from pg_inherits h where h.inhparent = c.oid) as has_children,
       c.reltuples::bigint as rows_estimate,
       (select i.indexrelid from pg_index i
         where i.indrelid = c.oid and i.indisprimary) as primary_index,
       coalesce((select i.indimmediate and i.indisvalid from pg_index i
         where i.indrelid = c.oid and i.indisprimary), false) as primary_usable,
       (select i.indexrelid from pg_index i
         where i.indrelid = c.oid and i.indisreplident
           and i.indimmediate and i.indisvalid) as identity_index
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.oid = to_regclass(%s)
"""

# `toastable`: a value may be stored outside the row, and is then not sent with an UPDATE that
# leaves it alone. `plain`: a type of the server's own, not of an extension or a user.
_COLUMNS = """
select a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated::text as generated,
       format_type(a.atttypid, a.atttypmod) as type_name,
       a.attlen = -1 and a.attstorage in ('x', 'e', 'm')
         and not (a.atttypmod between 0 and 2000 and t.typname in ('varchar', 'bpchar', 'numeric'))
         and t.typname not in ('numeric', 'inet', 'cidr', 'bit', 'varbit') as toastable,
       t.typnamespace = 'pg_catalog'::regnamespace as plain,
       has_column_privilege(a.attrelid, a.attnum, 'SELECT') as may_select
  from pg_attribute a join pg_type t on t.oid = a.atttypid
 where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
 order by a.attnum
"""

_INDEX_COLUMNS = """
select k.attnum
  from pg_index i, unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality as k(attnum, place)
 where i.indexrelid = %s
 order by k.place
"""

# Not by `pg_partition_tree`: it locks every partition, and so waits for the application's open
# TRUNCATE or ALTER TABLE. Children by plain inheritance are tables of their own.
_LEAVES = """
with recursive below as (
  select inhrelid as relid from pg_inherits where inhparent = %s
   union all
  select i.inhrelid from pg_inherits i join below b on i.inhparent = b.relid)
select n.nspname || '.' || c.relname as table, c.relkind::text as kind,
       c.relpersistence::text as persistence, c.relreplident::text as identity,
       exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary
                  and i.indimmediate and i.indisvalid) as primary_usable
  from below p join pg_class c on c.oid = p.relid
  join pg_namespace n on n.oid = c.relnamespace
 where c.relispartition and c.relkind <> 'p'
 order by 1
"""

_ANCESTORS = """
select n.nspname || '.' || c.relname as table
  from pg_partition_ancestors(%s) a(relid) join pg_class c on c.oid = a.relid
  join pg_namespace n on n.oid = c.relnamespace
 where a.relid <> %s
"""


class Publishable(Enum):
    """What of a table can be published without making the application's own statements fail."""

    ALL = "all"  # Every UPDATE and DELETE can say which row it changed.
    INSERTS = "inserts"  # No usable replica identity: a published UPDATE would fail.
    NOTHING = "nothing"  # What would be sent would be wrong: keys under a parent that says FULL.


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column, generated ones too."""

    name: str
    type_name: str
    generated: str
    """`s` stored, `v` virtual (PostgreSQL 18), empty when written by the application."""
    toastable: bool
    """An UPDATE that leaves a long value alone does not send it."""
    plain: bool
    """Of a type that comes with the server."""
    may_select: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A partition that holds rows."""

    table: str
    kind: str
    persistence: str
    identity: str
    primary_usable: bool

    @property
    def sends(self) -> str:
        """What an UPDATE sends of the old row: `key`, `full` or `nothing` that we could use.

        A partition's own identity index may have other columns than its parent's key, which the
        stream would take for the parent's: it counts as nothing.
        """
        if self.identity == "f":
            return "full"
        return "key" if self.identity == "d" and self.primary_usable else "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogTable:
    """A table of the legacy database as the catalog describes it now."""

    shape: TableShape
    kind: str
    persistence: str
    owner: str
    of_system: bool
    may_use_schema: bool
    may_select: bool
    """On the whole table."""
    may_publish: bool
    row_security: bool
    """It may leave out rows for our role: not for BYPASSRLS, nor an owner without FORCE."""
    has_children: bool
    rows_estimate: int
    """The planner's; -1 when the table was never analysed."""
    primary_deferrable: bool
    """It has a primary key, but one that cannot identify rows for replication."""
    identity_usable: bool
    """The table's own replica identity, not looking at partitions."""
    identity_columns: frozenset[str]
    """What an UPDATE or DELETE has to send of the old row: all columns of a FULL identity."""
    columns: tuple[TableColumn, ...]
    leaves: tuple[Leaf, ...] = ()
    ancestors: frozenset[str] = field(default=frozenset())
    """Tables that this one is a partition of."""

    @property
    def name(self) -> str:
        """`schema.table`."""
        return self.shape.relation.name

    @property
    def publishable(self) -> Publishable:
        """What of it can be published.

        A partition that is added later brings its parent's primary key, and never its parent's
        FULL or index identity: only a primary key on the parent is sure to hold.
        """
        if not self.identity_usable:
            return Publishable.INSERTS
        if self.kind != "p":
            return Publishable.ALL
        sent = {leaf.sends for leaf in self.leaves if leaf.kind == "r"}
        if "nothing" in sent or not self.shape.key or self.primary_deferrable:
            return Publishable.INSERTS
        # The stream declares the parent's identity, the partition decides what is sent: under a
        # FULL parent the empty columns of a mere key would pass for nulls. Partitions that are
        # FULL today do not help, because the one that is added tonight is not.
        if self.shape.relation.identity == "f":
            return Publishable.NOTHING
        return Publishable.ALL if self.shape.relation.identity == "d" else Publishable.INSERTS

    @property
    def identifiable(self) -> bool:
        """Whether a published UPDATE or DELETE is possible."""
        return self.publishable is Publishable.ALL


def read_table(
    connection: psycopg.Connection,
    name: str,
    *,
    columns_listed: frozenset[str] | None = None,
    row_filter: str | None = None,
    generated_sent: bool = False,
) -> CatalogTable | None:
    """Return the table that `schema.table` names, or None when there is none.

    Its shape is what the stream sends: with a column list of its publication only those columns;
    stored generated columns only when they are listed or `generated_sent`.
    """
    schema, _, table = name.partition(".")
    found = fetch_rows(connection, _TABLE, (f"{quoted(schema)}.{quoted(table)}",))
    if not found:
        return None
    row = found[0]
    primary = _index_columns(connection, row.primary_index)
    chosen = _index_columns(connection, row.identity_index)
    identity = {"d": primary if row.primary_usable else (), "i": chosen}.get(row.identity, ())
    columns = fetch_rows(connection, _COLUMNS, (row.oid,))
    names = {column.attnum: column.attname for column in columns}
    sent = tuple(
        Column(
            name=column.attname,
            type_oid=column.atttypid,
            type_modifier=column.atttypmod,
            is_key=row.identity == "f" or column.attnum in identity,
        )
        for column in columns
        if _is_sent(column.attname, column.generated, columns_listed, generated_sent)
    )
    relation = Relation(
        oid=row.oid, schema=row.schema, table=row.table, identity=row.identity, columns=sent
    )
    key = tuple(names[number] for number in _ordering(row.identity, primary, chosen))
    return CatalogTable(
        shape=TableShape(relation=relation, key=key, row_filter=row_filter),
        kind=row.kind,
        persistence=row.persistence,
        owner=row.owner,
        of_system=row.of_system,
        may_use_schema=row.may_use_schema,
        may_select=row.may_select,
        may_publish=row.may_publish,
        row_security=row.row_security,
        has_children=row.has_children,
        rows_estimate=row.rows_estimate,
        primary_deferrable=bool(primary) and not row.primary_usable,
        identity_usable=row.identity == "f" or bool(identity),
        identity_columns=frozenset(
            column.attname
            for column in columns
            if column.attnum in identity or (row.identity == "f" and not column.generated)
        ),
        columns=tuple(
            TableColumn(
                name=column.attname,
                type_name=column.type_name,
                generated=column.generated,
                toastable=column.toastable,
                plain=column.plain,
                may_select=column.may_select,
            )
            for column in columns
        ),
        leaves=_leaves(connection, row.oid) if row.kind == "p" else (),
        ancestors=_ancestors(connection, row.oid) if row.is_partition else frozenset(),
    )


def generated_mapped(
    tables: Mapping[str, CatalogTable], mapped: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """Return the tables of which a contract maps a stored generated column."""
    return frozenset(
        name
        for name, table in tables.items()
        for column in table.columns
        if column.generated == "s" and column.name in mapped.get(name, frozenset())
    )


def _is_sent(
    name: str, generated: str, columns_listed: frozenset[str] | None, generated_sent: bool
) -> bool:
    if columns_listed is not None:
        return name in columns_listed and generated != "v"
    return not generated or (generated == "s" and generated_sent)


def _ordering(identity: str, primary: tuple[int, ...], chosen: tuple[int, ...]) -> tuple[int, ...]:
    """Return the key columns that tell rows apart for us.

    A chosen identity comes first: an UPDATE of another key leaves no trace of the old one.
    """
    return chosen if identity == "i" and chosen else primary or chosen


def _leaves(connection: psycopg.Connection, oid: int) -> tuple[Leaf, ...]:
    return tuple(Leaf(**row._asdict()) for row in fetch_rows(connection, _LEAVES, (oid,)))


def _ancestors(connection: psycopg.Connection, oid: int) -> frozenset[str]:
    return frozenset(row.table for row in fetch_rows(connection, _ANCESTORS, (oid, oid)))


def _index_columns(connection: psycopg.Connection, index_oid: int | None) -> tuple[int, ...]:
    if index_oid is None:
        return ()
    return tuple(row.attnum for row in fetch_rows(connection, _INDEX_COLUMNS, (index_oid,)))
