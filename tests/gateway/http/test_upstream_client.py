"""Whole exchanges: what provably was not sent, what may have happened, what is never reused."""

import asyncio
import functools
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec

import pytest

from adapters.upstream.client import UpstreamClient
from adapters.upstream.pool import Pool, PoolLimits
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from tests.gateway.http.upstream import Upstream, hangs, replies, replies_and_closes
from tests.gateway.http.wire import DEADLINE_S, OK, Ended, Message, Wire
from tests.waiting import wait_until_async

PUT = HttpRequest(
    method=b"PUT",
    target=b"/x?y=%2F",
    headers=((b"hOst", b"a"), (b"X-b", b"1"), (b"Content-Length", b"99"), (b"x-B", b"2")),
    body=b"{}",
)

P = ParamSpec("P")


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


Exchange = Callable[[HttpRequest], Awaitable[HttpResponse]]


@asynccontextmanager
async def client_of(
    port: int, *, timeout_ms: int = 5_000, answer_bytes_max: int = 1 << 20, connections_max: int = 8
) -> AsyncIterator[tuple[Exchange, Pool]]:
    """A client with a pool of its own."""
    limits = PoolLimits(connections_max=connections_max, wait_ms=300)
    pool = Pool("modern", "127.0.0.1", port, limits=limits)
    client = UpstreamClient(pool, answer_bytes_max=answer_bytes_max)

    async def exchange(request: HttpRequest) -> HttpResponse:
        return await client.exchange(request, timeout_ms=timeout_ms)

    try:
        yield exchange, pool
    finally:
        pool.close()
        await asyncio.sleep(0)


def at(upstream: Upstream, path: bytes) -> HttpRequest:
    """The request, to a path of its own."""
    return HttpRequest(method=b"PUT", target=path, headers=PUT.headers, body=PUT.body)


