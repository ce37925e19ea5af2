"""Rate limits of routes: who is limited, by what, and what one hears."""

import base64
import json
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.routes.sections.protection import ClientPlace, ProtectionRules, RateLimit
from tests.gateway.http.rig import Gateway, ports, route
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message

LOOPBACK = ip_network("127.0.0.0/8")


def limited(place: ClientPlace | None) -> ProtectionRules:
    """Return two requests at once, and one in an hour after that."""
    return ProtectionRules(rate_limits=(RateLimit(requests=1, per_s=3_600, burst=2, client=place),))


ROUTES = [
    route("address", "/address", protection=limited(ClientPlace(address=True))),
    route("header", "/header", protection=limited(ClientPlace(header="X-Api-Key"))),
    route("cookie", "/cookie", protection=limited(ClientPlace(cookie="session"))),
    route("claim", "/claim", protection=limited(ClientPlace(claim="sub"))),
    route("route", "/route", protection=limited(None)),
    route("free", "/{rest...}"),
]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream that answers 200."""
    running = Upstream()
    yield running
    running.close()


def ask(gateway: Gateway, path: str, line: bytes = b"") -> Message:
    with gateway.connect() as client:
        client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (path.encode(), line))
        return client.message()


def token(subject: str) -> bytes:
    parts = (json.dumps(each).encode() for each in ({"alg": "none"}, {"sub": subject}))
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return b"Authorization: Bearer %b.%b\r\n" % (text, b"c2ln")


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        ("/header", b"x-api-key: k1\r\n", b"X-Api-Key: k2\r\n"),
        ("/cookie", b"Cookie: a=1; session=s1\r\n", b"Cookie: session=s2\r\n"),
        ("/claim", token("ana"), token("ben")),
    ],
)
def test_each_client_has_its_own_limit(
    upstream: Upstream, path: str, one: bytes, other: bytes
) -> None:
    with Gateway(ports(upstream), routes=ROUTES) as gateway:
        assert [ask(gateway, path, one).status for _ in range(4)] == [200, 200, 429, 429]
        assert ask(gateway, path, other).status == 200
        assert ask(gateway, path).status == 200  # Without one, the address counts.
        assert ask(gateway, "/free", one).status == 200
    assert len(upstream.received) == 5


def test_the_answer_says_when_to_come_again(upstream: Upstream) -> None:
    with Gateway(ports(upstream), routes=ROUTES) as gateway, gateway.connect() as client:
        for _ in range(3):
            client.send(b"POST /address HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            answer = client.message()
    assert answer.status == 429
    assert answer.one(b"legacy-bridge-error") == b"rate-limited"
    assert 3_500 < int(answer.one(b"Retry-After") or 0) <= 3_600
    assert answer.one(b"RateLimit-Policy") == b'"client";q=1;w=3600'
    left = answer.one(b"RateLimit")
    assert left is not None
    assert left.startswith(b'"client";r=0;t=3')
    assert answer.one(b"Connection") is None  # The connection goes on.


def test_a_route_s_own_limit_is_nobody_s_fault(upstream: Upstream) -> None:
    with Gateway(ports(upstream), routes=ROUTES) as gateway:
        answers = [ask(gateway, "/route", b"X-Api-Key: k%d\r\n" % n) for n in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 503]
    assert answers[-1].one(b"Retry-After") is not None
    assert answers[-1].one(b"RateLimit") is None


def test_behind_a_trusted_hop_the_client_is_whom_it_names(upstream: Upstream) -> None:
    settings = PlaneSettings(trusted_hops=(LOOPBACK,), drain_ms=200, drain_idle_ms=0)
    with Gateway(ports(upstream), routes=ROUTES, settings=settings) as gateway:
        for name in (b"192.0.2.1", b"192.0.2.2", b"spoofed, 192.0.2.3", b"2001:db8::1, 127.0.0.2"):
            line = b"X-Forwarded-For: %b\r\n" % name
            told = [ask(gateway, "/address", line).status for _ in range(3)]
            assert told == [200, 200, 429], name
        # What the client itself wrote before the hop's word gives it no new bucket.
        line = b"X-Forwarded-For: 198.51.100.9, 192.0.2.3\r\n"
        assert ask(gateway, "/address", line).status == 429
    with Gateway(ports(upstream), routes=ROUTES) as gateway:
        told = [
            ask(gateway, "/address", b"X-Forwarded-For: 192.0.2.%d\r\n" % n).status
            for n in range(3)
        ]
        assert told == [200, 200, 429]


def test_a_switch_keeps_the_buckets(upstream: Upstream) -> None:
    with Gateway(ports(upstream), routes=ROUTES) as gateway:
        assert [ask(gateway, "/route").status for _ in range(3)] == [200, 200, 503]
        gateway.generation.value += 1
        assert ask(gateway, "/route").status == 503
