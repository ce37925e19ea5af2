"""After 101 (RFC 9110 7.8, RFC 6455): raw bytes, half-close, idle time, an end in good order."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.routes.sections.timeouts import Timeouts
from bridge.model.stage import Stage
from tests.gateway.http.rig import BOTH, Gateway, ports, route
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import DEADLINE_S, Ended, Message, Wire
from tests.waiting import wait_until

UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhl\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: chat\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3p\r\n\r\n"
)
ROUTES = (
    route("all", "/{rest...}"),
    route("short", "/short", timeouts=Timeouts(tunnel_idle_ms=200)),
    route("moved", "/moved", b"GET", group="orders", upstreams=BOTH,
          timeouts=Timeouts(tunnel_drain_ms=300)),
    route("stays", "/stays", b"GET", group="other", upstreams=BOTH,
          timeouts=Timeouts(tunnel_drain_ms=300)),
)  # fmt: skip


def echoes(wire: Wire, _: Message) -> None:
    """Switch, and send back what comes, until the client ends its direction."""
    wire.send(SWITCHED)
    if wire.buffer:
        wire.send(wire.exactly(len(wire.buffer)))
    while data := wire.more():
        wire.buffer = b""
        wire.send(data)
    raise Ended


@contextmanager
def tunnel(gateway: Gateway, path: bytes) -> Iterator[Wire]:
    """A client that has been upgraded."""
    with gateway.connect() as client:
        client.send(UPGRADE % path)
        answer = client.message(bodiless=True)
        assert answer.status == 101
        assert answer.one(b"sec-websocket-accept") == b"s3p"
        yield client


def says(client: Wire, data: bytes) -> None:
    """Send, and expect it back."""
    client.send(data)
    assert client.exactly(len(data)) == data


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[Gateway]:
    upstream.at.update(dict.fromkeys((b"/ws", b"/short", b"/moved", b"/stays"), echoes))
    with Gateway(
        ports(upstream), routes=ROUTES, settings=PlaneSettings(drain_ms=300, drain_idle_ms=0)
    ) as gateway:
        yield gateway


def test_6455_4_1_the_handshake_goes_end_to_end(gateway: Gateway, upstream: Upstream) -> None:
    with tunnel(gateway, b"/ws") as client:
        says(client, b"\x81\x85\x00\x00\x00\x00hello")
    got = upstream.requests_to(b"/ws")[-1]
    assert got.one(b"sec-websocket-key") == b"dGhl"
    assert got.one(b"sec-websocket-version") == b"13"
    assert got.one(b"sec-websocket-protocol") == b"chat"


@pytest.mark.parametrize(
    "raw",
    [
        b"PUT /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
        b"GET /ws HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    ids=["put", "not-nominated", "h2c", "two", "http-1.0"],
)
def test_9110_7_8_no_other_upgrade_is_passed_on(
    raw: bytes, gateway: Gateway, upstream: Upstream
) -> None:
    behaviour, upstream.at[b"/ws"] = (
        upstream.at[b"/ws"],
        lambda wire, _: wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    )
    try:
        with gateway.connect() as client:
            client.send(raw)
            assert client.message().status == 200
        assert upstream.received[-1].all(b"upgrade") == []
    finally:
        upstream.at[b"/ws"] = behaviour


def test_one_direction_may_end_before_the_other(gateway: Gateway, upstream: Upstream) -> None:
    heard: list[bytes] = []

    def answers_after_the_end(wire: Wire, _: Message) -> None:
        wire.send(SWITCHED)
        heard.append(wire.rest())
        wire.send(b"all of it: %d" % len(heard[0]))
        raise Ended

    upstream.at[b"/half"] = answers_after_the_end
    with tunnel(gateway, b"/half") as client:
        client.send(b"x" * 1_000)
        client.sock.shutdown(1)
        assert client.rest() == b"all of it: 1000"


def test_the_upstream_may_end_first(gateway: Gateway, upstream: Upstream) -> None:
    heard = threading.Event()

    def ends_first(wire: Wire, _: Message) -> None:
        wire.send(SWITCHED + b"bye")
        wire.sock.shutdown(1)
        assert wire.until(b"still here")
        heard.set()
        raise Ended

    upstream.at[b"/first"] = ends_first
    with tunnel(gateway, b"/first") as client:
        assert client.rest() == b"bye"
        client.send(b"still here")
        assert heard.wait(DEADLINE_S)


def test_a_reset_is_passed_on_as_one(gateway: Gateway, upstream: Upstream) -> None:
    def resets(wire: Wire, _: Message) -> None:
        wire.send(SWITCHED)
        wire.until(b"go")
        wire.reset()
        raise Ended

    upstream.at[b"/reset"] = resets
    with tunnel(gateway, b"/reset") as client:
        client.send(b"go")
        with pytest.raises(ConnectionResetError):
            client.sock.recv(1)


def test_a_tunnel_without_a_byte_is_cut_after_its_routes_own_time(gateway: Gateway) -> None:
    with tunnel(gateway, b"/short") as client:
        says(client, b"hello")
        with pytest.raises(ConnectionResetError):
            client.sock.recv(1)
    with tunnel(gateway, b"/ws") as client:
        client.sock.settimeout(0.4)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)


def test_a_slow_client_of_a_tunnel_stops_its_upstream(gateway: Gateway, upstream: Upstream) -> None:
    size = 64 << 20
    sent = []

    def floods(wire: Wire, _: Message) -> None:
        wire.send(SWITCHED)
        wire.sock.settimeout(0.3)
        total = 0
        try:
            while total < size:
                total += wire.sock.send(b"x" * 65_536)
        except TimeoutError:
            pass
        sent.append(total)
        raise Ended

    upstream.at[b"/flood"] = floods
    with tunnel(gateway, b"/flood"):
        wait_until(lambda: sent, DEADLINE_S)
    assert sent[0] < size / 2


def talk_until_it_ends(client: Wire) -> None:
    """Keep a tunnel lively."""
    while True:
        client.sock.sendall(b"x")  # `Wire.send` would keep the reset to itself.
        with suppress(TimeoutError):
            assert client.sock.recv(1)


def test_a_switch_drains_the_tunnels_of_its_group_and_no_others(gateway: Gateway) -> None:
    gateway.switch(Stage.DUAL, 1)
    with tunnel(gateway, b"/moved") as moved, tunnel(gateway, b"/stays") as stays:
        gateway.switch(Stage.CANARY, 2)  # The authority is legacy still.
        moved.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            moved.sock.recv(1)
        moved.sock.settimeout(DEADLINE_S)
        gateway.switch(Stage.MODERN, 3)
        # It goes on for a while, and no longer however much is said.
        says(moved, b"hello")
        moved.sock.settimeout(0.02)
        with pytest.raises(ConnectionResetError):
            talk_until_it_ends(moved)
        says(stays, b"still there")


def test_a_rolled_back_switch_leaves_its_tunnels_alone(gateway: Gateway) -> None:
    gateway.switch(Stage.DUAL, 4)
    with tunnel(gateway, b"/moved") as client:
        gateway.switch(Stage.MODERN, 5)
        says(client, b"hello")
        gateway.switch(Stage.DUAL, 6)
        client.sock.settimeout(0.6)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        client.sock.settimeout(DEADLINE_S)
        says(client, b"still there")


def test_stopping_gives_tunnels_the_drain_time_and_then_cuts_them(upstream: Upstream) -> None:
    upstream.at[b"/ws"] = echoes
    settings = PlaneSettings(drain_ms=400, drain_idle_ms=0)
    with (
        Gateway(ports(upstream), routes=ROUTES, settings=settings) as gateway,
        tunnel(gateway, b"/ws") as client,
    ):
        gateway.begin_stop()
        gateway.observer.await_note("draining")
        says(client, b"one more")
        with pytest.raises(ConnectionResetError):
            client.sock.recv(1)
        gateway.stop()
        assert gateway.observer.notes("drained")[0].facts["connections_left"] == 1
