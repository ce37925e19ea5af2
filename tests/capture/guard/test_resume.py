"""From a lost slot to a log that has all of the source again, by one command of an operator."""

import json

import psycopg

from bridge.model.entry import EntryKind
from tests.capture.running import await_position
from tests.capture.snapshot.test_comparison import ACCOUNTS, House
from tests.capture.snapshot.test_comparison import house as house
from tests.conftest import Database


def lose_slot(sql: psycopg.Connection, slot: str) -> None:
    sql.execute(
        "select pg_terminate_backend(active_pid, 5000), pg_drop_replication_slot(slot_name)"
        " from pg_replication_slots where slot_name = %s",
        (slot,),
    )


def test_only_what_differs_is_told_after_a_gap(
    house: House, database: Database, sql: psycopg.Connection
) -> None:
    lose_slot(sql, database.name)
    house.running.observer.await_note("gap_waits", 30)
    sql.execute("update pgbench_accounts set abalance = 4711 where aid in (7, 8)")
    sql.execute("delete from pgbench_accounts where aid = 9")
    sql.execute("insert into pgbench_accounts values (5001, 1, 3, 'new')")
    size = house.log.head().size

    result = house.run(
        "resume", "pgbench", "--accept-gap", "--reason", "lost", "--ticket", "T-1", "--actor", "ana"
    )
    assert result.exit_code == 0, result.output
    await_position(house.running, sql, house.log, source="pgbench")
    assert all(not row["missing"] + row["different"] + row["extra"] for row in diff(house))

    entries = house.log.read(size, house.log.head().size)
    told = [json.loads(entry.payload) for entry in entries if _is_row(entry.routing_key)]
    kinds = sorted(event["type"].split(".")[-2] for event in told)
    assert kinds == ["deleted", "read", "read", "read"]
    gaps = [json.loads(e.leaf)["fields"]["state"] for e in entries if e.kind is EntryKind.GAP]
    assert gaps == ["closed"]
    sql.execute("update pgbench_accounts set abalance = 1 where aid = 10")
    await_position(house.running, sql, house.log, source="pgbench")
    assert all(not row["missing"] + row["different"] + row["extra"] for row in diff(house))


def diff(house: House) -> list[dict[str, int]]:
    rows: list[dict[str, int]] = house.told("diff", "pgbench", "--table", ACCOUNTS)
    return rows


def _is_row(routing_key: str | None) -> bool:
    return routing_key is not None and not routing_key.startswith("bridge.")
