"""The first reading of tables: consistent with the stream, and resumed after a crash."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.faults import Crash, FaultyLog, crash_at
from tests.capture.running import (
    Running,
    await_position,
    await_streaming,
    capturing,
    events_of,
    ids_of,
    make_source,
    read_tables,
    rebuild,
    rebuild_keyless,
    row_text,
    table_rows,
)
from tests.conftest import Database
from tests.waiting import wait_until

TABLES = ("public.acct", "public.hist")

SCHEMA = [
    "create table acct (id int primary key, bal numeric, note text)",
    "create table hist (n int, note text)",
    "insert into acct select x, x, 'first' from generate_series(1, 500) x",
    "insert into hist select x % 50, 'first' from generate_series(1, 300) x",
]


class Application:
    """Writes to both tables as fast as it can, with a seed."""

    def __init__(self, dsn: str, seed: int) -> None:
        self._dsn = dsn
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self.writes = 0
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                while not self._stop.is_set():
                    self._write(connection)
                    self.writes += 1
        except Exception as exc:
            self.failure = exc

    def _write(self, connection: psycopg.Connection) -> None:
        chance = self._random
        one, other = chance.randint(1, 600), chance.randint(1, 600)
        kind = chance.choice(["insert", "update", "delete", "move", "roll back"])
        with connection.transaction(force_rollback=kind == "roll back"):
            connection.execute(
                "insert into hist values (%s, 'later'), (%s, 'later')", (one % 7, one % 7)
            )
            if kind in ("insert", "roll back"):
                connection.execute(
                    "insert into acct values (%s, 1, 'new') on conflict (id) do nothing", (one,)
                )
            elif kind == "update":
                connection.execute(
                    "update acct set bal = bal + 1, note = %s where id in (%s, %s)",
                    (f"w{self.writes}", one, other),
                )
            elif kind == "delete":
                connection.execute("delete from acct where id = %s", (one,))
            else:
                connection.execute(
                    "update acct set id = %s where id = %s and not exists"
                    " (select 1 from acct where id = %s)",
                    (other, one, other),
                )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write for the duration of the block."""
        self._thread.start()
        try:
            wait_until(lambda: self.failure or self.writes > 10, 10, "the first writes")
            yield
        finally:
            self._stop.set()
            self._thread.join(10)
        assert self.failure is None, self.failure


def assert_log_equals_tables(log: MemoryEventLog, sql: psycopg.Connection) -> None:
    accounts = {str(row["id"]): row for row in table_rows(sql, "acct")}
    assert rebuild(log, "public.acct", "id") == accounts
    history = Counter(row_text(row) for row in table_rows(sql, "hist"))
    assert rebuild_keyless(log, "public.hist") == history
    ids = ids_of(log)
    assert len(ids) == len(set(ids))


def test_under_concurrent_writes(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    for statement in SCHEMA:
        sql.execute(statement.encode())
    source = make_source(database.dsn, database.name, *TABLES)
    application = Application(database.dsn, 1)
    with capturing(source, log, tmp_path, *TABLES, snapshot_rows_max=37) as running:
        with application.writing():
            await_streaming(running, log, *TABLES)
            more = application.writes + 50
            wait_until(lambda: application.failure or application.writes > more)
        await_position(running, sql, log)
    assert_log_equals_tables(log, sql)
    # In the log's order, an id never goes back: chunks stand at their place in the stream.
    sequences = [event["sequence"] for event in events_of(log)]
    assert sequences == sorted(sequences)
    assert not list(tmp_path.glob("*.rows")), "the spool was removed"


def ended_or_read(running: Running, log: MemoryEventLog) -> bool:
    return running.failure is not None or set(read_tables(log)) == set(TABLES)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("seed", [1])
def test_crashes_while_reading(
    moment: str,
    seed: int,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    """The process dies around one of its first appends, many times over."""
    for statement in SCHEMA:
        sql.execute(statement.encode())
    chance = random.Random(seed)
    crashes = 0
    done = False
    application = Application(database.dsn, seed)
    with application.writing():
        while not done:
            faulty = FaultyLog(log, crash_at({chance.randint(1, 25)}, moment))
            source = make_source(database.dsn, database.name, *TABLES)
            try:
                with capturing(source, faulty, tmp_path, *TABLES, snapshot_rows_max=61) as running:
                    wait_until(partial(ended_or_read, running, log), 30)
                    done = running.failure is None
            except Crash:
                crashes += 1
            assert crashes < 200
    assert crashes > 0
    source = make_source(database.dsn, database.name, *TABLES)
    with capturing(source, log, tmp_path, *TABLES) as running:
        await_position(running, sql, log)
    assert_log_equals_tables(log, sql)
    # The rows of the table without a key were read in one snapshot, exactly once.
    reads = [event["sequence"] for event in events_of(log) if event["kind"] == "read"]
    assert len(reads) == len(set(reads))


def test_composite_keys_page_in_their_own_order(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    for statement in [
        """create table k (at timestamptz, amount numeric(9,3), code char(4), flag bit(3), v int,
           primary key (code, amount, at, flag))""",
        """insert into k select '2026-01-01'::timestamptz + x % 3 * interval '1 ms',
           x % 5 + 0.125, chr(65 + x % 4) || 'é', (x % 2)::bit(3), x
           from generate_series(1, 119) x on conflict do nothing""",
    ]:
        sql.execute(statement.encode())
    source = make_source(database.dsn, database.name, "public.k")
    with capturing(source, log, tmp_path, "public.k", snapshot_rows_max=7) as running:
        await_streaming(running, log, "public.k")
    read = sorted(row_text(event["after"]) for event in events_of(log))
    assert read == sorted(row_text(row) for row in table_rows(sql, "k"))
    assert len(read) > 20


def test_a_table_added_later_is_read_too(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    for statement in SCHEMA:
        sql.execute(statement.encode())
    with capturing(
        make_source(database.dsn, database.name, "public.acct"), log, tmp_path, "public.acct"
    ) as running:
        await_streaming(running, log, "public.acct")
    before = log.head().size
    sql.execute("insert into hist values (1, 'between')")
    with capturing(
        make_source(database.dsn, database.name, *TABLES), log, tmp_path, *TABLES
    ) as running:
        await_streaming(running, log, *TABLES)
        sql.execute("insert into hist values (2, 'after')")
        await_position(running, sql, log)
    assert_log_equals_tables(log, sql)
    kinds = Counter(event["kind"] for event in events_of(log)[before:])
    assert kinds == {"read": 301, "created": 1}


def test_an_open_transaction_delays_it_for_a_bounded_time(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    for statement in SCHEMA:
        sql.execute(statement.encode())
    source = make_source(database.dsn, database.name, *TABLES, lock_timeout_ms=200)
    with psycopg.connect(database.dsn) as writer:
        pid = writer.info.backend_pid
        writer.execute("insert into hist values (1, 'open')")
        with capturing(source, log, tmp_path, *TABLES) as running:
            told = running.observer.await_note("capture_interrupted")
            writer.commit()
            await_streaming(running, log, *TABLES)
            await_position(running, sql, log)
    assert f"pid {pid}" in str(told["error"])
    assert_log_equals_tables(log, sql)
