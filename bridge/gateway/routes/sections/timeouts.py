"""How long each phase of an exchange may take: `timeouts:` of a route."""

from typing import NamedTuple

from bridge.gateway.routes.sections.section import Count, Section


class Phases(NamedTuple):
    """The limits of one route as its requests use them, in seconds; None is the worker's own."""

    first_byte_s: float
    connect_s: float | None
    idle_s: float | None
    total_s: float | None
    tunnel_idle_s: float | None
    tunnel_drain_s: float
    whole_ms: int
    """For an exchange whose answer is gathered whole (journalled, translated, replayed)."""


class Timeouts(Section):
    """Limits per phase; `timeout_ms` beside it is the short form of `first_byte_ms`."""

    connect_ms: Count | None = None
    """For a connection to the upstream, its place in the queue included. The pool's own limit
    (`wait_ms` of the upstream) holds in any case."""
    first_byte_ms: Count | None = None
    """From the last byte of the request to the head of the answer; `timeout_ms` without it."""
    idle_ms: Count | None = None
    """Between two reads of an answer's body; the gateway's `relay_idle_ms` without it."""
    total_ms: Count | None = None
    """From the head of the request to the last byte of the answer, and then no longer. What is left
    of it is told to the upstream in `X-Request-Deadline-Ms`. No limit without it: server-sent
    events may go on for days. It does not hold for tunnels."""
    tunnel_idle_ms: Count | None = None
    """Without a byte in either direction of a WebSocket; the gateway's own without it."""
    tunnel_drain_ms: Count = 30_000
    """How long an open WebSocket may go on after a switch has given its route to another side, so
    that its client connects anew; most clients do so by themselves within seconds."""

    def phases(self, timeout_ms: int) -> Phases:
        """Return the limits in force, `timeout_ms` being the route's short form."""
        total_ms = self.total_ms
        return Phases(
            first_byte_s=(self.first_byte_ms or timeout_ms) / 1000,
            connect_s=_seconds(self.connect_ms),
            idle_s=_seconds(self.idle_ms),
            total_s=_seconds(total_ms),
            tunnel_idle_s=_seconds(self.tunnel_idle_ms),
            tunnel_drain_s=self.tunnel_drain_ms / 1000,
            whole_ms=timeout_ms if total_ms is None else total_ms,
        )


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
