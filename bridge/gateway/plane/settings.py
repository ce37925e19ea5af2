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
    connections_max: int = 10_000
    """Clients of one worker: about 20 kB each when idle, below the usual limit of descriptors."""
    head_ms: int = 10_000
    """For a whole request head, from its first byte: a slow one is an attack or a dead link."""
    keep_alive_ms: int = 75_000
    """Idle between requests; the same as nginx, above what balancers before us use (60 s)."""
    body_idle_ms: int = 30_000
    """Between two reads of a request body."""
    body_rate_min: int = 64
    """Bytes per second that a request body must average once `body_idle_ms` have passed."""
    relay_idle_ms: int = 60_000
    """Between two reads of an answer, or of a client that does not take it."""
    tunnel_idle_ms: int = 600_000
    """Without a byte in either direction of a WebSocket."""
    drain_ms: int = 10_000
    """For requests under way when the worker is told to stop."""
