"""The one retry there is (RFC 9110 9.2.2): a kept connection was closed, and it can do no harm."""

import asyncio
from collections.abc import Iterator

import pytest

from adapters.upstream.client import UpstreamClient
from adapters.upstream.pool import Pool
from bridge.gateway.routes.sections.accepts import Accepts
from bridge.model.errors import OutcomeUnknown
from bridge.model.http import HttpRequest
from tests.gateway.http.rig import Gateway, ports, route
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import GET, OK, Ended, Message, Wire

ROUTES = (
    route("all", "/{rest...}"),
    route("keyed", "/keyed", b"POST", accepts=Accepts(idempotency_key=True)),
)
KEY = b'Idempotency-Key: "k"\r\n'


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[Gateway]:
    with Gateway(ports(upstream), routes=ROUTES) as gateway:
        yield gateway


class Closing:
    """Close the connection instead of the first answers, perhaps after a few bytes of them."""

    def __init__(
        self, upstream: Upstream, path: bytes, *, times: int = 1, says: bytes = b""
    ) -> None:
        self.tries: list[bytes] = []
        self._times = times
        self._says = says
        upstream.at[path] = self

    def __call__(self, wire: Wire, request: Message) -> None:
        self.tries.append(request.body)
        if len(self.tries) <= self._times:
            wire.send(self._says)
            raise Ended
        wire.send(OK)


def warm(client: Wire) -> None:
    """Leave a kept connection to the upstream behind."""
    client.send(GET % b"/warm")
    assert client.message().status == 200


def request(method: bytes, path: bytes, fields: bytes, body: bytes) -> bytes:
    """A request with a body."""
    head = b"%b %b HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n"
    return head % (method, path, fields, len(body)) + body


AGAIN = {
    "get": (b"GET", b"/all", b"", b""),
    "head": (b"HEAD", b"/all", b"", b""),
    "options": (b"OPTIONS", b"/all", b"", b""),
    "put": (b"PUT", b"/all", b"", b"abc"),
    "delete": (b"DELETE", b"/all", b"", b""),
    "post-with-a-key": (b"POST", b"/keyed", KEY, b"abc"),
}


@pytest.mark.parametrize("pieces", [None, 9], ids=["whole", "pieces"])
@pytest.mark.parametrize(("method", "path", "fields", "body"), AGAIN.values(), ids=AGAIN)
def test_sent_again_once_with_its_body(
    method: bytes, path: bytes, fields: bytes, body: bytes, pieces: int | None,
    client: Wire, upstream: Upstream,
) -> None:  # fmt: skip
    closing = Closing(upstream, path)
    warm(client)
    raw = request(method, path, fields, body)
    client.send(raw) if pieces is None else client.dribble(raw, pieces)
    assert client.message(bodiless=method == b"HEAD").status == 200
    assert closing.tries == [body, body]


NEVER = {
    "post": (b"POST", b"/all", b"", b"abc"),
    "patch": (b"PATCH", b"/all", b"", b"abc"),
    "post-with-a-key-that-nobody-honours": (b"POST", b"/all", KEY, b"abc"),
    "post-without-a-key": (b"POST", b"/keyed", b"", b"abc"),
    "unknown-method": (b"REPORT", b"/all", b"", b""),
    "put-too-large-to-keep": (b"PUT", b"/all", b"", b"x" * 200_000),
}


@pytest.mark.parametrize(("method", "path", "fields", "body"), NEVER.values(), ids=NEVER)
def test_never_sent_again(
    method: bytes, path: bytes, fields: bytes, body: bytes, client: Wire, upstream: Upstream
) -> None:
    closing = Closing(upstream, path)
    warm(client)
    client.send(request(method, path, fields, body))
    answer = client.message()
    assert answer.status == 502
    assert answer.one(b"legacy-bridge-error") == b"upstream-lost"
    assert closing.tries == [body]


def test_a_second_loss_is_the_clients_to_know(client: Wire, upstream: Upstream) -> None:
    closing = Closing(upstream, b"/all", times=9)
    warm(client)
    client.send(GET % b"/all")
    assert client.message().status == 502
    assert len(closing.tries) == 2


@pytest.mark.parametrize("says", [b"H", OK[:-1], b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_never_after_a_byte_of_an_answer(says: bytes, gateway: Gateway, upstream: Upstream) -> None:
    closing = Closing(upstream, b"/all", says=says)
    with gateway.connect() as client:
        warm(client)
        client.send(GET % b"/all")
        client.rest() if says == OK[:-1] else client.until(b"502")
    assert len(closing.tries) == 1


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"POST"])
def test_the_write_path_sends_only_safe_requests_again(method: bytes, upstream: Upstream) -> None:
    """A second DELETE may be answered 404, which would be taken for the outcome."""

    async def main() -> int:
        pool = Pool("modern", "127.0.0.1", upstream.port)
        client = UpstreamClient(pool)

        async def send(target: bytes) -> int:
            asked = HttpRequest(method=method, target=target, headers=((b"Host", b"a"),))
            return (await client.exchange(asked, timeout_ms=5_000)).status

        try:
            await send(b"/warm")
            return await send(b"/stale")
        finally:
            pool.close()
            await asyncio.sleep(0)

    closing = Closing(upstream, b"/stale")
    if method == b"GET":
        assert asyncio.run(main()) == 200
    else:
        with pytest.raises(OutcomeUnknown):
            asyncio.run(main())
    assert len(closing.tries) == (2 if method == b"GET" else 1)
