"""WebSocket libraries of two languages talk to each other through the gateway's tunnel."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.child import child
from tests.gateway.foreign.installed import node_with, python_with
from tests.gateway.http.rig import Gateway

_PEERS = Path(__file__).parent / "peers"
_DEADLINE_S = 60


def _argv(library: str, *role: str) -> list[str]:
    if library == "websockets":
        python = python_with("websockets==17.4")
        return [str(python), str(_PEERS / "websockets_peer.py"), *role]
    node = shutil.which("node")
    assert node is not None, "node is not installed"
    return [node, str(_PEERS / "ws_peer.mjs"), str(node_with("ws@8.23.0")), *role]


@contextmanager
def _served(library: str) -> Iterator[int]:
    with child(_argv(library, "serve"), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())


def _said(library: str, port: int) -> list[str]:
    done = subprocess.run(
        _argv(library, "talk", f"ws://127.0.0.1:{port}/chat/%C3%A9?a=b"),
        capture_output=True, text=True, check=False, timeout=_DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: list[str] = json.loads(done.stdout)
    return said


@pytest.mark.soak
@pytest.mark.parametrize("server", ["websockets", "ws"])
@pytest.mark.parametrize("client", ["websockets", "ws"])
def test_same_direct_and_through_the_tunnel(client: str, server: str) -> None:
    with _served(server) as port:
        direct = _said(client, port)
        with Gateway({"legacy": port, "modern": port}) as gateway:
            proxied = _said(client, gateway.port)
    assert proxied == direct
    assert "protocol echo.2" in proxied
    assert "extensions permessage-deflate" in proxied
    assert "text hello /chat/%C3%A9?a=b" in proxied
    assert "binary 1000000 07070707" in proxied
    assert "close 4001 as asked" in proxied
