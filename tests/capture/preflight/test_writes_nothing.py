"""Capture by a role that can write nothing, and the proof that nothing was written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.preflight.looking import found, inspect, set_up
from tests.capture.running import (
    await_streaming,
    capturing,
    cursor_of,
    events_of,
    make_source,
)
from tests.conftest import Database
from tests.waiting import wait_until

# Everything that a session may leave behind; what statistics count is not among it.
_CATALOGS = (
    "pg_class", "pg_attribute", "pg_proc", "pg_trigger", "pg_event_trigger", "pg_namespace",
    "pg_type", "pg_constraint", "pg_index", "pg_publication", "pg_publication_rel", "pg_roles",
    "pg_replication_origin", "pg_largeobject_metadata", "pg_extension", "pg_db_role_setting",
)  # fmt: skip
_VOLATILE = {"relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid"}


@pytest.fixture
def reader(any_database: Database) -> Iterator[str]:
    """A role with REPLICATION and SELECT, whose every write the server refuses."""
    name = f"reader_{any_database.name}"
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute("create table t (id int primary key, n int); create table k (n int)")
        sql.execute("insert into t select i, i from generate_series(1, 100) i")
        sql.execute("revoke create on schema public from public")
        sql.execute("alter system set autovacuum = off")  # It takes transaction numbers too.
        sql.execute("select pg_reload_conf()")
        sql.execute(f"revoke temporary on database {any_database.name} from public".encode())
        sql.execute(f"create role {name} login replication".encode())
        sql.execute(f"grant select on t, k to {name}".encode())
        sql.execute(f"alter role {name} set default_transaction_read_only = on".encode())
    yield psycopg.conninfo.make_conninfo(any_database.dsn, user=name, password="")
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute(f"drop owned by {name}; drop role {name}".encode())
        sql.execute("alter system reset autovacuum")
        sql.execute("select pg_reload_conf()")


def catalogs(sql: psycopg.Connection) -> dict[str, list[Any]]:
    """Return the rows of all catalogs, without what the server itself counts there."""
    return {
        catalog: sorted(
            str({key: value for key, value in row[0].items() if key not in _VOLATILE})
            for row in sql.execute(f"select to_jsonb(c) from {catalog} c".encode())
        )
        for catalog in _CATALOGS
    }


def await_alone(sql: psycopg.Connection) -> None:
    """Wait until ours is the only session: the others have then added up what they did."""
    others = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and pid <> pg_backend_pid()"
    )
    wait_until(lambda: sql.execute(others.encode()).fetchone() == (0,), 20, "the others to go")


def written(sql: psycopg.Connection) -> tuple[Any, ...]:
    """Return how many rows were ever written in the database, and its next transaction number."""
    row = sql.execute(
        "select tup_inserted, tup_updated, tup_deleted, temp_files,"
        " pg_snapshot_xmax(pg_current_snapshot())::text::int8"
        " from pg_stat_database where datname = current_database()"
    ).fetchone()
    assert row is not None
    return row


def test_nothing_is_written(
    any_database: Database, reader: str, log: MemoryEventLog, tmp_path: Path
) -> None:
    """Through a first reading, a stream and a restart: not a row, not even a transaction number."""
    tables = ("public.t", "public.k")
    set_up(any_database.dsn, any_database.name, "t", "k")
    source = make_source(reader, any_database.name, *tables)
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute("vacuum")  # Whatever the server would do by itself is done.
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        await_alone(sql)
        before, rows = catalogs(sql), written(sql)
        for _ in range(2):
            with capturing(source, log, tmp_path, *tables) as running:
                await_streaming(running, log, *tables)
        await_alone(sql)
        assert written(sql) == rows
        assert catalogs(sql) == before
        # And it did capture.
        with capturing(source, log, tmp_path, *tables) as running:
            await_streaming(running, log, *tables)
            sql.execute("insert into t values (101, 1)")
            position = sql.execute("select pg_current_wal_lsn() - '0/0'").fetchone()
            assert position is not None
            wait_until(lambda: cursor_of(log).end_lsn >= position[0], 20, "the insert")
        assert written(sql)[4] == rows[4] + 1, "the application's own, and no other"
    assert len(events_of(log)) == 101


def test_doctor_says_what_is_written(any_database: Database, reader: str) -> None:
    findings = inspect(reader, any_database.name, "t")
    assert "capture writes nothing into the database" in found(findings, "writes").what
