"""What the catalog says about our tables and publications now, for comparing it with later.

Everything that a Relation message lacks: NOT NULL, defaults, checks, enum labels, comments, how
columns are generated, partitions, and which tables, columns and rows the publications send.
Read-only and repeatable: one short transaction, no lock beyond what reading a catalog takes.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from adapters.postgres.catalog import fetch_rows
from adapters.postgres.publication_catalog import read_publications
from adapters.postgres.server import PostgresServer
from bridge.capture.drift.catalog_facts import CatalogFacts
from bridge.model.lsn import parse_lsn

# A look takes milliseconds; one that waits longer meets an ALTER that is under way.
_TIMEOUTS: Final = "set statement_timeout = 5000; set lock_timeout = 2000"

# Definitions are compared whole and shown in part: a default or a check may have a megabyte.
_TEXT_CHARACTERS_MAX: Final = 300

_NOW = """
select clock_timestamp()::text as as_of,
       (case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
             else pg_current_wal_lsn() end)::text as position
"""

_TABLES = """
select c.oid, n.nspname || '.' || c.relname as name, c.relkind::text as kind,
       c.relpersistence::text as persistence, c.relreplident::text as identity,
       obj_description(c.oid, 'pg_class') as comment,
       (select array_agg(k.relname::text order by k.relname)
          from pg_inherits i join pg_class k on k.oid = i.inhrelid
         where i.inhparent = c.oid) as partitions
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname || '.' || c.relname = any(%s) and c.relkind in ('r', 'p')
"""

_COLUMNS = """
select a.attrelid as oid, a.attname as name, a.attnum as number,
       format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as not_null,
       pg_get_expr(d.adbin, d.adrelid) as default, a.attgenerated::text as generated,
       a.attidentity::text as identity, col_description(a.attrelid, a.attnum) as comment
  from pg_attribute a
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where a.attrelid = any(%s) and a.attnum > 0 and not a.attisdropped
 order by a.attnum
"""

# From 18 on NOT NULL is a constraint too; it is compared as a column's.
_CONSTRAINTS = """
select conrelid as oid, conname as name, pg_get_constraintdef(oid) as definition
  from pg_constraint
 where conrelid = any(%s) and contype in ('c', 'p', 'u', 'f', 'x')
"""

# Labels of enums, of arrays of them, and of domains over them.
_ENUMS = """
select a.attrelid as oid, t.typname as name,
       array_agg(e.enumlabel::text order by e.enumsortorder) as labels
  from (select distinct attrelid, atttypid from pg_attribute
         where attrelid = any(%s) and attnum > 0 and not attisdropped) a
  join pg_type c on c.oid = a.atttypid
  join pg_type t on t.oid in (c.oid, c.typelem, c.typbasetype)
  join pg_enum e on e.enumtypid = t.oid
 group by a.attrelid, t.typname
"""


class PostgresFingerprint:
    """Implements `FactsReader`; opens its connection when first asked, and after an error."""

    def __init__(
        self, server: PostgresServer, *, tables: Sequence[str], publications: Sequence[str]
    ) -> None:
        self._server = server
        self._tables = list(tables)
        self._publications = list(publications)
        self._connection: psycopg.Connection | None = None

    def read(self) -> CatalogFacts:
        """Return the facts as of now; raises `SourceUnavailable` when the server does not answer.

        A table or publication that does not exist has no facts.
        """
        try:
            with self._server.errors("look at the catalog of"):
                connection = self._open()
                with connection.transaction():
                    connection.execute("set transaction isolation level repeatable read read only")
                    return self._facts(connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = self._server.connect()
            self._connection.execute(_TIMEOUTS)
        return self._connection

    def _facts(self, connection: psycopg.Connection) -> CatalogFacts:
        (now,) = fetch_rows(connection, _NOW)
        scopes: dict[str, dict[str, Any]] = {}
        for name in self._tables:
            scopes[f"table {name}"] = {}
        scopes.update(_table_facts(connection, self._tables))
        published = read_publications(connection, self._publications)
        for name in self._publications:
            scopes[f"publication {name}"] = {}
        for name, publication in published.items():
            scopes[f"publication {name}"] = {
                "all_tables": publication.all_tables,
                "schemas": list(publication.schemas),
                "kinds": publication.kinds,
                "via_root": publication.via_root,
                "generated": publication.generated,
                "tables": {
                    table.name: {
                        "columns": sorted(table.columns) if table.columns is not None else None,
                        "row_filter": _short(table.row_filter),
                    }
                    for table in publication.published.values()
                },
            }
        return CatalogFacts(now.as_of, parse_lsn(now.position), scopes)


def _table_facts(connection: psycopg.Connection, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    by_oid: dict[int, dict[str, Any]] = {}
    scopes: dict[str, dict[str, Any]] = {}
    for row in fetch_rows(connection, _TABLES, (list(names),)):
        facts: dict[str, Any] = {
            "oid": row.oid,
            "kind": row.kind,
            "persistence": row.persistence,
            "replica_identity": row.identity,
            "comment": _short(row.comment),
            "partitions": row.partitions,
            "columns": {},
            "constraints": {},
            "enums": {},
        }
        by_oid[row.oid] = scopes[f"table {row.name}"] = facts
    oids = (list(by_oid),)
    for row in fetch_rows(connection, _COLUMNS, oids):
        by_oid[row.oid]["columns"][row.name] = {
            "number": row.number,
            "type": row.type,
            "not_null": row.not_null,
            "default": _short(row.default),
            "generated": row.generated or None,
            "identity": row.identity or None,
            "comment": _short(row.comment),
        }
    for row in fetch_rows(connection, _CONSTRAINTS, oids):
        by_oid[row.oid]["constraints"][row.name] = _short(row.definition)
    for row in fetch_rows(connection, _ENUMS, oids):
        by_oid[row.oid]["enums"][row.name] = row.labels
    return scopes


def _short(text: str | None) -> str | None:
    """Return `text`, or its beginning and a hash of the whole."""
    if text is None or len(text) <= _TEXT_CHARACTERS_MAX:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[:_TEXT_CHARACTERS_MAX]}… ({len(text)} characters, sha256 {digest})"
