"""One conformance suite for every inbox."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.consumer import Inbox, ReceivedEvent, Refused
from bridge.consumer.memory_inbox import MemoryInbox
from bridge.consumer.postgres_inbox import PostgresInbox
from bridge.consumer.sqlite_inbox import SqliteInbox
from bridge.model.errors import StorageUnavailable
from tests.consumer.samples import received

Handle = Callable[[ReceivedEvent, Any], None]


@dataclass
class Bench:
    """An inbox, a handler that writes through it, and a way to see what was committed."""

    make: Callable[..., Inbox[Any]]
    write: Handle
    rows: Callable[[], list[int]]


@pytest.fixture(params=["memory", "sqlite", "postgres", "postgres-unpiped"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "memory":
        yield _memory_bench()
    elif request.param == "sqlite":
        yield _sqlite_bench(tmp_path / "model.db")
    else:
        database = request.getfixturevalue("database")
        yield _postgres_bench(database.dsn, pipeline=request.param == "postgres")


def _memory_bench() -> Bench:
    inboxes: list[MemoryInbox] = []

    def make(**options: Any) -> MemoryInbox:
        if not inboxes or options:
            inboxes.append(MemoryInbox(**options))
        return inboxes[-1]

    def write(event: ReceivedEvent, tables: dict[str, Any]) -> None:
        tables.setdefault("rows", []).append(event.leaf_index)

    return Bench(make, write, lambda: inboxes[-1].tables.get("rows", []))


def _sqlite_bench(path: Path) -> Bench:
    def prepare(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS written (n INTEGER)")

    def write(event: ReceivedEvent, connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO written VALUES (?)", (event.leaf_index,))

    def rows() -> list[int]:
        connection = sqlite3.connect(path)
        try:
            return [n for (n,) in connection.execute("SELECT n FROM written ORDER BY rowid")]
        finally:
            connection.close()

    return Bench(lambda **options: SqliteInbox(path, prepare=prepare, **options), write, rows)


def _postgres_bench(dsn: str, *, pipeline: bool) -> Bench:
    def prepare(connection: psycopg.Connection[Any]) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS written (o serial, n bigint)")

    def write(event: ReceivedEvent, connection: psycopg.Connection[Any]) -> None:
        connection.execute("INSERT INTO written (n) VALUES (%s)", (event.leaf_index,))

    def rows() -> list[int]:
        with psycopg.connect(dsn) as connection:
            return [n for (n,) in connection.execute("SELECT n FROM written ORDER BY o")]

    def make(**options: Any) -> PostgresInbox:
        return PostgresInbox(dsn, prepare=prepare, pipeline=pipeline, **options)

    return Bench(make, write, rows)


def test_new_events_are_handled_in_order_and_once(bench: Bench) -> None:
    inbox = bench.make()
    assert inbox.apply("g", [received(n) for n in (1, 2, 3)], bench.write) == 3
    assert inbox.apply("g", [received(n) for n in (2, 3, 4, 4)], bench.write) == 1
    assert inbox.apply("g", [], bench.write) == 0
    inbox.close()
    assert bench.rows() == [1, 2, 3, 4]


def test_the_memory_outlives_the_inbox(bench: Bench) -> None:
    first = bench.make()
    first.apply("g", [received(1)], bench.write)
    first.close()
    first.close()
    second = bench.make()
    assert second.apply("g", [received(1), received(2)], bench.write) == 1
    second.close()
    assert bench.rows() == [1, 2]


def test_groups_and_sources_do_not_know_each_others_events(bench: Bench) -> None:
    inbox = bench.make()
    event = received(1)
    assert inbox.apply("a", [event], bench.write) == 1
    assert inbox.apply("b", [event, event._replace(source="urn:other")], bench.write) == 2
    inbox.close()


@pytest.mark.parametrize("error", [Refused("no"), ValueError("bug"), KeyboardInterrupt()])
def test_a_failing_handler_leaves_nothing_behind(bench: Bench, error: BaseException) -> None:
    inbox = bench.make()

    def fail_on_second(event: ReceivedEvent, tx: Any) -> None:
        bench.write(event, tx)
        if event.leaf_index == 2:
            raise error

    inbox.apply("g", [received(0)], bench.write)
    with pytest.raises(type(error)):
        inbox.apply("g", [received(1), received(2), received(3)], fail_on_second)
    assert bench.rows() == [0]
    assert inbox.apply("g", [received(1), received(2)], bench.write) == 2
    inbox.close()
    assert bench.rows() == [0, 1, 2]


def test_what_is_older_than_the_window_is_forgotten_and_the_window_is_known(bench: Bench) -> None:
    inbox = bench.make(retention_leaves=100)
    assert inbox.oldest("g") == 0
    inbox.apply("g", [received(n) for n in range(5)], bench.write)
    assert inbox.oldest("g") == 0
    inbox.apply("g", [received(5, leaf=250)], bench.write)
    assert inbox.oldest("g") == 150
    inbox.apply("g", [received(6, leaf=200)], bench.write)
    assert inbox.oldest("g") == 150, "the window never goes back"
    inbox.close()


def test_the_window_outlives_the_inbox(bench: Bench) -> None:
    first = bench.make(retention_leaves=100)
    first.apply("g", [received(5, leaf=250)], bench.write)
    first.close()
    if isinstance(first, MemoryInbox):
        return  # A memory that is closed is the same memory.
    second = bench.make(retention_leaves=100)
    assert second.oldest("g") == 150
    assert second.oldest("other") == 0
    second.close()


def test_a_database_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    inbox = SqliteInbox(tmp_path / "none" / "model.db")
    with pytest.raises(StorageUnavailable, match="SQLITE_CANTOPEN"):
        inbox.apply("g", [received(1)], lambda _event, _tx: None)
    nobody = PostgresInbox("host=127.0.0.1 port=1 user=nobody password=secret")
    with pytest.raises(StorageUnavailable) as caught:
        nobody.oldest("g")
    assert "secret" not in str(caught.value)


def test_a_bug_in_sql_is_the_handlers_and_not_the_databases(bench: Bench) -> None:
    inbox = bench.make()
    if isinstance(inbox, MemoryInbox):
        return
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable)):
        inbox.apply("g", [received(1)], lambda _event, tx: tx.execute("SELECT * FROM nowhere"))
    assert inbox.apply("g", [received(1)], bench.write) == 1
    inbox.close()


def test_a_lost_connection_is_said_so_and_the_next_call_connects_again(database: Any) -> None:
    bench = _postgres_bench(database.dsn, pipeline=True)
    inbox = bench.make()
    inbox.apply("g", [received(1)], bench.write)

    def lose(event: ReceivedEvent, connection: psycopg.Connection[Any]) -> None:
        bench.write(event, connection)
        with psycopg.connect(database.dsn, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))

    with pytest.raises(StorageUnavailable):
        inbox.apply("g", [received(2)], lose)
    assert inbox.apply("g", [received(1), received(2)], bench.write) == 1
    inbox.close()
    assert bench.rows() == [1, 2]


def test_two_replicas_apply_an_event_once(database: Any) -> None:
    bench = _postgres_bench(database.dsn, pipeline=True)
    one, two = bench.make(), bench.make()
    assert one.apply("g", [received(1)], bench.write) == 1
    assert two.apply("g", [received(1)], bench.write) == 0
    one.close()
    two.close()
