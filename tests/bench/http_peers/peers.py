"""Start a peer before the upstreams of all lanes."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from tests.bench.http_peers import envoy_wheel
from tests.gateway.abuse.runner import Proxy
from tests.waiting import wait_until_async

_BESIDE: Final = Path(__file__).parent
_START_S: Final = 15.0


def _template(name: str) -> str:
    return (_BESIDE / name).read_text()


def _lanes(template: str, pairs: Sequence[tuple[int, int]]) -> str:
    text = _template(template)
    return "".join(
        text.format(number=number, port=port, upstream=upstream)
        for number, (port, upstream) in enumerate(pairs)
    )


def _nginx(folder: Path, pairs: Sequence[tuple[int, int]]) -> list[str]:
    config = folder / "nginx.conf"
    lanes = _lanes("nginx_lane.conf", pairs)
    config.write_text(_template("nginx.conf").format(folder=folder, lanes=lanes))
    return [which("nginx"), "-p", str(folder), "-c", str(config)]


def _haproxy(folder: Path, pairs: Sequence[tuple[int, int]]) -> list[str]:
    config = folder / "haproxy.cfg"
    lanes = _lanes("haproxy_lane.cfg", pairs)
    config.write_text(_template("haproxy.cfg").format(folder=folder, lanes=lanes))
    return [which("haproxy"), "-db", "-f", str(config)]


def _envoy(folder: Path, pairs: Sequence[tuple[int, int]]) -> list[str]:
    config = folder / "envoy.yaml"
    listeners = _lanes("envoy_listener.yaml", pairs)
    clusters = _lanes("envoy_cluster.yaml", pairs)
    config.write_text(_template("envoy.yaml").format(listeners=listeners, clusters=clusters))
    argv = [str(envoy_wheel.program()), "-c", str(config), "--concurrency", "1"]
    return [*argv, "--log-level", "error", "--use-dynamic-base-id"]


_COMMANDS: Final[Mapping[str, Callable[[Path, Sequence[tuple[int, int]]], list[str]]]] = {
    "nginx": _nginx,
    "HAProxy": _haproxy,
    "Envoy": _envoy,
}
NAMES: Final = tuple(_COMMANDS)


def which(tool: str) -> str:
    """Return the path of a program, also of those that only root has in its path."""
    found = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"cannot start {tool!r}: it is not installed")
    return found


def version(name: str) -> str:
    """Return what a peer says its version is."""
    if name == "Envoy":
        return envoy_wheel.VERSION
    tool = name.lower()
    done = subprocess.run([which(tool), "-v"], capture_output=True, text=True, check=True)
    words = (done.stdout + done.stderr).split()
    return next(word for word in words if word[0].isdigit() or "/" in word).rpartition("/")[2]


@asynccontextmanager
async def peer(name: str, folder: Path) -> AsyncIterator[Proxy]:
    """Start a peer when asked to, and stop it at the end."""
    running: list[asyncio.subprocess.Process] = []

    async def start(upstream_ports: Sequence[int]) -> Sequence[int]:
        ports = [_free_port() for _ in upstream_ports]
        argv = _COMMANDS[name](folder, list(zip(ports, upstream_ports, strict=True)))
        with (folder / f"{name}.out").open("wb") as out:
            process = await asyncio.create_subprocess_exec(*argv, stdout=out, stderr=out)
        running.append(process)
        for port in ports:
            await _listens(process, port, folder / f"{name}.out")
        return ports

    try:
        yield start
    finally:
        for process in running:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def _listens(process: asyncio.subprocess.Process, port: int, out: Path) -> None:
    async def listens() -> bool:
        if process.returncode is not None:
            raise RuntimeError(
                f"a peer ended with {process.returncode}: {out.read_text()[-2_000:]}"
            )
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    await wait_until_async(listens, timeout_s=_START_S, what=f"a peer on port {port}")
