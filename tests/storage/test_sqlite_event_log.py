"""What only the SQLite files must show: locks, full disks, foreign files, durability settings."""

import sqlite3
from pathlib import Path

import pytest

from bridge.eventlog.inspection import inspect_log
from bridge.model.errors import ConfigInvalid, LogCorrupt, StorageUnavailable
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors
from tests.eventlog.drafts import drafts, move


def test_a_full_disk_stops_appends_and_nothing_else(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "log.db")
    log.append(drafts(0, 300), cursor=move(0))
    writer = log._writing()
    [(pages,)] = writer.execute("PRAGMA page_count")
    # SQLite answers as on a full disk when the file may not grow.
    writer.execute(f"PRAGMA max_page_count={pages + 5}")
    with pytest.raises(StorageUnavailable, match="disk is full; free space") as caught:
        log.append(drafts(300, 600), cursor=move(1))
    assert str(tmp_path / "log.db") in str(caught.value)
    assert inspect_log(log).size == 300
    writer.execute("PRAGMA max_page_count=1000000")
    assert log.append(drafts(300, 600), cursor=move(1)).first_index == 300
    assert inspect_log(log).size == 600
    log.close()


def test_a_lock_that_is_not_released_is_reported(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "log.db", busy_timeout_ms=20)
    log.append(drafts(0, 3))
    holder = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="locked; another process holds its lock"):
        log.append(drafts(3, 6))
    assert len(log.read(0, 9)) == 3, "readers do not wait for a writer"
    holder.execute("ROLLBACK")
    holder.close()
    assert log.append(drafts(3, 6)).first_index == 3
    log.close()


def test_a_commit_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "log.db")
    writer = log._writing()
    assert writer.execute("PRAGMA synchronous").fetchone() == (2,), "2 is FULL"
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    log.close()


def test_the_wal_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.storage.event_log.sqlite_wal.WAL_BYTES", 200_000)
    log = SqliteEventLog(tmp_path / "log.db")
    for start in range(0, 20_000, 200):
        log.append(drafts(start, start + 200))
    wal_bytes = (tmp_path / "log.db-wal").stat().st_size
    file_bytes = (tmp_path / "log.db").stat().st_size
    log.close()
    # 200 kB plus what appends added while the machine let the copying thread wait.
    assert wal_bytes < file_bytes / 2


def test_a_wal_past_its_limit_is_started_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.storage.event_log.sqlite_wal.WAL_BYTES", 100_000)
    monkeypatch.setattr("bridge.storage.event_log.sqlite_wal.WAL_BYTES_MAX", 0)
    log = SqliteEventLog(tmp_path / "log.db")
    for start in range(0, 6_000, 200):
        log.append(drafts(start, start + 200))
    assert inspect_log(log).size == 6_000
    log.close()


def test_nobody_else_may_read_the_log(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "log.db")
    log.append(drafts(0, 3))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    log.close()
    assert modes == dict.fromkeys(("log.db", "log.db-wal", "log.db-shm"), 0o600)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="folder exists"):
        SqliteEventLog(tmp_path / "nowhere" / "log.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"not a database" * 100)
    with pytest.raises(LogCorrupt, match="not a database"):
        SqliteEventLog(tmp_path / "log.db")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    SqliteSinkCursors(tmp_path / "state.db").close()
    with pytest.raises(ConfigInvalid, match="choose another data folder"):
        SqliteEventLog(tmp_path / "state.db")


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    SqliteEventLog(tmp_path / "log.db").close()
    connection = sqlite3.connect(tmp_path / "log.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(ConfigInvalid, match="version 99, needed is"):
        SqliteEventLog(tmp_path / "log.db")


def test_sink_cursors_only_move_forward(tmp_path: Path) -> None:
    cursors = SqliteSinkCursors(tmp_path / "state.db")
    assert cursors.load("broker") == 0
    cursors.store("broker", 40)
    cursors.store("broker", 30)
    cursors.store("webhook", 5)
    assert (cursors.load("broker"), cursors.load("webhook")) == (40, 5)
    cursors.close()
    reopened = SqliteSinkCursors(tmp_path / "state.db")
    assert reopened.load("broker") == 40
    reopened.store("broker", 41)
    assert reopened.load("broker") == 41
    reopened.close()
