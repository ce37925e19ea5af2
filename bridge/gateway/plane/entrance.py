"""What comes before HTTP on a listener: the PROXY protocol's header, then the TLS handshake.

A listener with neither has no entrance: its connections are a client's from the first byte.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, TypeAlias, cast

from bridge.gateway.http.edge import Network, Origin
from bridge.gateway.http.proxy_protocol import ProxyRefused, read_proxy_header
from bridge.gateway.plane.client_connection import ClientConnection
from bridge.gateway.plane.plane import Plane
from bridge.gateway.tls.client_identity import IdentityPart, identity_fields
from bridge.gateway.tls.contexts import Reloading, ServerContexts
from bridge.gateway.tls.transport import TlsTransport

# A balancer's header and a handshake that have not come when we drain will hardly bring a request.
_DRAIN_S: Final = 1.0

NewClient: TypeAlias = Callable[[Plane, Origin | None], ClientConnection]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How clients come in by one listener."""

    name: str = "default"
    proxied_by: tuple[Network, ...] = ()
    """Who must begin each connection with a PROXY header; nobody else may connect. Empty: there is
    no such header."""
    tls: Reloading[ServerContexts] | None = None
    identity: Mapping[IdentityPart, str] = field(default_factory=dict)
    """Names of the fields that tell an application who the client's certificate is of."""
    client: NewClient = ClientConnection
    """What takes a connection once HTTP begins."""

    def connection(self, plane: Plane) -> asyncio.Protocol:
        """Return what takes a new connection."""
        if self.tls is None and not self.proxied_by:
            return self.client(plane, None)
        return Entrance(plane, self)


class Entrance(asyncio.Protocol):
    """One connection until its first byte of HTTP; then a `ClientConnection` has it."""

    __slots__ = (
        "_address", "_buffer", "_contexts", "_door", "_plane", "_raw", "_secure", "deadline",
    )  # fmt: skip

    def __init__(self, plane: Plane, door: Door) -> None:
        self._plane = plane
        self._door = door
        self._raw: asyncio.Transport
        self._buffer = b""
        self._address = ""
        self._secure = False
        self._contexts: ServerContexts | None = None
        self.deadline = plane.now + plane.settings.handshake_ms / 1000

    # -- the event loop's side ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the wire."""
        self._raw = cast(asyncio.Transport, transport)
        plane, door = self._plane, self._door
        peer = transport.get_extra_info("peername")
        if not peer or len(plane.connections) >= plane.settings.connections_max:
            # No answer without a handshake, and none is begun: it is what overload is made of.
            self._refuse("too_many" if peer else "gone")
            return
        self._address = peer[0]
        plane.connections.add(self)
        if not door.proxied_by:
            self._enter(b"")
        elif not _is_in(peer[0], door.proxied_by):
            self._refuse("proxy_not_trusted")

    def data_received(self, data: bytes) -> None:
        """Take bytes of the PROXY header."""
        self._buffer += data
        try:
            said = read_proxy_header(self._buffer)
        except ProxyRefused:
            self._refuse("proxy_malformed")
            return
        if said is None:
            return
        if said.address is not None:
            self._address = said.address
        self._secure = said.tls
        rest, self._buffer = self._buffer[said.size :], b""
        self._enter(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone before it said anything."""
        self._plane.connections.discard(self)

    # -- the worker's side ----------------------------------------------------------------------

    is_done = False

    def expired(self) -> None:
        """Neither header nor handshake in time."""
        self._refuse("timeout")

    def drain(self) -> None:
        """Wait a little: its request may be on its way."""
        self.deadline = min(self.deadline, self._plane.now + _DRAIN_S)

    def abort(self) -> None:
        """Close at once."""
        self._plane.connections.discard(self)
        self._raw.abort()

    # -- inside ---------------------------------------------------------------------------------

    def _refuse(self, why: str) -> None:
        self._plane.turned_away["connection_refused", self._door.name, why] += 1
        self.abort()

    def _enter(self, rest: bytes) -> None:
        raw, tls = self._raw, self._door.tls
        if tls is None:
            self._plane.connections.discard(self)
            client = self._door.client(self._plane, self._origin(None))
            raw.set_protocol(client)
            client.connection_made(raw)
            if rest:
                client.data_received(rest)
            return
        self._contexts = tls.current
        secured = TlsTransport(self._contexts.front, open_app=self._secured, failed=self._failed)
        raw.set_protocol(secured)
        secured.connection_made(raw)
        if rest:
            secured.data_received(rest)

    def _secured(self, transport: TlsTransport) -> asyncio.Protocol:
        self._plane.connections.discard(self)
        self._secure = True
        return self._door.client(self._plane, self._origin(transport.ssl_object))

    def _failed(self, why: Exception) -> None:
        self._plane.connections.discard(self)
        reason = getattr(why, "reason", None) or type(why).__name__
        self._plane.turned_away["handshake_failed", self._door.name, reason.lower()] += 1

    def _origin(self, secured: ssl.SSLObject | None) -> Origin:
        scheme = b"https" if self._secure else b"http"
        hosts = self._plane.hosts
        if secured is None:
            return Origin(self._address, scheme, (), hosts or None)
        assert self._contexts is not None, "secured without contexts"
        certificate = secured.getpeercert(binary_form=True)
        names = self._door.identity
        identity = identity_fields(certificate, names) if certificate and names else ()
        return Origin(self._address, scheme, identity, self._contexts.hosts_of(secured, hosts))


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    parsed = ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)
