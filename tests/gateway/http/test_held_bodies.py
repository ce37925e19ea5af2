"""Bodies that have to be had whole: together they are bounded, and every end gives back."""

import asyncio
import contextlib
from collections.abc import Callable

import psutil
import pytest

from bridge.gateway.plane.held_bytes import HeldBytes
from bridge.gateway.plane.settings import PlaneSettings
from bridge.model.stage import Side, Stage
from tests.gateway.http.rig import BOTH, KEY, Gateway, RecordingWritePath, ports, route
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import DEADLINE_S, Wire
from tests.waiting import wait_until

MIB = 1 << 20
CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Holding(Gateway):
    """A gateway whose group `orders` is journalled; its bodies may be 16 MiB."""

    def __init__(self, upstream: Upstream, settings: PlaneSettings) -> None:
        self.path = RecordingWritePath()
        write = route(
            "order-write", "/orders/{id}", b"PUT", group="orders", writes=True, key=KEY,
            upstreams=BOTH, body_bytes_max=16 * MIB,
        )  # fmt: skip
        super().__init__(ports(upstream), settings=settings, write_path=self.path, routes=(write,))
        self.switch(Stage.DUAL, 1)
        assert Side.MODERN in write.upstreams

    def put(self, fields: bytes, body: bytes = b"") -> Wire:
        """Begin a PUT on a connection of its own."""
        client = self.connect()
        client.send(b"PUT /orders/7 HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (fields, body))
        return client


def test_half_sent_bodies_are_bounded_in_memory(upstream: Upstream) -> None:
    settings = PlaneSettings(drain_ms=100, held_bytes_max=32 * MIB)
    with Holding(upstream, settings) as gateway, contextlib.ExitStack() as stack:
        before = psutil.Process().memory_info().rss
        statuses: list[int] = []
        for _ in range(12):
            client = gateway.put(b"Content-Length: %d\r\n" % (15 * MIB))
            stack.callback(client.close)
            with contextlib.suppress(ConnectionError):
                for _ in range(14):
                    client.send(b"x" * MIB)
            client.sock.settimeout(0.01)
            with contextlib.suppress(TimeoutError):
                answer = client.message()
                statuses.append(answer.status)
                assert answer.one(b"retry-after") == b"1"
        assert statuses == [503] * 10
        # The two that are held, this test's own megabyte, and what the allocator keeps.
        assert psutil.Process().memory_info().rss - before < 48 * MIB
        note = gateway.observer.await_note("bodies_refused")
        assert note["requests"]


def _whole(gateway: Holding) -> None:
    with gateway.put(b"Content-Length: 3\r\n", b"abc") as client:
        assert client.message().status == 201


def _by_chunks(gateway: Holding) -> None:
    with gateway.put(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n") as client:
        assert client.message().status == 201


def _half_closed(gateway: Holding) -> None:
    with gateway.put(b"Content-Length: 100000\r\n", b"abc"):
        pass


def _half_reset(gateway: Holding) -> None:
    with gateway.put(CHUNKED, b"186a0\r\nabc") as client:
        client.reset()


def _broken(gateway: Holding) -> None:
    with gateway.put(CHUNKED, b"3\r\nabcXX") as client:
        assert client.message().status == 400


def _slow(gateway: Holding) -> None:
    with gateway.put(b"Content-Length: 100000\r\n", b"abc") as client:
        assert client.message().status == 408


def _gone_while_written(gateway: Holding) -> None:
    gate = gateway.path.gate = asyncio.Event()
    before = len(gateway.path.writes)
    with gateway.put(b"Content-Length: 100000\r\n", b"x" * 100_000) as client:
        wait_until(lambda: len(gateway.path.writes) > before, DEADLINE_S)
        client.reset()
    with gateway.put(b"Content-Length: 100000\r\n") as other:
        assert other.message().status == 503  # It is held for as long as its write goes on.
    gateway.loop.call_soon_threadsafe(gate.set)
    gateway.path.gate = None


def _bug(gateway: Holding) -> None:
    gateway.path.bug = ValueError("for the test")
    with gateway.put(b"Content-Length: 3\r\n", b"abc") as client:
        assert client.message().status == 500
    gateway.path.bug = None


@pytest.mark.parametrize(
    "ends",
    [
        _whole, _by_chunks, _half_closed, _half_reset, _broken, _slow, _gone_while_written, _bug,
    ],
)  # fmt: skip
def test_every_end_gives_back(ends: Callable[[Holding], None], upstream: Upstream) -> None:
    settings = PlaneSettings(drain_ms=100, held_bytes_max=150_000, body_idle_ms=300)
    with Holding(upstream, settings) as gateway:
        for _ in range(2):
            ends(gateway)

        def room() -> bool:
            # Two together have room only when nothing else is held.
            first = gateway.put(b"Content-Length: 60000\r\n", b"x")
            second = gateway.put(b"Content-Length: 90000\r\n", b"x" * 90_000)
            with first, second:
                return second.message().status == 201

        wait_until(room, DEADLINE_S)


def test_a_chunked_body_is_refused_when_it_goes_over(upstream: Upstream) -> None:
    settings = PlaneSettings(drain_ms=100, held_bytes_max=100_000)
    with Holding(upstream, settings) as gateway:
        with gateway.put(b"Content-Length: 60000\r\n", b"x") as first:
            with gateway.put(CHUNKED, b"7530\r\n" + b"x" * 30_000) as second:
                second.send(b"\r\n7530\r\n" + b"x" * 30_000)
                answer = second.message()
                assert (answer.status, answer.one(b"legacy-bridge-error")) == (503, b"busy")
                assert second.rest() == b""
            first.send(b"x" * 59_999)
            assert first.message().status == 201
        assert len(gateway.path.writes) == 1


def test_who_asks_first_is_refused_before_it_sends(upstream: Upstream) -> None:
    settings = PlaneSettings(drain_ms=100, held_bytes_max=100_000)
    with (
        Holding(upstream, settings) as gateway,
        gateway.put(b"Content-Length: 60000\r\n", b"x"),
        gateway.put(b"Content-Length: 60000\r\nExpect: 100-continue\r\n") as second,
    ):
        assert second.message().status == 503


def test_one_body_alone_always_has_room() -> None:
    held = HeldBytes(10)
    assert held.take(100)
    assert not held.take(1)
    held.give_back(100)
    assert held.take(1)
    assert held.refused == 1
