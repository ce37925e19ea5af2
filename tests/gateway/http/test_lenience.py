"""Leniences: by name, for their route alone, and the back end never sees the lenient form."""

from collections.abc import Iterator

import pytest

from bridge.gateway.http.lenience import (
    BARE_LF,
    EQUAL_LENGTHS,
    LENGTH_WITH_CHUNKED,
    OBS_FOLD,
    UNDERSCORES,
)
from bridge.gateway.http.target import DOUBLE_ESCAPES, ENCODED_DOTS, ENCODED_SLASH, NON_UTF8
from bridge.gateway.routes.sections.lenience import Lenience
from bridge.model.stage import Side
from tests.gateway.http.rig import BOTH, KEY, Gateway, ports, route
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message, Wire
from tests.waiting import wait_until

ALL = tuple(Lenience.model_fields)
OF_HEADS = (BARE_LF, OBS_FOLD, EQUAL_LENGTHS, LENGTH_WITH_CHUNKED, UNDERSCORES)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

ROUTES = (
    route("strict", "/{rest...}"),
    *(route(f"old-{name}", f"/{name}/{{rest...}}", lenience=Lenience(**{name: True}))
      for name in ALL),
    route("old-all", "/all/{rest...}", lenience=Lenience(**dict.fromkeys(ALL, True))),
    route("files", "/files/{name}", b"GET", lenience=Lenience(**dict.fromkeys(ALL, True))),
    route("orders", "/orders/{id}", b"GET", b"PUT", writes=True, key=KEY, upstreams=BOTH),
    route("one", "/files/one/{id}", b"GET", writes=True, key=KEY,
          upstreams={Side.LEGACY: "legacy"}),
)  # fmt: skip


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[Gateway]:
    with Gateway(ports(upstream), routes=ROUTES) as gateway:
        yield gateway


