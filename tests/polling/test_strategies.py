"""Every strategy brings every final state, on every database."""

from pathlib import Path

from bridge.capture.polling.plan import Deletes, Strategy, TablePlan
from bridge.storage.sqlite_event_log import SqliteEventLog
from tests.polling.rig import Legacy, await_state, events, polling


def _orders(legacy: Legacy) -> None:
    legacy.run(
        f"create table orders (id int primary key, note varchar(40), changed {legacy.stamp} null)",
        f"insert into orders values (1, 'one', {legacy.now}), (2, 'two', {legacy.now})",
    )


def test_keyset_brings_inserts_and_updates(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    _orders(legacy)
    table = legacy.table("orders")
    plan = TablePlan(table=table, strategy=Strategy.KEYSET, column="changed", interval_s=0.05)
    with polling(legacy, log, tmp_path, plan) as running:
        await_state(running, log, table, {1: "one", 2: "two"}, column="note")
        legacy.run(
            f"insert into orders values (3, 'three', {legacy.now})",
            f"update orders set note = 'zwei', changed = {legacy.now} where id = 2",
        )
        await_state(running, log, table, {1: "one", 2: "zwei", 3: "three"}, column="note")
    kinds = [(one["kind"], one["after"]["id"]) for one in events(log)]
    assert sorted(kinds[:2]) == [("read", "1"), ("read", "2")]
    assert sorted(kinds[2:]) == [("created", "3"), ("updated", "2")]


def test_full_comparison_brings_inserts_updates_and_deletes(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    _orders(legacy)
    table = legacy.table("orders")
    plan = TablePlan(table=table, strategy=Strategy.FULL, deletes=Deletes.COMPARE, interval_s=0.05)
    with polling(legacy, log, tmp_path, plan) as running:
        await_state(running, log, table, {1: "one", 2: "two"}, column="note")
        legacy.run(
            "insert into orders values (3, 'three', null)",
            "update orders set note = 'zwei' where id = 2",
            "delete from orders where id = 1",
        )
        await_state(running, log, table, {2: "zwei", 3: "three"}, column="note")
    assert [one["before"] for one in events(log) if one["kind"] == "deleted"] == [{"id": "1"}]
