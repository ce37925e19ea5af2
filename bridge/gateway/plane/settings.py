"""Limits and names of a worker's data plane, each with its reason."""

from dataclasses import dataclass

from bridge.gateway.http.edge import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneSettings:
    """Limits and names of a worker's data plane."""

    name: str = "legacy-bridge"
    """Pseudonym in Via; must differ between gateways that stand in one another's way."""
    hosts: frozenset[bytes] = frozenset()
    """Names that are served, lower case; every other Host gets 421. Empty: any."""
    trusted_hops: tuple[Network, ...] = ()
    """Peers whose forwarding fields are believed and appended to; others' are replaced."""
    trace: bool = False
    """Whether requests carry a W3C trace context, see `bridge.gateway.http.trace_context`."""
    connections_max: int = 10_000
    """Clients of one worker: about 20 kB each when idle, below the usual limit of descriptors."""
    handshake_ms: int = 10_000
    """For what precedes the first request: a balancer's PROXY header and the TLS handshake."""
    head_ms: int = 10_000
    """For a whole request head, from its first byte: a slow one is an attack or a dead link."""
    keep_alive_ms: int = 75_000
    """Idle between requests; the same as nginx, above what balancers before us use (60 s)."""
    body_idle_ms: int = 30_000
    """Between two reads of a request body."""
    body_rate_min: int = 64
    """Bytes per second that a request body must average once `body_idle_ms` have passed."""
    held_bytes_max: int = 64 * 1024 * 1024
    """Bodies of requests that are had whole (journalled, translated, rewritten), together: four of
    the largest that a route allows unless it says otherwise, or a thousand of 64 kB. A body is
    there twice for a moment, so a worker grows by twice this at most."""
    relay_idle_ms: int = 60_000
    """Between two reads of an answer, or of a client that does not take it."""
    answer_rate_min: int = 4_096
    """Bytes per second that a client must take on average while more waits for it than its buffer
    holds, once `relay_idle_ms` have passed: what a phone without 3G has."""
    write_wait_ms: int = 10_250
    """What a request that is taken whole may wait for beside its upstream: twice for its lane (its
    turn in this process, then who holds it elsewhere), and for replays."""
    write_margin_ms: int = 60_000
    """Beyond every wait that has a limit of its own, before such a request is given up: for commits
    of a journal in trouble. Who meets it has met a fault of ours."""
    tunnel_idle_ms: int = 600_000
    """Without a byte in either direction of a WebSocket."""
    drain_idle_ms: int = 1_000
    """How long a kept connection without a request is left open when the worker is told to stop:
    a request that is on its way is answered, with `Connection: close`."""
    handover_ms: int = 200
    """How long a shared port goes on accepting what was begun before the worker was told to stop:
    longer than the round trip of almost every client."""
    drain_ms: int = 10_000
    """For requests under way when the worker is told to stop."""
