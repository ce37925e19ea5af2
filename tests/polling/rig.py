"""Legacy databases of three kinds, written to by SQL and polled by a real service."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from adapters.polling.source import SqlPollSource
from bridge.capture.polling.limits import PollLimits
from bridge.capture.polling.plan import TablePlan
from bridge.capture.polling.ports import PollMemory
from bridge.capture.polling.service import PollingService
from bridge.capture.ports import CaptureLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sqlite_poll_memory import SqlitePollMemory
from tests.capture.running import SOURCE, PlainContracts, Running
from tests.waiting import RecordingObserver, wait_until

QUICK = PollLimits(rows_max=200, duty=1.0)


@dataclass(frozen=True, slots=True)
class Legacy:
    """A database of a test's own."""

    system: str
    url: str
    """Of a user that may write."""
    schema: str
    reader_url: str
    """Of a user that may only read; the same file for SQLite."""

    def engine(self) -> Engine:
        """Return an engine for writers; the caller disposes of it."""
        url = make_url(self.url)
        if self.system == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        engine = create_engine(url, poolclass=NullPool)
        if self.system == "mariadb":
            event.listen(engine, "connect", _in_utc)
        if self.system == "sqlite":
            event.listen(engine, "connect", _without_flush)
        return engine

    def table(self, name: str) -> str:
        """Return `schema.table`."""
        return f"{self.schema}.{name}"

    def run(self, *statements: str) -> None:
        """Run statements, one transaction each."""
        engine = self.engine()
        try:
            for statement in statements:
                with engine.begin() as connection:
                    connection.exec_driver_sql(statement)
        finally:
            engine.dispose()

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """Return what is in a table now."""
        engine = self.engine()
        try:
            with engine.begin() as connection:
                found = connection.exec_driver_sql(f"select {', '.join(columns)} from {table}")
                return [tuple(row) for row in found]
        finally:
            engine.dispose()

    @property
    def now(self) -> str:
        """Return an expression for the time of the statement, with microseconds."""
        return {
            "mariadb": "now(6)",
            "postgresql": "now()",
            "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')",
        }[self.system]

    @property
    def stamp(self) -> str:
        """Return the type of a column for it."""
        return {"mariadb": "timestamp(6)", "postgresql": "timestamptz", "sqlite": "text"}[
            self.system
        ]


def _in_utc(connection: Any, record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("set session time_zone = '+00:00'")


def _without_flush(connection: Any, record: Any) -> None:
    connection.execute("pragma synchronous = off").close()


def make_service(
    legacy: Legacy,
    log: CaptureLog,
    folder: Path,
    plans: Sequence[TablePlan],
    *,
    observer: RecordingObserver | None = None,
    limits: PollLimits = QUICK,
    url: str | None = None,
    contracts: Any = None,
    memory: Callable[[], PollMemory] | None = None,
    **options: Any,
) -> PollingService:
    """Return a service over `plans`, with the reader's rights."""
    return PollingService(
        SOURCE,
        SqlPollSource(SOURCE, url or legacy.reader_url, plans, connections_max=limits.workers),
        log,
        memory or (lambda: SqlitePollMemory(folder / "poll.db")),
        contracts or PlainContracts(*(plan.table for plan in plans)),
        observer=observer,
        limits=limits,
        **options,
    )


@contextmanager
def polling(
    legacy: Legacy, log: CaptureLog, folder: Path, *plans: TablePlan, **options: Any
) -> Iterator[Running]:
    """Poll for the duration of the block; what ended it early is raised after it."""
    observer = RecordingObserver()
    service = make_service(legacy, log, folder, plans, observer=observer, **options)
    running = Running(service, observer)  # type: ignore[arg-type]  # it has the same `run`
    try:
        yield running
    finally:
        running.stop.set()
    running.end()


@contextmanager
def event_log(folder: Path) -> Iterator[SqliteEventLog]:
    """Open the log of `folder`."""
    log = SqliteEventLog(folder / "log.db")
    try:
        yield log
    finally:
        log.close()


def events(log: CaptureLog) -> list[dict[str, Any]]:
    """Return all payloads in log order."""
    return [json.loads(entry.payload) for entry in log.read(0, log.head().size)]


class Replay:
    """The rows that the log's events make, read as far as the log has come.

    Every event must follow from those before it: nothing is created twice, updated or deleted
    before it was there, or reported twice in the same state.
    """

    def __init__(self, log: CaptureLog, key: str = "id") -> None:
        self._log = log
        self._key = key
        self._next = 0
        self._rows: dict[str, dict[str, dict[str, Any]]] = {}
        self.kinds: Counter[str] = Counter()

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Return the table's rows by key, as of now."""
        while entries := self._log.read(self._next, 1_000):
            self._next += len(entries)
            for entry in entries:
                self._apply(json.loads(entry.payload))
        return self._rows.get(table, {})

    def column(self, table: str, name: str) -> dict[int, Any]:
        """Return one column of the table by key."""
        return {int(key): row[name] for key, row in self.rows(table).items()}

    def _apply(self, one: dict[str, Any]) -> None:
        rows = self._rows.setdefault(one["table"], {})
        self.kinds[one["kind"]] += 1
        row = one["after"] or one["before"]
        key = row[self._key]
        known = key in rows
        assert known is (one["kind"] in ("updated", "deleted")), (one, known)
        if one["kind"] == "deleted":
            del rows[key]
        else:
            assert rows.get(key) != row, f"the same state twice: {one}"
            rows[key] = row


def await_state(
    running: Running,
    log: CaptureLog,
    table: str,
    expected: Mapping[Any, Any],
    *,
    column: str,
    timeout_s: float = 20,
) -> None:
    """Wait until the log's rows by `id` have these values of `column`."""
    replay = Replay(log)

    def same() -> bool:
        assert running.failure is None, running.failure
        return replay.column(table, column) == expected

    wait_until(same, timeout_s, f"the log to have the {len(expected)} rows of {table}")


def await_tables(running: Running, log: CaptureLog, legacy: Legacy, timeout_s: float) -> Replay:
    """Wait until the log has exactly what is in the workload's tables, then stop."""
    replay = Replay(log)
    for name in ("orders", "items", "outbox"):
        expected = dict(legacy.rows(name, "id", "note"))
        table = legacy.table(name)

        def same(table: str = table, expected: dict[Any, Any] = expected) -> bool:
            assert running.failure is None, running.failure
            return replay.column(table, "note") == expected

        try:
            wait_until(same, timeout_s)
        except AssertionError:
            found = replay.column(table, "note")
            missed = {key for key in expected if found.get(key) != expected[key]}
            more = set(found) - set(expected)
            raise AssertionError(
                f"{table}: {len(missed)} of {len(expected)} missed ({sorted(missed)[:5]}), "
                f"{len(more)} too many ({sorted(more)[:5]})"
            ) from None
    return replay


def joined(threads: Sequence[threading.Thread]) -> None:
    """Wait for writers to end."""
    for thread in threads:
        thread.join(900)
        assert not thread.is_alive(), "a writer did not end"
