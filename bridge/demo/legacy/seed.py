"""Create the shop's schema and load its first rows."""

from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql

from bridge.demo.legacy.population import (
    FIRST_ORDER_NO,
    FIRST_PAYMENT_NO,
    Population,
    Sizes,
)

Progress = Callable[[str, int], None]
"""Called with (table, rows) after each table."""

SEED_DEFAULT = 20220401


def seed(
    dsn: str,
    *,
    seed: int = SEED_DEFAULT,
    sizes: Sizes | None = None,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Create the schema in an empty database, load it, and return the rows per table.

    One transaction: it is there whole or not at all. The same seed gives the same rows.

    Raises:
        psycopg.errors.DuplicateTable: the database has the shop's tables already.
    """
    counts: dict[str, int] = {}
    population = Population(seed=seed, sizes=sizes or Sizes())
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        create_schema(cursor)
        for table, rows in population.tables():
            copy_rows(cursor, table, rows)
            counts[table] = len(rows)
            if progress is not None:
                progress(table, len(rows))
        next_order = FIRST_ORDER_NO + counts["t_ord_hdr"]
        next_payment = FIRST_PAYMENT_NO + counts["t_pay"]
        cursor.execute("SELECT setval('s_ord_no', %s, false)", (next_order,))
        cursor.execute("SELECT setval('s_pay_no', %s, false)", (next_payment,))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ANALYZE")  # The first queries would otherwise plan for empty tables.
    return counts


def create_schema(cursor: psycopg.Cursor[Any]) -> None:
    """Create tables, sequences and indexes."""
    script = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    cursor.execute(script.encode())


def copy_rows(cursor: psycopg.Cursor[Any], table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Load rows by COPY; columns in the table's own order."""
    with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
        for row in rows:
            copy.write_row(row)
