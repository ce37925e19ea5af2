"""Where a row came from: which table of a partitioned one, which other server."""

from pathlib import Path

import psycopg

from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.drift.shop import entries_of, shop, told, write_contract
from tests.capture.running import await_position, await_streaming
from tests.conftest import Database

PARTITIONED = (
    "create table p (id int primary key, name text) partition by range (id)",
    "create table p1 partition of p for values from (0) to (10)",
    "create table p2 partition of p for values from (10) to (20)",
)


def tables_of(
    table: str, database: Database, sql: psycopg.Connection, log: MemoryEventLog, folder: Path
) -> list[tuple[str, str]]:
    """Return table and kind of what is captured of `p` by a contract over `table`."""
    contracts = folder / "contracts"
    write_contract(contracts, {"id": "integer", "name": "string"}, table=table)
    for statement in PARTITIONED:
        sql.execute(statement.encode())
    with shop(database, log, folder, contracts) as running:
        await_streaming(running, log, table)
        sql.execute("insert into p values (1, 'a'), (11, 'b')")
        sql.execute("update p set id = 12 where id = 1")
        await_position(running, sql, log)
    places = [told(entry)["legacy"] for entry in entries_of(log)]
    return [(place["table"], place["op"]) for place in places]


def test_a_contract_over_the_root_has_all_partitions(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    assert tables_of("public.p", database, sql, log, tmp_path) == [
        ("public.p", "created"),
        ("public.p", "created"),
        # A row that moves to another partition is deleted there and inserted here.
        ("public.p", "deleted"),
        ("public.p", "created"),
    ]


def test_a_contract_over_a_partition_has_that_one(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    assert tables_of("public.p1", database, sql, log, tmp_path) == [
        ("public.p1", "created"),
        ("public.p1", "deleted"),
    ]


def test_what_came_from_another_server_says_so(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    contracts = tmp_path / "contracts"
    write_contract(contracts, {"id": "integer"})
    sql.execute("create table t (id int primary key)")
    origin = f"north_{database.name}"  # Origins belong to the whole server.
    sql.execute("select pg_replication_origin_create(%s)", (origin,))
    try:
        with shop(database, log, tmp_path, contracts) as running:
            await_streaming(running, log, "public.t")
            sql.execute("insert into t values (1)")
            sql.execute("select pg_replication_origin_session_setup(%s)", (origin,))
            sql.execute("insert into t values (2)")
            sql.execute("select pg_replication_origin_session_reset()")
            await_position(running, sql, log)
    finally:
        sql.execute("select pg_replication_origin_drop(%s)", (origin,))
    origins = [told(entry)["legacy"].get("origin") for entry in entries_of(log)]
    assert origins == [None, origin]
