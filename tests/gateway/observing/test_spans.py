"""Spans of requests, from the gateway's ports to a collector: who is whose child, and what is told.

Each test plants values in paths, queries, fields and bodies, and looks for them in all that was
sent to the collector.
"""

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from adapters.otlp.exporter import OtlpExporter
from adapters.upstream.pool import Pool
from bridge.gateway.plane.entrance import Door
from bridge.gateway.tracing.traced_connection import TracedConnection
from bridge.gateway.tracing.traced_pool import TracedPool
from bridge.gateway.tracing.tracer import Tracer
from bridge.gateway.upstream_ports import NamedPool
from tests.gateway.http.rig import ROUTES, Gateway, ports, route
from tests.gateway.http.upstream import Upstream, hangs, replies, replies_and_closes
from tests.gateway.http.wire import DEADLINE_S, GET, Ended, Message
from tests.gateway.observing.collector import Collector, Received
from tests.waiting import RecordingObserver

SECRET = "canary-4711"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01".encode()
NOT_SAMPLED = f"00-{TRACE}-{PARENT}-00".encode()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made
        assert SECRET.encode() not in made.raw


@contextmanager
def exporting(collector: Collector) -> Iterator[OtlpExporter]:
    """Export to `collector` meanwhile."""
    exporter = OtlpExporter(
        collector.url, RecordingObserver(), resource={"service.name": "test"}, send_every_s=0.02
    )
    try:
        yield exporter
    finally:
        exporter.close()


@contextmanager
def traced_gateway(
    upstream: Upstream, exporter: OtlpExporter, ratio: float = 0.0, **given: Any
) -> Iterator[Gateway]:
    """Run a worker whose ports have spans around them, as the wiring puts them."""
    tracer = Tracer(exporter, ratio)
    client = functools.partial(TracedConnection, tracer)

    def pooled(pool: Pool, _: RecordingObserver) -> NamedPool:
        return TracedPool(pool, tracer)

    routes = (*ROUTES, route("item", "/items/{id}", b"GET"))
    with Gateway(
        ports(upstream), routes=routes, door=lambda _: Door(client=client), guard=pooled, **given
    ) as gateway:
        yield gateway


def ask(gateway: Gateway, target: str, *fields: bytes, body: bytes = b"") -> Message:
    """Send one request and return its answer."""
    lines = b"".join(b"%b\r\n" % field for field in (b"Host: a", *fields))
    method = b"POST" if body else b"GET"
    if body:
        lines += b"Content-Length: %d\r\n" % len(body)
    with gateway.connect() as client:
        client.send(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, target.encode(), lines, body))
        return client.message()


def only(spans: list[Received], **wanted: str) -> Received:
    """Return the only span with these attributes of its own."""
    (found,) = [
        span
        for span in spans
        if all(getattr(span, name) == value for name, value in wanted.items())
    ]
    return found


def test_a_get_is_a_server_span_with_the_call_below_it(
    upstream: Upstream, collector: Collector
) -> None:
    with exporting(collector) as exporter, traced_gateway(upstream, exporter) as gateway:
        secret = f"X-Token: {SECRET}".encode()
        target = f"/items/{SECRET}?q={SECRET}"
        answer = ask(gateway, target, b"traceparent: %b" % SAMPLED, secret)
        assert answer.status == 200
        spans = collector.wait_for(lambda found: len(found) == 2)
    server, client = only(spans, kind="SERVER"), only(spans, kind="CLIENT")
    assert (server.trace_id, server.parent_id) == (TRACE, PARENT)
    assert (client.trace_id, client.parent_id) == (TRACE, server.span_id)
    assert server.began_ns <= client.began_ns <= client.ended_ns <= server.ended_ns
    assert server.name == client.name == "GET /items/{id}"
    assert server.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/items/{id}",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "bridge.route": "item",
        "bridge.stage": "legacy",
        "bridge.side": "legacy",
        "bridge.answered_by": "upstream",
    }
    assert client.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/items/{id}",
        "bridge.upstream": "legacy",
        "bridge.purpose": "request",
        "bridge.route": "item",
        "bridge.stage": "legacy",
        "bridge.side": "legacy",
    }
    # The side is told the span of the call, so that its own spans hang below that.
    (received,) = upstream.received
    assert received.one(b"traceparent") == f"00-{TRACE}-{client.span_id}-01".encode()


def test_the_clients_flag_decides_and_else_the_ratio(
    upstream: Upstream, collector: Collector
) -> None:
    given = ((0.0, SAMPLED, True), (1.0, NOT_SAMPLED, False), (1.0, None, True), (0.0, None, False))
    with exporting(collector) as exporter:
        for ratio, parent, sampled in given:
            upstream.received.clear()
            with traced_gateway(upstream, exporter, ratio) as gateway:
                ask(gateway, "/x", *([b"Traceparent: %b" % parent] if parent else []))
            (received,) = upstream.received
            sent = received.one(b"traceparent")
            assert sent is not None
            assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", sent)
            assert (sent[-1:] == b"1") is sampled
            assert (TRACE.encode() in sent) is (parent is not None)
    # The exporter has sent all there was when it is closed.
    assert sorted(span.kind for span in collector.spans()) == ["CLIENT"] * 2 + ["SERVER"] * 2


