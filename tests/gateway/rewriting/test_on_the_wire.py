"""Rules in a running worker: header rules stream through, body rules take the buffered way."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.upstream.client import UpstreamClient
from adapters.upstream.pool import Pool
from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.loader import read_group
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side, Stage
from tests.gateway.http.rig import Gateway
from tests.gateway.http.upstream import Behaviour, Upstream, replies
from tests.gateway.http.wire import DEADLINE_S, Message, Wire
from tests.waiting import wait_until

TREE: dict[str, Any] = {
    "group": "app",
    "sides": {"legacy": "legacy"},
    "routes": [
        {
            "id": "lines",
            "methods": ["GET", "PUT"],
            "path": "/lines/{id}",
            "request": {
                "legacy": {
                    "headers": {"set": {"X-Shop": "7"}, "remove": ["Cookie"]},
                    "path": {"prefix": "/lines", "to": "/v2/rows"},
                }
            },
            "response": {
                "legacy": {"headers": {"rename": {"Server": "X-Server"}, "remove": ["X-Debug"]}}
            },
        },
        {
            "id": "bodies",
            "methods": ["PUT"],
            "path": "/bodies/{id}",
            "body_bytes_max": 100,
            "request": {"legacy": {"body": {"rename": {"/nr": "number"}}}},
            "response": {"legacy": {"body": {"remove": ["/secret"]}}},
        },
        {"id": "v2", "methods": ["GET"], "path": "/versions", "headers": {"X-Version": "2"},
         "request": {"legacy": {"headers": {"set": {"X-Taken-By": "v2"}}}}},
        {"id": "v1", "methods": ["GET"], "path": "/versions"},
    ],
}  # fmt: skip


class Forwarding(WritePath):
    """The read half of the write path, over a pool that the worker's loop makes."""

    def __init__(self, port: int) -> None:
        self.calls = 0
        self._port = port

    async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Forward as `DualWriter.read` does."""
        self.calls += 1
        pool = Pool("legacy", "127.0.0.1", self._port)
        try:
            forwarder = Forwarder(NoIds(), {"legacy": UpstreamClient(pool)})
            return await forwarder.forward(decision, request, Side.LEGACY)
        finally:
            pool.close()

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Never called."""
        raise AssertionError(decision)

    def instead(self, decision: Decision, request: HttpRequest, asked_at: float) -> None:
        """Nobody else can be asked."""

    def translates(self, decision: Decision) -> bool:
        """There are no ids."""
        return False


