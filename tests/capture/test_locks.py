"""Capture starts beside an application that holds locks, because it asks for none on tables."""

import psycopg
import pytest

from tests.capture.running import make_source
from tests.conftest import Database

TABLES = ("public.plain", "public.parted")


@pytest.mark.parametrize(
    "statement",
    [
        "truncate plain, parted",
        "alter table plain add column more int, alter column note type varchar(9)",
        "alter table parted add column more int",
        "lock table parted_0 in access exclusive mode",
    ],
)
def test_a_start_does_not_wait_for_the_applications_locks(
    database: Database, sql: psycopg.Connection, statement: str
) -> None:
    sql.execute("create table plain (id int primary key, note text)")
    sql.execute("create table parted (id int primary key) partition by hash (id)")
    sql.execute(
        "create table parted_0 partition of parted for values with (modulus 1, remainder 0)"
    )
    source = make_source(database.dsn, database.name, *TABLES, lock_timeout_ms=300)
    source.prepare(None)
    with psycopg.connect(database.dsn) as application:
        application.execute(statement.encode())
        prepared = source.prepare(None)
        assert [table.relation.name for table in prepared.tables] == list(TABLES)
        application.rollback()
