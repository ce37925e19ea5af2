"""A Python process of the demo: started, watched until it listens, ended or killed."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge.demo.servers.process import ServerNotStarted, ServerProcess

# A cold import of everything takes a few seconds on a busy machine with two cores.
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 25.0
_POLL_S = 0.02


class DemoProcess:
    """`python -m MODULE …` with its output in a log file; restartable with the same arguments."""

    def __init__(
        self, name: str, arguments: Sequence[str], *, folder: Path, env: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._arguments = (sys.executable, "-m", *arguments)
        self._env = {**os.environ, **env}
        self._process: ServerProcess | None = None

    def start(self) -> None:
        """Start it; returns at once."""
        self._process = ServerProcess(
            self._arguments, log=self.log, env=self._env, death_signal="TERM"
        )

    def start_listening(self) -> None:
        """Start it and return when it has printed its `listening` line."""
        seen = self.log.stat().st_size if self.log.exists() else 0
        self.start()
        self.await_ready(lambda: b'"listening"' in self.log.read_bytes()[seen:])

    def await_ready(self, ready: Callable[[], bool], within_s: float = READY_WITHIN_S) -> None:
        """Wait until `ready()`; raises `ServerNotStarted` with the log's end when it never is."""
        deadline = time.monotonic() + within_s
        while not ready():
            code = self.exit_code
            if code is not None or time.monotonic() > deadline:
                ended = f"ended with {code}" if code is not None else f"not ready in {within_s} s"
                raise ServerNotStarted(f"cannot start {self.name}: {ended}\n{self._tail()}")
            time.sleep(_POLL_S)

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._running().exit_code()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    def wait(self, timeout_s: float) -> int:
        """Wait for it to end by itself; return its exit code."""
        deadline = time.monotonic() + timeout_s
        while (code := self.exit_code) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} still runs after {timeout_s} s\n{self._tail()}")
            time.sleep(_POLL_S)
        return code

    def stop(self) -> int | None:
        """Ask it to end; kill it when it does not. Return its exit code; None if never started."""
        if self._process is None:
            return None
        if not self._process.end(signal.SIGTERM, STOP_WITHIN_S):
            self._process.kill()
        return self._process.exit_code()

    def kill(self) -> None:
        """Crash it with everything below it."""
        self._running().kill()

    def report(self) -> dict[str, Any]:
        """Return the JSON document that it printed at its end."""
        text = self.log.read_text(encoding="utf-8")
        found = json.loads(text[text.index("{") :])
        assert isinstance(found, dict)
        return found

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise ServerNotStarted(f"{self.name} was not started")
        return self._process

    def _tail(self) -> str:
        return self._process.log_tail() if self._process else "(no log)"
