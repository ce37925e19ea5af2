"""Row filters and column lists of an administrator are honoured; those that break are refused."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.capture.findings import Level
from bridge.model.errors import SourceUnfit
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.preflight.looking import checks, found, inspect
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    events_of,
    make_source,
)
from tests.conftest import Database

BOTH = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"


@pytest.fixture
def sql(any_database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(any_database.dsn, autocommit=True) as connection:
        if connection.info.server_version < 150000:
            pytest.skip("row filters and column lists came with PostgreSQL 15")
        connection.execute("create table t (id int, region text, secret text, n int)")
        connection.execute("alter table t add primary key (id, region)")
        yield connection


def publish(sql: psycopg.Connection, name: str, table: str) -> None:
    """Make both publications, as an administrator who knows our names."""
    sql.execute(f"create publication {name} for table {table} with ({BOTH})".encode())
    sql.execute(f"create publication {name}_insert with (publish = 'insert, truncate')".encode())


def test_they_are_honoured(
    any_database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    """By the first reading and by the stream alike."""
    publish(sql, any_database.name, "t (id, region, n) where (region = 'eu')")
    sql.execute("insert into t values (1, 'eu', 'x', 1), (2, 'us', 'x', 1)")
    source = make_source(any_database.dsn, any_database.name, "public.t")
    assert source.prepare(None).tables[0].row_filter == "(region = 'eu'::text)"
    with capturing(source, log, tmp_path, "public.t") as running:
        await_streaming(running, log, "public.t")
        sql.execute("insert into t values (3, 'eu', 'x', 1), (4, 'us', 'x', 1)")
        sql.execute("update t set region = 'us' where id = 1")
        sql.execute("update t set region = 'eu' where id = 2")
        sql.execute("update t set n = 2 where id = 3")
        await_position(running, sql, log)
    assert [
        (event["kind"], event["after"], (event["before"] or {}).get("id"))
        for event in events_of(log)
    ] == [
        ("read", {"id": "1", "region": "eu", "n": "1"}, None),
        ("created", {"id": "3", "region": "eu", "n": "1"}, None),
        ("deleted", None, "1"),  # It left the filter.
        ("created", {"id": "2", "region": "eu", "n": "1"}, None),  # It came into it.
        ("updated", {"id": "3", "region": "eu", "n": "2"}, None),
    ]


def test_doctor_explains_them(any_database: Database, sql: psycopg.Connection) -> None:
    publish(sql, any_database.name, "t (id, region, n) where (region = 'eu')")
    mapped = {"public.t": frozenset({"id", "region"})}
    findings = inspect(any_database.dsn, any_database.name, "t", mapped=mapped)
    assert "arrives as an insert or a delete" in found(findings, "row-filter", "t").why
    assert "only columns id, n, region" in found(findings, "column-list", "t").what
    assert checks(findings, Level.ERROR) | checks(findings, Level.ERROR, "t") == set()
    mapped = {"public.t": frozenset({"id", "secret"})}
    findings = inspect(any_database.dsn, any_database.name, "t", mapped=mapped)
    assert "maps 'secret', outside the column list" in found(findings, "column-list", "t").what


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("t (id, n)", "lacks column 'region' of the replica identity"),
        ("t where (n > 0)", "uses column 'n', outside the replica identity"),
        ("t (id, region) where (n > 0 and id > 0)", "uses column 'n', outside the replica"),
    ],
)
def test_those_that_break_the_application_are_refused(
    table: str, complaint: str, any_database: Database, sql: psycopg.Connection
) -> None:
    """The fix that is printed heals the application's UPDATE."""
    publish(sql, any_database.name, table)
    sql.execute("insert into t values (1, 'eu', 'x', 1)")
    with pytest.raises(psycopg.errors.InvalidColumnReference):
        sql.execute("update t set secret = 'y'")
    finding = found(inspect(any_database.dsn, any_database.name, "t"), "publication", "t")
    assert finding.level is Level.ERROR
    assert complaint in finding.what
    with pytest.raises(SourceUnfit, match="so the application's UPDATE and DELETE fail"):
        make_source(any_database.dsn, any_database.name, "public.t").prepare(None)
    sql.execute(finding.sql.encode())
    sql.execute("update t set secret = 'y'")
    make_source(any_database.dsn, any_database.name, "public.t").prepare(None)


def test_two_lists_for_one_table(any_database: Database, sql: psycopg.Connection) -> None:
    """The server refuses to stream them together: the table leaves the publication of inserts."""
    name = any_database.name
    publish(sql, name, "t (id, region)")
    sql.execute(f"alter publication {name}_insert add table t (id, region, n)".encode())
    make_source(any_database.dsn, name, "public.t").prepare(None)
    rows = sql.execute("select pubname, tablename from pg_publication_tables").fetchall()
    assert rows == [(name, "t")]


def test_whole_schemas_are_refused(any_database: Database, sql: psycopg.Connection) -> None:
    name = any_database.name
    sql.execute(f"create publication {name} for tables in schema public with ({BOTH})".encode())
    finding = found(inspect(any_database.dsn, name, "t"), "publication")
    assert "FOR TABLES IN SCHEMA public, which makes UPDATE fail on tables without a key" in (
        finding.what
    )


def test_a_partitioned_table_under_its_partitions_names(
    any_database: Database, sql: psycopg.Connection
) -> None:
    name = any_database.name
    sql.execute("create table p (id int primary key) partition by range (id)")
    sql.execute(f"create publication {name} for table p".encode())
    finding = found(inspect(any_database.dsn, name, "p"), "publication")
    assert "under the names of its partitions, which have no contracts" in finding.what
    sql.execute(finding.sql.encode())
    make_source(any_database.dsn, name, "public.p").prepare(None)


def test_a_role_that_may_read_the_listed_columns_only(
    any_database: Database, sql: psycopg.Connection
) -> None:
    name = any_database.name
    publish(sql, name, "t (id, region)")
    sql.execute(f"create role reader_{name} login replication".encode())
    sql.execute(f"grant select (id, region) on t to reader_{name}".encode())
    dsn = psycopg.conninfo.make_conninfo(any_database.dsn, user=f"reader_{name}", password="")
    try:
        make_source(dsn, name, "public.t").prepare(None)
    finally:
        sql.execute(f"drop owned by reader_{name}; drop role reader_{name}".encode())
