"""A private PostgreSQL server in a folder."""

import ctypes
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import quote

from bridge.demo.servers.account import hand_over
from bridge.demo.servers.ports import free_port
from bridge.demo.servers.postgres_programs import bin_dir
from bridge.demo.servers.process import ServerNotStarted, ServerProcess

__all__ = ["PrivatePostgres", "bin_dir"]

# Covers crash recovery of a busy server on a slow disk.
START_TIMEOUT_S = 60.0
# A fast shutdown waits for replication clients; one that is cut off would hold it for a minute.
STOP_TIMEOUT_S = 8.0
_PORT_TRIES_MAX = 5
_POLL_S = 0.01
_SUPERUSER = "postgres"
# The account that distributions' packages create; the server refuses to run as root.
_SYSTEM_USER = "postgres"

_DEFAULTS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    # Files in the data folder: a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}

# The superuser needs its password even here: it may run programs, and loopback is open to every
# account of the machine. Other roles exist only where a demo or a test creates them.
_HBA = f"""\
local all all trust
host all,replication {_SUPERUSER} 127.0.0.1/32 scram-sha-256
host all,replication all 127.0.0.1/32 trust
"""


class PrivatePostgres:
    """A PostgreSQL server of our own: logical WAL, loopback only, all files in one folder.

    Run as root, the server itself runs as the account `postgres`. Settings are libpq names to
    values (`{"fsync": "off"}` is safe against `kill`, not against a power cut).
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], version: int | None) -> None:
        """Use `start` instead."""
        self._folder = folder
        self._data = folder / "data"
        self._settings = {**_DEFAULTS, "unix_socket_directories": str(folder), **settings}
        self._bin = bin_dir(version)
        self._user = _SYSTEM_USER if os.geteuid() == 0 else None
        self._process: ServerProcess | None = None
        self._password = ""
        self.port = 0

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        version: int | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Start a server in `folder`, on the data that is there or on new data; return when ready.

        `version` is a major version; without one it is the distribution's newest.

        Raises:
            ServerNotStarted: that PostgreSQL is not here, or ended with the error quoted.
        """
        server = cls(folder.resolve(), settings, version)
        server._prepare()
        fixed_port = settings.get("port")
        for attempt in range(_PORT_TRIES_MAX):
            server.port = int(fixed_port) if fixed_port else free_port()
            try:
                server._run()
            except _PortTaken:
                if fixed_port or attempt == _PORT_TRIES_MAX - 1:
                    raise
                continue
            break
        return server

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the server runs: neither stopped nor killed, nor ended by itself."""
        return self._process is not None and self._process.exit_code() is None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._folder / "postgres.log"

    def dsn(self, dbname: str = "postgres", user: str = _SUPERUSER) -> str:
        """Return the `postgresql://` URI of a database; roles other than the superuser need no
        password."""
        login = f"{user}:{self._password}" if user == _SUPERUSER else quote(user, safe="")
        return f"postgresql://{login}@127.0.0.1:{self.port}/{quote(dbname, safe='')}"

    def program(self, name: str) -> str:
        """Return the path of a PostgreSQL program of the same version, e.g. `pgbench`.

        The packages of 14, 16 and 17 hold `postgres`, `initdb` and `pg_ctl` only.
        """
        return str(self._bin / name)

    def stop(self) -> None:
        """End the server in an orderly way; at once if that takes too long. May be repeated."""
        process, self._process = self._process, None
        if process is None:
            return
        if not process.end(signal.SIGINT, STOP_TIMEOUT_S) and not process.end(
            signal.SIGQUIT, STOP_TIMEOUT_S
        ):
            process.kill()

    def kill(self) -> None:
        """Crash the server with all its backends (`kill -9`); `restart` recovers its data."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        self._remove_shared_memory()

    def restart(self) -> None:
        """Start again on the same data and port, stopping first if it runs."""
        self.stop()
        self._run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise ServerNotStarted(f"PostgreSQL on port {self.port} does not run; restart it")
        return self._process

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            hand_over(self._folder, self._user, "PostgreSQL", package="postgresql")
        secret = self._folder / "password"
        if not (self._data / "PG_VERSION").exists():
            secret.write_text(secrets.token_urlsafe(18), encoding="utf-8")
            secret.chmod(0o600)
            if self._user is not None:
                shutil.chown(secret, self._user, self._user)
            self._initdb(secret)
        self._password = secret.read_text(encoding="utf-8")

    def _initdb(self, secret: Path) -> None:
        result = subprocess.run(
            [
                self.program("initdb"), "--pgdata", str(self._data), "--username", _SUPERUSER,
                "--pwfile", str(secret), "--auth", "scram-sha-256", "--encoding", "UTF8",
                "--locale", "C", "--no-sync",
            ],
            capture_output=True,
            text=True,
            env=_environment(),
            cwd=self._folder,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            check=False,
        )  # fmt: skip
        if result.returncode != 0:
            raise ServerNotStarted(
                f"cannot create a PostgreSQL data folder in {str(self._data)!r}: "
                f"{result.stderr.strip()}"
            )
        (self._data / "pg_hba.conf").write_text(_HBA, encoding="utf-8")

    def _run(self) -> None:
        arguments = [self.program("postgres"), "-D", str(self._data)]
        for name, value in {**self._settings, "port": str(self.port)}.items():
            arguments += ["-c", f"{name}={value}"]
        if self._user is not None:
            self.log.touch()
        log_start = self.log.stat().st_size if self.log.exists() else 0
        process = ServerProcess(
            arguments, log=self.log, env=_environment(), death_signal="QUIT", user=self._user
        )
        try:
            self._await_ready(process, log_start)
        except BaseException:
            process.kill()
            raise
        self._process = process

    def _await_ready(self, process: ServerProcess, log_start: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._status(process.pid) != "ready":
            if process.exit_code() is not None:
                said = self.log.read_bytes()[log_start:]
                taken = b"could not create any TCP/IP sockets" in said
                kind = _PortTaken if taken else ServerNotStarted
                raise kind(
                    f"cannot start PostgreSQL on port {self.port}: it ended with\n"
                    f"{process.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ServerNotStarted(
                    f"cannot start PostgreSQL on port {self.port}: not ready within "
                    f"{START_TIMEOUT_S:.0f} s\n{process.log_tail()}"
                )
            time.sleep(_POLL_S)

    def _status(self, pid: int) -> str:
        """Return what the postmaster wrote about itself, as `pg_ctl` reads it."""
        lines = self._pid_file()
        return lines[7].strip() if len(lines) > 7 and lines[0] == str(pid) else ""

    def _pid_file(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    def _remove_shared_memory(self) -> None:
        """Remove the System V segment that a killed postmaster leaves behind as its lock."""
        lines = self._pid_file()
        if len(lines) > 6 and (found := re.fullmatch(r"\s*\d+\s+(\d+)\s*", lines[6])):
            ctypes.CDLL(None).shmctl(int(found[1]), 0, None)  # 0 is IPC_RMID.


class _PortTaken(ServerNotStarted):
    """Somebody took the port between our looking and the server's binding."""


def _environment() -> dict[str, str]:
    """A clean one: our caller's PG* variables would reach the server's tools."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
