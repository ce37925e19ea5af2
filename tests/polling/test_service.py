"""What polling asks of its source, and what it says of itself."""

import json
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text

from adapters.polling.source import SqlPollSource
from bridge.capture.polling.limits import PollLimits
from bridge.capture.polling.plan import Deletes, Strategy, TablePlan
from bridge.capture.polling.table_run import PollBench
from bridge.model.errors import BridgeError, ConfigInvalid, SourceUnavailable, SourceUnfit
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.running import PlainContracts
from tests.polling.rig import Legacy, await_state, events, make_service, polling
from tests.waiting import wait_until


def _table(legacy: Legacy, rows: int = 2) -> TablePlan:
    values = ", ".join(f"({n}, 'n{n}', {legacy.now})" for n in range(1, rows + 1))
    legacy.run(
        f"create table t (id int primary key, note varchar(9), changed {legacy.stamp} null)",
        f"insert into t values {values}",
    )
    return TablePlan(
        table=legacy.table("t"), strategy=Strategy.KEYSET, column="changed", interval_s=0.05
    )


def test_an_event_says_that_it_was_polled_and_between_which_looks(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    plan = _table(legacy)
    with polling(legacy, log, tmp_path, plan) as running:
        await_state(running, log, plan.table, {1: "n1", 2: "n2"}, column="note")
        running.observer.clear()
        running.observer.await_note("polled")
        legacy.run(f"insert into t values (3, 'n3', {legacy.now})")
        expected = {1: "n1", 2: "n2", 3: "n3"}
        await_state(running, log, plan.table, expected, column="note")
    first, *_, last = events(log)
    for one in (first, last):
        assert one["capture"] == "poll"
        assert one["intermediate"] == "may be missing"
    assert "pollafter" not in first  # Nobody had looked before.
    after, before = map(datetime.fromisoformat, (last["pollafter"], last["pollbefore"]))
    assert timedelta() < before - after < timedelta(seconds=30)
    # Between the two clocks the database's own showed the moment of the insert.
    stamp = datetime.fromisoformat(last["after"]["changed"].removesuffix("+00") + "+00:00")
    assert after - timedelta(seconds=1) <= stamp <= before
    (entry,) = log.read(log.head().size - 1, 1)
    assert json.loads(entry.leaf)["fields"]["legacy"] == {
        "capture": "poll",
        "op": "created",
        "system": legacy.system,
        "table": plan.table,
    }
    ids = [entry.entry_id for entry in log.read(0, 100)]
    assert ids == sorted(ids)


def test_runs_of_one_table_never_overlap(
    lite: Legacy, log: SqliteEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _table(lite)
    inside, most = [0], [0]
    gate = threading.Event()
    real = SqlPollSource.page

    def slow(self: SqlPollSource, *args: Any) -> Any:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        gate.wait(0.3)
        inside[0] -= 1
        return real(self, *args)

    monkeypatch.setattr(SqlPollSource, "page", slow)
    with polling(lite, log, tmp_path, plan, limits=PollLimits(workers=4)) as running:
        # Its next turns come while it still runs: they are left out, not queued.
        running.observer.await_note("poll_skipped")
        wait_until(lambda: len(running.observer.notes("polled")) > 2)
        gate.set()
    assert most == [1]


def test_a_run_leaves_the_source_its_share(
    lite: Legacy, log: SqliteEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _table(lite, rows=200)
    rests: list[tuple[float, float]] = []
    real = PollBench.rest

    def watched(bench: PollBench, took_s: float) -> None:
        began = time.monotonic()
        real(bench, took_s)
        rests.append((took_s, time.monotonic() - began))

    monkeypatch.setattr(PollBench, "rest", watched)
    limits = PollLimits(rows_max=10, duty=0.25)
    with polling(lite, log, tmp_path, plan, limits=limits) as running:
        assert running.observer.await_note("polled", 20)["pages"] == 21
    # After each page but the last it rests three times as long as the query took.
    assert len(rests) >= 20
    assert all(rested >= 2.9 * took for took, rested in rests[:20])


def test_every_query_is_bounded_and_the_session_can_only_read(legacy: Legacy) -> None:
    plan = _table(legacy, rows=30)
    source = SqlPollSource("shop", legacy.url, [plan], statement_timeout_s=7)
    statements: list[str] = []
    event.listen(
        source._engine,
        "before_cursor_execute",
        lambda c, cursor, statement, *rest: statements.append(statement),
    )
    try:
        (table,) = source.tables()
        statements.clear()
        source.page(table, None, None, 10)
        source.chunk(table, (3,), 10)
        read = [one for one in statements if "ORDER BY" in one]
        assert len(read) == 2
        assert all("LIMIT" in one for one in read)
        with (
            source._engine.connect() as connection,
            pytest.raises(Exception, match=r"(?i)read.?only"),
        ):
            connection.execute(text("insert into t values (99, 'x', null)"))
        if legacy.system == "mariadb":
            with source._engine.connect() as connection:
                assert connection.execute(text("select @@max_statement_time")).scalar() == 7
        if legacy.system == "postgresql":
            with source._engine.connect() as connection:
                assert connection.execute(text("show statement_timeout")).scalar() == "7s"
    finally:
        source.close()


def test_the_databases_clock_counts_and_not_ours(
    maria: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    """A server and sessions in another zone: instants stay instants."""
    engine = create_engine(maria.url)
    with engine.connect() as app:
        app.exec_driver_sql("set session time_zone = '-11:00'")
        app.exec_driver_sql(
            "create table t (id int primary key, note varchar(9), changed timestamp(6), "
            "local datetime(6))"
        )
        plans = [
            TablePlan(
                table=maria.table("t"), strategy=Strategy.KEYSET, column="changed", interval_s=0.05
            )
        ]
        with polling(maria, log, tmp_path, *plans) as running:
            for row in range(1, 4):
                app.exec_driver_sql(f"insert into t values ({row}, 'x', now(6), now(6))")
                app.commit()
                expected = dict.fromkeys(range(1, row + 1), "x")
                await_state(running, log, maria.table("t"), expected, column="note")
    engine.dispose()
    after = events(log)[-1]["after"]
    local = datetime.fromisoformat(after["local"])
    stamp = datetime.fromisoformat(after["changed"].removesuffix("+00"))
    assert stamp - local == timedelta(hours=11)


def test_local_times_are_read_in_the_zone_that_is_named(
    maria: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    maria.run("create table t (id int primary key, note varchar(9), changed datetime(6))")
    engine = create_engine(maria.url)
    plan = TablePlan(
        table=maria.table("t"),
        strategy=Strategy.KEYSET,
        column="changed",
        zone="Pacific/Honolulu",
        interval_s=0.05,
    )
    with engine.connect() as app, polling(maria, log, tmp_path, plan) as running:
        running.observer.await_note("polled")
        app.exec_driver_sql("set session time_zone = '-10:00'")
        app.exec_driver_sql("insert into t values (1, 'x', now(6))")
        app.commit()
        await_state(running, log, plan.table, {1: "x"}, column="note")
    engine.dispose()


BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing": ("there is no such table", {"table": "{s}.nothing"}),
    "column": ("it has no column 'moved'; it has id, note", {"column": "moved"}),
    "key": ("nothing says that its key 'note' is unique", {"key": ("note",)}),
    "zone": ("holds no local times: remove 'zone'", {"zone": "Asia/Tokyo"}),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_a_plan_that_does_not_fit_is_told_with_what_to_do(
    what: str, legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    _table(legacy)
    said, options = BAD[what]
    options = {
        "table": legacy.table("t"), "strategy": Strategy.KEYSET, "column": "changed", **options
    }  # fmt: skip
    options["table"] = options["table"].format(s=legacy.schema)
    service = make_service(legacy, log, tmp_path, [TablePlan(**options)])
    with pytest.raises(SourceUnfit, match="cannot poll table") as caught:
        service.check()
    assert said in str(caught.value)


def test_local_times_without_a_zone_are_refused(
    maria: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    maria.run("create table t (id int primary key, changed datetime)")
    plan = TablePlan(table=maria.table("t"), strategy=Strategy.KEYSET, column="changed")
    with pytest.raises(SourceUnfit, match="set 'zone' to the time zone"):
        make_service(maria, log, tmp_path, [plan]).check()


def test_a_right_that_is_missing_is_named(
    maria: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    plan = _table(maria)
    reader = f"r_{maria.schema}@'127.0.0.1'"
    maria.run(f"revoke select on {maria.schema}.* from {reader}")
    with pytest.raises(SourceUnfit, match=r"the user may not use the database \(error 1044\)"):
        make_service(maria, log, tmp_path, [plan]).check()
    maria.run(f"grant select (id, note) on {maria.schema}.t to {reader}")
    with polling(maria, log, tmp_path, plan) as running:
        failure = running.await_failure()
        running.failure = None
    assert isinstance(failure, SourceUnfit)
    assert "cannot poll table" in str(failure) or "the user may not read" in str(failure)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql+pymysql://who:secret@127.0.0.1:1/x", "cannot look at its tables in source 'shop'"),
        ("nonsense", "its url cannot be read"),
        ("nosuch://who:secret@h/x", "SQLAlchemy knows no dialect"),
        ("oracle+oracledb://who:secret@h/x", "the driver 'oracledb' is not installed"),
    ],
)
def test_an_address_that_does_not_work_is_told_without_its_password(url: str, said: str) -> None:
    plan = TablePlan(table="a.b", strategy=Strategy.FULL)
    with pytest.raises((ConfigInvalid, SourceUnavailable)) as caught:
        SqlPollSource("shop", url, [plan]).tables()
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_table_that_a_contract_maps_must_be_planned(
    lite: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    plan = _table(lite)
    contracts = PlainContracts(plan.table, "main.other")
    with pytest.raises(ConfigInvalid, match=r"contracts map main\.other"):
        make_service(lite, log, tmp_path, [plan], contracts=contracts).check()


def test_a_key_that_is_not_unique_in_a_view_is_found_out(
    lite: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    lite.run(
        "create table t (id int, note text)",
        "insert into t values (1, 'a'), (1, 'b')",
        "create view v as select * from t",
    )
    plan = TablePlan(table="main.v", strategy=Strategy.FULL, key=("id",), interval_s=0.05)
    with polling(lite, log, tmp_path, plan) as running:
        failure = running.await_failure()
        running.failure = None
    assert isinstance(failure, BridgeError)
    assert "names more than one row" in str(failure)


def test_a_column_that_is_added_is_noticed(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    plan = _table(legacy)
    limits = PollLimits(rows_max=100, duty=1.0, look_interval_s=0.2)
    with polling(legacy, log, tmp_path, plan, limits=limits) as running:
        await_state(running, log, plan.table, {1: "n1", 2: "n2"}, column="note")
        legacy.run(
            "alter table t add column more varchar(9)",
            f"insert into t values (3, 'n3', {legacy.now}, 'new')",
        )
        running.observer.await_note("poll_shape_changed")
        legacy.run(f"insert into t values (4, 'n4', {legacy.now}, 'new')")
        expected = {1: "n1", 2: "n2", 3: "n3", 4: "n4"}
        await_state(running, log, plan.table, expected, column="note")
    assert events(log)[-1]["after"]["more"] == "new"


def test_deletes_are_found_by_keys_alone(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _table(legacy, rows=500)
    plan = TablePlan(
        table=plan.table,
        strategy=Strategy.KEYSET,
        column="changed",
        interval_s=0.05,
        deletes=Deletes.COMPARE,
        compare_interval_s=0.1,
    )
    whole: list[int] = []
    monkeypatch.setattr(SqlPollSource, "chunk", lambda *a: whole.append(1))
    with polling(legacy, log, tmp_path, plan) as running:
        running.observer.await_note("scanned")
        legacy.run("delete from t where id > 3")
        expected = {1: "n1", 2: "n2", 3: "n3"}
        await_state(running, log, plan.table, expected, column="note")
    assert not whole
    deleted = [one for one in events(log) if one["kind"] == "deleted"]
    assert len(deleted) == 497
    assert all(one["image"] == "key" and set(one["before"]) == {"id"} for one in deleted)
    # It was there at the scan before the last one that looked for it.
    assert all(one["pollafter"] < one["pollbefore"] for one in deleted)
