"""Dual write under traffic: stages move, processes are killed, nothing acknowledged is lost."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.demo.gateway_process import CommandFailed
from bridge.demo.house import DemoHouse
from bridge.demo.legacy.population import Sizes
from bridge.demo.traffic.checker import check
from bridge.demo.traffic.journal import Outcome, read_journals
from tests.waiting import wait_until

SIZES = Sizes(customers=300, products=60, orders=600)
PATIENCE_S = 90


@pytest.fixture
def house(server_folder: Path) -> Iterator[DemoHouse]:
    with DemoHouse(server_folder, seed=7, sizes=SIZES) as built:
        built.start_servers()
        built.seed_legacy()
        built.start_applications()
        built.bridge.up()
        built.start_consumers()
        built.bridge.wait_for("tables are read", lambda: built.captured_position() > 0, PATIENCE_S)
        yield built


def answered(house: DemoHouse, count: int) -> None:
    """Let the clients get `count` more answers."""
    target = len(read_journals([house.journal()])) + count
    wait_until(lambda: len(read_journals([house.journal()])) >= target, 60, "more writes")


def fresh(house: DemoHouse) -> bool:
    try:
        lanes = house.bridge.status()["lanes"]
    except CommandFailed:
        return False
    return all(lane["oldest_age_s"] < 1.0 for lane in lanes)


def switch(house: DemoHouse, to: str) -> None:
    report = house.bridge.query(
        "switch", "orders", to, "--reason", f"test goes to {to}", "--ticket", "DEMO-1"
    )
    assert report["late"] == []


def kill_worker(house: DemoHouse, dice: random.Random) -> None:
    victim = dice.choice([role for role in house.bridge.roles() if role.role.startswith("gateway")])
    assert victim.pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim.pid, signal.SIGKILL)
    house.bridge.wait_for("the worker is back", house.bridge.all_alive, PATIENCE_S)


def play(house: DemoHouse, *, seed: int, kills: int, writes: int, rate: float = 60) -> None:
    dice = random.Random(seed)
    print(f"seed {seed}")
    traffic = house.start_traffic(seconds=900, rate=rate)
    wait_until(house.journal().exists, 30, "the clients' journal")
    answered(house, writes)
    house.bridge.command(
        "lanes", "hold", "orders", "--reason", "backfill runs", "--ticket", "DEMO-1"
    )
    switch(house, "dual")
    begin = time.time()
    house.finish_backfill(PATIENCE_S)
    house.bridge.command(
        "lanes", "resume", "orders", "--reason", "backfill is done", "--ticket", "DEMO-1"
    )
    answered(house, writes)

    house.modern.kill()  # The authority is legacy: no client may notice.
    answered(house, writes)
    house.modern.start_listening()
    for _ in range(kills):
        kill_worker(house, dice)
        answered(house, writes // 2)

    house.bridge.wait_for("lanes are fresh", lambda: fresh(house), PATIENCE_S)
    switch(house, "modern")
    answered(house, writes)
    for _ in range(kills):
        kill_worker(house, dice)
        answered(house, writes // 2)
    house.modern.kill()  # Now the authority dies under its clients.
    house.modern.start_listening()
    answered(house, writes)
    end = time.time()
    house.bridge.query("rollback", "orders", "--reason", "test goes back", "--ticket", "DEMO-1")
    answered(house, writes)
    assert traffic.stop() == 0
    verify(house, (begin, end))


def verify(house: DemoHouse, mirrored: tuple[float, float]) -> None:
    status = house.bridge.status()
    to_decide = house.bridge.query("writes", "list", "--limit", "10000")
    held = {write["lane"] for write in to_decide}
    assert {write["state"] for write in to_decide} <= {"in_doubt"}, to_decide
    assert status["writes_to_decide"] == len(to_decide)

    def drained() -> bool:
        applied = house.bridge.query("writes", "list", "--state", "applied", "--limit", "10000")
        return all(write["lane"] in held for write in applied)

    house.bridge.wait_for("lanes are drained", drained, PATIENCE_S, poll_s=0.5)
    report = check(
        [house.journal()],
        legacy_dsn=house.legacy_dsn,
        modern_dsn=house.modern_dsn,
        pairs=house.known_pairs(),
        mirrored=[mirrored],
    )
    assert report.problems == ()
    assert report.acknowledged > 100
    unknown = [w for w in read_journals([house.journal()]) if w.outcome is Outcome.UNKNOWN]
    # Each write in doubt is one whose client got no answer that says how it ended.
    assert len(to_decide) <= len(unknown)
    print(f"{report.acknowledged} acknowledged, {len(unknown)} unknown, {len(to_decide)} in doubt")


@pytest.mark.long
@pytest.mark.timeout(400)
def test_stages_move_and_processes_die_under_traffic(house: DemoHouse) -> None:
    play(house, seed=20_261_121, kills=1, writes=20, rate=25)


@pytest.mark.soak
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("seed", range(4))
def test_many_workers_die_under_traffic(house: DemoHouse, seed: int) -> None:
    play(house, seed=seed, kills=8, writes=200)
