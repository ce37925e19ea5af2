"""Transactions that commit late, out of order or not at all: every final state is captured."""

from collections import Counter
from pathlib import Path

import pytest

from bridge.storage.sqlite_event_log import SqliteEventLog
from tests.polling import workload
from tests.polling.rig import Legacy, await_tables, polling


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
    kinds = _run(legacy, log, tmp_path, 3_000, 30)
    assert min(kinds[kind] for kind in ("created", "updated", "deleted")) > 20


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("system", ["maria", "pg"])
def test_no_final_state_of_50_000_transactions_is_missed(
    system: str, request: pytest.FixtureRequest, log: SqliteEventLog, tmp_path: Path
) -> None:
    _run(request.getfixturevalue(system), log, tmp_path, 50_000, 120)