class NoIds:
    """An empty id map."""

    def pair(self, group: str, entity: str, known_id: str) -> None:
        """Return nothing."""

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> None:
        """Return nothing."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


@pytest.fixture
def path(upstream: Upstream) -> Forwarding:
    return Forwarding(upstream.port)


@pytest.fixture
def gateway(upstream: Upstream, path: Forwarding) -> Iterator[Gateway]:
    routes = read_group("app.yaml", TREE, ("legacy",))
    write_path: WritePath = path
    with Gateway({"legacy": upstream.port}, routes=routes, write_path=write_path) as found:
        yield found


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with gateway.connect() as found:
        yield found


ANSWER = b'HTTP/1.1 200 OK\r\nServer: old\r\nX-Debug: 1\r\nETag: "1"\r\nContent-Length: 2\r\n\r\nhi'


def test_header_rules_change_heads_and_nothing_is_read_whole(
    wire: Wire, upstream: Upstream, path: Forwarding
) -> None:
    upstream.default = replies(ANSWER)
    for _ in range(2):  # The second head is the one that was kept from the first.
        wire.send(
            b"GET /lines/7?x=%2f HTTP/1.1\r\nHost: a\r\ncookie: s=1\r\nX-Keep:  as is\r\n\r\n"
        )
        answer = wire.message()
        assert answer.body == b"hi"
        got = head_of(answer)
        assert got[b"X-Server"] == b"old"
        assert b"X-Debug" not in got
        assert b"Server" not in got
        assert got[b"ETag"] == b'"1"', "the body is as it was"
    sent = upstream.received[-1]
    assert sent.start == b"GET /v2/rows/7?x=%2f HTTP/1.1"
    found = head_of(sent)
    assert found[b"X-Shop"] == b"7"
    assert b"\r\nX-Keep:  as is\r\n" in sent.raw_head, "what no rule names stays as it came"
    assert b"cookie" not in found
    assert path.calls == 0


def test_a_body_streams_past_header_rules(wire: Wire, upstream: Upstream) -> None:
    """The first bytes reach the upstream before the last are sent."""
    body = b"x" * 300_000
    wire.send(b"PUT /lines/7 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
    wire.send(body)
    assert wire.message().status == 200
    assert upstream.received[-1].body == body


def test_body_rules_change_bodies_both_ways(
    wire: Wire, upstream: Upstream, path: Forwarding
) -> None:
    raw = b'{"a": 1.50, "secret": 7}'
    upstream.default = replies(
        b'HTTP/1.1 200 OK\r\nETag: "1"\r\nAccept-Ranges: bytes\r\nX-Keep: y\r\n'
        b"Content-Length: %d\r\n\r\n%b" % (len(raw), raw)
    )
    put(wire, b"/bodies/7", b'{"nr": 2.50, "n": 1}')
    answer = wire.message()
    assert answer.body == b'{"a": 1.50}'
    got = head_of(answer)
    assert got[b"Content-Length"] == b"11"
    assert got[b"X-Keep"] == b"y"
    assert not got.keys() & {b"ETag", b"Accept-Ranges"}
    sent = upstream.received[-1]
    assert sent.body == b'{"number": 2.50, "n": 1}'
    assert head_of(sent)[b"Content-Length"] == b"24"
    assert path.calls == 1


def test_a_body_above_the_routes_limit_is_refused(wire: Wire, upstream: Upstream) -> None:
    put(wire, b"/bodies/7", b'{"nr": "%b"}' % (b"x" * 100))
    assert wire.message().status == 413
    assert upstream.received == []


def test_a_switch_waits_for_a_write_that_a_body_rule_keeps_whole(upstream: Upstream) -> None:
    """It passes the journal: a journal that calls itself complete must not begin before it ends."""
    route = {**TREE["routes"][1], "writes": True, "key": {"path": "id"}}
    tree = {**TREE, "sides": {"legacy": "legacy", "modern": "modern"}, "routes": [route]}
    routes = read_group("app.yaml", tree, ("legacy", "modern"))
    answer = threading.Event()
    upstream.default = waits(answer)
    pools = {"legacy": upstream.port, "modern": upstream.port}
    with (
        Gateway(pools, routes=routes, write_path=Forwarding(upstream.port)) as gateway,
        gateway.connect() as wire,
    ):
        put(wire, b"/bodies/7", b'{"nr": 1}')
        wait_until(lambda: upstream.received, what="the write at the authority")
        gateway.switch(Stage.DUAL, 1, group="app")
        gateway.observer.await_note("table_swapped")
        assert gateway.generation.told == [1]
        answer.set()
        assert wire.message().status == 200
        wait_until(lambda: gateway.generation.told == [1, 2], what="the adoption")


def waits(until: threading.Event) -> Behaviour:
    """Answer when the test says so."""

    def behave(wire: Wire, _: Message) -> None:
        assert until.wait(DEADLINE_S)
        wire.send(ANSWER)

    return behave


def test_header_fields_choose_the_route(wire: Wire, upstream: Upstream) -> None:
    for line, taken in ((b"X-Version: 2", b"v2"), (b"X-Version: 1", None), (b"x-version:2", b"v2")):
        wire.send(b"GET /versions HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % line)
        assert wire.message().status == 200
        assert head_of(upstream.received[-1]).get(b"X-Taken-By") == taken


def put(wire: Wire, target: bytes, body: bytes) -> None:
    """Send one PUT."""
    json.loads(body)
    wire.send(
        b"PUT %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (target, len(body), body)
    )


def head_of(message: Message) -> dict[bytes, bytes]:
    """Return the fields of a message."""
    return dict(message.fields)
