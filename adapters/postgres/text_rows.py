"""Rows as the server prints them, which is the same text as in the replication stream."""

from typing import Final

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq.abc import PGresult

from adapters.postgres.catalog import quoted_table
from bridge.model.change import Cell, Relation, Row

_ENCODING: Final = "utf-8"


_KIND: Final = "select relkind::text from pg_class where oid = to_regclass(%s)"

# Partitions have the rows of a partitioned table; -1 and 0 mean that nobody looked yet.
_ESTIMATE: Final = """
select greatest(0, coalesce(
         (select sum(greatest(c.reltuples, 0)) from pg_partition_tree(%s::oid) p
            join pg_class c on c.oid = p.relid where p.isleaf),
         (select reltuples from pg_class where oid = %s::oid)))::bigint
"""


class KeyText(str):
    """A cell of a key on its way back to the server; undecodable bytes are surrogates in it."""

    __slots__ = ()


class _KeyTextDumper(Dumper):
    # No type of its own: the query casts it to the column's.
    def dump(self, obj: KeyText) -> Buffer:
        return obj.encode(_ENCODING, "surrogateescape")


def register_key_text(connection: psycopg.Connection) -> None:
    """Let `connection` take `KeyText` as a parameter."""
    connection.adapters.register_dumper(KeyText, _KeyTextDumper)


def text_rows(result: PGresult) -> list[Row]:
    """Return the rows of a result in text form; a text that is not UTF-8 stays bytes."""
    get_value = result.get_value
    columns = range(result.nfields)
    return [
        tuple(
            None if (value := get_value(row, column)) is None else _cell(value)
            for column in columns
        )
        for row in range(result.ntuples)
    ]


def read_target(connection: psycopg.Connection, relation: Relation) -> str | None:
    """Return what to name in FROM or LOCK TABLE; None when the table is gone."""
    name = quoted_table(relation)
    row = connection.execute(_KIND, (name,)).fetchone()
    if row is None:
        return None
    # A partitioned table's rows are in its partitions; an inheritance parent's are its own.
    return name if row[0] == "p" else f"ONLY {name}"


def row_estimate(connection: psycopg.Connection, relation: Relation) -> int:
    """Return about how many rows the table has, as the planner believes; 0 if unknown."""
    row = connection.execute(_ESTIMATE, (relation.oid, relation.oid)).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def _cell(value: bytes) -> Cell:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
