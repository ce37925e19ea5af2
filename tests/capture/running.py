"""Run capture against a real server, with contracts that show every cell as it came."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from adapters.postgres.source import PostgresSource
from adapters.postgres.stream import StreamForm
from bridge.capture.cursor import CaptureCursor, parse_cursor
from bridge.capture.ports import CaptureLog, ChangeSource, TableMapper
from bridge.capture.protocol.stage_files import StageFolder
from bridge.capture.protocol.staging import StageStore
from bridge.capture.service import CaptureService
from bridge.contracts.contract_fit import ContractFit
from bridge.model.change import UNSENT, Relation, Row, RowChange
from bridge.model.event import Breach, ChangeOrigin, Event
from tests.waiting import RecordingObserver, wait_until

SOURCE = "shop"


class PlainContracts:
    """A contract per table: the event's data is the change, cell by cell in the server's text."""

    def __init__(self, *tables: str) -> None:
        self._tables = tables

    def tables(self, source: str) -> tuple[str, ...]:
        """Return the tables, whatever the source."""
        return self._tables

    def mapper(self, source: str, relation: Relation) -> TableMapper | None:
        """Return a mapper for a known table."""
        return PlainMapper(relation) if relation.name in self._tables else None

    def fit(self, source: str, relation: Relation) -> ContractFit | None:
        """Return a fit that accounts for every column, whatever the shape."""
        if relation.name not in self._tables:
            return None
        return ContractFit(
            subject="shop.plain",
            version="1.0",
            mapper=PlainMapper(relation),
            field_types={},
            dropped=frozenset(),
            protected=frozenset(),
            key_columns=(),
            unmapped=(),
            missing=(),
        )

    def refresh(self) -> None:
        """Do nothing: it has no files."""


class PlainMapper:
    """Maps to JSON; a column called `broken` that is not null breaks the contract."""

    def __init__(self, relation: Relation) -> None:
        self._names = [column.name for column in relation.columns]
        self._keys = [column.name for column in relation.columns if column.is_key]

    def map(self, change: RowChange, origin: ChangeOrigin) -> Event | Breach:
        """Return the change as an event."""
        after, before = self._cells(change.after), self._cells(change.before)
        row = after or before or {}
        key = json.dumps([row.get(name) for name in self._keys]) if self._keys else None
        payload = json.dumps(
            {
                "table": change.relation.name,
                "kind": change.kind.value,
                "image": change.before_image.value,
                "before": before,
                "after": after,
                "sequence": origin.sequence,
            }
        ).encode()
        if after is not None and after.get("broken"):
            return Breach(origin.event_id, "shop.plain", "1.0", key, "/broken: is set", payload)
        return Event(
            origin.event_id,
            "com.example.plain",
            "shop.plain",
            "1.0",
            f"shop.plain.{change.kind.value}.v1",
            key,
            payload,
        )

    def _cells(self, row: Row | None) -> dict[str, Any] | None:
        if row is None:
            return None
        named = zip(self._names, row, strict=True)
        return {name: cell for name, cell in named if cell is not UNSENT}


@dataclass
class Running:
    """A capture service in a thread."""

    service: CaptureService
    observer: RecordingObserver
    stop: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.service.run(self.stop)
        except BaseException as exc:
            self.failure = exc

    def end(self) -> None:
        """Stop the service; raise what ended it before."""
        self.stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "capture did not stop"
        if self.failure is not None:
            raise self.failure

    def await_failure(self) -> BaseException:
        """Wait until the service gives up, and return why."""
        self._thread.join(30)
        assert self.failure is not None, "capture did not give up"
        return self.failure


def make_source(
    dsn: str,
    slot: str,
    *tables: str,
    stages: str | Path | StageStore | None = None,
    **options: Any,
) -> PostgresSource:
    """Return a source whose slot and publication are called `slot`.

    Large transactions are streamed only with `stages` or a folder for them.
    """
    if isinstance(stages, str | Path):
        stages = StageFolder(Path(stages))
    form = StreamForm(stages=stages)
    return PostgresSource(dsn, slot=slot, publication=slot, tables=tables, form=form, **options)


def start(
    source: ChangeSource, log: CaptureLog, folder: Path, *tables: str, **options: Any
) -> Running:
    """Start capture; the caller ends it."""
    observer = RecordingObserver()
    contracts = PlainContracts(*tables)
    service = CaptureService(
        SOURCE, source, log, contracts, spool_folder=folder, observer=observer, **options
    )
    return Running(service, observer)


@contextmanager
def capturing(
    source: ChangeSource, log: CaptureLog, folder: Path, *tables: str, **options: Any
) -> Iterator[Running]:
    """Run capture for the duration of the block; what ended it early is raised after it."""
    running = start(source, log, folder, *tables, **options)
    try:
        yield running
    finally:
        running.stop.set()
    running.end()


def cursor_of(log: CaptureLog, source: str = SOURCE) -> CaptureCursor:
    """Return the durable cursor."""
    stored = log.cursor(source)
    assert stored is not None, "nothing was captured yet"
    return parse_cursor(stored.state)


def events_of(log: CaptureLog) -> list[dict[str, Any]]:
    """Return the payloads of all row changes, in log order."""
    size = log.head().size
    payloads = [json.loads(entry.payload) for entry in log.read(0, size)]
    return [payload for payload in payloads if "image" in payload]


def ids_of(log: CaptureLog) -> list[str]:
    """Return the ids of all changes, in log order."""
    ids = [entry.entry_id for entry in log.read(0, log.head().size)]
    return [entry_id for entry_id in ids if not entry_id.endswith("-drift")]


def rebuild(log: CaptureLog, table: str, key: str) -> dict[str, dict[str, Any]]:
    """Replay the log into rows by key, as a consumer would."""
    rows: dict[str, dict[str, Any]] = {}
    for event in events_of(log):
        if event["table"] != table:
            continue
        if event["kind"] == "truncated":
            rows.clear()
            continue
        before, after = event["before"], event["after"]
        old = rows.pop(before[key], {}) if before else {}
        if after is not None:
            rows[after[key]] = {**rows.get(after[key], old), **after}
    return rows


def rebuild_keyless(log: CaptureLog, table: str) -> "Counter[str]":
    """Replay a table without a key into a multiset of rows."""
    rows: Counter[str] = Counter()
    for event in events_of(log):
        if event["table"] == table and event["kind"] == "truncated":
            rows.clear()
        elif event["table"] == table:
            rows[row_text(event["after"])] += 1
    return rows


def row_text(row: dict[str, Any]) -> str:
    """Return a row as one comparable text."""
    return json.dumps(row, sort_keys=True)


def table_rows(database: psycopg.Connection, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table in the server's text."""
    result = database.execute(f"select * from {table}").pgresult
    assert result is not None
    names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
    return [
        {
            name: None if (cell := result.get_value(row, column)) is None else cell.decode()
            for column, name in enumerate(names)
        }
        for row in range(result.ntuples)
    ]


def await_streaming(running: Running, log: CaptureLog, *tables: str) -> None:
    """Wait until the first reading of `tables` is done and the stream is followed."""
    wait_until(
        lambda: running.failure or set(read_tables(log)) >= set(tables),
        20,
        "the first reading",
    )
    assert running.failure is None, running.failure


def read_tables(log: CaptureLog) -> tuple[str, ...]:
    """Return the tables that were read, none before the first cursor."""
    stored = log.cursor(SOURCE)
    return parse_cursor(stored.state).snapshot.done if stored else ()


def await_position(
    running: Running, database: psycopg.Connection, log: CaptureLog, source: str = SOURCE
) -> None:
    """Wait until everything that is committed now is in the log."""
    row = database.execute("select pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    target = int(row[0])
    # Nothing says "there is no more" better than a later commit that is not ours to capture.
    database.execute("create table if not exists elsewhere (n int)")
    database.execute("insert into elsewhere values (1)")
    wait_until(
        lambda: running.failure or cursor_of(log, source).end_lsn >= target,
        30,
        "the log to catch up",
    )
    assert running.failure is None, running.failure