HEADS = {
    BARE_LF: (
        b"POST /%b/x HTTP/1.1\nHost: a\nX: 1\r\nContent-Length: 2\n\nok",
        [(b"Host", b"a"), (b"X", b"1"), (b"Content-Length", b"2")],
    ),
    OBS_FOLD: (
        b"POST /%b/x HTTP/1.1\r\nHost: a\r\nX: 1 \r\n\t 2\r\n  3\r\nContent-Length: 2\r\n\r\nok",
        [(b"Host", b"a"), (b"X", b"1 2 3"), (b"Content-Length", b"2")],
    ),
    EQUAL_LENGTHS: (
        (
            b"POST /%b/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\nX: 1\r\n"
            b"content-length: 2\r\n\r\nok"
        ),
        [(b"Host", b"a"), (b"Content-Length", b"2"), (b"X", b"1")],
    ),
    LENGTH_WITH_CHUNKED: (
        (
            b"POST /%b/x HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        ),
        [(b"Host", b"a"), (b"Transfer-Encoding", b"chunked")],
    ),
    UNDERSCORES: (
        (
            b"POST /%b/x HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1\r\nX_User: root\r\n"
            b"X-User: me\r\nX_Own: 1\r\nContent-Length: 2\r\nContent_Length: 9\r\n\r\nok"
        ),
        [(b"Host", b"a"), (b"X-User", b"me"), (b"X_Own", b"1"), (b"Content-Length", b"2")],
    ),
}


@pytest.mark.parametrize("pieces", [None, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("where", ["own", "all"])
@pytest.mark.parametrize("name", OF_HEADS)
def test_a_route_that_names_it_takes_the_strict_form(
    name: str, where: str, pieces: int | None, gateway: Gateway, client: Wire, upstream: Upstream
) -> None:
    raw, fields = HEADS[name]
    path = (name if where == "own" else "all").encode()
    data = raw % path + SMUGGLED
    client.send(data) if pieces is None else client.dribble(data, pieces)
    answer = client.message()
    assert answer.status == 200
    got = (
        upstream.received[-1] if name == UNDERSCORES else upstream.requests_to(b"/%b/x" % path)[-1]
    )
    if name != UNDERSCORES:
        assert got.start == b"POST /%b/x HTTP/1.1" % path
        assert got.fields[: len(fields)] == fields
        assert got.body == b"ok"
        # What follows would be a request to one reader and part of a body to another.
        assert answer.one(b"connection") == b"close"
        assert client.rest() == b""
        assert upstream.requests_to(b"/smuggled") == []
    else:
        got = upstream.requests_to(b"/%b/x" % path)[-1]
        assert got.fields[: len(fields)] == fields
        assert client.message().status == 200  # Framing was never in question.
        upstream.received.clear()


def test_what_was_needed_is_counted(gateway: Gateway, client: Wire) -> None:
    client.send(HEADS[OBS_FOLD][0] % b"obs_fold")
    assert client.message().status == 200
    fact = f"old-{OBS_FOLD}.{OBS_FOLD}"
    wait_until(lambda: any(fact in note.facts for note in gateway.observer.notes("lenient")))


@pytest.mark.parametrize("name", OF_HEADS)
def test_every_other_route_refuses_and_closes(
    name: str, gateway: Gateway, upstream: Upstream
) -> None:
    raw, _ = HEADS[name]
    others = [other for other in ALL if other != name]
    for path in ("strict", *others):
        with gateway.connect() as client:
            client.send(raw % path.encode() + SMUGGLED)
            answer = client.message()
            assert answer.status == 400, path
            assert answer.one(b"legacy-bridge-error") == b"bad-request"
            assert client.rest() == b""
    assert upstream.requests_to(b"/smuggled") == []


NEVER = {
    "9112-7.1-bare-lf-in-chunks": b"POST /all/x HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n"
    b"2\nok\n0\n\n",
    "9112-2.2-bare-cr": b"POST /all/x HTTP/1.1\nHost: a\nX: a\rb\n\n",
    "9112-2.2-white-space-after-the-request-line": b"GET /all/x HTTP/1.1\r\n Host: a\r\n\r\n",
    "9110-8.6-differing-lengths": b"POST /all/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
    b"Content-Length: 3\r\n\r\nokk",
    "9110-8.6-differing-list": b"POST /all/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 3\r\n"
    b"\r\nokk",
    "9110-8.6-length-no-number": b"POST /all/x HTTP/1.1\r\nHost: a\r\nContent-Length: +2, +2\r\n"
    b"\r\nok",
    "9112-6.3-length-no-number-with-chunked": b"POST /all/x HTTP/1.1\r\nHost: a\r\n"
    b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "9112-6.3-length-with-other-coding": b"POST /all/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: xchunked\r\n\r\nok",
    "9112-6.1-length-with-chunked-in-1.0": b"POST /all/x HTTP/1.0\r\nHost: a\r\n"
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "9112-5.1-space-before-colon": b"GET /all/x HTTP/1.1\nHost: a\nX : 1\n\n",
    "9112-5.2-fold-makes-a-host": b"GET /all/x HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "9112-3.2-two-hosts-by-lf": b"GET /all/x HTTP/1.1\r\nHost: a\nHost: b\r\n\r\n",
    "9112-2.3-http-0.9": b"GET /all/x\n\n",
    "9110-5.5-nul": b"GET /all/x HTTP/1.1\nHost: a\nX: \x00\n\n",
    "6585-5-endless": b"GET /all/x HTTP/1.1\nHost: a\nX: " + b"y" * 70_000,
}  # fmt: skip


@pytest.mark.parametrize("raw", NEVER.values(), ids=NEVER)
@pytest.mark.parametrize("pieces", [None, 3], ids=["whole", "pieces"])
def test_some_things_no_route_can_allow(
    raw: bytes, pieces: int | None, client: Wire, upstream: Upstream
) -> None:
    before = len(upstream.requests_to(b"/all/x"))
    if pieces is None or len(raw) > 4_096:
        client.send(raw)
    else:
        client.dribble(raw, pieces)
    answer = client.message()
    assert answer.status in (400, 414, 431, 501)
    assert client.rest() == b""
    assert len(upstream.requests_to(b"/all/x")) == before


PATHS = {
    ENCODED_SLASH: b"a%2Fb%5Cc",
    ENCODED_DOTS: b"a/%2e%2E/b/.%2e/%2E/c",
    DOUBLE_ESCAPES: b"a%252Fb",
    NON_UTF8: b"caf%E9",
}


@pytest.mark.parametrize("name", PATHS)
def test_3986_paths_are_forwarded_byte_for_byte_where_the_route_allows_them(
    name: str, client: Wire, upstream: Upstream
) -> None:
    def status(prefix: bytes) -> Message:
        client.send(b"GET /%b/%b HTTP/1.1\r\nHost: a\r\n\r\n" % (prefix, PATHS[name]))
        return client.message()

    for prefix in (name.encode(), b"all"):
        assert status(prefix).status == 200
        assert upstream.received[-1].target == b"/%b/%b" % (prefix, PATHS[name])
    for other in PATHS:
        if other != name:
            assert status(other.encode()).status == 400, other
    assert status(b"strict").status == 400


@pytest.mark.parametrize(
    "target",
    [
        b"/files/..%2Forders%2F7", b"/files/%2e%2e%2Forders%2F7", b"/files/a%2F..%2Fone%2F7",
        b"/files/one%2F7", b"/files/one%252F7", b"/files/one%5C7",
        b"/files/x;%2F..%2F..%2Forders%2F7",
    ],
)  # fmt: skip
def test_3986_an_encoded_slash_is_no_way_to_a_route_that_writes(
    target: bytes, client: Wire, upstream: Upstream
) -> None:
    client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    answer = client.message()
    assert answer.status == 400
    assert answer.one(b"legacy-bridge-error") == b"ambiguous-path"
    assert upstream.requests_to(target) == []


@pytest.mark.parametrize(
    "path", [b"/all/a%00b", b"/all/a%0d%0ab", b"/all/%c0%af", b"/all/%e0%80%af", b"/all/a\\b",
             b"/all/%2e%2e/%2e%2e/x", b"/all/a%zz"],
)  # fmt: skip
def test_3986_some_paths_no_route_can_allow(path: bytes, client: Wire, upstream: Upstream) -> None:
    client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
    assert client.message().status == 400
    assert upstream.requests_to(path) == []
