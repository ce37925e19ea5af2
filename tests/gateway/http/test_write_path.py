"""Journalled writes reach the write path whole, and survive their client."""

import asyncio
from dataclasses import replace

import pytest

from bridge.gateway.http.problems import problem
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.routes.decision import Decision
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import GroupState, Side, Stage
from tests.gateway.http.rig import ROUTES, Gateway, RecordingWritePath, ports
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import DEADLINE_S, Ended, Wire
from tests.waiting import wait_until

PUT = b"PUT /orders/7 HTTP/1.1\r\nHost: a\r\n"


class Journalling(Gateway):
    """Group `orders` at `dual`, with a write path that remembers."""

    def __init__(
        self, upstream: Upstream, settings: PlaneSettings | None = None, **changes: object
    ) -> None:
        self.path = RecordingWritePath()
        super().__init__(
            ports(upstream),
            routes=[replace(found, **changes) for found in ROUTES],  # type: ignore[arg-type]  # Any.
            settings=settings,
            groups=[GroupState(group="orders", stage=Stage.DUAL, epoch=1, lanes_held=False)],
            write_path=self.path,
        )

    def open_gate(self, gate: asyncio.Event) -> None:
        """Let waiting writes go on."""
        self.loop.call_soon_threadsafe(gate.set)


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: 7\r\n\r\n" + b'{"a":1}',
        b"Transfer-Encoding: chunked\r\n\r\n" + b'3\r\n{"a\r\n4;x\r\n":1}\r\n0\r\nT: 1\r\n\r\n',
    ],
    ids=["length", "chunked"],
)
def test_a_write_arrives_whole_with_its_end_to_end_fields(
    framed: bytes, upstream: Upstream
) -> None:
    with Journalling(upstream) as gateway, gateway.connect() as client:
        client.send(PUT + b"X-b: 1\r\nConnection: keep-alive\r\nx-B:  2\r\n" + framed)
        answer = client.message()
        decision, request = gateway.path.writes[0]
        assert (request.method, request.target, request.body) == (b"PUT", b"/orders/7", b'{"a":1}')
        assert request.headers[:3] == ((b"Host", b"a"), (b"X-b", b"1"), (b"x-B", b"2"))
        assert [name for name, _ in request.headers[3:]] == [
            b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Forwarded", b"Via",
        ]  # fmt: skip
        assert decision.params == {"id": "7"}
        assert decision.authority is Side.LEGACY
        assert decision.epoch == 1
        assert (answer.start, answer.body) == (b"HTTP/1.1 201 Created", b"{}")
        assert answer.one(b"x-side") == b"legacy"
        assert answer.one(b"via") == b"1.1 legacy-bridge"
        client.send(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.message().body == b"ok"
    assert upstream.requests_to(b"/orders/7") == []


def test_9110_10_1_1_the_gateway_itself_admits_a_body_that_it_buffers(upstream: Upstream) -> None:
    with Journalling(upstream) as gateway, gateway.connect() as client:
        client.send(PUT + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.message(bodiless=True).status == 100
        client.send(b"{}")
        assert client.message().status == 201
        assert gateway.path.writes[0][1].header(b"expect") is None


def test_a_write_is_finished_when_its_client_has_gone(upstream: Upstream) -> None:
    with Journalling(upstream) as gateway:
        gate = gateway.path.gate = asyncio.Event()
        with gateway.connect() as client:
            client.send(PUT + b"Content-Length: 2\r\n\r\n{}")
            wait_until(lambda: gateway.path.writes, DEADLINE_S)
            client.reset()
        with gateway.connect() as other:
            other.send(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
            assert other.message().status == 200
        assert gateway.path.finished == 0
        gateway.open_gate(gate)
        wait_until(lambda: gateway.path.finished, DEADLINE_S)


def test_9110_9_2_1_a_read_is_cancelled_when_its_client_has_gone(upstream: Upstream) -> None:
    class Waiting(RecordingWritePath):
        cancelled = False

        async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
            self.reads.append((decision, request))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            return self.answer

    path = Waiting()
    with Gateway(ports(upstream), write_path=path) as gateway:
        with gateway.connect() as client:
            client.send(b"GET /orders/7 HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda: path.reads, DEADLINE_S)
        wait_until(lambda: path.cancelled, DEADLINE_S)


def test_a_write_under_way_is_waited_for_at_the_end(upstream: Upstream) -> None:
    with Journalling(upstream) as gateway, gateway.connect() as client:
        gate = gateway.path.gate = asyncio.Event()
        client.send(PUT + b"Content-Length: 2\r\n\r\n{}")
        wait_until(lambda: gateway.path.writes, DEADLINE_S)
        gateway.begin_stop()
        gateway.observer.await_note("draining")
        gateway.open_gate(gate)
        assert client.message().status == 201
        gateway.stop()
        assert gateway.observer.notes("drained")[0].facts["writes_left"] == 0


def test_half_a_body_never_reaches_the_write_path(upstream: Upstream) -> None:
    with Journalling(upstream) as gateway:
        with gateway.connect() as client:
            client.send(PUT + b"Content-Length: 10\r\n\r\nhalf")
        with gateway.connect() as client:
            client.send(PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
            assert client.message().status == 400
        assert gateway.path.writes == []


def test_reads_are_translated_only_where_a_route_has_ids(upstream: Upstream) -> None:
    with Journalling(upstream) as gateway, gateway.connect() as client:
        client.send(b"GET /orders/7?x=%2F HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.message().status == 201
        client.send(b"HEAD /orders/7 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.message(bodiless=True).status == 201
        client.send(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.message().body == b"ok"
        assert [request.target for _, request in gateway.path.reads] == [
            b"/orders/7?x=%2F",
            b"/orders/7",
        ]


def test_the_gateways_own_refusals_keep_their_marker_and_get_no_via(upstream: Upstream) -> None:
    with Journalling(upstream) as gateway, gateway.connect() as client:
        gateway.path.answer = problem(503, "key-busy", "busy", ((b"Retry-After", b"1"),))
        client.send(PUT + b"Content-Length: 2\r\n\r\n{}")
        answer = client.message()
        assert answer.status == 503
        assert answer.one(b"legacy-bridge-error") == b"key-busy"
        assert answer.one(b"via") is None
        client.send(PUT + b"Content-Length: 2\r\n\r\n{}")
        assert client.message().status == 503


def test_a_bug_in_the_write_path_is_500_not_a_hanging_client(upstream: Upstream) -> None:
    with Journalling(upstream) as gateway, gateway.connect() as client:
        gateway.path.bug = KeyError("canary-value")
        client.send(PUT + b"Content-Length: 2\r\n\r\n{}")
        answer = client.message()
        assert answer.status == 500
        assert b"canary" not in answer.body
        assert gateway.observer.notes("write_path_failed")[0].facts["error"] == "KeyError"


def test_a_bug_behind_the_write_path_ends_the_connection_and_is_told(upstream: Upstream) -> None:
    with Journalling(upstream) as gateway:
        gateway.path.answer = None  # type: ignore[assignment]  # The bug.
        with gateway.connect() as client:
            client.send(PUT + b"Content-Length: 2\r\n\r\n{}")
            with pytest.raises((Ended, OSError)):
                client.message()
        gate = gateway.path.gate = asyncio.Event()
        with gateway.connect() as client:
            client.send(PUT + b"Content-Length: 2\r\n\r\n{}")
            wait_until(lambda: len(gateway.path.writes) == 2, DEADLINE_S)
            client.reset()
        gateway.open_gate(gate)
        wait_until(lambda: len(gateway.observer.notes("task_failed")) == 2, DEADLINE_S)
        assert gateway.observer.notes("task_failed")[0].facts == {"error": "AttributeError"}
        gateway.stop()
        # No connection is waited for whose answer cannot come any more.
        assert gateway.observer.notes("drained")[0].facts["connections_left"] == 0


def test_a_write_path_that_never_answers_is_given_up_at_last(upstream: Upstream) -> None:
    settings = PlaneSettings(drain_ms=100, write_wait_ms=50, write_margin_ms=50)
    with Journalling(upstream, settings, timeout_ms=50) as gateway:
        gateway.path.gate = asyncio.Event()
        with gateway.connect() as client:
            client.send(PUT + b"Content-Length: 2\r\n\r\n{}")
            with pytest.raises((Ended, OSError)):
                client.message()
        (late,) = gateway.observer.notes("write_path_late")
        assert late.facts == {"route": gateway.path.writes[0][0].route.route_id}


def test_answers_without_a_body_have_none(client: Wire, upstream: Upstream) -> None:
    with Journalling(upstream) as gateway, gateway.connect() as wire:
        gateway.path.answer = HttpResponse(status=204, reason=b"No Content", headers=())
        wire.send(PUT + b"Content-Length: 2\r\n\r\n{}")
        answer = wire.message(bodiless=True)
        assert answer.one(b"content-length") is None
        wire.send(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.message().body == b"ok"
