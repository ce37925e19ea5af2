"""PostgreSQL is the oracle: what an event says, cast back, is what the table holds.

For every type that a column of the server can have, with extremes picked by hand, under settings
of role and database that print every value differently.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.capture.service import CaptureService
from bridge.contracts.contract_set import ContractSet
from bridge.model.entry import EntryKind
from bridge.model.payloads import members
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.running import Running, await_position, make_source
from tests.capture.types.back import to_text
from tests.capture.types.every_type import TypedTable, make_tables, set_hostile
from tests.conftest import Database
from tests.waiting import RecordingObserver, wait_until

SOURCE = "shop"


@pytest.fixture
def sql(any_database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(any_database.dsn, autocommit=True) as connection:
        connection.execute("set datestyle = iso")
        yield connection


def capture(
    database: Database, slot: str, tables: list[TypedTable], log: MemoryEventLog, folder: Path
) -> Running:
    """Start capture of `tables` with their contracts."""
    contracts = ContractSet.load(folder / "contracts", type_prefix="com.example")
    names = [f"public.{table.name}" for table in tables]
    service = CaptureService(
        SOURCE,
        make_source(database.dsn, slot, *names),
        log,
        contracts,
        spool_folder=folder / slot,
        observer=RecordingObserver(),
    )
    return Running(service, service._observer)  # type: ignore[arg-type]  # the one given above


def rows_of(log: MemoryEventLog, kind: str) -> dict[tuple[str, int], tuple[str, str]]:
    """Return (`after`, `bounds`) of the events of a kind as they stand, by table and id."""
    found = {}
    for entry in log.read(0, log.head().size):
        if entry.kind not in (EntryKind.EVENT, EntryKind.PARKED):
            continue
        assert entry.kind is EntryKind.EVENT, (entry.leaf, entry.payload)
        assert entry.routing_key is not None
        if entry.routing_key.split(".")[2] != kind:
            continue
        data = members(members(entry.payload.decode())["data"])
        table = entry.routing_key.split(".")[1].replace("-", "_")
        number = json.loads(data["key"])["id"]
        assert "decode_error" not in data, data["decode_error"]
        found[table, number] = (data["after"], data.get("bounds", "{}"))
    return found


@pytest.mark.long
def test_every_value_of_every_type_is_exact_and_read_as_it_is_streamed(
    any_database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    tables = make_tables(sql)
    for table in tables:
        table.write_contract(tmp_path / "contracts", SOURCE)
    set_hostile(sql, any_database.name, "postgres")
    streamed, read = MemoryEventLog(), MemoryEventLog()
    running = capture(any_database, any_database.name, tables, streamed, tmp_path)
    wait_until(
        lambda: running.failure or len(running.observer.notes("table_read")) == len(tables), 60
    )
    counts = [table.fill(sql) for table in tables]
    await_position(running, sql, streamed)
    running.end()
    running = capture(any_database, f"{any_database.name}_b", tables, read, tmp_path)
    wait_until(lambda: running.failure or read.head().size >= sum(counts), 60)
    running.end()
    created = rows_of(streamed, "created")
    assert len(created) == sum(counts)
    assert rows_of(read, "read") == created
    faults = [
        fault
        for table, count in zip(tables, counts, strict=True)
        for row in range(count)
        for fault in compare(sql, table, row, *created[table.name, row])
    ]
    assert not faults, "\n".join(faults[:40]) + f"\n{len(faults)} in all"


def compare(
    sql: psycopg.Connection, table: TypedTable, row: int, after: str, bounds_text: str
) -> Iterator[str]:
    """Yield where the event of one row, cast back by the server, differs from the row."""
    fields, bounds = members(after), json.loads(bounds_text)
    terms, parameters = [], []
    for column in table.columns:
        text = to_text(column.tree, fields[column.name], f"/after/{column.name}", bounds)
        cast = "%s::text" if column.copied else f"(%s::{column.type.sql})::text"
        terms.append(f"({cast}) is not distinct from {column.name}::text, {column.name}::text")
        parameters.append(text)
    found = sql.execute(
        f"select {', '.join(terms)} from {table.name} where id = %s".encode(), [*parameters, row]
    ).fetchone()
    assert found is not None
    for at, column in enumerate(table.columns):
        if not found[2 * at]:
            name = column.type.name
            yield f"{name}: {found[2 * at + 1]!r} became {fields[column.name]!r}"
