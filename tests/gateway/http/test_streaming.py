"""Bodies, interim answers and tunnels go through as they come, not when they are whole."""

import dataclasses

from bridge.gateway.plane.settings import PlaneSettings
from tests.gateway.http.rig import Gateway
from tests.gateway.http.upstream import Upstream, replies
from tests.gateway.http.wire import DEADLINE_S, OK, Ended, Message, Wire
from tests.waiting import wait_until


def test_6455_4_websocket_becomes_a_tunnel(gateway: Gateway, upstream: Upstream) -> None:
    def upgrade(wire: Wire, request: Message) -> None:
        assert request.one(b"upgrade") == b"websocket"
        assert request.one(b"connection") == b"Upgrade"
        assert request.one(b"sec-websocket-key") == b"dGhl"
        wire.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3p\r\n\r\nhello"
        )
        wire.send(wire.exactly(5).upper())
        while data := wire.more():
            wire.send(data)
        raise Ended

    upstream.at[b"/ws"] = upgrade
    with gateway.connect() as client:
        client.send(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhl\r\n\r\nEARLY"
        )
        answer = client.message(bodiless=True)
        assert answer.status == 101
        assert answer.one(b"upgrade") == b"websocket"
        assert answer.one(b"connection") == b"Upgrade"
        assert client.exactly(10) == b"helloEARLY"
        client.send(b"\x00\xffraw\r\n\r\n")
        assert client.exactly(9) == b"\x00\xffraw\r\n\r\n"
        client.sock.shutdown(1)
        assert client.rest() == b""


def test_9110_7_8_an_upgrade_nobody_asked_for_is_refused(client: Wire, upstream: Upstream) -> None:
    upstream.at[b"/switch"] = replies(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nxyz"
    )
    client.send(b"GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert client.message().status == 502


def test_large_bodies_stream_both_ways_with_bounded_memory(upstream: Upstream) -> None:
    body = b"0123456789abcdef" * 65_536 * 2

    def echo(wire: Wire, request: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.body))
        wire.send(request.body)

    upstream.at[b"/echo"] = echo
    settings = PlaneSettings(drain_ms=200)
    gateway = Gateway({"legacy": upstream.port, "modern": upstream.port}, settings=settings)
    gateway.routes = tuple(
        dataclasses.replace(route, body_bytes_max=1 << 24) for route in gateway.routes
    )
    with gateway, gateway.connect() as client:
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        client.send(head + body)
        assert client.message().body == body
        chunks = b"".join(
            b"8000\r\n" + body[at : at + 0x8000] + b"\r\n" for at in range(0, len(body), 0x8000)
        )
        client.send(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunks + b"0\r\n\r\n"
        )  # fmt: skip
        assert client.message().body == body


def test_server_sent_events_come_as_they_are_written(client: Wire, upstream: Upstream) -> None:
    go_on: list[bool] = []

    def events(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        wait_until(lambda: go_on, DEADLINE_S)
        wire.send(b"data: 2\n\n")
        wire.close()

    upstream.at[b"/events"] = events
    client.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    head = client.message(bodiless=True)
    assert head.one(b"transfer-encoding") == b"chunked"
    assert client.exactly(len(b"9\r\ndata: 1\n\n\r\n")) == b"9\r\ndata: 1\n\n\r\n"
    go_on.append(True)
    assert client.exactly(len(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")).endswith(b"0\r\n\r\n")


def test_9110_10_1_1_expectation_is_passed_on_and_100_relayed(
    client: Wire, upstream: Upstream
) -> None:
    asked: list[bytes] = []

    def first_head_then_body(wire: Wire) -> Message:
        head = wire.message(bodiless=True)
        asked.append(head.raw_head)
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head._replace(body=wire.exactly(5))

    upstream.reader = first_head_then_body
    try:
        client.send(
            b"POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        assert client.message(bodiless=True).status == 100
        client.send(b"hello")
        assert client.message().status == 200
    finally:
        upstream.reader = None
    assert b"Expect: 100-continue\r\n" in asked[0]


def test_9110_15_2_interim_answers_are_relayed_to_1_1_only(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.at[b"/hints"] = replies(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-y\r\nX-Y: 1\r\n\r\n" + OK
    )
    with gateway.connect() as client:
        client.send(b"GET /hints HTTP/1.1\r\nHost: a\r\n\r\n")
        interim = client.message(bodiless=True)
        assert interim.status == 103
        assert interim.fields[0] == (b"Link", b"</a>")
        assert interim.all(b"x-y") == []
        assert client.message().body == b"ok"
    with gateway.connect() as client:
        client.send(b"GET /hints HTTP/1.0\r\nHost: a\r\n\r\n")
        assert client.message().status == 200


def test_9110_10_1_1_early_final_answer_is_sent_and_the_rest_not_read(
    client: Wire, upstream: Upstream
) -> None:
    def refuse_at_once(wire: Wire) -> Message:
        head = wire.message(bodiless=True).start
        wire.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        wire.rest()
        raise Ended(head)

    upstream.reader = refuse_at_once
    try:
        client.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nabc")
        answer = client.message()
    finally:
        upstream.reader = None
    assert (answer.status, answer.body) == (413, b"big")
    assert answer.one(b"connection") == b"close"
    assert client.rest() == b""
