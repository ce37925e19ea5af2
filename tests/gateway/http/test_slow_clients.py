"""Clients that take an answer in drops do not hold an upstream connection for ever."""

import socket
import time

import pytest

from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.plane.slow_client import SlowClient
from tests.gateway.http.rig import Gateway, ports
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import DEADLINE_S, GET, Ended, Message, Wire
from tests.waiting import wait_until

SIZE = 96 << 20
DROP = 65_536


def _floods(wire: Wire, ended: list[float]) -> None:
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
    try:
        for _ in range(SIZE // 65_536):
            wire.sock.sendall(b"x" * 65_536)
    except OSError:
        pass
    ended.append(time.monotonic())
    raise Ended


def _slowly(gateway: Gateway, ended: list[float], for_s: float) -> bool:
    """Take an answer in drops, some 3 MB in a second; return whether it was cut meanwhile."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DROP)
    sock.connect(("127.0.0.1", gateway.port))
    with Wire(sock) as client:
        client.send(GET % b"/flood")
        until = time.monotonic() + for_s
        drops = 0

        def take() -> bool:
            nonlocal drops
            drops += 1
            try:
                return not sock.recv(DROP) or time.monotonic() > until
            except ConnectionError:
                return True

        wait_until(take, DEADLINE_S)
        assert drops > 3
        return bool(ended)


@pytest.mark.parametrize(("rate", "cut"), [(100_000_000, True), (0, False)])
def test_a_client_that_takes_its_answer_in_drops_is_cut(
    rate: int, cut: bool, upstream: Upstream
) -> None:
    ended: list[float] = []
    upstream.at[b"/flood"] = lambda wire, _: _floods(wire, ended)
    settings = PlaneSettings(drain_ms=100, relay_idle_ms=800, answer_rate_min=rate)
    with Gateway(ports(upstream), settings=settings) as gateway:
        assert _slowly(gateway, ended, 10.0 if cut else 2.0) is cut


def test_a_stream_of_few_events_is_not_slow(upstream: Upstream) -> None:
    taken: list[bytes] = []

    def events(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(6):
            wait_until(lambda: len(taken) >= number, DEADLINE_S)  # noqa: B023  # Called at once.
            wire.send(b"1\r\nx\r\n")
        wire.send(b"0\r\n\r\n")

    upstream.at[b"/sse"] = events
    settings = PlaneSettings(drain_ms=100, relay_idle_ms=400, answer_rate_min=100_000_000)
    with Gateway(ports(upstream), settings=settings) as gateway, gateway.connect() as client:
        client.send(GET % b"/sse")
        client.until(b"\r\n\r\n")
        began = time.monotonic()
        for number in range(6):
            assert client.until(b"x\r\n") == b"1\r\nx\r\n"
            # Much longer than the patience altogether, shorter from one event to the next.
            wait_until(lambda: time.monotonic() - began > 0.15 * number)  # noqa: B023
            taken.append(b"x")
        assert client.until(b"0\r\n\r\n")


def test_the_average_counts_and_only_while_the_client_is_behind() -> None:
    settings = PlaneSettings(relay_idle_ms=10_000, answer_rate_min=100)
    client = SlowClient(None)
    assert client.falls_behind(0.0, 1_200, 200, 60.0, settings) == 10.0
    assert client.catches_up(9.0, 200) == 69.0  # What was left when it fell behind.
    # 1,000 bytes in 9 s were enough; 2,000 may take 20, but no single wait more than 10.
    assert client.falls_behind(1_000.0, 1_200, 200, 1_060.0, settings) == 1_010.0
    client.catches_up(1_009.9, 200)
    # 3,000 bytes in 30 s, of which 18.9 are over.
    assert client.falls_behind(2_000.0, 400, 200, 2_060.0, settings) == pytest.approx(2_003.1)
