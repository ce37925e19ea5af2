"""Transactions that commit late, out of order or not at all: every final state is captured."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from bridge.capture.polling.plan import Strategy, TablePlan
from bridge.demo.servers import PrivatePostgres
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.polling import workload
from tests.polling.rig import Legacy, await_state, await_tables, polling
from tests.waiting import wait_until


def _run(
    legacy: Legacy, log: SqliteEventLog, folder: Path, transactions: int, timeout_s: float
) -> Counter[str]:
    workload.create(legacy)
    with polling(legacy, log, folder, *workload.plans(legacy)) as running:
        running.observer.await_note("polled", 20)
        workload.start(legacy, seed=transactions, transactions=transactions).end()
        replay = await_tables(running, log, legacy, timeout_s)
        assert not running.observer.notes("poll_window_short")
    return replay.kinds


def test_no_final_state_is_missed(legacy: Legacy, log: SqliteEventLog, tmp_path: Path) -> None:
    # One writer at a time has little to show.
    kinds = _run(legacy, log, tmp_path, 1_000 if legacy.system == "sqlite" else 3_000, 30)
    # A busy machine looks less often, and then sees fewer states of a row.
    assert min(kinds[kind] for kind in ("created", "updated", "deleted")) > 3


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("system", ["maria", "pg"])
def test_no_final_state_of_50_000_transactions_is_missed(
    system: str, request: pytest.FixtureRequest, log: SqliteEventLog, tmp_path: Path
) -> None:
    _run(request.getfixturevalue(system), log, tmp_path, 50_000, 120)


@pytest.mark.parametrize("system", ["maria", "pg"])
@pytest.mark.parametrize("strategy", [Strategy.KEYSET, Strategy.OUTBOX])
def test_a_transaction_that_stays_open_holds_the_bound(
    system: str,
    strategy: Strategy,
    request: pytest.FixtureRequest,
    log: SqliteEventLog,
    tmp_path: Path,
) -> None:
    legacy: Legacy = request.getfixturevalue(system)
    now = legacy.now
    legacy.run(f"create table t (id int primary key, note varchar(9), changed {legacy.stamp} null)")
    column = "changed" if strategy is Strategy.KEYSET else "id"
    plan = TablePlan(
        table=legacy.table("t"), strategy=strategy, column=column, interval_s=0.05, overlap_s=0
    )
    engine = legacy.engine()
    with polling(legacy, log, tmp_path, plan) as running, engine.connect() as late:
        running.observer.await_note("polled")
        late.exec_driver_sql(f"insert into t values (1, 'late', {now})")
        # Others commit, later stamps and numbers are seen, whole seconds pass.
        for row in (2, 3):
            legacy.run(f"insert into t values ({row}, 'soon', {now})")
            expected = dict.fromkeys(range(2, row + 1), "soon")
            await_state(running, log, plan.table, expected, column="note")
            _pass_a_second(legacy)
        late.commit()
        await_state(running, log, plan.table, {**expected, 1: "late"}, column="note")
        late_s = running.observer.await_note("poll_late")["late_s"]
        assert isinstance(late_s, float)
        assert late_s > 0.9  # A second was waited twice, by two clocks.
    engine.dispose()


def test_a_column_of_transaction_ids_needs_no_clock(
    pg: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    pg.run(
        "create table t (id int primary key, note varchar(9), tx xid8 default pg_current_xact_id())"
    )
    plan = TablePlan(
        table=pg.table("t"), strategy=Strategy.OUTBOX, column="tx", interval_s=0.05, overlap_s=0
    )
    engine = pg.engine()
    with polling(pg, log, tmp_path, plan) as running, engine.connect() as late:
        running.observer.await_note("polled")
        late.exec_driver_sql("insert into t values (1, 'late')")
        for row in (2, 3, 4):
            pg.run(f"insert into t values ({row}, 'soon')")
            expected = dict.fromkeys(range(2, row + 1), "soon")
            await_state(running, log, plan.table, expected, column="note")
            running.observer.clear()
            running.observer.await_note("polled")
        late.commit()
        await_state(running, log, plan.table, {**expected, 1: "late"}, column="note")
    engine.dispose()


def test_without_the_right_to_see_transactions_a_window_holds_and_warns(
    maria: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    reader = f"r_{maria.schema}@'127.0.0.1'"
    maria.run(
        f"revoke process on *.* from {reader}",
        "create table t (id int primary key, note varchar(9), changed timestamp(6))",
    )
    plan = TablePlan(
        table=maria.table("t"),
        strategy=Strategy.KEYSET,
        column="changed",
        interval_s=0.05,
        overlap_s=5,
    )
    engine = maria.engine()
    with polling(maria, log, tmp_path, plan) as running, engine.connect() as late:
        running.observer.await_note("polled")
        running.observer.await_note("poll_window", overlap_s=5.0)
        late.exec_driver_sql("insert into t values (1, 'late', now(6))")
        # More than half of the window, less than all of it: over 3 s.
        for _ in range(4):
            _pass_a_second(maria)
        maria.run("insert into t values (2, 'soon', now(6))")
        await_state(running, log, plan.table, {2: "soon"}, column="note")
        late.commit()
        await_state(running, log, plan.table, {1: "late", 2: "soon"}, column="note")
        # It came late enough to say that the window is short.
        told = running.observer.await_note("poll_window_short")
        assert told["overlap_s"] == 5
    engine.dispose()


def test_a_statement_that_waits_for_a_table_holds_the_bound(
    maria: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    """Its clock stands still while it is in no transaction yet, as during a backup's lock."""
    maria.run("create table t (id int primary key, note varchar(9), changed timestamp(6))")
    plan = TablePlan(
        table=maria.table("t"),
        strategy=Strategy.KEYSET,
        column="changed",
        interval_s=0.05,
        overlap_s=0,
    )
    engine = maria.engine()
    with polling(maria, log, tmp_path, plan) as running, engine.connect() as backup:
        running.observer.await_note("polled")
        backup.exec_driver_sql("lock tables t read")
        waiting = threading.Thread(
            target=maria.run, args=("insert into t values (1, 'late', now(6))",), daemon=True
        )
        waiting.start()
        wait_until(lambda: _waits(maria), 10, "the statement to wait")
        for _ in range(2):
            _pass_a_second(maria)
        running.observer.clear()
        running.observer.await_note("polled")
        backup.exec_driver_sql("unlock tables")
        waiting.join(10)
        await_state(running, log, plan.table, {1: "late"}, column="note")
    engine.dispose()


