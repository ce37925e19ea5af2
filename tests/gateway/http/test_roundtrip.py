"""Random messages, cut at random places: nothing changes but what is declared to change.

Declared: hop-by-hop fields go, forwarding fields and Via are added, chunks are cut anew, Date and
Connection are the gateway's on its own connection.
"""

import random
from collections.abc import Callable
from contextlib import suppress

import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.gateway.http.framing import MessageRefused
from bridge.gateway.http.head_reader import HeadReader, parse_request_head
from bridge.gateway.http.request_head import RequestHead
from tests.gateway.http.rig import Gateway
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message, Wire

TOKEN = "!#$%&'*+-.^`|~0123456789abcXYZ"
NAMES = st.text(TOKEN, min_size=1, max_size=12).map(lambda name: b"x-" + name.encode())
VALUES = st.binary(max_size=30).map(
    lambda raw: bytes(byte for byte in raw if byte == 9 or 32 <= byte != 127).strip(b" \t")
)
SPACES = st.sampled_from([b"", b" ", b"\t", b"  "])
FIELD = st.tuples(NAMES, SPACES, VALUES, SPACES)
REAL_FIELDS = st.sampled_from(
    [
        (b"accept", b" ", b"*/*", b""),
        (b"COOKIE", b"", b"a=1; b=2", b" "),
        (b"If-None-Match", b" ", b'W/"x"', b""),
        (b"Range", b" ", b"bytes=0-9", b""),
        (b"Authorization", b" ", b"Basic eDp5", b""),
    ]
)
FIELDS = st.lists(st.one_of(FIELD, REAL_FIELDS), max_size=15)
PATH = st.text("abc/.;,=~!$&'()*+:@|-_0", max_size=20)
QUERY = st.one_of(st.just(""), st.text('abc%/?=&+|"<>^`{}[]0', max_size=20).map("?".__add__))
BODY = st.binary(max_size=400)
ADDED = 5


def lines_of(fields: list[tuple[bytes, bytes, bytes, bytes]]) -> bytes:
    """The fields as bytes on the wire."""
    return b"".join(
        name + b":" + before + value + after + b"\r\n" for name, before, value, after in fields
    )


def framed(body: bytes, chunked: bool, rng: random.Random, *, required: bool) -> bytes:
    """The body by its length or in random chunks, after the fields."""
    if not chunked:
        if not body and not required:
            return b"\r\n"
        return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    out = b"Transfer-Encoding: chunked\r\n\r\n"
    at = 0
    while at < len(body):
        size = rng.randint(1, len(body) - at)
        out += b"%X\r\n%b\r\n" % (size, body[at : at + size])
        at += size
    return out + b"0\r\n\r\n"


def send_in_pieces(wire: Wire, data: bytes, rng: random.Random) -> None:
    """Send cut at up to four random places."""
    cuts = sorted(rng.sample(range(len(data) + 1), k=min(4, len(data))))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        wire.send(data[start:end])


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    method=st.sampled_from([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"REPORT"]),
    path=PATH, query=QUERY, fields=FIELDS, body=BODY, chunked=st.booleans(),
    reason=VALUES, answer_fields=FIELDS, answer=BODY, answer_chunked=st.booleans(),
    seed=st.integers(0, 1 << 30),
)  # fmt: skip
def test_messages_arrive_as_they_were_sent(
    gateway: Gateway, upstream: Upstream, client: Wire, method: bytes, path: str, query: str,
    fields: list[tuple[bytes, bytes, bytes, bytes]], body: bytes, chunked: bool, reason: bytes,
    answer_fields: list[tuple[bytes, bytes, bytes, bytes]], answer: bytes, answer_chunked: bool,
    seed: int,
) -> None:  # fmt: skip
    rng = random.Random(seed)
    target = ("/r/" + path.replace("..", "") + query).encode()
    sent_head = b"%b %b HTTP/1.1\r\nHost: a\r\n" % (method, target) + lines_of(fields)
    answer_head = b"HTTP/1.1 200 " + reason + b"\r\n" + lines_of(answer_fields)

    def behave(wire: Wire, _: Message) -> None:
        raw = answer_head + framed(answer, answer_chunked, rng, required=True)
        send_in_pieces(wire, raw, rng)

    upstream.default = behave
    send_in_pieces(client, sent_head + framed(body, chunked, rng, required=False), rng)
    got_back = client.message()
    got = upstream.received[-1]
    upstream.default = None
    assert got.raw_head.startswith(sent_head)
    assert got.body == body
    rest = got.raw_head[len(sent_head) :]
    framing = 1 if chunked or body else 0
    assert rest.count(b"\r\n") == framing + ADDED + 1
    assert got_back.raw_head.startswith(answer_head)
    assert got_back.body == answer
    names = [
        line.partition(b":")[0] for line in got_back.raw_head[len(answer_head) :].split(b"\r\n")
    ]
    expected = b"Transfer-Encoding" if answer_chunked else b"Content-Length"
    assert names == [expected, b"Via", b"Date", b"", b""]


