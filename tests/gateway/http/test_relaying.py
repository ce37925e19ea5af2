"""What goes through as it is: ranges, validators, codings, repeated fields; who may say what."""

import gzip

import pytest

from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.routes.route import IdRules
from bridge.gateway.routes.sections.rewriting import (
    AnswerRewriting,
    AnswerRules,
    HeaderRules,
    RequestRewriting,
    RequestRules,
)
from bridge.model.http import HttpResponse
from bridge.model.stage import GroupState, Stage
from tests.gateway.http.rig import BOTH, ROUTES, Gateway, RecordingWritePath, ports, route
from tests.gateway.http.upstream import Upstream, replies
from tests.gateway.http.wire import OK, Wire

PACKED = gzip.compress(b"x" * 1_000, mtime=0)
PARTS = (
    b"--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\nab\r\n"
    b"--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\nij\r\n--B--\r\n"
)

AS_IT_IS = {
    "9110-15.3.7-206": (
        b"Range: bytes=0-1\r\nIf-Range: \"v1\"\r\n",
        (b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/10\r\nETag: \"v1\"\r\n"
        b"Accept-Ranges: bytes\r\nContent-Length: 2\r\n\r\nab"),
    ),
    "9110-14.6-multipart": (
        b"Range: bytes=0-1, 8-9\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=B\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(PARTS), PARTS),
    ),
    "9110-15.5.17-416": (
        b"Range: bytes=99-\r\n",
        (b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */10\r\n"
        b"Content-Length: 0\r\n\r\n"),
    ),
    "9110-13.1-conditions": (
        (b"If-Match: \"a\", W/\"b\"\r\nIf-None-Match: *\r\nIf-Modified-Since: x\r\n"
        b"If-Unmodified-Since: y\r\n"),
        b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n",
    ),
    "9110-8.4-coding": (
        b"Accept-Encoding: gzip\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nETag: \"z\"\r\nDigest: sha-256=x\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(PACKED), PACKED),
    ),
    "9110-5.3-never-merged": (
        b"Accept: a\r\nX: 1\r\nAccept: b\r\n",
        (b"HTTP/1.1 401 Unauthorized\r\nSet-Cookie: a=1, b\r\nWWW-Authenticate: Basic\r\n"
        b"Set-Cookie: c=2\r\nwww-authenticate: Bearer x=1, y=2\r\nset-cookie: d\r\n"
        b"Content-Length: 0\r\n\r\n"),
    ),
    "9110-10.2.4-server": (
        b"User-Agent: old/1\r\n", (b"HTTP/1.1 200 OK\r\nServer: Legacy/1.0\r\n"
        b"X-Powered-By: core\r\nContent-Length: 0\r\n\r\n"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "raw"), AS_IT_IS.values(), ids=AS_IT_IS)
def test_goes_through_byte_for_byte(
    fields: bytes, raw: bytes, client: Wire, upstream: Upstream
) -> None:
    upstream.at[b"/as-it-is"] = replies(raw)
    client.send(b"GET /as-it-is HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    answer = client.message()
    assert upstream.received[-1].raw_head.startswith(
        b"GET /as-it-is HTTP/1.1\r\nHost: a\r\n" + fields
    )
    head, _, body = raw.partition(b"\r\n\r\n")
    assert answer.raw_head.startswith(head + b"\r\nVia: 1.1 legacy-bridge\r\nDate: ")
    assert answer.body == body


def test_9110_10_2_4_the_gateway_names_itself_in_via_alone(
    client: Wire, upstream: Upstream
) -> None:
    upstream.at[b"/as-it-is"] = replies(OK)
    client.send(b"GET /as-it-is HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.message().all(b"server") == []
    client.send(b"GET /x%2f HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.message().all(b"server") == []


@pytest.mark.parametrize(("said", "told"), [(b"1", b"0"), (b"10", b"9"), (b"00010", b"9")])
def test_9110_7_6_2_max_forwards_of_options_is_one_less(
    said: bytes, told: bytes, client: Wire, upstream: Upstream
) -> None:
    client.send(b"OPTIONS /o HTTP/1.1\r\nHost: a\r\nmax-forwards: %b\r\nX: 1\r\n\r\n" % said)
    assert client.message().status == 200
    assert upstream.received[-1].fields[1:3] == [(b"Max-Forwards", told), (b"X", b"1")]


def test_9110_7_6_2_max_forwards_of_others_is_not_ours(client: Wire, upstream: Upstream) -> None:
    client.send(b"GET /o HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
    assert client.message().status == 200
    assert upstream.received[-1].one(b"max-forwards") == b"0"
    client.send(b"OPTIONS /o HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n")
    assert client.message().status == 400


def test_9110_7_6_3_two_gateways_in_a_circle_answer_508(upstream: Upstream) -> None:
    inner = Gateway({"legacy": 1, "modern": 1}, settings=PlaneSettings(name="inner", drain_ms=100))
    outer_settings = PlaneSettings(name="outer", drain_ms=100)
    with Gateway({"legacy": inner.port, "modern": 1}, settings=outer_settings) as outer:
        inner._upstreams = {"legacy": outer.port, "modern": 1}
        with inner, outer.connect() as client:
            client.send(b"GET /round HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = client.message()
    assert answer.status == 508
    assert answer.one(b"legacy-bridge-error") == b"loop"
    assert upstream.requests_to(b"/round") == []


def test_9110_9_3_2_head_through_the_write_path_keeps_the_upstreams_length(
    upstream: Upstream,
) -> None:
    path = RecordingWritePath()
    groups = [GroupState(group="orders", stage=Stage.DUAL, epoch=1, lanes_held=False)]
    changed = route("changed", "/changed/{id}", b"GET", group="orders", upstreams=BOTH,
                    ids=IdRules(path={"id": "order"}, response={"/id": "order"}))  # fmt: skip
    with (
        Gateway(
            ports(upstream), groups=groups, routes=(*ROUTES, changed), write_path=path
        ) as gateway,
        gateway.connect() as client,
    ):
        measured = ((b"Content-Length", b"12345"),)
        for target, headers, length in (
            (b"/orders/7", measured, b"12345"),
            # What a GET would have is not known, so nothing is said (RFC 9110 8.6).
            (b"/orders/7", (), None),
            (b"/changed/7", measured, None),
        ):
            path.answer = HttpResponse(status=200, reason=b"OK", headers=headers)
            client.send(b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            answer = client.message(bodiless=True)
            assert answer.one(b"content-length") == length
            assert answer.all(b"transfer-encoding") == []
        path.answer = HttpResponse(
            status=304, reason=b"Not Modified", headers=((b"Content-Length", b"7"),)
        )
        client.send(b"GET /orders/7 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.message(bodiless=True).one(b"content-length") == b"7"
        path.answer = HttpResponse(
            status=200, reason=b"OK", headers=((b"Content-Length", b"99"),), body=b"abc"
        )
        client.send(b"GET /orders/7 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.message().body == b"abc"


def test_header_rules_hold_for_what_is_repeated_and_for_what_is_not(upstream: Upstream) -> None:
    """What rules made of a head is kept for the next one only if that is the very same."""
    rules = HeaderRules(set={"X-Set": "1"}, remove=("X-Gone",))
    both = RequestRules(headers=rules)
    routes = (
        route("all", "/{rest...}"),
        route("ruled", "/ruled", request=RequestRewriting(both=both),
              response=AnswerRewriting(both=AnswerRules(headers=rules))),
    )  # fmt: skip
    with Gateway(ports(upstream), routes=routes) as gateway, gateway.connect() as client:
        for path in (b"/ruled", b"/ruled", b"/plain", b"/ruled", b"/plain"):
            for value in (b"1", b"1", b"2"):
                upstream.at[path] = replies(
                    b"HTTP/1.1 200 OK\r\nX-Own: %b\r\nX-Gone: y\r\nContent-Length: 0\r\n\r\n"
                    % value
                )
                client.send(
                    b"GET %b HTTP/1.1\r\nHost: a\r\nX-Own: %b\r\nX-Gone: y\r\n\r\n" % (path, value)
                )
                answer = client.message()
                for message in (answer, upstream.received[-1]):
                    ruled = path == b"/ruled"
                    assert message.all(b"x-own") == [value]
                    assert message.all(b"x-set") == ([b"1"] if ruled else [])
                    assert message.all(b"x-gone") == ([] if ruled else [b"y"])
