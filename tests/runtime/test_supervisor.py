"""The supervisor: restart what dies, stop all, leave nothing behind."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bridge.model.errors import ConfigInvalid
from bridge.runtime.exit_codes import CONFIG
from bridge.runtime.roles.supervisor import RoleProcess, Supervisor
from bridge.runtime.watching.run_files import read_roles
from tests.child import child
from tests.waiting import wait_until

WAITER = (
    "import signal; from bridge.runtime.roles.parent import end_with_parent;"
    "end_with_parent(); signal.pause()"
)


def role(name: str, code: str) -> RoleProcess:
    return RoleProcess(role=name, argv=(sys.executable, "-c", code))


@contextmanager
def supervised(run_dir: Path, *roles: RoleProcess) -> Iterator[None]:
    stop = threading.Event()
    supervisor = Supervisor(roles, run_dir)
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def pid_of(run_dir: Path, name: str) -> int:
    def look() -> int | None:
        return next((found.pid for found in read_roles(run_dir) if found.role == name), None)

    return int(wait_until(look) or 0)


def test_a_killed_role_is_restarted_and_the_restart_is_visible(tmp_path: Path) -> None:
    with supervised(tmp_path, role("worker", WAITER)):
        first = pid_of(tmp_path, "worker")
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: pid_of(tmp_path, "worker") != first, what="another process")
        (seen,) = read_roles(tmp_path)
        assert (seen.restarts, seen.last_exit) == (1, -signal.SIGKILL)
        second = pid_of(tmp_path, "worker")
    assert not psutil.pid_exists(second)


def test_a_hang_up_reaches_roles_that_have_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = tmp_path / "heard"
    code = (
        "import pathlib, signal;"
        f"mark = lambda *_: pathlib.Path({str(heard)!r}).touch();"
        "signal.signal(signal.SIGHUP, mark);"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch();"
    )
    stop, reload = threading.Event(), threading.Event()
    roles = [role("worker", code + "[signal.pause() for _ in iter(int, 1)]")]
    thread = threading.Thread(target=Supervisor(roles, tmp_path).run, args=(stop, reload))
    thread.start()
    try:
        wait_until((tmp_path / "ready").exists, what="the role")
        reload.set()
        wait_until(lambda: not reload.is_set(), what="the supervisor")
        assert not heard.exists()  # It has read its files a moment ago.
        monkeypatch.setattr("bridge.runtime.roles.supervisor.HEARS_AFTER_S", 0.0)
        reload.set()
        wait_until(heard.exists, what="the signal")
    finally:
        stop.set()
        thread.join(30)


def test_a_role_that_can_never_start_ends_all(tmp_path: Path) -> None:
    stop = threading.Event()
    roles = [role("good", WAITER), role("bad", f"raise SystemExit({CONFIG})")]
    assert Supervisor(roles, tmp_path).run(stop) == CONFIG
    assert all(found.pid is None for found in read_roles(tmp_path))


def test_a_second_supervisor_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with supervised(tmp_path, role("worker", WAITER)):
        pid_of(tmp_path, "worker")
        with pytest.raises(ConfigInvalid, match="another supervisor runs"):
            Supervisor([role("other", WAITER)], tmp_path).run(threading.Event())


def test_roles_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, threading; from pathlib import Path;"
        "from bridge.runtime.roles.supervisor import RoleProcess, Supervisor;"
        f"roles = [RoleProcess(role='worker', argv=(sys.executable, '-c', {WAITER!r}))];"
        f"Supervisor(roles, Path({str(tmp_path)!r})).run(threading.Event())"
    )
    with child([sys.executable, "-c", code]) as supervisor:
        worker = psutil.Process(pid_of(tmp_path, "worker"))
        wait_until(lambda: worker.status() == psutil.STATUS_SLEEPING)
        supervisor.kill()
    wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
