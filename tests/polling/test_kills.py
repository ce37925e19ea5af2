"""A polling process that is killed at any step loses nothing and repeats nothing."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.polling import workload
from tests.polling.rig import Legacy, await_tables, polling
from tests.polling.victim import STEPS


def _start(legacy: Legacy, folder: Path, step: str, number: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable, "-m", "tests.polling.victim", legacy.system, legacy.reader_url,
            legacy.schema, str(folder), step, str(number),
        ],
        stderr=subprocess.PIPE,
    )  # fmt: skip


def _run(legacy: Legacy, folder: Path, seed: int, kills: int, transactions: int) -> None:
    """Kill and restart under load; then let a last process finish."""
    chance = random.Random(seed)
    workload.create(legacy)
    steps = [*STEPS, *chance.choices(STEPS, k=kills - len(STEPS))]
    for burst, step in enumerate(chance.sample(steps, len(steps))):
        load = workload.start(legacy, seed=seed, transactions=transactions, writers=1, first=burst)
        victim = _start(legacy, folder, step, chance.randint(1, 3))
        try:
            _, said = victim.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            victim.kill()
            victim.communicate()
            raise
        assert victim.returncode == -signal.SIGKILL, said.decode()
        load.end()
    log = SqliteEventLog(folder / "log.db")
    try:
        with polling(legacy, log, folder, *workload.plans(legacy)) as running:
            await_tables(running, log, legacy, 30)
    finally:
        log.close()


@pytest.mark.parametrize("system", ["maria"])
def test_each_step_may_be_the_last(
    system: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _run(request.getfixturevalue(system), tmp_path, 7, len(STEPS), 100)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("system", ["maria", "pg", "lite"])
@pytest.mark.parametrize("seed", range(5))
def test_many_kills(system: str, seed: int, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    _run(request.getfixturevalue(system), tmp_path, seed, 20, 300)
