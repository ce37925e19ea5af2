"""Every strategy brings every final state, on every database."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from bridge.capture.polling import table_run
from bridge.capture.polling.plan import Deletes, Strategy, TablePlan
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.running import Running
from tests.polling.rig import Legacy, Replay, await_state, events, polling
from tests.waiting import wait_until


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


def test_an_outbox_row_is_one_event_whatever_becomes_of_it(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    legacy.run(
        "create table outbox (id int primary key, note varchar(40), sent int)",
        "insert into outbox values (1, 'one', 0), (2, 'two', 0)",
    )
    plan = TablePlan(
        table=legacy.table("outbox"), strategy=Strategy.OUTBOX, column="id", interval_s=0.05
    )
    for row in (3, 4):  # The second time after a restart.
        with polling(legacy, log, tmp_path, plan) as running:
            legacy.run(
                f"insert into outbox values ({row}, 'more', 0)",
                "update outbox set sent = sent + 1",
                "delete from outbox where id = 1",
            )
            expected = {1: "one", 2: "two", 3: "more"} | ({4: "more"} if row == 4 else {})
            replay = Replay(log)
            wait_until(lambda: replay.column(plan.table, "note").keys() >= {row})  # noqa: B023 - at once
            running.observer.clear()
            running.observer.await_note("polled")
    found = [(one["kind"], one["after"]["id"]) for one in events(log)]
    # Row 1 may have been deleted before the first look.
    assert {kind for kind, _ in found} == {"created"}
    ids = [int(row) for _, row in found]
    assert sorted(ids) == sorted(set(ids))
    assert set(ids) | {1} == set(expected)


def test_outbox_rows_that_no_run_reads_again_are_forgotten(
    lite: Legacy, log: SqliteEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_run, "TIDY_INTERVAL_S", 0.0)
    lite.run("create table outbox (id integer primary key, note text)")
    plan = TablePlan(
        table="main.outbox",
        strategy=Strategy.OUTBOX,
        column="id",
        interval_s=0.05,
        overlap_s=0,
    )
    for first in (0, 100):  # The second time after a restart.
        with polling(lite, log, tmp_path, plan) as running:
            for row in range(first, first + 100, 10):
                rows = ", ".join(f"({one}, 'x')" for one in range(row, row + 10))
                lite.run(f"insert into outbox values {rows}")
                expected = dict.fromkeys(range(row + 10), "x")
                await_state(running, log, plan.table, expected, column="note")
    assert len(events(log)) == 200
    path = tmp_path / "poll.db"
    assert path.stat().st_mode & 0o077 == 0  # It holds keys.
    with closing(sqlite3.connect(path)) as memory:
        (count,) = memory.execute("select count(*) from rows").fetchone()
    assert count < 100


def test_a_column_can_say_that_a_row_is_deleted(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    legacy.run(
        f"create table t (id int primary key, note varchar(9), gone char(1), "
        f"changed {legacy.stamp} null)",
        f"insert into t values (1, 'one', 'N', {legacy.now}), (2, 'two', 'N', {legacy.now}), "
        f"(3, 'old', 'Y', {legacy.now})",
    )
    plan = TablePlan(
        table=legacy.table("t"),
        strategy=Strategy.KEYSET,
        column="changed",
        interval_s=0.05,
        deletes=Deletes.SOFT,
        deleted_column="gone",
        deleted_value="Y",
    )
    with polling(legacy, log, tmp_path, plan) as running:
        await_state(running, log, plan.table, {1: "one", 2: "two"}, column="note")
        legacy.run(f"update t set gone = 'Y', changed = {legacy.now} where id = 1")
        await_state(running, log, plan.table, {2: "two"}, column="note")
        legacy.run(f"update t set gone = 'N', changed = {legacy.now} where id = 1")
        await_state(running, log, plan.table, {1: "one", 2: "two"}, column="note")
    deleted = [one for one in events(log) if one["kind"] == "deleted"]
    assert [one["before"]["note"] for one in deleted] == ["one"]
    assert deleted[0]["image"] == "full"


def test_rows_without_any_key_are_counted(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    legacy.run(
        "create table t (word varchar(9), n int)",
        "insert into t values ('a', 1), ('a', 1), ('b', null), ('c', 3)",
    )
    plan = TablePlan(
        table=legacy.table("t"),
        strategy=Strategy.FULL,
        key=(),
        deletes=Deletes.COMPARE,
        interval_s=0.05,
    )
    with polling(legacy, log, tmp_path, plan) as running:
        _await_bag(running, log, [("a", "1"), ("a", "1"), ("b", None), ("c", "3")])
        # One of two equal rows goes, a third one comes, another changes.
        limited = {
            "mariadb": "delete from t where word = 'a' limit 1",
            "postgresql": "delete from t where ctid = (select min(ctid) from t where word = 'a')",
            "sqlite": "delete from t where rowid = (select min(rowid) from t where word = 'a')",
        }
        legacy.run(
            limited[legacy.system],
            "insert into t values ('b', null)",
            "update t set n = 4 where n = 3",
        )
        _await_bag(running, log, [("a", "1"), ("b", None), ("b", None), ("c", "4")])
        many = ", ".join(["('m', 7)"] * 500)  # Over several pages.
        legacy.run(f"insert into t values {many}")
        bag = [("a", "1"), ("b", None), ("b", None), ("c", "4"), *[("m", "7")] * 500]
        _await_bag(running, log, bag)
        legacy.run("delete from t where word <> 'a'")
        _await_bag(running, log, [("a", "1")])
    assert {one["image"] for one in events(log) if one["kind"] == "deleted"} == {"full"}


def _await_bag(
    running: Running, log: SqliteEventLog, expected: list[tuple[str, str | None]]
) -> None:
    def bag() -> Counter[tuple[str, str | None]]:
        assert running.failure is None, running.failure
        rows: Counter[tuple[str, str | None]] = Counter()
        for one in events(log):
            row = one["after"] or one["before"]
            rows[row["word"], row["n"]] += -1 if one["kind"] == "deleted" else 1
        return +rows

    wait_until(lambda: bag() == Counter(expected), 20, f"{len(expected)} rows")


def test_a_row_that_comes_back_in_time_is_not_deleted(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    """One scan that misses it is not enough."""
    _orders(legacy)
    table = legacy.table("orders")
    plan = TablePlan(table=table, strategy=Strategy.FULL, deletes=Deletes.COMPARE, interval_s=3600)
    with polling(legacy, log, tmp_path, plan) as running:
        running.observer.await_note("scanned")
    legacy.run("delete from orders where id = 1")
    with polling(legacy, log, tmp_path, plan) as running:  # Each start scans once.
        running.observer.await_note("scanned")
    legacy.run("insert into orders values (1, 'one', null)")
    for _ in range(2):
        with polling(legacy, log, tmp_path, plan) as running:
            running.observer.await_note("scanned")
    # It came back without its stamp: an update, and nothing else.
    assert [one["kind"] for one in events(log)] == ["read", "read", "updated"]
    legacy.run("delete from orders where id = 1")
    for expected in (0, 1, 1):
        with polling(legacy, log, tmp_path, plan) as running:
            running.observer.await_note("scanned")
        assert sum(one["kind"] == "deleted" for one in events(log)) == expected


def test_what_the_order_column_does_not_show_the_comparison_finds(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    """A row written with an old stamp, or with none."""
    _orders(legacy)
    plan = TablePlan(
        table=legacy.table("orders"),
        strategy=Strategy.KEYSET,
        column="changed",
        interval_s=0.05,
        deletes=Deletes.COMPARE,
        compare_interval_s=0.2,
    )
    with polling(legacy, log, tmp_path, plan) as running:
        await_state(running, log, plan.table, {1: "one", 2: "two"}, column="note")
        legacy.run("insert into orders values (3, 'old', '2001-01-01 00:00:00'), (4, 'none', null)")
        expected = {1: "one", 2: "two", 3: "old", 4: "none"}
        await_state(running, log, plan.table, expected, column="note")
        assert running.observer.await_note("poll_found_unknown")["rows"]


def test_a_composite_key_is_paged_in_its_order(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    rows = ", ".join(f"('k{n % 7}', {n}, {n % 3})" for n in range(900))
    legacy.run(
        "create table t (a varchar(9), b int, c int, primary key (a, b))",
        f"insert into t values {rows}",
    )
    plans = [
        TablePlan(table=legacy.table("t"), strategy=Strategy.KEYSET, column="c", interval_s=0.05)
    ]
    with polling(legacy, log, tmp_path, *plans) as running:
        running.observer.await_note("polled")
    keys = [(one["after"]["a"], one["after"]["b"]) for one in events(log)]
    assert len(keys) == len(set(keys)) == 900
