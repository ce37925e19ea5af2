"""Nothing of a private server outlives the process that started it, whoever ran it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.demo.servers.process import is_running
from tests.waiting import wait_until

PROJECT = Path(__file__).parents[2]


def _start(
    folder: Path, launcher: Sequence[str] = (), python: str = sys.executable
) -> tuple[subprocess.Popen[str], list[int]]:
    program = subprocess.Popen(
        [*launcher, python, "-m", "tests.servers.run_both", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert program.stdout is not None
    pids = json.loads(program.stdout.readline())
    assert len(pids) > 6, "PostgreSQL alone has that many"
    assert all(is_running(pid) for pid in pids)
    return program, pids


def _finish(program: subprocess.Popen[str]) -> int:
    program.communicate("\n", timeout=60)
    return program.returncode


@pytest.mark.soak
def test_nothing_is_left_after_stop(server_folder: Path) -> None:
    program, pids = _start(server_folder)
    assert _finish(program) == 0
    wait_until(lambda: not any(map(is_running, pids)), what="the end of all server processes")


@pytest.mark.soak
def test_nothing_survives_the_kill_of_its_starter(server_folder: Path) -> None:
    program, pids = _start(server_folder)
    program.send_signal(signal.SIGKILL)
    assert _finish(program) == -signal.SIGKILL
    wait_until(lambda: not any(map(is_running, pids)), what="the end of all server processes")


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test already runs as ordinary user")
def test_an_ordinary_user_may_run_them(server_folder: Path) -> None:
    as_nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--"]
    python = _python_for(as_nobody)
    shutil.chown(server_folder, "nobody")
    program, pids = _start(server_folder, as_nobody, python)
    nobody = server_folder.stat().st_uid
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {nobody}
    assert _finish(program) == 0
    wait_until(lambda: not any(map(is_running, pids)), what="the end of all server processes")


def _python_for(launcher: Sequence[str]) -> str:
    """Return a Python that the other account may run: ours may stand in root's home."""
    check = "import sys, bridge.model.errors; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3"):
        found = subprocess.run(
            [*launcher, python, "-c", check], cwd=PROJECT, capture_output=True, check=False
        )
        if found.returncode == 0:
            return python
    pytest.skip("no Python >= 3.11 that another account may run")
