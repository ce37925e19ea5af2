"""A deployment that runs: `legacy-bridge` in a process, watched from outside."""

import contextlib
import http.client
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bridge.runtime.watching.run_files import RoleStatus, read_roles
from tests.child import end
from tests.cli.deployment import Deployment
from tests.waiting import wait_until

# A cold start of several processes on two busy cores.
READY_WITHIN_S = 60
# Roles drain within 10 s; without traffic they have nothing to drain.
STOP_WITHIN_S = 20


class Running:
    """One `legacy-bridge up` (or `run ROLE`) with its log."""

    def __init__(self, deployment: Deployment, *arguments: str) -> None:
        self.deployment = deployment
        self.log = deployment.folder / f"{'-'.join(arguments)}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                deployment.argv(*arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pids: set[int] = {self.process.pid}

    def roles(self) -> dict[str, RoleStatus]:
        """Return what is known of each role."""
        return {role.role: role for role in read_roles(self.deployment.run_dir)}

    def pid(self, role: str) -> int:
        """Return the process id of a role that is alive."""
        pid = self.roles()[role].pid
        assert pid is not None
        return pid

    def await_roles(self, *names: str) -> None:
        """Wait until these roles are alive, and remember their processes."""
        self._await(lambda: all(self._lives(name) for name in names), f"roles {names}")
        self.pids |= {self.pid(name) for name in names}

    def await_answers(self) -> None:
        """Wait until gateway and control answer, whatever they say."""
        for port in (self.deployment.gateway_port, self.deployment.control_port):
            self._await(lambda port=port: answer_of(port) is not None, f"an answer on {port}")  # type: ignore[misc]  # binds port now

    def kill(self, role: str) -> None:
        """Kill a role with -9 and wait until another process has its place."""
        first = self.pid(role)
        os.kill(first, signal.SIGKILL)
        self._await(
            lambda: self._lives(role) and self.pid(role) != first, f"another {role} after a kill"
        )
        self.pids.add(self.pid(role))

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        return self.process.wait(STOP_WITHIN_S)

    def left_over(self) -> list[int]:
        """Return processes of this run that still exist, and are no zombies."""
        return [pid for pid in self.pids if _exists(pid)]

    def _lives(self, name: str) -> bool:
        role = self.roles().get(name)
        return role is not None and role.alive

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            code = self.process.poll()
            assert code is None, f"ended with {code}: {self.log.read_text()[-2_000:]}"
            return condition()

        wait_until(look, READY_WITHIN_S, what)


@contextmanager
def running(deployment: Deployment, *arguments: str) -> Iterator[Running]:
    """Run `legacy-bridge ARGUMENTS` meanwhile; nothing of it survives the test."""
    run = Running(deployment, *arguments)
    try:
        yield run
    finally:
        end(run.process)
        for pid in run.left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def answer_of(port: int, path: str = "/products") -> int | None:
    """Return the status of one request, or None when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def held_locks(run_dir: Path) -> list[str]:
    """Return the files of `run_dir` that some process holds open."""
    held = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            held += [f.path for f in process.open_files() if f.path.startswith(str(run_dir))]
    return held


def _exists(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