@in_loop
async def test_a_whole_exchange_keeps_fields_and_frames_by_itself(upstream: Upstream) -> None:
    upstream.at[b"/x"] = replies(
        b"HTTP/1.1 201 Made it\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\nx-a: 2\r\n"
        b"Connection: keep-alive\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    async with client_of(upstream.port) as (exchange, pool):
        for _ in range(3):
            answer = await exchange(PUT)
            assert (answer.status, answer.reason, answer.body) == (201, b"Made it", b"ok")
            assert answer.headers == ((b"X-A", b"1"), (b"x-a", b"2"))
        assert pool.connection_count == 1
    got = upstream.received[-1]
    assert got.start == b"PUT /x?y=%2F HTTP/1.1"
    assert got.fields == [
        (b"hOst", b"a"), (b"X-b", b"1"), (b"x-B", b"2"), (b"Content-Length", b"2"),
    ]  # fmt: skip
    assert got.body == b"{}"


@in_loop
async def test_no_listener_is_provably_nothing_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with client_of(port) as (exchange, _):
        with pytest.raises(UpstreamUnavailable, match="connection refused"):
            await exchange(PUT)


@in_loop
async def test_a_full_pool_is_provably_nothing_sent(upstream: Upstream) -> None:
    over = threading.Event()
    upstream.at[b"/hold"] = hangs(over)
    async with client_of(upstream.port, connections_max=1, timeout_ms=100) as (exchange, pool):
        holder = UpstreamClient(pool).exchange(at(upstream, b"/hold"), timeout_ms=10_000)
        first = asyncio.ensure_future(holder)
        await wait_until_async(lambda: upstream.requests_to(b"/hold"))
        with pytest.raises(UpstreamUnavailable, match="no connection within 100 ms"):
            await exchange(PUT)
        over.set()
        with pytest.raises(OutcomeUnknown):
            await first


LOST = (
    ("hang", None, "no whole answer within 300 ms"),
    ("closed", replies_and_closes(b""), "closed the connection before an answer"),
    ("cut-head", replies_and_closes(b"HTTP/1.1 200"), "closed the connection within"),
    ("cut-body", replies_and_closes(OK[:-1]), "closed the connection within"),
    ("malformed", replies(b"nonsense\r\n\r\n"), "breaks HTTP/1.1"),
    (
        "too-large",
        replies(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"x" * 300),
        "larger",
    ),
    ("switched", replies(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n"), "switched protocols"),
)


@pytest.mark.parametrize(("name", "behaviour", "why"), LOST, ids=[name for name, _, _ in LOST])
@in_loop
async def test_after_sending_the_outcome_is_unknown(
    name: str, behaviour: Callable[[Wire, Message], None] | None, why: str, upstream: Upstream
) -> None:
    over = threading.Event()
    path = b"/lost-" + name.encode()
    upstream.at[path] = behaviour or hangs(over)
    async with client_of(upstream.port, timeout_ms=300, answer_bytes_max=200) as (exchange, _):
        await exchange(at(upstream, b"/warm"))
        for _ in range(2):
            with pytest.raises(OutcomeUnknown, match=why):
                await exchange(at(upstream, path))
            # What was half read is closed, so that the next answer is the next request's.
            assert (await exchange(at(upstream, b"/fine"))).body == b"ok"
        over.set()
    assert len(upstream.requests_to(path)) == 2


@in_loop
async def test_who_waits_for_a_connection_gets_none_that_is_closed(upstream: Upstream) -> None:
    go, gone = threading.Event(), threading.Event()

    def behave(wire: Wire, _: Message) -> None:
        assert go.wait(DEADLINE_S)
        wire.send(OK)
        wire.close()
        gone.set()
        raise Ended

    upstream.at[b"/last"] = behave
    async with client_of(upstream.port, connections_max=1) as (exchange, _):
        first = asyncio.ensure_future(exchange(at(upstream, b"/last")))
        await wait_until_async(lambda: upstream.requests_to(b"/last"))
        second = asyncio.ensure_future(exchange(at(upstream, b"/next")))
        await asyncio.sleep(0)
        go.set()
        assert gone.wait(DEADLINE_S)  # Answer and end are both there before we read the first.
        assert (await first).body == b"ok"
        assert (await second).body == b"ok"


@in_loop
async def test_a_cancelled_exchange_closes_its_connection(upstream: Upstream) -> None:
    arrived, closed = threading.Event(), threading.Event()

    def behave(wire: Wire, _: Message) -> None:
        arrived.set()
        if wire.more() == b"":
            closed.set()
        raise Ended

    upstream.at[b"/cancelled"] = behave
    async with client_of(upstream.port) as (exchange, pool):
        task = asyncio.ensure_future(exchange(at(upstream, b"/cancelled")))
        assert await asyncio.to_thread(arrived.wait, DEADLINE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(closed.wait, DEADLINE_S)
        assert pool.connection_count == 0


@in_loop
async def test_fifty_at_once_share_eight_connections(upstream: Upstream) -> None:
    async with client_of(upstream.port) as (exchange, pool):
        answers = await asyncio.gather(*(exchange(at(upstream, b"/many")) for _ in range(50)))
        assert [answer.body for answer in answers] == [b"ok"] * 50
        assert pool.connection_count <= 8


@in_loop
async def test_a_marked_request_is_told_what_is_left_when_it_is_sent(upstream: Upstream) -> None:
    marked = HttpRequest(
        method=b"PUT", target=b"/x", headers=((b"Host", b"a"), (b"X-Request-Deadline-Ms", b"99999"))
    )
    async with client_of(upstream.port, timeout_ms=3_000) as (exchange, _):
        await exchange(marked)
    left = upstream.received[-1].one(b"x-request-deadline-ms")
    assert left is not None
    assert 2_000 < int(left) <= 3_000


@in_loop
async def test_9110_8_6_a_length_without_a_body_is_the_upstreams_word(upstream: Upstream) -> None:
    upstream.at[b"/h"] = replies(b"HTTP/1.1 200 OK\r\nContent-Length: 321\r\n\r\n")
    async with client_of(upstream.port) as (exchange, _):
        answer = await exchange(HttpRequest(method=b"HEAD", target=b"/h", headers=()))
        assert answer.header(b"content-length") == b"321"
        upstream.at[b"/h"] = replies(OK)
        answer = await exchange(HttpRequest(method=b"GET", target=b"/h", headers=()))
        assert answer.header(b"content-length") is None
