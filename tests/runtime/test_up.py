"""`legacy-bridge up` and `run`: what runs, what is restarted, what a stop leaves behind."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.runtime.exit_codes import CONFIG
from tests.cli.deployment import Deployment
from tests.runtime.running import STOP_WITHIN_S, answer_of, held_locks, running
from tests.waiting import wait_until

ROLES = ("log", "control", "gateway:0", "replay")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


@pytest.mark.long
def test_from_start_to_stop_and_again(deployment: Deployment) -> None:
    """One start of everything costs seconds, so much is looked at in each."""
    deployment.settings["gateway"]["workers"] = 2
    deployment.write()
    with running(deployment, "up") as up:
        up.await_roles(*ROLES, "gateway:1")
        up.await_answers()
        assert answer_of(deployment.gateway_port) == 502  # Nobody is behind it.
        assert answer_of(deployment.control_port, "/health") == 200
        assert deployment.call("status").code == 0
        _is_refused_a_second_time(deployment)
        assert up.process.poll() is None
        assert answer_of(deployment.gateway_port) == 502
        assert up.stop() == 0
        assert up.left_over() == []
    _left_in_order(deployment)
    _every_line_is_json(up.log.read_text())
    # Fewer workers than before are no outage.
    deployment.settings["gateway"]["workers"] = 1
    deployment.write()
    with running(deployment, "up") as up:
        up.await_roles(*ROLES)
        assert set(up.roles()) == set(ROLES)
        assert deployment.call("status").code == 0
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(STOP_WITHIN_S) == 0
        assert up.left_over() == []
    _left_in_order(deployment)
    assert deployment.call("status").code == 1  # All roles are down, and said to be.


def _is_refused_a_second_time(deployment: Deployment) -> None:
    for command in (("up",), ("up", "--skip-preflight"), ("run", "gateway")):
        said = deployment.call(*command)
        assert said.code == CONFIG
        assert "another supervisor runs on" in said.err
        assert "choose another data_dir" in said.err


def _left_in_order(deployment: Deployment) -> None:
    assert held_locks(deployment.run_dir) == []
    assert not list(deployment.run_dir.glob("*.owner"))
    for port in (deployment.gateway_port, deployment.control_port):
        assert answer_of(port) is None
    for name in ("log.db", "journal.db"):
        with closing(sqlite3.connect(deployment.folder / "data" / name)) as store:
            assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _every_line_is_json(log: str) -> None:
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["role"] for line in lines} >= {"supervisor", *ROLES}
    assert all(line["event"] and line["time"] and line["level"] for line in lines)
    events = {(line["role"], line["event"]) for line in lines}
    for role in ROLES:
        assert {(role, "started"), (role, "stopped")} <= events


@pytest.mark.long
def test_a_killed_role_comes_back_and_none_outlives_the_supervisor(
    deployment: Deployment,
) -> None:
    with running(deployment, "up") as up:
        up.await_roles(*ROLES)
        for role in ROLES:
            up.kill(role)
        up.await_answers()
        for role in ROLES:
            seen = up.roles()[role]
            assert (seen.restarts, seen.last_exit) == (1, -signal.SIGKILL)
        # The killed worker's lock is free; the new one has its own.
        assert deployment.call("switch", "orders", "dual", "-r", "x", "--ticket", "T-1").code == 0
        up.process.kill()
        wait_until(lambda: not up.left_over(), STOP_WITHIN_S, "the end of all roles")
        assert held_locks(deployment.run_dir) == []
    with running(deployment, "up") as again:
        again.await_roles(*ROLES)
        assert again.stop() == 0


def test_the_gateway_runs_alone(deployment: Deployment) -> None:
    deployment.settings["gateway"]["workers"] = 2
    deployment.write()
    with running(deployment, "run", "gateway") as gateway:
        gateway.await_roles("gateway:0", "gateway:1")
        assert set(gateway.roles()) == {"gateway:0", "gateway:1"}
        assert gateway.stop() == 0
        assert gateway.left_over() == []


def test_a_role_runs_alone_and_stops(deployment: Deployment) -> None:
    with running(deployment, "run", "control") as alone:
        alone.await_roles("control")
        assert alone.stop() == 0


def test_a_second_replayer_stands_in(deployment: Deployment) -> None:
    with running(deployment, "run", "replay") as first:
        first.await_roles("replay")
        wait_until(lambda: "replayer_started" in first.log.read_text(), 30, "a replayer")
        elsewhere = deployment.folder / "second"
        elsewhere.mkdir()
        second_deployment = Deployment(elsewhere, data_dir=str(deployment.folder / "data"))
        with running(second_deployment, "run", "replay") as second:
            wait_until(lambda: '"started"' in second.log.read_text(), 30, "a stand-in")
            assert "replayer_started" not in second.log.read_text()
            assert first.stop() == 0
            wait_until(lambda: "replayer_started" in second.log.read_text(), 30, "a take-over")
            assert second.stop() == 0