def _waits(maria: Legacy) -> bool:
    found = maria.rows("information_schema.processlist", "state")
    return any("metadata lock" in str(state) for (state,) in found)


def _pass_a_second(legacy: Legacy) -> None:
    """Wait until the database's clock shows another second."""
    clock = {"mariadb": "sysdate()", "postgresql": "date_trunc('second', clock_timestamp())"}
    ask = clock[legacy.system]
    first = legacy.rows("(select 1 as one) x", ask)
    wait_until(lambda: legacy.rows("(select 1 as one) x", ask) != first, 5, "a second")


def test_a_transaction_that_is_prepared_holds_the_bound(
    server_folder: Path, log: SqliteEventLog, tmp_path: Path
) -> None:
    """It leaves its session, and is on the list under another name."""
    settings = {"max_prepared_transactions": "5", "fsync": "off"}
    with PrivatePostgres.start(server_folder, settings=settings) as server:
        legacy = Legacy("postgresql", server.dsn(), "public", server.dsn())
        legacy.run("create table t (id int primary key, note varchar(9), changed timestamptz)")
        plan = TablePlan(
            table="public.t",
            strategy=Strategy.KEYSET,
            column="changed",
            interval_s=0.05,
            overlap_s=0,
        )
        engine = legacy.engine()
        with polling(legacy, log, tmp_path, plan) as running, engine.connect() as late:
            running.observer.await_note("polled")
            late.exec_driver_sql("insert into t values (1, 'late', now())")
            _pass_a_second(legacy)
            late.exec_driver_sql("prepare transaction 'late'")
            for row in (2, 3):
                _pass_a_second(legacy)
                legacy.run(f"insert into t values ({row}, 'soon', now())")
                expected = dict.fromkeys(range(2, row + 1), "soon")
                await_state(running, log, plan.table, expected, column="note")
            _pass_a_second(legacy)
            running.observer.clear()
            running.observer.await_note("polled")
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
                other.exec_driver_sql("commit prepared 'late'")
            await_state(running, log, plan.table, {**expected, 1: "late"}, column="note")
        engine.dispose()
