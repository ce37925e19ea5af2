"""What only the PostgreSQL log must show: lost connections, held locks, schema made at once."""

import threading
from collections.abc import Callable

import psycopg
import pytest

from bridge.eventlog.inspection import inspect_log
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.storage.event_log.postgres import PostgresEventLog
from tests.conftest import Database
from tests.eventlog.drafts import drafts, move
from tests.wire import Wire


def test_a_lost_connection_is_reported_and_made_again(
    database: Database, wire: Callable[[int | str], Wire]
) -> None:
    severable = wire(database.dsn)
    log = PostgresEventLog(severable.through(database.dsn))
    log.append(drafts(0, 10), cursor=move(0))
    assert log.head().size == 10
    severable.cut()
    with pytest.raises(StorageUnavailable, match="cannot append to event log in database"):
        log.append(drafts(10, 20), cursor=move(1))
    with pytest.raises(StorageUnavailable, match="cannot read event log"):
        log.head()
    severable.resume()
    assert log.append(drafts(10, 20), cursor=move(1)).first_index == 10
    assert inspect_log(log).size == 20
    log.close()


def test_a_held_head_is_reported(database: Database) -> None:
    log = PostgresEventLog(database.dsn, lock_timeout_ms=50)
    log.append(drafts(0, 1))
    with psycopg.connect(database.dsn) as holder:
        holder.execute("SELECT 1 FROM bridge_log.head FOR UPDATE")
        with pytest.raises(StorageUnavailable, match="another process holds the log's head"):
            log.append(drafts(1, 2))
        assert len(log.read(0, 9)) == 1
    assert log.append(drafts(1, 2)).first_index == 1
    log.close()


def test_processes_may_make_the_schema_at_once(database: Database) -> None:
    failures: list[Exception] = []

    def open_log() -> None:
        try:
            PostgresEventLog(database.dsn).close()
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=open_log) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_schema_of_another_version_is_refused(database: Database) -> None:
    PostgresEventLog(database.dsn).close()
    with psycopg.connect(database.dsn) as admin:
        admin.execute("UPDATE bridge_log.head SET schema_version = 99")
    with pytest.raises(ConfigInvalid, match="has version 99, needed is"):
        PostgresEventLog(database.dsn)


def test_commits_wait_for_the_disk_whatever_the_server_says(database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {database.name} SET synchronous_commit = off")
    log = PostgresEventLog(database.dsn)
    with log._writing("look") as writer:
        assert writer.execute("SHOW synchronous_commit").fetchone() == ("on",)
    log.close()


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with pytest.raises(StorageUnavailable, match=r"on 127\.0\.0\.1:1") as caught:
        PostgresEventLog("postgresql://bridge:canary-secret@127.0.0.1:1/log")
    assert "canary-secret" not in str(caught.value)
