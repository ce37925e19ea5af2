"""The database goes away, the wire is cut, the log is full: polling goes on where it was."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bridge.capture.polling.plan import Deletes, Strategy, TablePlan
from bridge.demo.servers.mariadb import PrivateMariaDB
from bridge.model.entry import Appended, CursorMove, EntryDraft
from bridge.model.errors import LogCorrupt, StaleCursor, StorageUnavailable
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.polling import workload
from tests.polling.rig import Legacy, await_state, await_tables, make_service, polling
from tests.wire import Wire


def _numbers(legacy: Legacy) -> TablePlan:
    legacy.run(
        f"create table t (id int primary key, note varchar(9), changed {legacy.stamp} null)",
        f"insert into t values (1, 'one', {legacy.now})",
    )
    return TablePlan(
        table=legacy.table("t"), strategy=Strategy.KEYSET, column="changed", interval_s=0.05
    )


def test_a_database_that_dies_and_comes_back_is_polled_on(
    maria: Legacy, mariadb: PrivateMariaDB, log: SqliteEventLog, tmp_path: Path
) -> None:
    plan = _numbers(maria)
    with polling(maria, log, tmp_path, plan) as running:
        await_state(running, log, plan.table, {1: "one"}, column="note")
        mariadb.kill()
        told = running.observer.await_note("capture_interrupted", 20)
        assert "OperationalError (error 2" in str(told["error"])
        assert "read-only" not in str(told)  # The reader's password.
        mariadb.restart()
        maria.run(f"insert into t values (2, 'two', {maria.now})")
        await_state(running, log, plan.table, {1: "one", 2: "two"}, column="note", timeout_s=30)


def test_cut_wires_lose_and_repeat_nothing(
    maria: Legacy,
    wire: Callable[[int | str], Wire],
    log: SqliteEventLog,
    tmp_path: Path,
) -> None:
    workload.create(maria)
    cuttable = wire(maria.url)
    url = cuttable.through(maria.reader_url)
    with polling(maria, log, tmp_path, *workload.plans(maria), url=url) as running:
        load = workload.start(maria, seed=3, transactions=400, writers=2)
        for _ in range(4):
            running.observer.clear()
            running.observer.await_note("appended")
            cuttable.cut()
        load.end()
        await_tables(running, log, maria, 30)


class _Unsure(SqliteEventLog):
    """Fails some appends: before they are made, or after, so that nobody knows."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()
        self._count = 0

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        with self._lock:
            self._count += 1
            number = self._count
        if number % 5 == 2:
            raise StorageUnavailable("disk full")
        appended = super().append(drafts, cursor=cursor)
        if number % 5 == 4:
            raise StorageUnavailable("answer lost")
        return appended


def test_appends_of_which_nobody_knows_are_made_once(lite: Legacy, tmp_path: Path) -> None:
    log = _Unsure(tmp_path / "log.db")
    try:
        workload.create(lite)
        with polling(lite, log, tmp_path, *workload.plans(lite, 0.05)) as running:
            workload.start(lite, seed=5, transactions=600).end()
            await_tables(running, log, lite, 30)
            assert len(running.observer.notes("capture_interrupted")) > 2
    finally:
        log.close()


def test_a_second_poller_is_fenced(lite: Legacy, log: SqliteEventLog, tmp_path: Path) -> None:
    plan = _numbers(lite)
    other = tmp_path / "other"
    other.mkdir()
    with polling(lite, log, tmp_path, plan) as running:
        await_state(running, log, plan.table, {1: "one"}, column="note")
        stored = log.cursor("shop")
        assert stored is not None
        log.append([], cursor=CursorMove("shop", stored.version, stored.state))
        lite.run(f"insert into t values (2, 'two', {lite.now})")
        assert isinstance(running.await_failure(), StaleCursor)
        running.failure = None


def test_a_memory_of_another_state_of_the_log_is_refused(
    lite: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    plan = _numbers(lite)
    with polling(lite, log, tmp_path, plan) as running:
        await_state(running, log, plan.table, {1: "one"}, column="note")
    other = tmp_path / "other"
    other.mkdir()
    service = make_service(lite, log, other, [plan])
    with pytest.raises(LogCorrupt, match="restore both from the same backup"):
        service.run(threading.Event())


def test_a_restart_goes_on_and_repeats_nothing(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    workload.create(legacy)
    plans = workload.plans(legacy)
    for run in range(3):
        with polling(legacy, log, tmp_path, *plans) as running:
            workload.start(legacy, seed=run, transactions=120, writers=1, first=run).end()
            await_tables(running, log, legacy, 20)
    assert sum(plan.deletes is Deletes.COMPARE for plan in plans) == 1