def test_requests_of_one_connection_have_traces_of_their_own(
    upstream: Upstream, collector: Collector
) -> None:
    with exporting(collector) as exporter, traced_gateway(upstream, exporter, 1.0) as gateway:
        with gateway.connect() as client:
            client.send(GET % b"/a" + GET % b"/b" + GET % b"/nowhere-else")
            assert [client.message().status for _ in range(3)] == [200] * 3
        spans = collector.wait_for(lambda found: len(found) == 6)
    assert len({span.trace_id for span in spans}) == 3
    for trace_id in {span.trace_id for span in spans}:
        pair = [span for span in spans if span.trace_id == trace_id]
        assert only(pair, kind="CLIENT").parent_id == only(pair, kind="SERVER").span_id


def test_what_goes_wrong_is_told(upstream: Upstream, collector: Collector) -> None:
    over = threading.Event()
    upstream.at[b"/quick"] = hangs(over)
    upstream.at[b"/only-get"] = replies_and_closes(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"
    )
    upstream.at[b"/broken"] = replies(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
    with exporting(collector) as exporter, traced_gateway(upstream, exporter, 1.0) as gateway:
        assert ask(gateway, "/quick").status == 504
        assert ask(gateway, "/broken").status == 500
        assert ask(gateway, "/small/%2e%2e/" + SECRET).status == 400
        with gateway.connect() as client:
            client.send(GET % b"/only-get")
            with pytest.raises((OSError, Ended)):
                client.message()
        spans = collector.wait_for(lambda found: len(found) == 7)
        over.set()
    errors = {
        (span.kind, span.attributes.get("bridge.route"), span.attributes.get("error.type"))
        for span in spans
        if span.failed
    }
    assert errors == {
        ("SERVER", "quick", "504"),
        ("CLIENT", "quick", "timeout"),
        ("SERVER", "all", "500"),
        ("CLIENT", "all", "500"),
        ("SERVER", "only-get", "cut"),
        ("CLIENT", "only-get", "lost"),
    }
    (refused,) = [span for span in spans if not span.failed]
    assert (refused.name, refused.attributes["http.response.status_code"]) == ("GET", 400)
    assert refused.attributes["bridge.answered_by"] == "gateway"


def test_a_client_that_leaves_ends_its_span(upstream: Upstream, collector: Collector) -> None:
    began, over = threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        began.set()
        over.wait(DEADLINE_S)

    upstream.at[b"/left"] = hold
    with exporting(collector) as exporter, traced_gateway(upstream, exporter, 1.0) as gateway:
        with gateway.connect() as client:
            client.send(GET % b"/left")
            assert began.wait(DEADLINE_S)
        spans = collector.wait_for(lambda found: len(found) == 2)
        over.set()
    assert only(spans, kind="SERVER").attributes["error.type"] == "client_gone"
    assert only(spans, kind="CLIENT").attributes["error.type"] == "given_up"


def test_a_method_of_a_clients_own_is_not_told(upstream: Upstream, collector: Collector) -> None:
    with exporting(collector) as exporter, traced_gateway(upstream, exporter, 1.0) as gateway:
        with gateway.connect() as client:
            client.send(b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % SECRET.upper().encode())
            client.message()
        spans = collector.wait_for(lambda found: len(found) == 2)
    assert SECRET.upper().encode() not in collector.raw
    assert {span.attributes["http.request.method"] for span in spans} == {"_OTHER"}


def test_a_collector_that_is_away_is_not_felt(upstream: Upstream) -> None:
    with Collector() as gone:
        url = gone.url
    observer = RecordingObserver()
    exporter = OtlpExporter(url, observer, resource={}, timeout_s=0.2, send_every_s=0.02)
    with traced_gateway(upstream, exporter, 1.0) as gateway:
        for _ in range(20):
            assert ask(gateway, "/x").status == 200
    exporter.close()
    assert sum(int(note.facts["spans"]) for note in observer.notes("spans_unsent")) == 40


def test_without_spans_nothing_stands_in_the_way(upstream: Upstream) -> None:
    """What the wiring makes without an endpoint is what was given to it."""
    assert Door().client.__name__ == "ClientConnection"
    with Gateway(ports(upstream)) as gateway:
        ask(gateway, "/x", b"traceparent: %b" % SAMPLED)
    (received,) = upstream.received
    assert received.one(b"traceparent") == SAMPLED
