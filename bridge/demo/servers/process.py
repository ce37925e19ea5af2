"""A server process that never outlives us, and whose crash is a real one."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridge.model.errors import BridgeError

# After SIGKILL the kernel needs a moment per process; more means that something is wrong.
KILLED_WITHIN_S = 10.0
_POLL_S = 0.01
_LOG_TAIL_LINES = 12


class ServerNotStarted(BridgeError):
    """A private server cannot be started; the message says what is missing."""


class ServerProcess:
    """One running server, started in its own session with its output in a log file.

    The kernel sends it `death_signal` when this Python process ends in any way, `kill -9` included.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        death_signal: str = "KILL",
        user: str | None = None,
    ) -> None:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise ServerNotStarted(
                f"cannot start {argv[0]!r}: no 'setpriv' in PATH, which ties it to this process; "
                "install util-linux"
            )
        options = ["--pdeathsig", death_signal]
        if user is not None:
            options += ["--reuid", user, "--regid", user, "--init-groups"]
        self.log = log

        def start() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    [setpriv, *options, "--", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    cwd=log.parent,
                    start_new_session=True,
                )

        self._process = _starter(os.getpid()).submit(start).result()

    @property
    def pid(self) -> int:
        """Process id of the server itself (every launcher in front of it has `exec`ed)."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return its exit code, or None while it runs."""
        return self._process.poll()

    def end(self, number: signal.Signals, timeout_s: float) -> bool:
        """Ask it to end and wait; return False if it still runs after `timeout_s`."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill it and all its descendants at once, as a power cut would; return when all are gone.

        A group kill would not do: PostgreSQL puts each backend into a session of its own.
        """
        if self._process.poll() is not None:
            return
        # Stopped first, so that no new child appears behind our back.
        doomed = {self._process.pid}
        os.kill(self._process.pid, signal.SIGSTOP)
        while found := descendants(self._process.pid) - doomed:
            for pid in found:
                _signal(pid, signal.SIGSTOP)
            doomed |= found
        for pid in doomed:
            _signal(pid, signal.SIGKILL)
        self._process.wait(KILLED_WITHIN_S)
        deadline = time.monotonic() + KILLED_WITHIN_S
        while any(is_running(pid) for pid in doomed):
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {sorted(doomed)} survive SIGKILL")
            time.sleep(_POLL_S)

    def log_tail(self) -> str:
        """Return the last lines of its log, for an error message."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(lines[-_LOG_TAIL_LINES:]) or "(empty log)"


def is_running(pid: int) -> bool:
    """Return whether `pid` is a process that still runs; a zombie does not."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


@functools.cache
def _starter(_our_pid: int) -> ThreadPoolExecutor:
    """Return the one thread that starts servers.

    Linux sends the death signal when the *thread* that started a process ends: a server that a
    short-lived thread restarts would die with that thread. Kept per process id, because a fork has
    no threads of its parent.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="server-starter")


def descendants(pid: int) -> set[int]:
    """Return the ids of all processes below `pid`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))) is not None:
            children.setdefault(stat[1], []).append(int(entry.name))
    found: set[int] = set()
    ahead = [pid]
    while ahead:
        for child in children.get(ahead.pop(), ()):
            found.add(child)
            ahead.append(child)
    return found


def _stat(pid: int) -> tuple[str, int] | None:
    """Return state letter and parent of a process, or None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may itself hold spaces and parentheses.
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # It may have ended by itself meanwhile.
        os.kill(pid, number)
