"""Capture from a standby (16 and later): the primary does nothing for us but log its WAL."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from adapters.postgres.server import PostgresServer
from adapters.postgres.slot_creation import create_slot
from bridge.demo.servers import PrivatePostgres
from bridge.demo.servers.postgres_programs import unsupported_platform
from bridge.model.errors import SourceUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.guard.standby import await_replayed, promote, standby_of
from tests.capture.guard.test_gaps import leaves
from tests.capture.running import (
    await_position,
    capturing,
    cursor_of,
    events_of,
    make_source,
    read_tables,
)
from tests.waiting import wait_until

T = "public.t"
SLOT = "bridge_shop"

pytestmark = pytest.mark.skipif(unsupported_platform() is not None, reason="no PostgreSQL 18 here")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_standby_is_captured_and_promoted(
    server_folder: Path, log: MemoryEventLog, tmp_path: Path, stack: ExitStack
) -> None:
    primary = stack.enter_context(
        PrivatePostgres.start(server_folder / "a", version=18, settings={"fsync": "off"})
    )
    there = stack.enter_context(psycopg.connect(primary.dsn(), autocommit=True))
    there.execute("create table t (id int primary key)")
    there.execute("insert into t values (1)")
    # A standby takes no DDL: the primary's owner creates the publications.
    options = "publish_via_partition_root = true"
    there.execute(f"create publication {SLOT} for table t with ({options})".encode())
    there.execute(
        f"create publication {SLOT}_insert with (publish = 'insert, truncate', {options})".encode()
    )
    standby = stack.enter_context(
        standby_of(
            primary, server_folder / "b", version=18, settings={"hot_standby_feedback": "on"}
        )
    )
    here = stack.enter_context(psycopg.connect(standby.dsn(), autocommit=True))
    await_replayed(there, here)

    server = PostgresServer(standby.dsn(), application_name="test")
    with pytest.raises(SourceUnavailable, match=r"run on the primary: SELECT pg_log_standby_snap"):
        create_slot(server, here, "impatient", failover=True, standby_wait_s=0.5)
    assert here.execute("select count(*) from pg_replication_slots").fetchone() == (0,)

    def is_read() -> bool:
        there.execute("select pg_log_standby_snapshot()")
        return T in read_tables(log)

    with capturing(make_source(standby.dsn(), SLOT, T), log, tmp_path, T) as running:
        wait_until(is_read, 30, "the first reading")
        there.execute("insert into t values (2)")
        wait_until(lambda: ids(log) == ["1", "2"], 30, "the change")
        assert running.failure is None
    with capturing(make_source(standby.dsn(), SLOT, T), log, tmp_path, T):
        there.execute("insert into t values (3)")
        wait_until(lambda: ids(log) == ["1", "2", "3"], 30, "the change after a restart")
    assert there.execute(
        "select count(*) from pg_replication_slots where slot_type = 'logical'"
    ).fetchone() == (0,)
    there.close()
    primary.kill()
    promote(here)
    here.execute("insert into t values (4)")
    with capturing(make_source(standby.dsn(), SLOT, T), log, tmp_path, T) as running:
        await_position(running, here, log)
    assert ids(log) == ["1", "2", "3", "4"]
    assert cursor_of(log).timeline == 2
    assert not leaves(log)


def ids(log: MemoryEventLog) -> list[str]:
    return [event["after"]["id"] for event in events_of(log) if event.get("table") == T]
