"""Answers that break RFC 9112 become 502, and cut ones never look whole."""

import threading

import pytest

from tests.gateway.http.rig import Gateway
from tests.gateway.http.upstream import Behaviour, Upstream, replies, replies_and_closes
from tests.gateway.http.wire import DEADLINE_S, OK, Ended, Message, Wire

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

MALFORMED = (
    ("9112-6.3-cl-and-te", HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok"),
    ("9112-6.3-cl-repeated", HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    ("9112-6.3-cl-differing", HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    ("9110-8.6-cl-plus", HEAD + b"Content-Length: +2\r\n\r\nok"),
    ("9110-8.6-cl-list", HEAD + b"Content-Length: 2, 2\r\n\r\nok"),
    ("9110-8.6-cl-empty", HEAD + b"Content-Length:\r\n\r\nok"),
    ("9112-6.1-te-unknown", HEAD + b"Transfer-Encoding: gzip\r\n\r\nok"),
    ("9112-6.1-te-twice", HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("9112-6.1-te-in-1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("9112-2.2-bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok"),
    ("9112-2.2-field-bare-cr", HEAD + b"X: a\rb\r\nContent-Length: 2\r\n\r\nok"),
    ("9110-5.5-field-nul", HEAD + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok"),
    ("9112-5.1-space-before-colon", HEAD + b"Content-Length : 2\r\n\r\nok"),
    ("9112-5.2-folded", HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    ("9112-5-no-colon", HEAD + b"nonsense\r\nContent-Length: 2\r\n\r\nok"),
    ("9110-7.6.1-nominates-length", HEAD + b"Connection: content-length\r\n\r\n"),
    ("9110-7.6.1-nominates-cookie", HEAD + b"Connection: set-cookie\r\nSet-Cookie: a=1\r\n\r\n"),
    ("9112-4-no-version", b"200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("9112-4-version-2", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("9112-4-two-spaces", b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("9110-15-status-two-digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("9110-15-status-four-digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("9110-15-status-099", b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("9110-15-status-600", b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("9110-15-status-letters", b"HTTP/1.1 2xx OK\r\nContent-Length: 2\r\n\r\nok"),
    ("6585-5-head-long", HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n"),
    ("6585-5-fields-many", HEAD + b"X: y\r\n" * 101 + b"\r\n"),
    ("9110-15.2-interims-endless", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40),
    ("9112-7.1-first-chunk-broken", CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n"),
    ("no-http-at-all", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("6455-4-101-unasked", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
)


@pytest.mark.parametrize(("id_", "raw"), MALFORMED, ids=[id_ for id_, _ in MALFORMED])
def test_malformed_answer_is_502(id_: str, raw: bytes, client: Wire, upstream: Upstream) -> None:
    upstream.at[b"/bad"] = replies(raw)
    client.send(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n")
    if "interims" in id_:
        while client.message(bodiless=True).status == 103:
            pass
        return
    answer = client.message()
    assert answer.status == 502
    assert answer.one(b"legacy-bridge-error") == b"upstream-malformed" or "101" in id_
    # The client did nothing wrong: its connection goes on, the upstream's does not.
    client.send(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.message().body == b"ok"


CUT = (
    ("9112-8-short-length", HEAD + b"Content-Length: 10\r\n\r\nshort"),
    ("9112-8-cut-chunk", CHUNKED + b"a\r\nshort"),
    ("9112-8-no-last-chunk", CHUNKED + b"5\r\nshort\r\n"),
    ("9112-8-no-trailer-end", CHUNKED + b"5\r\nshort\r\n0\r\n"),
)


@pytest.mark.parametrize(("id_", "raw"), CUT, ids=[id_ for id_, _ in CUT])
def test_cut_answer_never_ends_cleanly(
    id_: str, raw: bytes, gateway: Gateway, upstream: Upstream
) -> None:
    upstream.at[b"/cut"] = replies_and_closes(raw)
    for version in (b"1.1", b"1.0"):
        with gateway.connect() as client:
            client.send(b"GET /cut HTTP/%b\r\nHost: a\r\n\r\n" % version)
            if version == b"1.0" and CHUNKED in raw:
                # Its body ends with the connection: only a reset tells a cut one from a whole one.
                with pytest.raises(ConnectionResetError):
                    drain(client)
            else:
                with pytest.raises(Ended):
                    client.message()


def drain(client: Wire) -> None:
    """Read to the end, of whatever kind it is."""
    while client.sock.recv(65_536):
        pass


def test_broken_chunk_after_a_good_one_cuts_the_answer(client: Wire, upstream: Upstream) -> None:
    begun = threading.Event()

    def behave(wire: Wire, _: Message) -> None:
        wire.send(CHUNKED + b"2\r\nok\r\n")
        assert begun.wait(DEADLINE_S)
        wire.send(b"zz\r\n")

    upstream.at[b"/broken"] = behave
    client.send(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.until(b"ok\r\n")
    begun.set()
    assert client.rest() == b""


def test_9112_6_3_a_body_until_close_is_chunked_for_1_1(client: Wire, upstream: Upstream) -> None:
    upstream.at[b"/close"] = replies_and_closes(b"HTTP/1.0 200 OK\r\nX: 1\r\n\r\nto the end")
    client.send(b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = client.message()
    assert answer.start == b"HTTP/1.1 200 OK"
    assert answer.one(b"transfer-encoding") == b"chunked"
    assert answer.one(b"via") == b"1.0 legacy-bridge"
    assert answer.body == b"to the end"
    client.send(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.message().body == b"ok"


def test_a_reset_in_a_body_until_close_cuts_the_answer(client: Wire, upstream: Upstream) -> None:
    begun = threading.Event()

    def behave(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.0 200 OK\r\n\r\npart")
        assert begun.wait(DEADLINE_S)
        wire.reset()

    upstream.at[b"/reset"] = behave
    client.send(b"GET /reset HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.until(b"part\r\n")
    begun.set()
    assert client.rest() == b""


@pytest.mark.parametrize(
    "raw",
    [OK + b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled", OK + b"x"],
    ids=["whole", "byte"],
)
def test_9112_6_3_what_follows_an_answer_is_nobodys(
    raw: bytes, client: Wire, upstream: Upstream
) -> None:
    upstream.at[b"/more"] = replies(raw)
    for _ in range(3):
        client.send(b"GET /more HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.message().body == b"ok"
        client.send(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.message().body == b"ok"


def behaviour_of(head: bytes) -> Behaviour:
    """Answer with a head that forbids a body, and a body."""
    return replies(head + b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_9112_6_3_a_body_where_none_may_be_is_thrown_away(
    head: bytes, client: Wire, upstream: Upstream
) -> None:
    upstream.at[b"/none"] = behaviour_of(head)
    client.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.message(bodiless=True).status in (204, 304)
    client.send(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.message().body == b"ok"
