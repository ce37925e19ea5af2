"""The rate limits of routes: who asks, and what one hears who asks too often.

Fields as in draft-ietf-httpapi-ratelimit-headers-10; 429 by RFC 6585 4.
"""

import time
from collections.abc import Callable
from hashlib import blake2b
from math import ceil
from typing import NamedTuple

from bridge.gateway.http.edge import Edge
from bridge.gateway.http.problems import problem
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.protection.token_bucket import Spending, Taken, TokenBuckets
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.protection import ClientPlace, RateLimit
from bridge.gateway.routes.token_keys import claim_of
from bridge.model.http import HttpResponse


class _Limits(NamedTuple):
    rules: tuple[RateLimit, ...]
    buckets: tuple[TokenBuckets, ...]


class RateLimiter:
    """The limits of all routes, in one worker; a route's are made when its first request comes."""

    def __init__(
        self,
        spending: Spending | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._spending = spending
        self._limits: dict[tuple[str, str], _Limits] = {}

    def refuse(self, route: Route, edge: Edge, head: RequestHead) -> HttpResponse | None:
        """Take a token from each limit of `route`; return the refusal when one has none."""
        rules = route.protection.rate_limits
        found = self._limits.get((route.group, route.route_id))
        if found is None or found.rules != rules:
            # New, or changed by new route files; those that did not change keep their buckets.
            found = self._limits[route.group, route.route_id] = self._made(route)
        for rule, buckets in zip(rules, found.buckets, strict=True):
            place = rule.client
            if place is None:
                key = ""
            elif edge.known_by[0] is head.lines and edge.known_by[1] is place:
                key = edge.known_by[2]  # The very fields of the request before.
            else:
                key = client_key(place, edge, head)
                if not key.startswith("address:"):
                    edge.known_by = (head.lines, place, key)
            taken = buckets.take(key, self._clock())
            if not taken.ok:
                return _refusal(rule, taken)
        return None

    def _made(self, route: Route) -> _Limits:
        rules = route.protection.rate_limits
        buckets = tuple(
            TokenBuckets(
                rule.rate,
                rule.burst or rule.requests,
                spending=self._spending,
                salt=f"{route.group}/{route.route_id}/{number}",
            )
            for number, rule in enumerate(rules)
        )
        return _Limits(rules, buckets)


def client_key(place: ClientPlace, edge: Edge, head: RequestHead) -> str:
    """Return what tells the client of a request from others; no credential is in it."""
    found: bytes | None = None
    kind = "address"
    if place.header is not None:
        kind, found = "header", _field(head, place.header)
    elif place.cookie is not None:
        kind, found = "cookie", _cookie(head, place.cookie)
    elif place.claim is not None:
        token = _field(head, "Authorization")
        text = None if token is None else claim_of(token.decode("latin-1"), place.claim, None)
        kind, found = "claim", None if text is None else text.encode()
    if not found:
        return "address:" + edge.client_address(head)
    return f"{kind}:{blake2b(found, digest_size=16).hexdigest()}"


def _field(head: RequestHead, name: str) -> bytes | None:
    wanted = name.lower().encode("ascii") + b":"
    size = len(wanted)
    for line in head.lines:
        if line[:size].lower() == wanted:
            return line[size:].strip(b" \t")
    return None


def _cookie(head: RequestHead, name: str) -> bytes | None:
    wanted = name.encode("ascii")
    for line in head.lines:
        if line[:7].lower() == b"cookie:":
            for pair in line[7:].split(b";"):
                own, _, value = pair.strip(b" \t").partition(b"=")
                if own == wanted:
                    return value
    return None


def _refusal(rule: RateLimit, taken: Taken) -> HttpResponse:
    wait_s = max(1, ceil(taken.wait_s))
    seconds = max(1, ceil(rule.per_s))
    retry = (b"Retry-After", b"%d" % wait_s)
    if rule.client is None:
        detail = f"this route takes {rule.requests} requests in {rule.per_s} s"
        return problem(503, "route-rate-limited", detail, (retry,))
    policy = b'"client";q=%d;w=%d' % (rule.requests, seconds)
    left = b'"client";r=%d;t=%d' % (taken.left, wait_s)
    detail = f"a client may send {rule.requests} requests in {rule.per_s} s"
    headers = (retry, (b"RateLimit-Policy", policy), (b"RateLimit", left))
    return problem(429, "rate-limited", detail, headers)
