"""Dead, slow and half-open ends: nothing hangs, nothing is sent twice that must not be."""

import socket
import threading

import pytest

from adapters.upstream.pool import PoolLimits
from bridge.gateway.plane.settings import PlaneSettings
from tests.gateway.http.rig import Gateway, ports
from tests.gateway.http.upstream import Upstream, hangs
from tests.gateway.http.wire import DEADLINE_S, GET, OK, POST, Ended, Message, Wire


def test_an_upstream_that_answers_nothing_is_504(client: Wire, upstream: Upstream) -> None:
    over = threading.Event()
    upstream.at[b"/quick"] = hangs(over)
    try:
        for request, may in ((GET, b""), (POST, b"it may have been executed")):
            client.send(request % b"/quick")
            answer = client.message()
            assert answer.status == 504
            assert answer.one(b"legacy-bridge-error") == b"upstream-timeout"
            assert may in answer.body
    finally:
        over.set()


def test_an_answer_that_stops_coming_is_cut(upstream: Upstream) -> None:
    over = threading.Event()

    def behave(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        over.wait(DEADLINE_S)
        raise Ended

    upstream.at[b"/half"] = behave
    settings = PlaneSettings(relay_idle_ms=200, drain_ms=100)
    with Gateway(ports(upstream), settings=settings) as gateway, gateway.connect() as client:
        client.send(GET % b"/half")
        with pytest.raises(Ended) as cut:
            client.message()
        assert cut.value.args[0].endswith(b"half")
        over.set()


@pytest.mark.parametrize("request_", [GET, POST], ids=["get", "post"])
def test_nobody_listens_is_502(request_: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Gateway({"legacy": port, "modern": port}) as gateway, gateway.connect() as client:
        client.send(request_ % b"/x")
        answer = client.message()
        assert answer.status == 502
        assert answer.one(b"legacy-bridge-error") == b"upstream-unreachable"
        assert str(port).encode() not in answer.body  # Addresses of what is inside are nobody's.
        client.send(GET % b"/x")
        assert client.message().status == 502
        told = gateway.observer.notes("connect_failed")
        assert len(told) == 1  # One line a second, however many fail.
        assert told[0].facts["address"] == f"127.0.0.1:{port}"


def test_an_upstream_that_accepts_no_connection_is_504() -> None:
    # A listener whose queue is full: the kernel leaves further connections unanswered.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        port = deaf.getsockname()[1]
        limits = PoolLimits(wait_ms=200)
        with (
            Gateway({"legacy": port, "modern": port}, limits=limits) as gateway,
            gateway.connect() as client,
        ):
            client.send(GET % b"/x")
            answer = client.message()
            assert answer.status == 504
            assert answer.one(b"legacy-bridge-error") == b"upstream-connect-timeout"
        for filler in fillers:
            filler.close()


def test_killed_within_an_answer_cuts_it(client: Wire, upstream: Upstream) -> None:
    begun = threading.Event()

    def behave(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome")
        assert begun.wait(DEADLINE_S)
        wire.reset()

    upstream.at[b"/killed"] = behave
    client.send(GET % b"/killed")
    client.until(b"some")
    begun.set()
    assert client.rest() == b""


def test_9110_9_2_2_an_idempotent_request_is_sent_again_when_a_reused_connection_was_closed(
    client: Wire, upstream: Upstream
) -> None:
    tries: list[bytes] = []

    def first_time_close(wire: Wire, request: Message) -> None:
        tries.append(request.body)
        if len(tries) == 1:
            raise Ended
        wire.send(OK)

    client.send(GET % b"/warm")
    client.message()
    upstream.at[b"/stale"] = first_time_close
    client.send(b"PUT /stale HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert client.message().status == 200
    assert tries == [b"abc", b"abc"]


def test_9110_9_2_2_a_post_is_never_sent_again(client: Wire, upstream: Upstream) -> None:
    tries: list[bytes] = []

    def close(wire: Wire, request: Message) -> None:
        tries.append(request.body)
        raise Ended

    client.send(GET % b"/warm")
    client.message()
    upstream.at[b"/post-stale"] = close
    client.send(POST % b"/post-stale")
    answer = client.message()
    assert answer.status == 502
    assert answer.one(b"legacy-bridge-error") == b"upstream-lost"
    assert tries == [b"abc"]


def test_9110_9_2_2_nothing_is_sent_again_on_a_fresh_connection(upstream: Upstream) -> None:
    tries: list[bytes] = []

    def close(wire: Wire, request: Message) -> None:
        tries.append(request.target)
        raise Ended

    upstream.at[b"/never"] = close
    with Gateway(ports(upstream)) as gateway, gateway.connect() as client:
        client.send(GET % b"/never")
        assert client.message().status == 502
    assert tries == [b"/never"]


def test_a_connection_closed_while_idle_is_not_used_for_a_post(
    client: Wire, upstream: Upstream
) -> None:
    closed = threading.Event()

    def answer_and_close(wire: Wire, _: Message) -> None:
        wire.send(OK)
        wire.close()
        closed.set()

    upstream.at[b"/bye"] = answer_and_close
    for _ in range(20):
        closed.clear()
        client.send(GET % b"/bye")
        assert client.message().status == 200
        assert closed.wait(DEADLINE_S)  # On loopback the end has arrived when `close` returns.
        client.send(POST % b"/after-bye")
        assert client.message().status == 200
