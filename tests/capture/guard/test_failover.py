"""A real promotion: with a failover slot the stream goes on, without one it is a gap."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from bridge.capture.guard.gaps import OnGap
from bridge.demo.servers import PrivatePostgres
from bridge.demo.servers.postgres_programs import unsupported_platform
from bridge.model.errors import SourceUnfit
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.guard.standby import (
    FAILOVER_SETTINGS,
    STANDBY_SLOT,
    await_replayed,
    promote,
    standby_of,
)
from tests.capture.guard.test_gaps import leaves
from tests.capture.guard.test_guard_on_server import watch
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    events_of,
    make_source,
    start,
)
from tests.waiting import RecordingObserver, wait_until

T = "public.t"
SLOT = "bridge_shop"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(stack: ExitStack, server: PrivatePostgres) -> psycopg.Connection:
    return stack.enter_context(psycopg.connect(server.dsn(), autocommit=True))


def ids(log: MemoryEventLog) -> list[str]:
    return [event["after"]["id"] for event in events_of(log) if event.get("table") == T]


@pytest.mark.skipif(unsupported_platform() is not None, reason="no PostgreSQL 18 here")
def test_a_promoted_standby_goes_on_with_the_failover_slot(
    server_folder: Path, log: MemoryEventLog, tmp_path: Path, stack: ExitStack
) -> None:
    primary = stack.enter_context(
        PrivatePostgres.start(server_folder / "a", version=18, settings={"fsync": "off"})
    )
    there = connect(stack, primary)
    there.execute("select pg_create_physical_replication_slot(%s, true)", (STANDBY_SLOT,))
    # In the file that the standby is copied from, as it comes to be in real life.
    there.execute(f"alter system set synchronized_standby_slots = '{STANDBY_SLOT}'".encode())
    there.execute("select pg_reload_conf()")
    there.execute("create table t (id int primary key)")
    standby = stack.enter_context(
        standby_of(primary, server_folder / "b", version=18, settings=FAILOVER_SETTINGS)
    )
    here = connect(stack, standby)

    source = make_source(primary.dsn(), SLOT, T)
    observer = RecordingObserver()
    guard = watch(source, observer, stall_s=1.0)
    with capturing(source, log, tmp_path, T, watches=[guard]) as running:
        await_streaming(running, log, T)
        there.execute("insert into t values (1)")
        await_position(running, there, log)
        synced = "select synced and not temporary from pg_replication_slots where slot_name = %s"

        def is_copied() -> bool:
            # A copy is kept once the slot has passed the place that the standby reserved for it.
            there.execute("select pg_log_standby_snapshot()")
            return here.execute(synced, (SLOT,)).fetchone() == (True,)

        wait_until(is_copied, 60, "the copy")

        # The standby goes: the server keeps back what the standby does not have, and says why.
        here.close()
        standby.stop()
        there.execute("insert into t values (2)")
        observer.await_note("wal_guard", 30, stalled=1)
        told = observer.await_note("wal_guard_raised", 30)
        assert "synchronized_standby_slots" in str(told["why"])
        assert ids(log) == ["1"]
        standby.restart()
        here = connect(stack, standby)
        wait_until(lambda: ids(log) == ["1", "2"], 60, "the change that was kept back")
        await_replayed(there, here)
    before = cursor_of(log)
    there.close()
    primary.kill()

    promote(here)
    # The trap: the copied configuration names a slot that the new primary does not have.
    assert here.execute("show synchronized_standby_slots").fetchone() == (STANDBY_SLOT,)
    source = make_source(standby.dsn(), SLOT, T)
    observer = RecordingObserver()
    guard = watch(source, observer, stall_s=1.0)
    with capturing(source, log, tmp_path, T, watches=[guard]) as running:
        here.execute("insert into t values (3)")
        told = observer.await_note("wal_guard_raised", 30)
        assert "synchronized_standby_slots" in str(told["why"])
        assert ids(log) == ["1", "2"]
        here.execute("alter system reset synchronized_standby_slots")
        here.execute("select pg_reload_conf()")
        await_position(running, here, log)
    assert ids(log) == ["1", "2", "3"]
    after = cursor_of(log)
    assert (before.timeline, after.timeline) == (1, 2)
    assert not leaves(log)


def test_a_standby_without_the_slot_is_a_gap_and_goes_on_behind_it(
    server_folder: Path, log: MemoryEventLog, tmp_path: Path, stack: ExitStack
) -> None:
    primary = stack.enter_context(
        PrivatePostgres.start(server_folder / "a", settings={"fsync": "off"})
    )
    there = connect(stack, primary)
    there.execute("create table t (id int primary key)")
    standby = stack.enter_context(standby_of(primary, server_folder / "b"))
    here = connect(stack, standby)
    with capturing(make_source(primary.dsn(), SLOT, T), log, tmp_path, T) as running:
        await_streaming(running, log, T)
        there.execute("insert into t values (1)")
        await_position(running, there, log)
    await_replayed(there, here)
    there.close()
    primary.kill()
    promote(here)
    here.execute("insert into t values (2)")
    source = make_source(standby.dsn(), SLOT, T)
    with capturing(source, log, tmp_path, T, on_gap=OnGap.RESNAPSHOT) as running:
        running.observer.await_note("gap_closed", 30)
        await_streaming(running, log, T)
        wait_until(lambda: "2" in ids(log), 30, "the row that only the reading finds")
    assert [(leaf["cause"], leaf["state"]) for leaf in leaves(log)] == [
        ("slot-missing", "found"),
        ("slot-missing", "closed"),
    ]
    assert cursor_of(log).timeline == 2


def test_a_failover_that_lost_the_end_is_refused(
    server_folder: Path, log: MemoryEventLog, tmp_path: Path, stack: ExitStack
) -> None:
    """The log has what the new primary never got; its WAL has grown past that place since."""
    primary = stack.enter_context(
        PrivatePostgres.start(server_folder / "a", settings={"fsync": "off"})
    )
    there = connect(stack, primary)
    there.execute("create table t (id int primary key)")
    standby = stack.enter_context(standby_of(primary, server_folder / "b"))
    here = connect(stack, standby)
    with capturing(make_source(primary.dsn(), SLOT, T), log, tmp_path, T) as running:
        await_streaming(running, log, T)
        here.close()
        standby.stop()
        there.execute("insert into t select x from generate_series(1, 1000) x")
        await_position(running, there, log)
    there.close()
    primary.kill()
    standby.restart()
    here = connect(stack, standby)
    promote(here)
    here.execute("insert into t select x from generate_series(1, 9000) x")
    failure = start(make_source(standby.dsn(), SLOT, T), log, tmp_path, T).await_failure()
    assert isinstance(failure, SourceUnfit)
    assert "is on timeline 2 and left ours at" in str(failure)
    assert not leaves(log)
