"""What is added to the few requests that ask for more than their lines say; and to answers."""

import time
from typing import NamedTuple

from bridge.gateway.http.deadline import deadline_line
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.http.trailers import announced
from bridge.gateway.routes.route import Route

_NO_TRAILERS: frozenset[bytes] = frozenset()


class Special(NamedTuple):
    """What a request gets beside its own fields."""

    lines: bytes
    """Field lines, each with its CRLF."""
    trailers: frozenset[bytes]
    """Names of the trailers that may follow its body."""
    deadline: "Deadline | None" = None


def added(head: RequestHead, route: Route, host_line: bytes, said_ms: int | None) -> Special:
    """Return what a request gets beside its own fields and the forwarding ones.

    `host_line` is the upstream's, for clients that named none; `said_ms` is how long a trusted hop
    waits, if it said so.
    """
    found = Special(b"", _NO_TRAILERS) if head.plain else special(head, route, host_line)
    deadline = deadline_of(route, said_ms)
    if deadline is None or head.upgrade is not None:
        return found
    return Special(found.lines + deadline.line, found.trailers, deadline)


def special(head: RequestHead, route: Route, host_line: bytes) -> Special:
    """Return what a request that is not `plain` gets.

    Fields of this hop that were removed are written anew, as they hold for the next one: the
    handshake of a tunnel, and the wish for trailers.
    """
    lines, trailers = b"", _NO_TRAILERS
    if head.authority is None:
        lines += host_line + b"\r\n"
    if head.upgrade is not None:
        lines += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade
    if head.takes_trailers:
        lines += b"Connection: TE\r\nTE: trailers\r\n"
    if head.trailer and route.accepts.trailers:
        trailers = announced(head.trailer)
        if trailers:
            lines += b"Trailer: %b\r\n" % head.trailer
    return Special(lines, trailers)


def announcing(head: ResponseHead) -> tuple[ResponseHead, frozenset[bytes]]:
    """Announce the trailers of an answer to a client that reads them; also return their names."""
    names = announced(head.trailer)
    if names:
        head = head._replace(lines=[*head.lines, b"Trailer: " + head.trailer])
    return head, names


class Deadline:
    """When an exchange is over, and the line that tells the upstream how long that is."""

    __slots__ = ("line", "until")

    def __init__(self, total_s: float) -> None:
        self.until = time.monotonic() + total_s
        self.line = deadline_line(total_s)

    def renewed(self, data: bytes) -> bytes:
        """Return a request that had to wait, with what is left now."""
        before, self.line = self.line, deadline_line(self.until - time.monotonic())
        return data.replace(before, self.line, 1)


def deadline_of(route: Route, said_ms: int | None) -> Deadline | None:
    """Return the deadline of a request: the route's, or what a trusted hop said, if it is less."""
    total_s = route.phases.total_s
    if said_ms is not None:
        total_s = said_ms / 1000 if total_s is None else min(said_ms / 1000, total_s)
    return None if total_s is None else Deadline(total_s)


def has_key(head: RequestHead) -> bool:
    """Whether the client made the request repeatable."""
    return any(line[:16].lower() == b"idempotency-key:" for line in head.lines)
