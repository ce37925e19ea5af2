"""What the catalog says about publications, column lists and row filters included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from adapters.postgres.catalog import fetch_rows

_VERSION_LISTS = 150000  # Row filters, column lists and publications of whole schemas.
_VERSION_GENERATED = 180000  # `publish_generated_columns`.

_PUBLICATIONS = """
select p.oid, p.pubname as name, p.puballtables as all_tables, p.pubviaroot as via_root,
       (p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate)::text as kinds,
       pg_get_userbyid(p.pubowner) as owner, pg_has_role(p.pubowner, 'USAGE') as may_alter
  from pg_publication p
 where p.pubname = any(%s)
"""

_TABLES = """
select n.nspname || '.' || c.relname as name, null::text as row_filter,
       null::text[] as columns, null::text[] as filter_columns
  from pg_publication_rel r join pg_class c on c.oid = r.prrelid
  join pg_namespace n on n.oid = c.relnamespace
 where r.prpubid = %s
"""

# The stored condition names its columns by number; there is no function that lists them.
_TABLES_WITH_LISTS = """
select n.nspname || '.' || c.relname as name, pg_get_expr(r.prqual, r.prrelid) as row_filter,
       (select array_agg(a.attname::text) from pg_attribute a
         where r.prattrs is not null and a.attrelid = r.prrelid and a.attnum = any(r.prattrs))
         as columns,
       (select array_agg(distinct a.attname::text)
          from regexp_matches(r.prqual::text, ':varattno (\\d+)', 'g') m
          join pg_attribute a on a.attrelid = r.prrelid and a.attnum = m[1]::int)
         as filter_columns
  from pg_publication_rel r join pg_class c on c.oid = r.prrelid
  join pg_namespace n on n.oid = c.relnamespace
 where r.prpubid = %s
"""

_SCHEMAS = """
select n.nspname as name
  from pg_publication_namespace s join pg_namespace n on n.oid = s.pnnspid
 where s.pnpubid = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """A table as one publication has it."""

    name: str
    columns: frozenset[str] | None
    """Its column list; None sends all columns, also those that are added later."""
    row_filter: str | None
    """Its condition as SQL; None sends all rows."""
    filter_columns: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A publication of the legacy database."""

    name: str
    all_tables: bool
    schemas: tuple[str, ...]
    """Schemas of which it publishes every table, those to come included."""
    kinds: str
    """`(t,t,t,t)`: insert, update, delete, truncate."""
    via_root: bool
    generated: bool
    """It sends stored generated columns (PostgreSQL 18)."""
    owner: str
    may_alter: bool
    published: Mapping[str, PublishedTable]
    """Its tables by name, as they were added: a partitioned table stands for its partitions."""

    @property
    def tables(self) -> frozenset[str]:
        """The names of its tables."""
        return frozenset(self.published)


def read_publications(
    connection: psycopg.Connection, names: Sequence[str]
) -> dict[str, Publication]:
    """Return those of the named publications that exist."""
    version = connection.info.server_version
    found = {}
    for row in fetch_rows(connection, _PUBLICATIONS, (list(names),)):
        lists = version >= _VERSION_LISTS
        tables = [
            PublishedTable(
                name=table.name,
                columns=None if table.columns is None else frozenset(table.columns),
                row_filter=table.row_filter,
                filter_columns=frozenset(table.filter_columns or ()),
            )
            for table in fetch_rows(
                connection, _TABLES_WITH_LISTS if lists else _TABLES, (row.oid,)
            )
        ]
        schemas = fetch_rows(connection, _SCHEMAS, (row.oid,)) if lists else []
        found[row.name] = Publication(
            name=row.name,
            all_tables=row.all_tables,
            schemas=tuple(sorted(schema.name for schema in schemas)),
            kinds=row.kinds,
            via_root=row.via_root,
            generated=version >= _VERSION_GENERATED and _sends_generated(connection, row.oid),
            owner=row.owner,
            may_alter=row.may_alter,
            published={table.name: table for table in tables},
        )
    return found


def _sends_generated(connection: psycopg.Connection, oid: int) -> bool:
    (row,) = fetch_rows(
        connection, "select pubgencols = 's' as sent from pg_publication where oid = %s", (oid,)
    )
    return bool(row.sent)
