"""Start a process per role, restart those that die, stop them all.

A role that dies is restarted with exponential backoff; one that ends with the code for a wrong
configuration before it ever was ready takes the others down with it, because a retry cannot help.
"""

import fcntl
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer, SilentObserver
from bridge.runtime.exit_codes import CONFIG
from bridge.runtime.roles.parent import PARENT_VARIABLE

BACKOFF_MIN_S = 0.2
# A role that cannot start is tried twice a minute: often enough to heal, rare enough to read.
BACKOFF_MAX_S = 30.0
# A role that lived this long starts again with the shortest backoff.
STEADY_AFTER_S = 10.0
# Roles drain within 10 s of their own (gateway connections, broker confirms); then they are killed.
STOP_GRACE_S = 15.0
# A younger role may not hear a signal yet, which would end it; it has just read its files anyway.
HEARS_AFTER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleProcess:
    """How to start one role."""

    role: str
    argv: Sequence[str]


@dataclass(slots=True)
class _Child:
    spec: RoleProcess
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    backoff_s: float = BACKOFF_MIN_S
    restarts: int = 0
    last_exit: int | None = None
    ever_steady: bool = field(default=False)


class Supervisor:
    """Keeps one process per role alive until it is told to stop."""

    def __init__(
        self,
        roles: Sequence[RoleProcess],
        run_dir: Path,
        *,
        name: str = "supervisor",
        observer: Observer | None = None,
    ) -> None:
        self._children = [_Child(spec) for spec in roles]
        self._run_dir = run_dir
        self._name = name
        self._observer = observer or SilentObserver()

    def run(self, stop: threading.Event, reload: threading.Event | None = None) -> int:
        """Run until `stop` is set; return 0, or the code of a role that can never start.

        Each time that `reload` is set, the roles get SIGHUP: they look at their certificates.

        Raises:
            ConfigInvalid: another supervisor runs on the same data folder.
        """
        self._run_dir.mkdir(parents=True, exist_ok=True)
        with (self._run_dir / f"{self._name}.lock").open("w") as lock:
            _take(lock, self._run_dir)
            code = 0
            try:
                while not stop.is_set() and code == 0:
                    if reload is not None and reload.is_set():
                        reload.clear()
                        self._hang_up()
                    code = self._tend()
                    self._write_state()
                    stop.wait(0.1)
            finally:
                self._stop_all()
                self._write_state()
            return code

    def _tend(self) -> int:
        now = time.monotonic()
        for child in self._children:
            process = child.process
            if process is None:
                if now >= child.restart_at:
                    self._start(child)
                continue
            if now - child.started_at >= STEADY_AFTER_S:
                child.ever_steady = True
                child.backoff_s = BACKOFF_MIN_S
            code = process.poll()
            if code is None:
                continue
            child.process = None
            child.last_exit = code
            self._observer.note("role_ended", role_name=child.spec.role, exit=code)
            if code == CONFIG and not child.ever_steady and child.restarts == 0:
                return CONFIG
            child.restarts += 1
            child.restart_at = now + child.backoff_s
            child.backoff_s = min(child.backoff_s * 2, BACKOFF_MAX_S)
        return 0

    def _start(self, child: _Child) -> None:
        child.process = subprocess.Popen(
            child.spec.argv,
            stdin=subprocess.DEVNULL,
            # Its own session keeps a terminal's ^C from reaching it before we tell it to stop.
            start_new_session=True,
            env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
        )
        child.started_at = time.monotonic()
        self._observer.note("role_started", role_name=child.spec.role, pid=child.process.pid)

    def _hang_up(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if now - child.started_at >= HEARS_AFTER_S:
                _signal(child.process, signal.SIGHUP)

    def _stop_all(self) -> None:
        deadline = time.monotonic() + STOP_GRACE_S
        alive = [child for child in self._children if child.process is not None]
        for child in alive:
            _signal(child.process, signal.SIGTERM)
        for child in alive:
            assert child.process is not None
            try:
                child.last_exit = child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._observer.note("role_stop_failed", role_name=child.spec.role)
                child.process.kill()
                child.last_exit = child.process.wait()
            child.process = None

    def _write_state(self) -> None:
        state = {
            "pid": os.getpid(),
            "updated_at": time.time(),
            "roles": {
                child.spec.role: {
                    "pid": child.process.pid if child.process else None,
                    "restarts": child.restarts,
                    "last_exit": child.last_exit,
                }
                for child in self._children
            },
        }
        temporary = self._run_dir / f"{self._name}.supervisor.new"
        try:
            temporary.write_text(json.dumps(state), encoding="utf-8")
            temporary.replace(self._run_dir / f"{self._name}.supervisor")
        except OSError as exc:
            self._observer.note("run_file_failed", error=str(exc))


def check_alone(run_dir: Path, *names: str) -> None:
    """Raise `ConfigInvalid` while a supervisor with one of `names` runs on this folder.

    For a clear message before anything else is looked at; the promise is the lock that `run` takes.
    """
    for name in names:
        with (run_dir / f"{name}.lock").open("w") as lock:
            _take(lock, run_dir)


def _take(lock: IO[str], run_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise ConfigInvalid(
            f"cannot start: another supervisor runs on {str(run_dir.parent)!r}; "
            "stop it, or choose another data_dir"
        ) from exc


def _signal(process: subprocess.Popen[bytes] | None, number: int) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(number)
