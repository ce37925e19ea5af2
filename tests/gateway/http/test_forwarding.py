"""What a proxy must pass on, must take away and must add (RFC 9110 7.6)."""

import ipaddress

import pytest

from bridge.gateway.plane.settings import PlaneSettings
from tests.gateway.http.rig import Gateway
from tests.gateway.http.upstream import Upstream, replies
from tests.gateway.http.wire import OK, Message, Wire

ADDED = [
    (b"X-Forwarded-For", b"127.0.0.1"),
    (b"X-Forwarded-Proto", b"http"),
    (b"X-Forwarded-Host", b"a"),
    (b"Forwarded", b'for=127.0.0.1;proto=http;host="a"'),
    (b"Via", b"1.1 legacy-bridge"),
]


def exchange(client: Wire, upstream: Upstream, raw: bytes) -> tuple[Message, Message]:
    """Send one request; return what the upstream got and what came back."""
    before = len(upstream.received)
    client.send(raw)
    answer = client.message(bodiless=raw.startswith(b"HEAD"))
    assert len(upstream.received) == before + 1
    return upstream.received[-1], answer


@pytest.mark.parametrize(
    "target",
    [
        b"/x", b"/x?", b"/x?a=%2F%2f&b=/../c", b"/%7euser/%C3%A9", b"/a//b/", b"/a;v=1/b|c",
        b"/?", b"/a/./b/../c", b"/x?q=a?b&c=%zz%", b"/a'(b)*!$&,=:@",
    ],
)  # fmt: skip
def test_9112_3_2_target_is_passed_on_byte_for_byte(
    target: bytes, client: Wire, upstream: Upstream
) -> None:
    got, answer = exchange(client, upstream, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert got.start == b"GET %b HTTP/1.1" % target
    assert answer.status == 200


def test_9110_5_fields_keep_case_order_repetition_and_bytes(
    client: Wire, upstream: Upstream
) -> None:
    lines = (
        b"hOsT: a\r\nX-b:1\r\nx-B:\t2 \r\nAccept: */*\r\nX-Latin: \xe9\xff\r\nX-Empty:\r\n"
        b"x_under: 1\r\nCookie: a=1\r\nCookie: b=2\r\nX-Tab: a\tb"
    )
    got, _ = exchange(client, upstream, b"GET /f HTTP/1.1\r\n" + lines + b"\r\n\r\n")
    assert got.raw_head.startswith(b"GET /f HTTP/1.1\r\n" + lines + b"\r\n")
    assert got.fields[-5:] == ADDED


def test_9110_7_6_1_hop_by_hop_fields_stay_on_their_hop(client: Wire, upstream: Upstream) -> None:
    upstream.at[b"/hop"] = replies(
        b"HTTP/1.1 200 OK\r\nConnection: X-Up, keep-alive\r\nX-Up: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X-T\r\nX-Kept: 1\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    got, answer = exchange(
        client, upstream,
        b"GET /hop HTTP/1.1\r\nHost: a\r\nConnection: X-Mine, Keep-Alive\r\nX-Mine: 1\r\n"
        b"Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X\r\n"
        b"Proxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nX-Kept: 1\r\n"
        b"\r\n",
    )  # fmt: skip
    assert got.fields == [(b"Host", b"a"), (b"X-Kept", b"1"), *ADDED]
    assert [name for name, _ in answer.fields] == [b"X-Kept", b"Content-Length", b"Via", b"Date"]


def test_7239_what_an_untrusted_peer_says_about_hops_is_replaced(
    client: Wire, upstream: Upstream
) -> None:
    got, _ = exchange(
        client, upstream,
        b"GET /f HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n"
        b"x-forwarded-proto: https\r\nX-Real-IP: 10.0.0.1\r\nX-Forwarded-Anything: 1\r\n\r\n",
    )  # fmt: skip
    assert got.fields == [(b"Host", b"a"), *ADDED]


def test_7239_what_a_trusted_hop_says_is_believed_and_appended_to(upstream: Upstream) -> None:
    settings = PlaneSettings(trusted_hops=(ipaddress.ip_network("127.0.0.0/8"),))
    with (
        Gateway({"legacy": upstream.port, "modern": upstream.port}, settings=settings) as gateway,
        gateway.connect() as client,
    ):
        got, _ = exchange(
            client, upstream,
            b"GET /f HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n"
            b"Forwarded: for=10.0.0.1\r\nx-forwarded-for: 10.0.0.2\r\n"
            b"X-Forwarded-Proto: https\r\nX-Real-IP: 10.0.0.1\r\n\r\n",
        )  # fmt: skip
        assert got.one(b"x-forwarded-for") == b"10.0.0.1, 10.0.0.2, 127.0.0.1"
        assert got.one(b"forwarded") == b'for=10.0.0.1, for=127.0.0.1;proto=http;host="a"'
        assert got.one(b"x-forwarded-proto") == b"https"
        assert got.one(b"x-real-ip") == b"10.0.0.1"
        got, _ = exchange(client, upstream, b"GET /f HTTP/1.1\r\nHost: a\r\n\r\n")
        assert got.fields == [(b"Host", b"a"), *ADDED]


def test_a_client_cannot_pass_its_request_off_as_a_copy_or_a_replay(upstream: Upstream) -> None:
    # Applications drop mails and invoices by these fields, and changes are matched by them.
    forged = b"".join(
        b"%b: x\r\n" % name
        for name in (
            b"Legacy-Bridge-Shadow", b"legacy-bridge-replay", b"LEGACY-BRIDGE-ORIGIN",
            b"Legacy-Bridge-Intent", b"Legacy-Bridge-Error", b"Legacy-Bridge-Request",
        )
    )  # fmt: skip
    request = b"GET /f HTTP/1.1\r\nHost: a\r\n" + forged + b"Legacy-Bridge-Other: 1\r\n\r\n"
    peers = {"legacy": upstream.port, "modern": upstream.port}
    with Gateway(peers) as gateway, gateway.connect() as client:
        got, _ = exchange(client, upstream, request)
    assert got.fields == [(b"Host", b"a"), (b"Legacy-Bridge-Other", b"1"), *ADDED]
    settings = PlaneSettings(trusted_hops=(ipaddress.ip_network("127.0.0.0/8"),))
    with Gateway(peers, settings=settings) as gateway, gateway.connect() as client:
        got, _ = exchange(client, upstream, request)
    assert got.one(b"legacy-bridge-replay") == b"x"  # A gateway before this one.


def test_9110_7_6_3_via_is_added_after_others(client: Wire, upstream: Upstream) -> None:
    upstream.at[b"/via"] = replies(OK.replace(b"\r\n\r\n", b"\r\nVia: 1.0 inner\r\n\r\n"))
    got, answer = exchange(
        client, upstream, b"GET /via HTTP/1.1\r\nHost: a\r\nVia: 1.0 outer\r\n\r\n"
    )
    assert got.all(b"via") == [b"1.0 outer", b"1.1 legacy-bridge"]
    assert answer.all(b"via") == [b"1.0 inner", b"1.1 legacy-bridge"]


def test_9112_3_2_2_absolute_form_wins_over_host(client: Wire, upstream: Upstream) -> None:
    got, _ = exchange(
        client, upstream, b"GET http://b:80/x?y HTTP/1.1\r\nX: 1\r\nHost: a\r\nY: 2\r\n\r\n"
    )
    assert got.start == b"GET /x?y HTTP/1.1"
    assert got.fields[:3] == [(b"X", b"1"), (b"Host", b"b:80"), (b"Y", b"2")]
    got, _ = exchange(client, upstream, b"GET http://b?z HTTP/1.1\r\nHost: b\r\n\r\n")
    assert got.start == b"GET /?z HTTP/1.1"


def test_9112_3_2_4_options_of_the_gateway_itself(client: Wire, upstream: Upstream) -> None:
    before = len(upstream.received)
    client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.message().status == 204
    client.send(b"OPTIONS /f HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
    assert client.message().status == 204
    assert len(upstream.received) == before


def test_9110_15_5_20_other_hosts_are_misdirected(upstream: Upstream) -> None:
    with (
        Gateway(
            {"legacy": upstream.port, "modern": upstream.port},
            settings=PlaneSettings(hosts=frozenset({b"shop.example"})),
        ) as gateway,
        gateway.connect() as client,
    ):
        client.send(b"GET /f HTTP/1.1\r\nHost: SHOP.example:80\r\n\r\n")
        assert client.message().status == 200
        client.send(b"GET /f HTTP/1.1\r\nHost: other\r\n\r\n")
        assert client.message().status == 421


def test_9112_9_3_http_1_0_clients(gateway: Gateway, upstream: Upstream) -> None:
    with gateway.connect() as client:
        client.send(b"GET /f HTTP/1.0\r\n\r\n")
        answer = client.message()
        assert answer.status == 200
        assert answer.one(b"connection") == b"close"
        assert client.rest() == b""
        got = upstream.received[-1]
        assert got.start == b"GET /f HTTP/1.1"
        assert got.one(b"host") == b"127.0.0.1:%d" % upstream.port
        assert got.one(b"via") == b"1.0 legacy-bridge"
    with gateway.connect() as client:
        for _ in range(2):
            client.send(b"GET /f HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            assert client.message().one(b"connection") == b"keep-alive"


def test_9112_6_1_chunks_become_the_connection_end_for_http_1_0(
    gateway: Gateway, upstream: Upstream
) -> None:
    upstream.at[b"/chunked"] = replies(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    )
    with gateway.connect() as client:
        client.send(b"GET /chunked HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        answer = client.message(until_close=True)
        assert answer.all(b"transfer-encoding") == []
        assert answer.body == b"abcde"


def test_9112_7_1_chunks_are_written_anew_and_trailers_dropped(
    client: Wire, upstream: Upstream
) -> None:
    upstream.at[b"/chunked"] = replies(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
    )
    got, answer = exchange(
        client, upstream,
        b"POST /chunked HTTP/1.1\r\nHost: a\r\ntransfer-ENCODING: Chunked\r\n\r\n"
        b"5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n",
    )  # fmt: skip
    assert got.body == b"hello!"
    assert b"ext" not in got.raw_body
    assert b"X-Trailer" not in got.raw_body
    assert got.one(b"content-length") is None
    assert answer.body == b"abc"
    assert b"X-T" not in answer.raw_body


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_9110_6_4_1_answers_without_a_body(status: bytes, client: Wire, upstream: Upstream) -> None:
    length = b"" if status.startswith(b"204") else b"Content-Length: 7\r\n"
    upstream.at[b"/none"] = replies(b'HTTP/1.1 %b\r\n%bETag: "x"\r\n\r\n' % (status, length))
    for _ in range(2):
        client.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.message(bodiless=True)
        assert answer.start == b"HTTP/1.1 " + status
        assert answer.one(b"content-length") == (b"7" if length else None)
        assert answer.all(b"transfer-encoding") == []


def test_9110_9_3_2_head_keeps_the_length_and_has_no_body(client: Wire, upstream: Upstream) -> None:
    upstream.at[b"/head"] = replies(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
    for _ in range(2):
        _, answer = exchange(client, upstream, b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.one(b"content-length") == b"12345"


def test_9112_9_3_2_pipelined_requests_are_answered_in_order(
    client: Wire, upstream: Upstream
) -> None:
    def echo(wire: Wire, request: Message) -> None:
        text = request.target
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))

    targets = [b"/p%d" % number for number in range(50)]
    upstream.at.update(dict.fromkeys(targets, echo))
    one = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    refused = b"GET /only-get/x%%2f HTTP/1.1\r\nHost: a\r\n\r\n"
    client.send(b"".join(one % target + (refused % ()) for target in targets))
    for target in targets:
        assert client.message().body == target
        assert client.message().status == 400


def test_9112_2_2_one_empty_line_before_a_request_is_forgiven(client: Wire) -> None:
    client.send(b"\r\nGET /f HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.message().status == 200


def test_9110_6_6_1_date_is_added_only_where_it_is_missing(
    client: Wire, upstream: Upstream
) -> None:
    date = b"Sun, 06 Nov 1994 08:49:37 GMT"
    upstream.at[b"/dated"] = replies(OK.replace(b"\r\n\r\n", b"\r\ndate: " + date + b"\r\n\r\n"))
    _, answer = exchange(client, upstream, b"GET /dated HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.all(b"date") == [date]
    _, answer = exchange(client, upstream, b"GET /undated HTTP/1.1\r\nHost: a\r\n\r\n")
    assert len(answer.all(b"date")) == 1


def test_9110_15_5_14_a_body_in_chunks_over_the_route_limit(
    client: Wire, upstream: Upstream
) -> None:
    client.send(
        b"POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"6\r\nabcdef\r\n5\r\nghijk\r\n0\r\n\r\n"
    )
    answer = client.message()
    assert answer.status == 413
    assert answer.one(b"legacy-bridge-error") == b"body-too-large"
    assert upstream.requests_to(b"/small") == []
