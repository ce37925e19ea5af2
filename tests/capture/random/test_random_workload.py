"""Whatever the application does and whatever breaks, the log is what a second slot says.

One seed is one run: a program of SQL by several sessions, and faults at named points of capture.
A failing run prints its program and faults; its test id runs it again:

    pytest "tests/capture/random/test_random_workload.py::test_the_log_is_the_truth[15-3]"
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from bridge.demo.servers import PrivatePostgres
from bridge.demo.servers.postgres_programs import VERSIONS, distribution_version
from tests.capture.random.run import NUDGES, Run
from tests.capture.victim import VictimServer, serving_victims
from tests.conftest import Database, fresh_database
from tests.wire import Wire

SEEDS_USUAL = 10
SEEDS_SOAK = 250


def _runs() -> list[ParameterSet]:
    """Return a run per seed: on two versions usually, on all in the soak."""
    usual = (distribution_version() or VERSIONS[0], 18)
    return [
        pytest.param((usual[seed % 2], seed), id=f"{usual[seed % 2]}-{seed}")
        for seed in range(SEEDS_USUAL)
    ] + [
        pytest.param(
            (version := VERSIONS[seed % len(VERSIONS)], seed),
            id=f"{version}-{seed}",
            marks=pytest.mark.soak,
        )
        for seed in range(SEEDS_USUAL, SEEDS_USUAL + SEEDS_SOAK)
    ]


@pytest.fixture(scope="session")
def victims() -> Iterator[VictimServer]:
    with serving_victims() as server:
        yield server


@pytest.fixture
def server(
    request: pytest.FixtureRequest, postgres_of: Callable[[int | None], PrivatePostgres]
) -> PrivatePostgres:
    return postgres_of(request.param[0])


@pytest.fixture
def fresh(server: PrivatePostgres, database_names: Iterator[str]) -> Iterator[Database]:
    with fresh_database(server, next(database_names)) as database:
        yield database


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.node.callspec.params["server"][1])


@pytest.mark.parametrize("server", _runs(), indirect=True)
def test_the_log_is_the_truth(
    server: PrivatePostgres,
    seed: int,
    fresh: Database,
    victims: VictimServer,
    wire: Callable[[int | str], Wire],
    tmp_path: Path,
) -> None:
    run = Run(seed, server, fresh, victims, wire(fresh.dsn), tmp_path)
    try:
        verdict = run.play()
    except BaseException:
        print(_story(run))
        raise
    if verdict.faults:
        print(_story(run))
    assert not verdict.faults, "\n".join(verdict.faults[:20])
    failed = sum(run.sessions.failures.values())
    assert failed < len(run.sessions.ran) / 2, f"most statements failed: {run.sessions.failures}"
    assert verdict.changes > 50, "the program changed next to nothing"


def _story(run: Run) -> str:
    steps = "\n".join(f"  {step}" for step in run.sessions.ran if step.session != NUDGES)
    faults = "; ".join(map(str, run.faults))
    form = "streaming" if run.streaming else "ordinary"
    return (
        f"seed {run.seed}, {form}, faults: {faults}\n{steps}\nfailed: {dict(run.sessions.failures)}"
    )
