"""A private MariaDB server in a folder."""

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
from bridge.demo.servers.process import ServerNotStarted, ServerProcess

# Covers crash recovery of a busy server on a slow disk.
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
_PORT_TRIES_MAX = 5
_POLL_S = 0.02
# The account that distributions' packages create; the server refuses to run as root.
_SYSTEM_USER = "mysql"
_ADMIN = "root"

# Small: a test's tables fit, and several servers share a machine.
_DEFAULTS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "1",
    "character-set-server": "utf8mb4",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "32M",
    "performance-schema": "0",
    "max-connections": "200",
}

# The installation leaves administrators without a password; loopback is open to every account of
# the machine. Runs at each start, before the port is open.
_INIT = """\
DROP USER IF EXISTS '{admin}'@'::1';
CREATE OR REPLACE USER '{admin}'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{admin}'@'127.0.0.1' WITH GRANT OPTION;
ALTER USER '{admin}'@'localhost' IDENTIFIED BY '{password}';
"""


class PrivateMariaDB:
    """A MariaDB server of our own: loopback only, all files in one folder.

    Run as root, the server itself runs as the account `mysql`. Settings are option names to values
    (`{"innodb-flush-log-at-trx-commit": "0"}` is safe against nothing but an orderly stop).
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """Use `start` instead."""
        self._folder = folder
        self._data = folder / "data"
        self._settings = {**_DEFAULTS, **settings}
        self._server = server_program()
        self._user = _SYSTEM_USER if os.geteuid() == 0 else None
        self._process: ServerProcess | None = None
        self._password = ""
        self.port = 0

    @classmethod
    def start(cls, folder: Path, *, settings: Mapping[str, str] = MappingProxyType({})) -> Self:
        """Start a server in `folder`, on the data that is there or on new data; return when ready.

        Raises:
            ServerNotStarted: MariaDB is not installed, or ended with the error quoted.
        """
        server = cls(folder.resolve(), settings)
        server._prepare()
        for attempt in range(_PORT_TRIES_MAX):
            server.port = free_port()
            try:
                server._run()
            except _PortTaken:
                if attempt == _PORT_TRIES_MAX - 1:
                    raise
                continue
            break
        return server

    @property
    def pid(self) -> int:
        """Process id of the server."""
        if self._process is None:
            raise ServerNotStarted(f"MariaDB on port {self.port} does not run; restart it")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server runs: neither stopped nor killed, nor ended by itself."""
        return self._process is not None and self._process.exit_code() is None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._folder / "mariadb.log"

    def url(self, database: str = "", user: str = _ADMIN, password: str = "") -> str:
        """Return the SQLAlchemy URL of a database, for the administrator or another `user`."""
        secret = self._password if user == _ADMIN else password
        login = f"{quote(user, safe='')}:{quote(secret, safe='')}"
        return (
            f"mysql+pymysql://{login}@127.0.0.1:{self.port}/{quote(database, safe='')}"
            "?charset=utf8mb4"
        )

    def stop(self) -> None:
        """End the server in an orderly way; at once if that takes too long. May be repeated."""
        process, self._process = self._process, None
        if process is not None and not process.end(signal.SIGTERM, STOP_TIMEOUT_S):
            process.kill()

    def kill(self) -> None:
        """Crash the server (`kill -9`); `restart` recovers its data."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

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

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            hand_over(self._folder, self._user, "MariaDB", package="mariadb-server")
        secret = self._folder / "init.sql"
        if not (self._data / "mysql").exists():
            self._install()
            text = _INIT.format(admin=_ADMIN, password=secrets.token_urlsafe(18))
            secret.touch(mode=0o600)
            secret.write_text(text, encoding="utf-8")
            if self._user is not None:
                shutil.chown(secret, self._user, self._user)
        found = re.search(r"IDENTIFIED BY '([^']+)'", secret.read_text(encoding="utf-8"))
        assert found is not None, "we wrote this file"
        self._password = found[1]

    def _install(self) -> None:
        program = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
        if program is None:
            raise ServerNotStarted(
                "cannot start MariaDB: no 'mariadb-install-db' in PATH; "
                "run `python -m bridge.demo.servers.packages --for-tests`"
            )
        command = [
            program, "--no-defaults", f"--datadir={self._data}", "--skip-test-db",
            "--auth-root-authentication-method=normal", "--skip-name-resolve",
        ]  # fmt: skip
        if self._user is not None:
            command.append(f"--user={self._user}")
        result = subprocess.run(
            command, capture_output=True, text=True, env=_environment(), cwd="/", check=False
        )
        if result.returncode != 0:
            raise ServerNotStarted(
                f"cannot create a MariaDB data folder in {str(self._data)!r}: "
                f"{(result.stderr or result.stdout).strip()[-500:]}"
            )

    def _run(self) -> None:
        arguments = [self._server, "--no-defaults", f"--datadir={self._data}"]
        fixed = {
            "socket": str(self._folder / "mysql.sock"),
            "pid-file": str(self._folder / "mysql.pid"),
            "init-file": str(self._folder / "init.sql"),
            "port": str(self.port),
        }
        for name, value in {**self._settings, **fixed}.items():
            arguments.append(f"--{name}={value}")
        if self._user is not None:
            self.log.touch()
        log_start = self.log.stat().st_size if self.log.exists() else 0
        process = ServerProcess(
            arguments, log=self.log, env=_environment(), death_signal="KILL", user=self._user
        )
        try:
            self._await_ready(process, log_start)
        except BaseException:
            process.kill()
            raise
        self._process = process

    def _await_ready(self, process: ServerProcess, log_start: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"ready for connections" not in (said := self.log.read_bytes()[log_start:]):
            if process.exit_code() is not None:
                kind = _PortTaken if b"Bind on TCP/IP port" in said else ServerNotStarted
                raise kind(
                    f"cannot start MariaDB on port {self.port}: it ended with\n{process.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ServerNotStarted(
                    f"cannot start MariaDB on port {self.port}: not ready within "
                    f"{START_TIMEOUT_S:.0f} s\n{process.log_tail()}"
                )
            time.sleep(_POLL_S)


class _PortTaken(ServerNotStarted):
    """Somebody took the port between our looking and the server's binding."""


def server_program() -> str:
    """Return the path of the installed MariaDB server.

    Raises:
        ServerNotStarted: there is none.
    """
    for name in ("mariadbd", "/usr/sbin/mariadbd", "/usr/libexec/mariadbd"):
        found = shutil.which(name)
        if found is not None:
            return found
    raise ServerNotStarted(
        "cannot start MariaDB: no 'mariadbd' in PATH or /usr/sbin; "
        "run `python -m bridge.demo.servers.packages --for-tests`"
    )


def _environment() -> dict[str, str]:
    """A clean one: our caller's MYSQL_* variables would reach the server's tools."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
