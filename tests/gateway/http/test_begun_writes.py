"""Writes that the write path takes without a task, as client, wire and worker see them."""

import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from bridge.gateway.http.answer_taker import AnswerTaker
from bridge.gateway.http.response_head import parse_response_head
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.routes.decision import Decision
from bridge.model.http import HttpRequest
from bridge.model.stage import Stage
from tests.gateway.http.rig import Gateway, RecordingWritePath, ports
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import DEADLINE_S
from tests.waiting import wait_until

PUT = b"PUT /orders/7 HTTP/1.1\r\nHost: a\r\n%bContent-Length: 2\r\n\r\n{}"

CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"


class Begun(NamedTuple):
    """One write that was taken."""

    request: HttpRequest
    wire: bytes
    told: AnswerTaker


class BeginningPath(RecordingWritePath):
    """Takes every write that it is offered without a task."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Begun] = []

    def begin(
        self, decision: Decision, request: HttpRequest, wire: bytes, told: AnswerTaker
    ) -> bool:
        """Remember."""
        self.begun.append(Begun(request, wire, told))
        return True

    def one(self) -> Begun:
        """Return the write once it is there."""
        wait_until(lambda: self.begun, DEADLINE_S)
        return self.begun[-1]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def path() -> BeginningPath:
    return BeginningPath()


@pytest.fixture
def gateway(upstream: Upstream, path: BeginningPath) -> Iterator[Gateway]:
    with Gateway(ports(upstream), write_path=path) as made:
        made.switch(Stage.DUAL, 1)
        yield made


def relay(gateway: Gateway, begun: Begun, head: bytes, body: bytes = b"") -> None:
    """Tell the worker the authority's answer."""
    read = parse_response_head(head, b"PUT")
    gateway.loop.call_soon_threadsafe(begun.told.relayed, read, body)


def test_the_wire_holds_the_very_request_that_is_kept(
    gateway: Gateway, path: BeginningPath
) -> None:
    with gateway.connect() as client:
        for extra in (b"X-A: 1\r\nx-a:  2\r\n", b"X-A: 1\r\nx-a:  2\r\n", b"X-B: 3\r\n"):
            client.send(PUT % extra)
            wait_until(lambda: path.begun, DEADLINE_S)
            begun = path.begun.pop()
            relay(gateway, begun, b"HTTP/1.1 200 OK\r\nContent-Length: 0")
            assert client.message().status == 200
            head, _, body = begun.wire.partition(b"\r\n\r\n")
            start, *lines = head.split(b"\r\n")
            pairs = [line.partition(b":")[::2] for line in lines]
            sent = [(name, value.strip()) for name, value in pairs]
            sent.remove((b"Content-Length", b"2"))
            assert (start, body) == (b"PUT /orders/7 HTTP/1.1", b"{}")
            assert tuple(sent) == begun.request.headers
            assert (begun.request.target, begun.request.body) == (b"/orders/7", b"{}")
    assert not path.writes


def test_a_trace_is_the_same_on_the_wire_and_in_the_journal(
    upstream: Upstream, path: BeginningPath
) -> None:
    settings = PlaneSettings(trace=True, drain_ms=100)
    parent = b"traceparent: 00-%b-00f067aa0ba902b7-01\r\n" % (b"4b" * 16)
    with Gateway(ports(upstream), write_path=path, settings=settings) as gateway:
        gateway.switch(Stage.DUAL, 1)
        with gateway.connect() as client:
            for given in (b"", parent):
                client.send(PUT % given)
                wait_until(lambda: path.begun, DEADLINE_S)
                begun = path.begun.pop()
                relay(gateway, begun, b"HTTP/1.1 200 OK\r\nContent-Length: 0")
                assert client.message().status == 200
                kept = begun.request.header(b"traceparent")
                assert kept is not None
                assert b"\r\ntraceparent: %b\r\n" % kept in begun.wire
                assert begun.request.header(b"content-length") is None


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\nX-Side: legacy",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nX-Side: legacy",
    ],
)
def test_an_answer_is_relayed_whole_with_its_length(
    gateway: Gateway, path: BeginningPath, head: bytes
) -> None:
    with gateway.connect() as client:
        client.send(PUT % b"")
        relay(gateway, path.one(), head, b"made")
        answer = client.message()
    assert (answer.status, answer.body, answer.raw_body) == (201, b"made", b"made")
    assert answer.one(b"content-length") == b"4"
    assert answer.one(b"x-side") == b"legacy"
    assert answer.one(b"via") is not None


def test_the_next_request_of_the_connection_waits_for_the_answer(
    gateway: Gateway, path: BeginningPath
) -> None:
    with gateway.connect() as client:
        client.send(PUT % b"" + PUT % b"")
        relay(gateway, path.one(), b"HTTP/1.1 200 OK\r\nContent-Length: 0")
        assert client.message().status == 200
        wait_until(lambda: len(path.begun) == 2, DEADLINE_S)
        relay(gateway, path.one(), b"HTTP/1.1 204 No Content")
        assert client.message().status == 204


def test_answers_of_our_own_and_bugs_reach_the_client(
    gateway: Gateway, path: BeginningPath
) -> None:
    with gateway.connect() as client:
        client.send(PUT % b"")
        gateway.loop.call_soon_threadsafe(path.one().told.answered, path.answer)
        assert client.message().status == 201
        client.send(PUT % b"")
        wait_until(lambda: len(path.begun) == 2, DEADLINE_S)
        gateway.loop.call_soon_threadsafe(path.one().told.broke, ValueError("a bug"))
        assert client.message().status == 500
    gateway.observer.await_note("write_path_failed")


@pytest.mark.parametrize(
    "request_bytes",
    [
        PUT % b"Idempotency-Key: 1\r\n",
        PUT % b"legacy-bridge-origin: me\r\n",
        PUT % b"Expect: 100-continue\r\n",
        PUT.replace(b"%bContent-Length: 2", b"Transfer-Encoding: chunked")[:-2] + CHUNKS,
        b"PUT /orders/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_says_more_gets_a_task(
    gateway: Gateway, path: BeginningPath, request_bytes: bytes
) -> None:
    with gateway.connect() as client:
        client.send(request_bytes)
        assert client.message().status in (100, 201)
        wait_until(lambda: path.writes, DEADLINE_S)
    assert not path.begun


def test_a_client_that_leaves_ends_nothing(gateway: Gateway, path: BeginningPath) -> None:
    with gateway.connect() as client:
        client.send(PUT % b"")
        begun = path.one()
        client.reset()
    with gateway.connect() as other:  # Another's exchange, after which the worker knows.
        other.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert other.message().status == 200
    relay(gateway, begun, b"HTTP/1.1 200 OK\r\nContent-Length: 0")
    gateway.stop()
    assert gateway.observer.await_note("drained")["writes_left"] == 0


def test_a_worker_that_stops_waits_for_what_was_begun(
    upstream: Upstream, path: BeginningPath
) -> None:
    settings = PlaneSettings(drain_ms=10_000, drain_idle_ms=0)
    with Gateway(ports(upstream), write_path=path, settings=settings) as gateway:
        gateway.switch(Stage.DUAL, 1)
        with gateway.connect() as client:
            client.send(PUT % b"")
            begun = path.one()
            client.reset()
        stopping = threading.Thread(target=gateway.stop)
        stopping.start()
        gateway.observer.await_note("draining")
        assert not gateway.observer.notes("drained")
        relay(gateway, begun, b"HTTP/1.1 200 OK\r\nContent-Length: 0")
        stopping.join(DEADLINE_S)
        assert gateway.observer.await_note("drained")["writes_left"] == 0
