"""Limits per phase of an exchange, and the deadline that is passed on."""

import ipaddress
import socket
import threading
from collections.abc import Iterator

import pytest

from adapters.upstream.pool import PoolLimits
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.routes.sections.timeouts import Timeouts
from bridge.model.stage import GroupState, Stage
from tests.gateway.http.rig import BOTH, KEY, Gateway, RecordingWritePath, ports, route
from tests.gateway.http.upstream import Upstream, hangs
from tests.gateway.http.wire import DEADLINE_S, GET, Ended, Message, Wire

ROUTES = (
    route("all", "/{rest...}"),
    route("first", "/first", timeouts=Timeouts(first_byte_ms=200)),
    route("idle", "/idle", timeouts=Timeouts(idle_ms=200)),
    route("total", "/total", timeouts=Timeouts(total_ms=400)),
    route("connect", "/connect", timeouts=Timeouts(connect_ms=200)),
    route("write", "/orders/{id}", b"PUT", group="orders", writes=True, key=KEY, upstreams=BOTH,
          timeouts=Timeouts(total_ms=4_000)),
)  # fmt: skip


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[Gateway]:
    settings = PlaneSettings(drain_ms=200, trusted_hops=(ipaddress.ip_network("127.0.0.2/32"),))
    with Gateway(ports(upstream), routes=ROUTES, settings=settings) as gateway:
        yield gateway


def drips(wire: Wire, _: Message) -> None:
    """Send a byte every now and then, for longer than any limit."""
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    wire.sock.settimeout(0.05)
    for _sent in range(200):
        wire.send(b"x")
        try:
            if not wire.more():
                raise Ended
        except TimeoutError:
            continue


def test_the_answer_does_not_begin_in_time(client: Wire, upstream: Upstream) -> None:
    over = threading.Event()
    upstream.at[b"/first"] = hangs(over)
    client.send(GET % b"/first")
    answer = client.message()
    over.set()
    assert answer.status == 504
    assert b"within 200 ms" in answer.body


def test_the_answer_stops_coming(client: Wire, upstream: Upstream) -> None:
    over = threading.Event()

    def stops(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        over.wait(DEADLINE_S)
        raise Ended

    upstream.at[b"/idle"] = stops
    client.send(GET % b"/idle")
    with pytest.raises(Ended):
        client.message()
    over.set()


def test_an_answer_that_never_ends_is_cut_at_the_total(client: Wire, upstream: Upstream) -> None:
    upstream.at[b"/total"] = drips
    client.send(GET % b"/total")
    with pytest.raises(Ended) as cut:
        client.message()
    assert b"\r\n\r\nx" in cut.value.args[0] or cut.value.args[0].startswith(b"x")
    upstream.at[b"/other"] = drips  # Without a total it goes on.
    del upstream.at[b"/total"]


def test_no_connection_in_the_routes_own_time(upstream: Upstream) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        port = deaf.getsockname()[1]
        with (
            Gateway(
                {"legacy": port, "modern": port}, routes=ROUTES, limits=PoolLimits(wait_ms=9_000)
            ) as gateway,
            gateway.connect() as client,
        ):
            for raw in (
                GET % b"/connect",
                b"POST /connect HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
            ):
                client.send(raw)
                answer = client.message()
                assert answer.status == 504
                assert b"no connection from upstream 'legacy' within 200 ms" in answer.body
        for filler in fillers:
            filler.close()


def deadlines(upstream: Upstream) -> list[bytes]:
    """What the last request said about its deadline."""
    return upstream.received[-1].all(b"x-request-deadline-ms")


def test_what_is_left_of_the_total_is_passed_on(client: Wire, upstream: Upstream) -> None:
    client.send(GET % b"/total")
    assert client.message().status == 200
    (left,) = deadlines(upstream)
    assert 0 < int(left) <= 400
    client.send(GET % b"/fine")
    assert client.message().status == 200
    assert deadlines(upstream) == []


def test_a_deadline_is_believed_from_trusted_hops_alone(
    gateway: Gateway, upstream: Upstream
) -> None:
    raw = b"GET %b HTTP/1.1\r\nHost: a\r\nx-request-deadline-ms: %b\r\n\r\n"
    with gateway.connect() as client:
        client.send(raw % (b"/fine", b"50"))
        assert client.message().status == 200
        assert deadlines(upstream) == []
    trusted = socket.create_connection(("127.0.0.1", gateway.port), source_address=("127.0.0.2", 0))
    with Wire(trusted) as client:
        for path, said, most in (
            (b"/fine", b"5000", 5_000), (b"/total", b"5000", 400), (b"/total", b"300", 300),
        ):  # fmt: skip
            client.send(raw % (path, said))
            assert client.message().status == 200
            (left,) = deadlines(upstream)
            assert most - 200 < int(left) <= most
        for said in (b"-1", b"1e3", b"5 000", b"1, 2", b"", b"99999999999"):
            client.send(raw % (b"/fine", said))
            assert client.message().status == 200
            assert deadlines(upstream) == []
        over = threading.Event()
        upstream.at[b"/late"] = hangs(over)
        client.send(raw % (b"/late", b"150"))
        answer = client.message()
        over.set()
        assert answer.status == 504
        assert b"the time that its caller has" in answer.body


def test_a_journalled_write_is_marked_with_its_total(upstream: Upstream) -> None:
    path = RecordingWritePath()
    groups = [GroupState(group="orders", stage=Stage.DUAL, epoch=1, lanes_held=False)]
    with (
        Gateway(ports(upstream), routes=ROUTES, groups=groups, write_path=path) as gateway,
        gateway.connect() as client,
    ):
        client.send(b"PUT /orders/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        assert client.message().status == 201
    # The number is written anew when it is sent: see `test_upstream_client`.
    assert path.writes[0][1].header(b"x-request-deadline-ms") == b"4000"


def test_an_upstream_that_stops_reading_a_body_is_504_not_the_clients_fault(
    upstream: Upstream,
) -> None:
    over = threading.Event()

    def never_read(wire: Wire) -> Message:
        over.wait(DEADLINE_S)
        raise Ended

    upstream.reader = never_read
    settings = PlaneSettings(body_idle_ms=300, drain_ms=100)
    routes = (route("all", "/{rest...}", body_bytes_max=1 << 30),)
    try:
        with (
            Gateway(ports(upstream), routes=routes, settings=settings) as gateway,
            gateway.connect() as client,
        ):
            client.sock.settimeout(0.3)
            client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
            with pytest.raises(OSError, match=r"timed out|Broken pipe|reset"):
                client.sock.sendall(b"x" * (64 << 20))
            client.sock.settimeout(DEADLINE_S)
            assert client.message().status == 504
    finally:
        over.set()
        upstream.reader = None


@pytest.mark.parametrize("kept", [False, True])
def test_a_body_that_takes_longer_than_the_total_is_refused(
    client: Wire, upstream: Upstream, kept: bool
) -> None:
    if kept:  # A connection of the pool, instead of one that is awaited.
        client.send(b"GET /total HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.message().status == 200
    client.send(b"POST /total HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
    answer = client.message()
    assert answer.status == 408


def test_phases_are_short_of_nothing() -> None:
    phases = Timeouts().phases(5_000)
    assert (phases.first_byte_s, phases.total_s, phases.whole_ms) == (5.0, None, 5_000)
    phases = Timeouts(first_byte_ms=1, total_ms=7_000, idle_ms=2, connect_ms=3).phases(5_000)
    assert (phases.first_byte_s, phases.total_s, phases.whole_ms) == (0.001, 7.0, 7_000)
    assert (phases.idle_s, phases.connect_s) == (0.002, 0.003)
