"""A person steers the reading: start, filter, keys, pause, resume, stop; all of it is recorded."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.capture.snapshot.pacing import SnapshotLimits
from bridge.capture.snapshot.ports import RequestAction, SnapshotRequest, SnapshotRequests
from bridge.model.entry import EntryKind
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.sqlite_snapshot_requests import SqliteSnapshotRequests
from tests.capture.faults import Crash, FaultyLog, crash_at
from tests.capture.running import (
    Running,
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    make_source,
    read_tables,
)
from tests.capture.snapshot.requests import MemoryRequests
from tests.conftest import Database
from tests.waiting import wait_until
from tests.warrants import by

TABLES = ("public.acct", "public.eu", "public.hist")
LIMITS = SnapshotLimits(chunk_rows=10, duty=1.0)


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.soak), "sqlite"])
def requests(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[MemoryRequests | SqliteSnapshotRequests]:
    """Both kinds of them keep the same promises."""
    if request.param == "memory":
        yield MemoryRequests()
        return
    stored = SqliteSnapshotRequests(tmp_path / "requests.db")
    yield stored
    stored.close()


@pytest.fixture
def shop(sql: psycopg.Connection) -> psycopg.Connection:
    """A table, one with a composite key, and one without a key."""
    for statement in [
        "create table acct (id int primary key, note text)",
        "create table eu (region text, id int, note text, primary key (region, id))",
        "create table hist (n int)",
        "insert into acct select x, 'note' || x from generate_series(1, 100) x",
        "insert into eu select 'r' || x % 3, x, 'n' from generate_series(1, 30) x",
        "insert into hist values (1), (2)",
    ]:
        sql.execute(statement.encode())
    return sql


def ask(requests: Any, action: RequestAction, **wish: Any) -> str:
    request_id: str = requests.ask(action, by("ana", "to be sure"), **wish)
    return request_id


def await_state(requests: Any, request_id: str, state: str) -> None:
    wait_until(lambda: requests.state(request_id).startswith(state), 10, f"state {state}")


def reads(log: MemoryEventLog, beyond: int) -> list[dict[str, Any]]:
    entries = log.read(beyond, log.head().size)
    events = [json.loads(entry.payload) for entry in entries]
    return [event["after"] for event in events if event.get("kind") == "read"]


def controls(log: MemoryEventLog) -> list[dict[str, Any]]:
    entries = log.read(0, log.head().size)
    return [
        json.loads(entry.leaf)["fields"] for entry in entries if entry.kind is EntryKind.CONTROL
    ]


def test_reading_again(
    database: Database,
    shop: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    requests: Any,
) -> None:
    source = make_source(database.dsn, database.name, *TABLES)
    options = {"snapshot_limits": LIMITS, "snapshot_requests": requests}
    with capturing(source, log, tmp_path, *TABLES, **options) as running:
        await_streaming(running, log, *TABLES)
        size = log.head().size
        whole = ask(requests, RequestAction.START, tables=["public.acct"])
        await_state(requests, whole, "done")
        assert Counter(row["id"] for row in reads(log, size)) == Counter(map(str, range(1, 101)))

        size = log.head().size
        chosen = ask(
            requests,
            RequestAction.START,
            tables=["public.acct"],
            where="id % 10 = 0 and note like 'note%'",
        )
        await_state(requests, chosen, "done")
        assert {row["id"] for row in reads(log, size)} == {str(x) for x in range(10, 101, 10)}

        size = log.head().size
        keys = [(f"r{x % 3}", str(x)) for x in range(3, 28)] + [("r9", "1")]
        some = ask(requests, RequestAction.START, tables=["public.eu"], keys=keys)
        await_state(requests, some, "done")
        found = [(row["region"], row["id"]) for row in reads(log, size)]
        assert sorted(found) == sorted(keys[:-1])

        size = log.head().size
        every = ask(requests, RequestAction.START)
        await_state(requests, every, "done")
        assert len(reads(log, size)) == 130, "all tables with a key"
        await_position(running, shop, log)
    told = controls(log)
    assert [entry["action"] for entry in told] == ["snapshot-start"] * 4
    assert [entry["actor"] for entry in told] == [by("ana").actor.as_json()] * 4
    assert {(entry["ticket"], entry["outcome"]) for entry in told} == {("T-1", "done")}
    assert "reason" not in told[0]
    assert b"note%" not in b"".join(entry.leaf for entry in log.read(0, log.head().size))
    entry = log.read(size, 1 + len(told))[-1]
    assert json.loads(entry.leaf)["fields"]["legacy"]["run"] == f"reread:{every}"


def test_what_cannot_be_done_is_refused(
    database: Database,
    shop: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    requests: Any,
) -> None:
    source = make_source(database.dsn, database.name, *TABLES)
    with capturing(source, log, tmp_path, *TABLES, snapshot_requests=requests) as running:
        await_streaming(running, log, *TABLES)
        for wish, why in [
            ({"tables": ["public.nothing"]}, "is not captured"),
            ({"tables": ["public.hist"]}, "has no key"),
        ]:
            refused = ask(requests, RequestAction.START, **wish)
            await_state(requests, refused, "refused")
            assert why in requests.state(refused)
        stopped = ask(requests, RequestAction.STOP)
        await_state(requests, stopped, "refused: nothing that was asked for")
        wrong = ask(requests, RequestAction.START, tables=["public.acct"], where="nosuch = 1")
        await_state(requests, wrong, "failed: ")
        await_position(running, shop, log)
        assert running.failure is None, "a wrong condition is no reason to stop capturing"
    outcomes = [entry["outcome"] for entry in controls(log)]
    assert outcomes == ["refused", "refused", "refused", "done"]


def test_pause_resume_and_stop(
    database: Database,
    shop: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    requests: Any,
) -> None:
    shop.execute("insert into acct select x, 'more' from generate_series(101, 3000) x")
    options = {
        "snapshot_requests": requests,
        # Slow enough to be paused in the middle: a chunk of ten rows, then a rest.
        "snapshot_limits": SnapshotLimits(chunk_rows=10, duty=0.05),
    }
    source = make_source(database.dsn, database.name, *TABLES)
    with capturing(source, log, tmp_path, *TABLES, **options) as running:
        running.observer.await_note("snapshot_progress", table="public.acct")
        await_state(requests, ask(requests, RequestAction.PAUSE), "done")
        size = log.head().size
        shop.execute("update acct set note = 'meanwhile' where id = 2999")
        wait_until(lambda: log.head().size > size, 10, "the stream")
        await_position(running, shop, log)
        assert reads(log, size) == []
    # A restart does not forget it.
    with capturing(source, log, tmp_path, *TABLES, **options) as running:
        running.observer.await_note("streaming")
        await_position(running, shop, log)
        assert reads(log, size) == []
        mark = cursor_of(log).snapshot
        assert mark.paused
        assert mark.table is not None
        assert 0 < mark.table.row_count < 3000
        await_state(requests, ask(requests, RequestAction.STOP), "refused")
    options["snapshot_limits"] = SnapshotLimits(chunk_rows=500, duty=1.0)
    with capturing(source, log, tmp_path, *TABLES, **options) as running:
        await_state(requests, ask(requests, RequestAction.RESUME), "done")
        await_streaming(running, log, *TABLES)
    counts = Counter(row["id"] for row in reads(log, 0) if "region" not in row and "n" not in row)
    assert set(counts.values()) == {1}, "nothing was repeated"
    assert len(counts) == 3000
    options["snapshot_limits"] = SnapshotLimits(chunk_rows=10, duty=0.05)
    with capturing(source, log, tmp_path, *TABLES, **options) as running:
        again = ask(requests, RequestAction.START, tables=["public.acct"])
        running.observer.await_note("snapshot_progress", table="public.acct")
        await_state(requests, ask(requests, RequestAction.STOP), "done")
        await_state(requests, again, "stopped")
        assert cursor_of(log).snapshot.queue == ()
        assert set(read_tables(log)) == set(TABLES)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_request_survives_crashes(
    moment: str,
    database: Database,
    shop: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    requests: Any,
) -> None:
    """It is taken once, and what it asked for is read to the end, each row once."""
    options = {"snapshot_limits": LIMITS, "snapshot_requests": requests}
    source = make_source(database.dsn, database.name, *TABLES)
    with capturing(source, log, tmp_path, *TABLES, **options) as running:
        await_streaming(running, log, *TABLES)
    size = log.head().size
    asked = ask(requests, RequestAction.START, tables=["public.acct"])
    chance, crashes = random.Random(moment), 0
    while requests.state(asked) != "done":
        faulty = FaultyLog(log, crash_at({chance.choice([1, 2, 3])}, moment))
        try:
            with capturing(source, faulty, tmp_path, *TABLES, **options) as running:
                wait_until(partial(_ended_or_done, running, requests, asked), 20)
        except Crash:
            crashes += 1
        assert crashes < 50
    assert crashes > 3
    assert Counter(row["id"] for row in reads(log, size)) == Counter(map(str, range(1, 101)))
    assert len(controls(log)) == 1


def _ended_or_done(running: Running, requests: Any, request_id: str) -> bool:
    return running.failure is not None or requests.state(request_id) == "done"


def test_requests_keep_what_they_are_told(requests: Any) -> None:
    port: SnapshotRequests = requests
    keys = [(str(x), "é\udc80") for x in range(5)]
    one = ask(requests, RequestAction.REPAIR, tables=["public.t"], keys=keys)
    two = ask(requests, RequestAction.START, where="true")
    expected = SnapshotRequest(
        request_id=one,
        action=RequestAction.REPAIR,
        tables=("public.t",),
        key_count=5,
        warrant=by("ana", "to be sure"),
    )
    assert port.find(one) == expected
    assert [request.request_id for request in port.waiting()] == [one, two]
    assert port.keys(one, 2, 2) == keys[2:4]
    assert port.keys(one, 5, 2) == []
    port.settle(one, "taken")
    assert [request.request_id for request in port.waiting()] == [two]
    assert port.keys(one, 0, 9) == keys
    port.settle(two, "refused: no")
    assert port.waiting() == []
    assert requests.state(two) == "refused: no"
    assert port.find("unknown") is None
