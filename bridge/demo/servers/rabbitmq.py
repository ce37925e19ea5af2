"""A private RabbitMQ node in a folder, with an epmd of its own."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.demo.servers.ports import free_port
from bridge.demo.servers.process import ServerNotStarted, ServerProcess

# The Erlang machine boots in 3-6 s on an idle machine; much longer on a crowded one.
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
CTL_TIMEOUT_S = 60.0
_PORT_TRIES_MAX = 3
_POLL_S = 0.02
# In the words of the AMQP listener and of the distribution port's check.
_SIGNS_OF_A_TAKEN_PORT = ("eaddrinuse", "dist_port_already_used")
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

# Enabled offline, before the first boot. No management plugin: it samples all the time.
_PLUGINS = "[rabbitmq_consistent_hash_exchange].\n"


class PrivateRabbitMQ:
    """A RabbitMQ node of our own: loopback only, all files in one folder, user guest/guest."""

    def __init__(self, folder: Path) -> None:
        """Use `start` instead."""
        self._folder = folder
        self._scripts = scripts_dir()
        self._node: ServerProcess | None = None
        self._epmd: ServerProcess | None = None
        self._dist_port = 0
        self._epmd_port = 0
        self.port = 0

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start a node in `folder`, on the data that is there or on new data; return when ready.

        Raises:
            ServerNotStarted: RabbitMQ is not installed, or ended with the error quoted.
        """
        server = cls(folder.resolve())
        server._prepare()
        for attempt in range(_PORT_TRIES_MAX):
            server.port, server._dist_port, server._epmd_port = (
                free_port(),
                free_port(),
                free_port(),
            )
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
        """Process id of the Erlang machine."""
        if self._node is None:
            raise ServerNotStarted(f"RabbitMQ on port {self.port} does not run; restart it")
        return self._node.pid

    @property
    def is_running(self) -> bool:
        """Whether the node runs: neither stopped nor killed, nor ended by itself."""
        return self._node is not None and self._node.exit_code() is None

    @property
    def log(self) -> Path:
        """The node's log file."""
        return self._folder / "rabbitmq.log"

    @property
    def url(self) -> str:
        """`amqp://` URL of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def vhost_url(self, vhost: str) -> str:
        """Return the URL of virtual host `vhost`, a name that needs no quoting in a URL."""
        return self.url + vhost

    def ctl(self, *args: str) -> str:
        """Run `rabbitmqctl` against the node and return what it printed (about 0.5 s a call).

        Raises:
            ServerNotStarted: it failed; the message quotes its error.
        """
        result = subprocess.run(
            [str(self._scripts / "rabbitmqctl"), "--quiet", *args],
            capture_output=True,
            text=True,
            env=self._environment(),
            cwd=self._folder,
            timeout=CTL_TIMEOUT_S,
            check=False,
        )
        if result.returncode != 0:
            raise ServerNotStarted(
                f"rabbitmqctl {args[0] if args else ''} failed with {result.returncode}: "
                f"{(result.stderr or result.stdout).strip()}"
            )
        return result.stdout

    def add_vhosts(self, *names: str) -> None:
        """Create virtual hosts that guest may use fully, in one call for all of them."""
        listed = ", ".join(f'<<"{name}">>' for name in names)
        self.ctl(
            "eval",
            "[begin ok = rabbit_vhost:add(V, <<\"private\">>), "
            "ok = rabbit_auth_backend_internal:set_permissions("
            "<<\"guest\">>, V, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"private\">>) end "
            f"|| V <- [{listed}]], ok.",
        )  # fmt: skip

    def flush(self) -> None:
        """Write out what RabbitMQ would write within its next 3 s.

        It keeps the name of a new quorum queue in memory that long: killed before, it comes back
        with the queue declared, but without a leader for ever. Call this between declaring and
        `kill`.
        """
        self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()], ok.")

    def stop(self) -> None:
        """End the node in an orderly way, and its epmd. May be repeated."""
        node, self._node = self._node, None
        if node is not None and not node.end(signal.SIGTERM, STOP_TIMEOUT_S):
            node.kill()
        self._stop_epmd()

    def kill(self) -> None:
        """Crash the node with all its helpers (`kill -9`); `restart` recovers its data."""
        node, self._node = self._node, None
        if node is not None:
            node.kill()
        self._stop_epmd()

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
        home = self._folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        cookie = home / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(secrets.token_hex(16), encoding="ascii")
            cookie.chmod(0o400)
        (self._folder / "enabled_plugins").write_text(_PLUGINS, encoding="ascii")
        # Without an environment file of ours the scripts would read the system's.
        (self._folder / "rabbitmq-env.conf").touch()

    def _run(self) -> None:
        self._write_config()
        environment = self._environment()
        self._epmd = ServerProcess(
            ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            log=self._folder / "epmd.log",
            env=environment,
        )
        try:
            self._node = ServerProcess(
                [str(self._scripts / "rabbitmq-server")], log=self.log, env=environment
            )
            self._await_ready(self._node, self._epmd)
        except BaseException:
            self.kill()
            raise

    def _await_ready(self, node: ServerProcess, epmd: ServerProcess) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _greets(self.port):
            ended = next((one for one in (node, epmd) if one.exit_code() is not None), None)
            if ended is not None:
                tail = ended.log_tail()
                # epmd ends without a word, and for no other reason.
                taken = ended is epmd or any(
                    sign in tail.lower() for sign in _SIGNS_OF_A_TAKEN_PORT
                )
                kind = _PortTaken if taken else ServerNotStarted
                raise kind(f"cannot start RabbitMQ on port {self.port}: it ended with\n{tail}")
            if time.monotonic() > deadline:
                raise ServerNotStarted(
                    f"cannot start RabbitMQ on port {self.port}: not ready within "
                    f"{START_TIMEOUT_S:.0f} s\n{node.log_tail()}"
                )
            time.sleep(_POLL_S)

    def _stop_epmd(self) -> None:
        epmd, self._epmd = self._epmd, None
        if epmd is not None:
            epmd.kill()

    def _write_config(self) -> None:
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            "log.console.level = info\n"
            # 512 MB by default; a private node should leave room for its neighbours.
            "raft.wal_max_size_bytes = 67108864\n",
            encoding="ascii",
        )

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        loopback = "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder / "home"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback,
            "RABBITMQ_CTL_ERL_ARGS": loopback,
            # Any free port: the default range holds 11, which parallel calls would exhaust.
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
            # Makes the script `exec` the Erlang machine, so that our child is the node itself.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


class _PortTaken(ServerNotStarted):
    """Somebody took a port between our looking and the server's binding."""


def scripts_dir() -> Path:
    """Return the folder of RabbitMQ's own scripts.

    The wrappers in PATH insist on the system's account and paths; these scripts do not.

    Raises:
        ServerNotStarted: RabbitMQ or Erlang is not installed.
    """
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found or shutil.which("erl") is None or shutil.which("epmd") is None:
        raise ServerNotStarted(
            "cannot start RabbitMQ: no server scripts in /usr/lib/rabbitmq/lib/rabbitmq_server-*, "
            "or no 'erl' and 'epmd' in PATH; run `python -m bridge.demo.servers.packages`"
        )
    return found[-1].parent


def _greets(port: int) -> bool:
    """Return whether the node answers an AMQP greeting: its listener is the last thing to boot."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(_PROTOCOL_HEADER)
            return connection.recv(1) == b"\x01"  # A method frame: Connection.Start.
    except OSError:
        return False