class Oracle:
    """What llhttp, an independent parser, makes of a head."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, target: bytes) -> None:
        """Take (more of) the target."""
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field."""
        self.fields.append((name, value))


PIECES = st.sampled_from(
    [
        b"Host: a", b"Content-Length: 5", b"Content-Length: 05", b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip", b"X: y", b" folded", b"X : y", b"X\x00: y", b"nonsense", b"\n",
        b"Connection: close", b"Connection: keep-alive", b"X: a\rb", b"Expect: 100-continue",
        b"X:\ty\t", b"", b"Content-Length: 5, 5", b"host:b", b"Via: 1.0 x", b"\x0bX: y",
    ]
)  # fmt: skip
START_LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"POST /x?y HTTP/1.1", b"GET  / HTTP/1.1", b"PUT /a HTTP/1.0", b"GET /"]
)


@settings(max_examples=400, deadline=None)
@given(start=START_LINES, pieces=st.lists(PIECES, max_size=6))
def test_what_we_take_llhttp_takes_and_reads_the_same(start: bytes, pieces: list[bytes]) -> None:
    head = b"\r\n".join([start, *pieces])
    if b"\r\n\r\n" in head + b"\r\n":
        return  # The head would have ended before.
    try:
        parsed = parse_request_head(head)
    except MessageRefused:
        return
    oracle = Oracle()
    parser = httptools.HttpRequestParser(oracle)
    parser.feed_data(head + b"\r\n\r\n")
    assert oracle.target == parsed.target
    assert parser.get_method() == parsed.method
    ours = {line.partition(b":")[0].lower() for line in parsed.lines}
    theirs = {name.lower() for name, _ in oracle.fields}
    # Declared: Connection is the hop's, and HTTP/1.0 knows no expectation.
    assert ours == theirs - {b"connection"} - (set() if parsed.minor else {b"expect"})


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    for head in (data, b"GET / HTTP/1.1\r\nHost: a\r\n" + data):
        with suppress(MessageRefused):
            parse_request_head(head)


BLOCK_LINES = st.sampled_from(
    [
        b"Host: a", b"Host: b", b"host:a", b"X: 1", b"X: 2", b"Cookie: a=1", b"Cookie: a=2",
        b"Content-Length: 5", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"X : 1",
        b"Connection: keep-alive", b"Connection: close", b"X_Y: 1", b"X-Y: 1", b"X: a\rb",
        b"X: \x00", b"Via: 1.1 legacy-bridge", b"X-Forwarded-For: 1", b"Upgrade: websocket",
        b"nonsense", b" x",
    ]
)  # fmt: skip
BLOCKS = st.lists(BLOCK_LINES, max_size=4).map(lambda lines: [b"Host: a", *lines])


@settings(max_examples=400, deadline=None)
@given(heads=st.lists(st.tuples(START_LINES, st.one_of(BLOCKS, st.lists(BLOCK_LINES))), max_size=6))
def test_a_connection_reads_each_head_as_if_it_were_the_first(
    heads: list[tuple[bytes, list[bytes]]],
) -> None:
    """What is remembered from one head to the next changes nothing but the time it takes."""
    reader = HeadReader()
    for start, lines in heads:
        head = b"\r\n".join([start, *lines])
        assert outcome(reader.read, head) == outcome(parse_request_head, head)


def outcome(read: Callable[[bytes], RequestHead], head: bytes) -> RequestHead | str:
    """The head, or why it is refused."""
    try:
        return read(head)
    except MessageRefused as refused:
        return f"{refused.status} {refused.detail}"


@pytest.mark.parametrize(
    ("quick", "slow"),
    [
        (b"Host: a\r\nX: 1", b"Host: a\r\nX: 1\r\nConnection: keep-alive, y"),
        (
            b"Host: a\r\nConnection: keep-alive\r\nContent-Length: 5",
            b"Host: a\r\nConnection: Keep-Alive, y\r\nContent-Length: 5",
        ),
        (b"Host: a:80", b"Connection: keep-alive, y\r\nHost: a:80"),
    ],
)
def test_the_short_way_reads_the_usual_head_as_the_long_way_does(quick: bytes, slow: bytes) -> None:
    start = b"GET /x HTTP/1.1\r\n"
    short = parse_request_head(start + quick)
    assert short.plain
    assert short._replace(plain=False) == parse_request_head(start + slow)
