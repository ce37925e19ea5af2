"""Clients that leave, dawdle, flood or are too many; and the end of a worker."""

import dataclasses
import errno
import os
import socket
import threading
import time

import pytest

from adapters.upstream.pool import PoolLimits
from bridge.gateway.plane.listener import open_listener, refuse_taken_port
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.transports import half_close
from bridge.model.errors import ConfigInvalid
from tests.gateway.http.rig import Gateway, ports
from tests.gateway.http.upstream import Upstream, hangs
from tests.gateway.http.wire import DEADLINE_S, GET, OK, POST, Ended, Message, Wire
from tests.waiting import wait_until


def test_a_safe_request_is_cancelled_when_its_client_leaves(
    gateway: Gateway, upstream: Upstream
) -> None:
    gone = threading.Event()
    arrived = threading.Event()

    def behave(wire: Wire, _: Message) -> None:
        arrived.set()
        if wire.more() == b"":
            gone.set()
        raise Ended

    upstream.at[b"/slow-read"] = behave
    with gateway.connect() as client:
        client.send(GET % b"/slow-read")
        assert arrived.wait(DEADLINE_S)
    assert gone.wait(DEADLINE_S), "the upstream still works for nobody"


def test_a_write_is_not_cancelled_when_its_client_leaves(
    gateway: Gateway, upstream: Upstream
) -> None:
    arrived, finish, outcome = threading.Event(), threading.Event(), []

    def behave(wire: Wire, _: Message) -> None:
        arrived.set()
        assert finish.wait(DEADLINE_S)
        wire.sock.setblocking(False)
        try:
            outcome.append(wire.sock.recv(1))
        except BlockingIOError:
            outcome.append(b"still open")
        wire.sock.setblocking(True)
        wire.send(OK)

    upstream.at[b"/slow-write"] = behave
    with gateway.connect() as client:
        client.send(POST % b"/slow-write")
        assert arrived.wait(DEADLINE_S)
        client.reset()
    before = upstream.connections
    with gateway.connect() as other:
        # Answered on another connection, after the gateway has seen the client leave.
        other.send(GET % b"/fine")
        assert other.message().status == 200
    finish.set()
    wait_until(lambda: outcome, DEADLINE_S)
    assert outcome == [b"still open"]
    assert upstream.connections - before <= 1


