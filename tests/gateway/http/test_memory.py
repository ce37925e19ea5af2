"""Bounded memory for each connection, whatever its ends do; and bytes as soon as they are there."""

import time
from collections.abc import Callable

import psutil
import pytest

from bridge.gateway.plane.settings import PlaneSettings
from tests.gateway.http.rig import Gateway, ports, route
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import DEADLINE_S, GET, OK, Ended, Message, Wire
from tests.waiting import wait_until

SIZE = 96 << 20
BLOCK = b"x" * 65_536
# Our two buffers of 256 kB, a few reads, and what the allocator keeps; the body is far above it.
GROWTH_MAX = 16 << 20


class Memory:
    """How much this process, in which gateway, client and upstream run, has grown at most."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.grown = 0

    def look(self) -> bool:
        """Look once more; always True, for conditions."""
        self.grown = max(self.grown, self._process.memory_info().rss - self._before)
        return True


def stuck(wire: Wire, send: Callable[[bytes], int]) -> int:
    """Send until nothing goes any more; return how much went."""
    wire.sock.settimeout(0.3)
    total = 0
    try:
        while total < SIZE:
            total += send(BLOCK)
    except TimeoutError:
        pass
    wire.sock.settimeout(DEADLINE_S)
    return total


@pytest.mark.parametrize(
    "framing", [b"Content-Length: %d" % SIZE, b"Transfer-Encoding: chunked", b"X: until-close"]
)
def test_an_answer_waits_for_its_client_and_not_in_memory(
    framing: bytes, upstream: Upstream
) -> None:
    sent: list[int] = []

    def floods(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
        if b"chunked" in framing:
            wire.send(b"%x\r\n" % SIZE)
        sent.append(stuck(wire, wire.sock.send))
        raise Ended

    upstream.at[b"/flood"] = floods
    settings = PlaneSettings(drain_ms=100)
    with Gateway(ports(upstream), settings=settings) as gateway, gateway.connect() as client:
        memory = Memory()
        client.send(GET % b"/flood")
        wait_until(lambda: memory.look() and sent, DEADLINE_S)
    assert sent[0] < SIZE / 2
    assert memory.grown < GROWTH_MAX


@pytest.mark.parametrize("framing", [b"Content-Length: %d" % SIZE, b"Transfer-Encoding: chunked"])
def test_a_body_waits_for_its_upstream_and_not_in_memory(
    framing: bytes, upstream: Upstream
) -> None:
    done: list[bool] = []

    def never_read(wire: Wire) -> Message:
        wait_until(lambda: done, DEADLINE_S)
        raise Ended

    upstream.reader = never_read
    settings = PlaneSettings(drain_ms=100)
    routes = (route("all", "/{rest...}", body_bytes_max=1 << 30),)
    try:
        with (
            Gateway(ports(upstream), settings=settings, routes=routes) as gateway,
            gateway.connect() as client,
        ):
            memory = Memory()
            client.send(b"POST /x HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % framing)
            if b"chunked" in framing:
                client.send(b"%x\r\n" % SIZE)
            assert stuck(client, client.sock.send) < SIZE / 2
            memory.look()
    finally:
        done.append(True)
        upstream.reader = None
    assert memory.grown < GROWTH_MAX


def test_requests_ahead_wait_in_the_kernel_and_not_in_memory(upstream: Upstream) -> None:
    done: list[bool] = []

    def waits(wire: Wire, _: Message) -> None:
        wait_until(lambda: done, DEADLINE_S)
        wire.send(OK)

    upstream.at[b"/slow"] = waits
    settings = PlaneSettings(drain_ms=100)
    with Gateway(ports(upstream), settings=settings) as gateway, gateway.connect() as client:
        memory = Memory()
        client.send(GET % b"/slow")
        assert stuck(client, client.sock.send) < SIZE / 2
        memory.look()
        done.append(True)
    assert memory.grown < GROWTH_MAX


def test_every_event_comes_before_the_next_one_is_written(client: Wire, upstream: Upstream) -> None:
    taken: list[int] = []

    def events(wire: Wire, _: Message) -> None:
        wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
            b"\r\n\r\n"
        )
        for number in range(50):
            wire.send(b"9\r\ndata: %d\n\n\r\n" % (number % 10))
            wait_until(lambda: len(taken) > number, DEADLINE_S)  # noqa: B023  # Called at once.
        wire.send(b"0\r\n\r\n")

    upstream.at[b"/sse"] = events
    began = time.monotonic()
    client.send(GET % b"/sse")
    assert client.until(b"\r\n\r\n")
    for number in range(50):
        assert client.until(b"\n\n\r\n") == b"9\r\ndata: %d\n\n\r\n" % (number % 10)
        taken.append(number)
    assert client.until(b"0\r\n\r\n")
    # Held back by a buffer or a timer, fifty round trips would take far longer.
    assert time.monotonic() - began < DEADLINE_S / 2
