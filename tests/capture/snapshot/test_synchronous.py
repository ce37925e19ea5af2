"""A transaction that waits for a synchronous standby: in our stream, and not yet visible.

This is where reading "between two positions of the WAL" gives a row that is older than a change
that was delivered already.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bridge.capture.snapshot.pacing import SnapshotLimits
from bridge.demo.servers import PrivatePostgres
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.running import (
    Running,
    await_position,
    await_streaming,
    capturing,
    events_of,
    make_source,
    rebuild,
    table_rows,
)
from tests.capture.snapshot.laws import SCHEMA, TABLE, Application, assert_laws
from tests.waiting import wait_until

# Does not wait for the standby that never comes.
LOCAL = "-c synchronous_commit=local"
T = "public.t"


@pytest.fixture
def server(server_folder: Path) -> Iterator[PrivatePostgres]:
    """A server of its own: it is told to wait for a standby that does not exist."""
    with PrivatePostgres.start(server_folder, settings={"fsync": "off"}) as started:
        yield started


@contextmanager
def hanging(server: PrivatePostgres, statement: str) -> Iterator[threading.Thread]:
    """Run `statement`, whose commit waits until `release`d."""

    def run() -> None:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(statement.encode())

    thread = threading.Thread(target=run)
    thread.start()
    with local(server) as sql:
        wait_until(lambda: _waiting(sql) > 0, 10, "a commit to wait for the standby")
    try:
        yield thread
    finally:
        release(server)
        thread.join(20)


def require_standby(server: PrivatePostgres) -> None:
    """From now on commits wait for a standby that is not there."""
    with local(server) as sql:
        sql.execute("alter system set synchronous_standby_names = 'absent'")
        sql.execute("select pg_reload_conf()")
        wait_until(
            lambda: sql.execute("show synchronous_standby_names").fetchone() == ("absent",), 10
        )


def release(server: PrivatePostgres) -> None:
    """Let every commit go."""
    with local(server) as sql:
        sql.execute("alter system reset synchronous_standby_names")
        sql.execute("select pg_reload_conf()")
        wait_until(lambda: _waiting(sql) == 0, 20, "the commits to go on")


def local(server: PrivatePostgres) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect so that our own commits do not wait."""
    return psycopg.connect(server.dsn(), autocommit=True, options=LOCAL)


def _waiting(sql: psycopg.Connection) -> int:
    row = sql.execute(
        "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def await_chunks(running: Running, count: int) -> None:
    """Wait until so many more chunks were read, or the table is done."""
    seen = len(running.observer.notes("snapshot_progress"))
    wait_until(
        lambda: (
            len(running.observer.notes("snapshot_progress")) > seen + count
            or running.observer.notes("table_read")
        ),
        20,
        "some chunks",
    )


def reads_of(log: MemoryEventLog) -> dict[str, str]:
    return {
        event["after"]["id"]: event["after"]["note"]
        for event in events_of(log)
        if event.get("kind") == "read"
    }


def test_a_change_that_is_delivered_and_not_visible_is_not_undone(
    server: PrivatePostgres, log: MemoryEventLog, tmp_path: Path
) -> None:
    with local(server) as sql:
        sql.execute("create table t (id int primary key, note text, big text)")
        sql.execute("alter table t alter big set storage external")
        sql.execute("insert into t select x, 'old', repeat('b', 3000) from generate_series(1, 9) x")
        make_source(server.dsn(), "trap", T).prepare(None)
        require_standby(server)
        with psycopg.connect(server.dsn(), options=LOCAL) as older:
            # Older than the reading: it keeps the first chunk waiting, as nobody knows what it
            # did before. What hangs below comes after, so its change is seen and remembered.
            older.execute("create table elsewhere (n int)")
            with capturing(make_source(server.dsn(), "trap", T), log, tmp_path, T) as running:
                running.observer.await_note("reading_begins", open=1)
                with hanging(
                    server,
                    "do $$ begin update t set note = 'new' where id = 1;"
                    " delete from t where id = 2; insert into t values (100, 'new', 'b');"
                    " update t set id = 103 where id = 3; end $$",
                ):
                    wait_until(lambda: len(events_of(log)) == 4, 10, "the hanging change")
                    older.commit()
                    wait_until(lambda: len(reads_of(log)) >= 6, 10, "the other rows")
                    visible = {row["id"]: row["note"] for row in table_rows(sql, "t")}
                    assert visible["1"] == "old", "the trap is set: a SELECT shows the old row"
                    assert {"2", "3"} < set(visible)
                    assert "100" not in visible
                    assert not set(reads_of(log)) & {"1", "2", "3", "100", "103"}
                    assert not running.observer.notes("table_read")
                # Two of them were changed without telling `big`: they are read when visible.
                await_streaming(running, log, T)
                assert reads_of(log)["1"] == "new"
                assert set(reads_of(log)) & {"2", "3"} == set()
                await_position(running, sql, log)
        rows = {str(row["id"]): row for row in table_rows(sql, "t")}
        assert rebuild(log, T, "id") == rows


def test_what_hung_before_the_capture_began_is_waited_for(
    server: PrivatePostgres, log: MemoryEventLog, tmp_path: Path
) -> None:
    """Its change may be in the log, or nowhere: nobody remembers which rows it touched."""
    with local(server) as sql:
        sql.execute("create table t (id int primary key, note text)")
        sql.execute("insert into t select x, 'old' from generate_series(1, 9) x")
        make_source(server.dsn(), "trap", T).prepare(None)
        require_standby(server)
        with hanging(server, "update t set note = 'new' where id = 1"):
            with capturing(make_source(server.dsn(), "trap", T), log, tmp_path, T) as running:
                wait_until(lambda: len(events_of(log)) == 1, 10, "the hanging change")
            # A restart: the change lies before the place where this run begins to listen.
            with capturing(make_source(server.dsn(), "trap", T), log, tmp_path, T) as running:
                running.observer.await_note("snapshot_delayed", why="open transactions")
                assert reads_of(log) == {}
                release(server)
                await_streaming(running, log, T)
        assert reads_of(log)["1"] == "new"
        assert len(reads_of(log)) == 9


def test_laws_while_commits_hang_and_are_released(
    server: PrivatePostgres, log: MemoryEventLog, tmp_path: Path
) -> None:
    """Under load, with a standby that comes and goes: commits become visible late, in bursts."""
    with local(server) as sql:
        for statement in SCHEMA:
            sql.execute(statement.encode())
        make_source(server.dsn(), "trap", TABLE).prepare(None)
        require_standby(server)
        # They hang at their first commit; the others go on over the rows that those changed.
        slow = Application(server.dsn(), 1, threads=4, truncates=False)
        fast = Application(server.dsn(), 2, threads=2, truncates=False, options=LOCAL)
        for thread in slow.threads:
            thread.start()
        limits = SnapshotLimits(chunk_rows=11, duty=1.0)
        with capturing(
            make_source(server.dsn(), "trap", TABLE), log, tmp_path, TABLE, snapshot_limits=limits
        ) as running:
            with fast.writing():
                for _ in range(6):
                    wait_until(lambda: _waiting(sql) > 0 or slow.failure, 10, "a hanging commit")
                    release(server)
                    await_chunks(running, 2)
                    require_standby(server)
                release(server)
                await_streaming(running, log, TABLE)
            slow.end()
            await_position(running, sql, log)
        assert slow.failure is None
        assert_laws(log, sql)