def test_half_sent_body_never_reaches_the_upstream_as_a_whole_one(
    gateway: Gateway, upstream: Upstream
) -> None:
    with gateway.connect() as client:
        client.send(b"POST /half-body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
    with gateway.connect() as client:
        client.send(
            b"POST /half-body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nha"
        )
    with gateway.connect() as client:
        client.send(GET % b"/fine")
        assert client.message().status == 200
    assert upstream.requests_to(b"/half-body") == []


def test_9110_15_5_9_slow_heads_and_bodies_are_408(upstream: Upstream) -> None:
    settings = PlaneSettings(head_ms=200, body_idle_ms=200, drain_ms=100)
    with Gateway(ports(upstream), settings=settings) as gateway:
        for part in (b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"):
            with gateway.connect() as client:
                client.send(part)
                answer = client.message()
                assert answer.status == 408
                assert client.rest() == b""
        with gateway.connect() as client:
            assert client.rest() == b""  # Nothing at all is no request: closed without a word.


def test_a_body_in_drops_is_408_however_busy_it_looks(upstream: Upstream) -> None:
    settings = PlaneSettings(body_idle_ms=300, body_rate_min=1_000, drain_ms=100)
    with Gateway(ports(upstream), settings=settings) as gateway, gateway.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        client.sock.settimeout(0.05)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            client.send(b"x")
            try:
                client.more()
                break
            except TimeoutError:
                continue
        client.sock.settimeout(DEADLINE_S)
        assert client.message().status == 408


def test_idle_clients_are_closed_without_a_word(upstream: Upstream) -> None:
    settings = PlaneSettings(keep_alive_ms=200, drain_ms=100)
    with Gateway(ports(upstream), settings=settings) as gateway, gateway.connect() as client:
        client.send(GET % b"/fine")
        assert client.message().status == 200
        assert client.rest() == b""


def test_too_many_clients_are_refused_and_the_others_served(upstream: Upstream) -> None:
    settings = PlaneSettings(connections_max=2, drain_ms=100)
    with (
        Gateway(ports(upstream), settings=settings) as gateway,
        gateway.connect() as one,
        gateway.connect() as two,
    ):
        for client in (one, two):
            client.send(GET % b"/fine")
            assert client.message().status == 200
        with gateway.connect() as three:
            answer = three.message()
            assert answer.status == 503
            assert answer.one(b"retry-after") == b"1"
        one.send(GET % b"/fine")
        assert one.message().status == 200


def test_a_full_pool_queues_and_then_refuses(upstream: Upstream) -> None:
    over = threading.Event()
    upstream.at[b"/hold"] = hangs(over)
    limits = PoolLimits(connections_max=1, waiting_max=1, wait_ms=300)
    settings = PlaneSettings(drain_ms=100)
    with (
        Gateway(ports(upstream), limits=limits, settings=settings) as gateway,
        gateway.connect() as one,
        gateway.connect() as two,
        gateway.connect() as three,
    ):
        one.send(GET % b"/hold")
        wait_until(lambda: upstream.requests_to(b"/hold"), DEADLINE_S)
        two.send(GET % b"/fine")
        three.send(GET % b"/fine")
        answers = [client.message() for client in (two, three)]
        assert {answer.status for answer in answers} == {503}
        assert all(answer.one(b"retry-after") for answer in answers)
        over.set()


def test_a_slow_client_stops_the_upstream_from_being_read(upstream: Upstream) -> None:
    size = 64 << 20
    sent = []

    def flood(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        wire.sock.settimeout(0.5)
        block = b"x" * 65_536
        total = 0
        try:
            while total < size:
                total += wire.sock.send(block)
        except TimeoutError:
            pass
        sent.append(total)
        raise Ended

    upstream.at[b"/flood"] = flood
    settings = PlaneSettings(drain_ms=100)
    with Gateway(ports(upstream), settings=settings) as gateway, gateway.connect() as client:
        client.send(GET % b"/flood")
        wait_until(lambda: sent, DEADLINE_S)
        # What the kernel's buffers of two connections hold, and our own bounded one.
        assert sent[0] < size / 2


def test_a_slow_upstream_stops_the_client_from_being_read(upstream: Upstream) -> None:
    over = threading.Event()

    def never_read(wire: Wire) -> Message:
        over.wait(DEADLINE_S)
        raise Ended

    upstream.reader = never_read
    settings = PlaneSettings(drain_ms=100)
    try:
        with Gateway(ports(upstream), settings=settings) as gateway, gateway.connect() as client:
            gateway.routes = tuple(
                dataclasses.replace(route, body_bytes_max=1 << 30) for route in gateway.routes
            )
            gateway.generation.value += 1
            client.sock.settimeout(0.5)
            client.sock.sendall(
                b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"
            )
            with pytest.raises(TimeoutError):
                client.sock.sendall(b"x" * (64 << 20))
    finally:
        over.set()
        upstream.reader = None


def test_stopping_lets_the_request_under_way_finish(upstream: Upstream) -> None:
    arrived, finish = threading.Event(), threading.Event()

    def behave(wire: Wire, _: Message) -> None:
        arrived.set()
        assert finish.wait(DEADLINE_S)
        wire.send(OK)

    upstream.at[b"/last"] = behave
    settings = PlaneSettings(drain_ms=5_000)
    with (
        Gateway(ports(upstream), settings=settings) as gateway,
        gateway.connect() as idle,
        gateway.connect() as client,
    ):
        idle.send(GET % b"/fine")
        assert idle.message().status == 200
        client.send(GET % b"/last")
        assert arrived.wait(DEADLINE_S)
        gateway.begin_stop()
        assert idle.rest() == b""
        with pytest.raises(ConnectionError):
            gateway.connect()
        finish.set()
        answer = client.message()
        assert answer.body == b"ok"
        assert answer.one(b"connection") == b"close"


def test_taken_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for shared in (False, True):
            with pytest.raises(ConfigInvalid, match=f"cannot listen on 127.0.0.1:{port}: it is in"):
                open_listener("127.0.0.1", port, shared=shared)
    first = open_listener("127.0.0.1", 0, shared=True)
    port = first.getsockname()[1]
    second = open_listener("127.0.0.1", port, shared=True)
    with pytest.raises(ConfigInvalid, match="in use"):
        refuse_taken_port("127.0.0.1", port)
    first.close()
    second.close()


def test_foreign_address_is_a_clear_error() -> None:
    with pytest.raises(ConfigInvalid, match="no such address"):
        open_listener("192.0.2.1", 8080, shared=True)
    with pytest.raises(ConfigInvalid, match="no such host name"):
        open_listener("no-such-host.invalid", 8080, shared=True)


def test_a_head_in_single_bytes_is_read_or_refused_as_a_whole_one(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.dribble(b"\r\n" + GET % b"/fine" + POST % b"/fine", 1)
        assert client.message().status == 200
        assert client.message().status == 200
        client.dribble(b"GET /fine HTTP/1.1\r\nX: a\rb", 1)
        assert client.message().status == 400


class Gone:
    """A transport whose other end has reset, which asyncio has not heard of yet."""

    def __init__(self) -> None:
        self.closing = False

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closing

    def write_eof(self) -> None:
        """As the system answers it."""
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    def abort(self) -> None:
        """Close at once."""
        self.closing = True


def test_half_closing_towards_a_client_that_has_reset_ends_the_connection() -> None:
    gone = Gone()
    half_close(gone)  # type: ignore[arg-type]  # The three methods that it uses.
    assert gone.closing
    half_close(gone)  # type: ignore[arg-type]  # Nothing more is done to it.
