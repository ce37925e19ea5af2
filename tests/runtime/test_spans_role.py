"""Spans and latencies of the running gateway: a copied read, and a dual write with its replay."""

import socket
from pathlib import Path

from tests.cli.deployment import Deployment
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message, Wire
from tests.gateway.observing.collector import Collector, Received
from tests.gateway.shadow.rig import json_answer, sides
from tests.runtime.running import answer_of, running
from tests.waiting import wait_until

WHY = ("--reason", "see where time goes", "--ticket", "T-1")
SECRET = "canary-4711"
ROUTES = """
group: orders
sides: {legacy: legacy-app, modern: modern-orders}
routes:
  - {id: order-status, methods: [PUT], path: "/orders/{order_id}/status", writes: true,
     key: {path: order_id, entity: order}}
  - {id: order-read, methods: [GET], path: "/orders/{order_id}"}
"""
READ, WRITTEN = f"{1:032x}", f"{2:032x}"
PARENT = "00f067aa0ba902b7"


def _answers(upstream: Upstream) -> None:
    def behave(wire: Wire, _: Message) -> None:
        wire.send(json_answer(b'{"note": "%b"}' % SECRET.encode()))

    upstream.default = behave


def _ask(port: int, head: str, trace_id: str, body: bytes = b"") -> Message:
    lines = f"Host: a\r\nX-Token: {SECRET}\r\ntraceparent: 00-{trace_id}-{PARENT}-01\r\n"
    with Wire(socket.create_connection(("127.0.0.1", port))) as client:
        client.send(
            f"{head} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        return client.message()


def _one(spans: list[Received], trace_id: str, name: str, purpose: str | None = None) -> Received:
    (found,) = [
        span
        for span in spans
        if (span.trace_id, span.name, span.attributes.get("bridge.purpose"))
        == (trace_id, name, purpose)
    ]
    return found


def _parent_seen(upstream: Upstream, method: bytes) -> str:
    (message,) = [each for each in upstream.received if each.start.startswith(method)]
    return (message.one(b"traceparent") or b"").decode()


def test_the_trace_of_a_request_reaches_to_its_copy_and_its_replay(tmp_path: Path) -> None:
    with sides() as (legacy, modern), Collector() as collector:
        deployment = Deployment(tmp_path, telemetry={"otlp_endpoint": collector.url})
        (tmp_path / "routes" / "orders.yaml").write_text(ROUTES)
        upstreams = deployment.settings["gateway"]["upstreams"]
        for name, side in (("legacy-app", legacy), ("modern-orders", modern)):
            _answers(side)
            upstreams[name]["url"] = f"http://127.0.0.1:{side.port}"
        deployment.write()
        port = deployment.gateway_port
        with (
            running(deployment, "run", "gateway") as gateway,
            running(deployment, "run", "replay") as replay,
        ):
            gateway.await_roles("gateway:0")
            wait_until(lambda: answer_of(port), 30, "the gateway to listen")
            assert deployment.call("switch", "orders", "shadow", *WHY).code == 0
            assert _ask(port, f"GET /orders/{SECRET}?q={SECRET}", READ).status == 200
            # Each is sent within a second; what is left when the worker stops is sent then.
            wait_until(lambda: modern.received, 30, "the copy")
            assert deployment.call("switch", "orders", "dual", *WHY).code == 0
            body = b'{"note": "%b"}' % SECRET.encode()
            assert _ask(port, f"PUT /orders/{SECRET}/status", WRITTEN, body).status == 200
            wait_until(lambda: len(modern.received) == 2, 60, "the replay")

            def told() -> list[dict[str, object]]:
                shown = deployment.call("status", "--json").json()["latencies"]
                return [each for each in shown if each["route"] == "order-read"]

            wait_until(lambda: len(told()) == 3, 30, "latencies of both sides")
            assert (replay.stop(), gateway.stop()) == (0, 0)
        both, table = told(), deployment.call("status").out
    assert [(each["side"], each["of"], each["count"]) for each in both] == [
        ("legacy", "requests", 1), ("legacy", "compared", 1), ("modern", "compared", 1),
    ]  # fmt: skip
    assert "Milliseconds to answer" in table

    spans = collector.spans()
    read = _one(spans, READ, "GET /orders/{order_id}")
    asked = _one(spans, READ, "GET /orders/{order_id}", "request")
    copied = _one(spans, READ, "GET /orders/{order_id}", "copy")
    assert (read.kind, read.parent_id, read.service) == ("SERVER", PARENT, "legacy-bridge")
    assert read.attributes["bridge.stage"] == "shadow"
    assert asked.parent_id == copied.parent_id == read.span_id
    assert (asked.attributes["bridge.side"], copied.attributes["bridge.side"]) == (
        "legacy", "modern",
    )  # fmt: skip
    assert copied.attributes["bridge.route"] == "order-read"
    assert _parent_seen(modern, b"GET") == f"00-{READ}-{copied.span_id}-01"

    name = "PUT /orders/{order_id}/status"
    written, called = _one(spans, WRITTEN, name), _one(spans, WRITTEN, name, "request")
    replayed = _one(spans, WRITTEN, name, "replay")
    steps = [_one(spans, WRITTEN, f"bridge.{step}") for step in ("lane", "intent", "outcome")]
    assert (written.kind, written.parent_id) == ("SERVER", PARENT)
    assert written.attributes["bridge.stage"] == "dual"
    for span in (called, replayed, *steps):
        assert span.parent_id == written.span_id
    lane, intent, outcome = steps
    ordered = [written.began_ns, lane.began_ns, intent.began_ns, called.began_ns, outcome.began_ns]
    assert ordered == sorted(ordered)
    assert outcome.ended_ns <= written.ended_ns
    assert (called.linked, replayed.linked) == ([], [written.span_id])
    assert replayed.attributes["bridge.side"] == "modern"
    assert replayed.attributes["bridge.route"] == "order-status"
    assert _parent_seen(modern, b"PUT") == f"00-{WRITTEN}-{replayed.span_id}-01"
    assert _parent_seen(legacy, b"PUT") == f"00-{WRITTEN}-{called.span_id}-01"
    assert SECRET.encode() not in collector.raw
