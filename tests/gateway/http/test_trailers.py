"""Trailers go on when announced and wanted, whole or not at all (RFC 9110 6.5); never merged."""

from collections.abc import Iterator

import pytest

from bridge.gateway.http.trailers import FORBIDDEN, announced, carried
from bridge.gateway.routes.sections.accepts import Accepts
from tests.gateway.http.rig import Gateway, ports, route
from tests.gateway.http.upstream import Upstream, replies
from tests.gateway.http.wire import Message, Wire

WANTED = b"Connection: TE\r\nTE: trailers\r\n"
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n%b\r\n"
ROUTES = (
    route("all", "/{rest...}"),
    route("takes", "/takes/{rest...}", accepts=Accepts(trailers=True)),
)


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[Gateway]:
    with Gateway(ports(upstream), routes=ROUTES) as gateway:
        yield gateway


def answered(client: Wire, upstream: Upstream, asked: bytes, says: bytes, trailers: bytes) -> bytes:
    """Return everything of the answer, from its head to its end."""
    upstream.at[b"/t"] = replies(ANSWER % (says, trailers))
    client.send(GET % (b"/t", asked))
    message = client.message()
    assert message.body == b"ok"
    assert message.all(b"x-sum") == []  # Never merged (RFC 9110 6.5.1).
    # What follows is the next answer, so that the section was framed as the client reads it.
    upstream.at[b"/t"] = replies(b"HTTP/1.1 204 No Content\r\n\r\n")
    client.send(GET % (b"/t", b""))
    left = client.until(b"HTTP/1.1 204")[:-12]
    client.until(b"\r\n\r\n")
    return message.raw_head + message.raw_body + left


@pytest.mark.parametrize("asked", [WANTED, b"Connection: te\r\nTE: gzip;q=0.5, Trailers\r\n"])
def test_9110_6_5_announced_and_wanted_trailers_are_relayed(
    asked: bytes, client: Wire, upstream: Upstream
) -> None:
    raw = answered(client, upstream, asked, b"Trailer: X-Sum, X-Other\r\n", b"X-Sum: 1\r\n")
    assert b"\r\nTrailer: X-Sum, X-Other\r\n" in raw
    assert raw.endswith(b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert upstream.received[-2].all(b"te") == [b"trailers"]
    assert upstream.received[-2].all(b"connection") == [b"TE"]
    assert upstream.received[-1].all(b"te") == []


@pytest.mark.parametrize(
    ("asked", "says", "trailers"),
    [
        pytest.param(b"", b"Trailer: X-Sum\r\n", b"X-Sum: 1\r\n", id="not-wanted"),
        pytest.param(b"TE: trailers\r\n", b"Trailer: X-Sum\r\n", b"X-Sum: 1\r\n",
                     id="not-nominated"),
        pytest.param(WANTED, b"", b"X-Sum: 1\r\n", id="not-announced"),
        pytest.param(WANTED, b"Trailer: X-Sum\r\n", b"X-Sum: 1\r\nX-Y: 2\r\n", id="one-too-many"),
        pytest.param(WANTED, b"Trailer: X-Sum, Set-Cookie\r\n", b"X-Sum: 1\r\n",
                     id="announces-a-forbidden-one"),
        pytest.param(WANTED, b"Trailer: X-Sum, a b\r\n", b"X-Sum: 1\r\n", id="announces-nonsense"),
    ],
)  # fmt: skip
def test_9110_6_5_1_everything_else_is_dropped_whole(
    asked: bytes, says: bytes, trailers: bytes, client: Wire, upstream: Upstream
) -> None:
    raw = answered(client, upstream, asked, says, trailers)
    assert raw.endswith(b"2\r\nok\r\n0\r\n\r\n")
    assert b"X-Y" not in raw.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("path", "says", "passed"),
    [
        (b"/takes/x", b"Trailer: X-Sum\r\n", b"0\r\nX-Sum: 7\r\n\r\n"),
        (b"/takes/x", b"", b"0\r\n\r\n"),
        (b"/takes/x", b"Trailer: Content-Length\r\n", b"0\r\n\r\n"),
        (b"/other", b"Trailer: X-Sum\r\n", b"0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("pieces", [None, 5])
def test_9110_6_5_trailers_of_a_request_go_where_the_route_says_they_are_read(
    path: bytes, says: bytes, passed: bytes, pieces: int | None, client: Wire, upstream: Upstream
) -> None:
    seen: list[bytes] = []

    def until_the_end(wire: Wire) -> bytes:
        head = wire.until(b"\r\n\r\n")
        seen.append(head + wire.until(b"\r\n0\r\n") + wire.until(b"\r\n"))
        while not seen[-1].endswith(b"\r\n\r\n"):
            seen[-1] += wire.until(b"\r\n")
        return head

    upstream.reader = lambda wire: Message(b"POST / HTTP/1.1", [], b"", b"", until_the_end(wire))
    raw = (
        b"POST %b HTTP/1.1\r\nHost: a\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (path, says)
        + b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
    )
    try:
        client.send(raw) if pieces is None else client.dribble(raw, pieces)
        assert client.message().status == 200
    finally:
        upstream.reader = None
    assert seen[0].endswith(b"ok\r\n" + passed)
    assert (b"Trailer:" in seen[0]) == (b"X-Sum" in passed)


def test_9110_6_5_1_what_may_stand_in_no_trailer_section() -> None:
    for name in (*FORBIDDEN, b"host", b"te", b"trailer", b"transfer-encoding", b"content-length",
                 b"connection", b"upgrade", b"x-forwarded-for", b"via", b"date", b"expect",
                 b"content_length"):  # fmt: skip
        assert announced(b"X-Sum, " + name) == frozenset()
    assert announced(b"X-Sum,, x-b ") == {b"x-sum", b"x-b"}
    assert carried([b"X-Sum: 1", b"x-sum: 2"], frozenset((b"x-sum",))) == [b"X-Sum: 1", b"x-sum: 2"]
    assert carried([b"X-Sum: 1", b"X-C: 2"], frozenset((b"x-sum",))) == ()
