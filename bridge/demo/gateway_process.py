"""Legacy Bridge itself as the demo and the tests run it: `up` in a process, and the CLI."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bridge.demo.process import DemoProcess
from bridge.model.errors import BridgeError
from bridge.runtime.watching.run_files import RoleStatus, read_roles

# No command but an export takes longer than a few seconds.
COMMAND_WITHIN_S = 120.0
API_WITHIN_S = 10.0


class CommandFailed(BridgeError):
    """A command of the demo ended with a code that was not expected."""


class BridgeProcess:
    """One deployment: settings file, environment over it, data folder."""

    def __init__(
        self,
        *,
        config: Path,
        data_dir: Path,
        folder: Path,
        control_port: int,
        env: Mapping[str, str],
    ) -> None:
        self.config = config
        self.data_dir = data_dir
        self._control_port = control_port
        self._env = {
            **env,
            "BRIDGE_DATA_DIR": str(data_dir),
            "BRIDGE_CONTROL__PORT": str(control_port),
        }
        self.process = DemoProcess(
            "bridge", ("bridge.cli", "up", "--config", str(config)), folder=folder, env=self._env
        )

    def up(self, ready: Callable[[], bool] | None = None) -> None:
        """Start all roles; return when each of them is alive (and `ready`)."""
        self.process.start()
        self.process.await_ready(self.all_alive)
        if ready is not None:
            self.process.await_ready(ready)

    def all_alive(self) -> bool:
        """Whether every role that the supervisor keeps is alive."""
        roles = self.roles()
        names = {role.role for role in roles}
        return "control" in names and all(role.alive for role in roles)

    def roles(self) -> list[RoleStatus]:
        """Return what is known of each role."""
        return [role for role in read_roles(self.data_dir / "run") if role.role != "supervisor"]

    def role(self, name: str) -> RoleStatus:
        """Return one role; raises `LookupError` when it is unknown."""
        for role in self.roles():
            if role.role == name:
                return role
        raise LookupError(f"no role is called {name!r}")

    def command(self, *arguments: str, expect: int = 0) -> str:
        """Run `legacy-bridge ARGUMENTS` and return what it printed.

        Raises:
            CommandFailed: it ended with another code than `expect`.
        """
        result = subprocess.run(
            [sys.executable, "-m", "bridge.cli", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            env={**os.environ, **self._env},
            timeout=COMMAND_WITHIN_S,
            check=False,
        )
        if result.returncode != expect:
            raise CommandFailed(
                f"`legacy-bridge {' '.join(arguments[:2])}` ended with {result.returncode}, "
                f"expected {expect}: {result.stderr.strip() or result.stdout.strip()}"
            )
        return result.stdout

    def query(self, *arguments: str, expect: int = 0) -> Any:
        """Run a command with `--json` and return what it said."""
        return json.loads(self.command(*arguments, "--json", expect=expect))

    def status(self) -> dict[str, Any]:
        """Return the status as the control API tells it, quicker than a command starts.

        Raises:
            CommandFailed: the control role does not answer.
        """
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._control_port, timeout=API_WITHIN_S
        )
        try:
            connection.request("GET", "/api/status")
            found = json.load(connection.getresponse())
        except (OSError, ValueError, http.client.HTTPException) as exc:
            raise CommandFailed(f"the control API does not answer: {exc}") from exc
        finally:
            connection.close()
        assert isinstance(found, dict)
        return found

    def stop(self) -> int | None:
        """Stop all roles cleanly; return the supervisor's exit code."""
        return self.process.stop()

    def wait_for(
        self, what: str, condition: Callable[[], bool], within_s: float, poll_s: float = 0.05
    ) -> float:
        """Wait until `condition()`; return the seconds it took.

        Raises:
            CommandFailed: it never held; names `what`.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within_s:
                raise CommandFailed(f"waited {within_s:.0f} s in vain until {what}")
            time.sleep(poll_s)
        return time.monotonic() - began
