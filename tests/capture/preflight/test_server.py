"""What doctor says of a server: its settings, its room, who is on it, and our role."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.capture.findings import Finding, Level, worst
from bridge.demo.servers import PrivatePostgres
from bridge.model.errors import SourceUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.preflight.looking import checks, found, inspect, set_up
from tests.capture.running import make_source, start
from tests.conftest import Database
from tests.waiting import wait_until

LOCK_TIMEOUT_MS = 300


def looked_at(folder: Path, settings: dict[str, str], **options: int) -> list[Finding]:
    """Return what is found on a server with `settings`."""
    with PrivatePostgres.start(folder, settings=settings, **options) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as sql:
            sql.execute("create table t (id int primary key)")
        return inspect(server.dsn(), "slot", "t")


def test_settings_that_stop_capture(server_folder: Path) -> None:
    findings = looked_at(
        server_folder,
        {"wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "1"},
    )
    assert checks(findings, Level.ERROR) >= {"wal-level", "replication-slots", "wal-senders"}
    assert found(findings, "wal-level").sql == "ALTER SYSTEM SET wal_level = logical;"


def test_settings_that_will_hurt(server_folder: Path) -> None:
    settings = {
        "wal_sender_timeout": "0",
        "idle_replication_slot_timeout": "1h",
        "synchronized_standby_slots": "gone",
        "fsync": "off",
        "max_slot_wal_keep_size": "-1",
    }
    findings = looked_at(server_folder, settings, version=18)
    for check, words in {
        "sender-timeout": "wal_sender_timeout is off",
        "idle-slots": "idle_replication_slot_timeout is 1h",
        "failover": "names slot 'gone', which does not exist",
        "fsync": "fsync is off",
        "wal-limit": "max_slot_wal_keep_size is -1",
        "role-superuser": "role 'postgres' is a superuser",
    }.items():
        finding = found(findings, check)
        assert words in finding.what
        assert finding.level is Level.WARNING, check
        assert finding.fix, check
    assert worst(findings) is Level.WARNING


def test_settings_as_they_should_be(server_folder: Path) -> None:
    settings = {"max_slot_wal_keep_size": "1GB", "wal_sender_timeout": "9s"}
    findings = looked_at(server_folder, settings)
    assert found(findings, "wal-limit").what.startswith("max_slot_wal_keep_size is 1GB")
    assert "a short pause of the network" in found(findings, "sender-timeout").why
    right = checks(findings, Level.OK)
    assert right >= {
        "server-version", "wal-level", "wal-limit", "encoding", "replication-slots", "wal-senders",
        "open-transactions", "replication-connection", "writes",
    }  # fmt: skip
    notices = checks(findings, Level.NOTICE)
    assert notices >= {"sequences", "large-objects", "ddl", "decoding-memory", "wal-volume", "slot"}


def test_a_database_without_an_encoding(any_postgres: PrivatePostgres) -> None:
    with psycopg.connect(any_postgres.dsn(), autocommit=True) as admin:
        admin.execute(
            "create database bytes encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
            " template template0"
        )
        try:
            finding = found(inspect(any_postgres.dsn("bytes"), "slot"), "encoding")
        finally:
            admin.execute("drop database bytes with (force)")
    assert "SQL_ASCII" in finding.what


@pytest.fixture
def nobody(any_database: Database) -> Iterator[str]:
    """The DSN of a role that may log in and nothing else."""
    name = f"nobody_{any_database.name}"
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute(f"create role {name} login".encode())
        sql.execute("create schema hidden; create table hidden.t (id int primary key)")
        sql.execute("create table t (id int primary key); alter table t enable row level security")
        yield psycopg.conninfo.make_conninfo(any_database.dsn, user=name, password="")
        sql.execute(f"drop role {name}".encode())


def test_a_role_that_may_nothing_gets_every_answer_that_it_may_have(
    any_database: Database, nobody: str
) -> None:
    findings = inspect(nobody, any_database.name, "t")
    role = f"nobody_{any_database.name}"
    assert found(findings, "wal-volume").what == f"could not look: role '{role}' lacks the right"
    assert "pg_monitor" in found(findings, "wal-volume").fix
    assert found(findings, "role-replication").sql == f'ALTER ROLE "{role}" REPLICATION;'
    assert found(findings, "table-rights", "t").sql == (
        f'GRANT SELECT ON "public"."t" TO "{role}";'
    )
    assert found(findings, "row-security", "t").sql == f'ALTER ROLE "{role}" BYPASSRLS;'
    assert found(findings, "replica-identity", "t").level is Level.OK
    assert found(findings, "publication-rights").sql.startswith("CREATE PUBLICATION")


def test_an_owner_passes_row_security_unless_it_is_forced(
    any_database: Database, nobody: str
) -> None:
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute(f"alter table t owner to nobody_{any_database.name}".encode())
        assert "row-security" not in checks(
            inspect(nobody, any_database.name, "t"), Level.ERROR, "t"
        )
        sql.execute("alter table t force row level security")
        assert "row-security" in checks(inspect(nobody, any_database.name, "t"), Level.ERROR, "t")
        sql.execute("drop table t")


@contextlib.contextmanager
def writing(dsn: str, application: str) -> Iterator[psycopg.Connection]:
    """Hold a transaction open that has written."""
    with psycopg.connect(dsn, application_name=application) as writer:
        writer.execute("create table written (n int)")
        yield writer
        writer.rollback()


def test_who_keeps_the_slot_from_being_created_is_named(any_database: Database) -> None:
    """Pid, application, user, database and age; no text of a query."""
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute("create table t (id int primary key)")
    with writing(any_database.dsn, "night job") as writer:
        with pytest.raises(SourceUnavailable) as caught:
            set_up(any_database.dsn, any_database.name, "t", lock_timeout_ms=LOCK_TIMEOUT_MS)
        assert (
            f"pid {writer.info.backend_pid} (application 'night job', user 'postgres', database "
            f"'{any_database.name}', open for "
        ) in str(caught.value)
        assert "create table" not in str(caught.value)
    set_up(any_database.dsn, any_database.name, "t")  # It goes on where it was.


def test_ages_that_a_role_may_not_see(any_database: Database, nobody: str) -> None:
    """What cannot be seen to be young is told."""
    with writing(any_database.dsn, "night job"):
        finding = found(inspect(nobody, any_database.name, "t"), "open-transactions")
    assert finding.level is Level.WARNING
    assert "(application 'night job', user 'postgres'" in finding.what
    assert "its age is shown to members of pg_read_all_stats only" in finding.what


def test_capture_tries_again_until_the_slot_can_be_created(
    database: Database, log: MemoryEventLog, tmp_path: Path
) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as sql:
        sql.execute("create table t (id int primary key)")
    source = make_source(database.dsn, database.name, "public.t", lock_timeout_ms=LOCK_TIMEOUT_MS)
    with writing(database.dsn, "night job"):
        running = start(source, log, tmp_path, "public.t")
        for attempt in (1, 2):
            note = running.observer.await_note("capture_interrupted", 20, attempt=attempt)
            assert "(application 'night job', user 'postgres'" in str(note["error"])
            assert str(note["error"]).endswith("it is tried again")
    running.observer.await_note("streaming", 20)
    running.end()


def test_changes_that_come_from_another_database_are_told(
    database: Database, sql: psycopg.Connection
) -> None:
    sql.execute(
        "create subscription feed connection 'dbname=nowhere' publication p"
        " with (connect = false, slot_name = none)"
    )
    try:
        finding = found(inspect(database.dsn, database.name), "origin")
    finally:
        sql.execute("drop subscription feed")
    assert finding.what == "the database subscribes to others (feed)"


def test_a_role_with_few_connections(any_database: Database, nobody: str) -> None:
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute(f"alter role nobody_{any_database.name} connection limit 3".encode())
    assert "may have 3 connections" in found(
        inspect(nobody, any_database.name), "role-connections"
    ).what  # fmt: skip


def test_a_prepared_transaction_is_named(server_folder: Path) -> None:
    with (
        PrivatePostgres.start(server_folder, settings={"max_prepared_transactions": "1"}) as server,
        psycopg.connect(server.dsn(), autocommit=True) as sql,
    ):
        sql.execute("create table t (id int primary key)")
        sql.execute("begin; insert into t values (1); prepare transaction 'order 7'")
        with pytest.raises(SourceUnavailable, match=r"prepared transaction 'order 7' \(user"):
            set_up(server.dsn(), "slot", "t", lock_timeout_ms=LOCK_TIMEOUT_MS)
        sql.execute("rollback prepared 'order 7'")


def test_publications_and_slots_of_others(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (n int); create publication theirs for table t")
    sql.execute(
        "select pg_create_logical_replication_slot(%s, 'test_decoding')", (f"{database.name}_x",)
    )
    findings = inspect(database.dsn, database.name, "t")
    finding = found(findings, "other-publications", "t")
    assert "publication 'theirs', which is not ours, publishes its updates" in finding.what
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        sql.execute("insert into t values (1); update t set n = 2")


def is_lost(sql: psycopg.Connection) -> bool:
    """Return whether the only slot is lost."""
    return sql.execute("select wal_status = 'lost' from pg_replication_slots").fetchone() == (True,)


def test_a_slot_that_lags(server_folder: Path) -> None:
    """Beyond the limit the server gives it up at the next checkpoint; doctor says so."""
    settings = {"max_slot_wal_keep_size": "1MB", "wal_keep_size": "0", "min_wal_size": "32MB"}
    with (
        PrivatePostgres.start(server_folder, settings=settings) as server,
        psycopg.connect(server.dsn(), autocommit=True) as sql,
    ):
        sql.execute("create table t (id int primary key)")
        sql.execute("select pg_create_logical_replication_slot('dead', 'test_decoding')")
        lost = "select wal_status in ('unreserved', 'lost') from pg_replication_slots"

        def given_up() -> bool:
            sql.execute("select pg_switch_wal(), pg_logical_emit_message(false, 'x', 'y')")
            sql.execute("checkpoint")
            return sql.execute(lost).fetchone() == (True,)

        wait_until(given_up, what="the slot to be given up")
        finding = found(inspect(server.dsn(), "slot", "t"), "slots-that-lag")
        sql.execute("select pg_drop_replication_slot('dead')")
        sql.execute("select pg_create_logical_replication_slot('slot', 'pgoutput')")
        wait_until(lambda: given_up() and is_lost(sql), what="the slot to be lost")
        ours = found(inspect(server.dsn(), "slot", "t"), "slot")
    assert (ours.level, ours.what) == (
        Level.ERROR, "slot 'slot' is lost: the server gave up its WAL",
    )  # fmt: skip
    assert finding.what.startswith("slot 'dead' of database 'postgres' is ")
    assert finding.what.endswith("nobody reads it")
    assert finding.sql == "SELECT pg_drop_replication_slot('dead');"
