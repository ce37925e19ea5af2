"""Gateways with doors, and clients that speak TLS or the PROXY protocol to them."""

import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

from adapters.upstream.dialling import SecureDialling
from bridge.gateway.plane.entrance import Door
from bridge.gateway.tls.certificate_files import CertificateFiles
from bridge.gateway.tls.client_identity import IdentityPart
from bridge.gateway.tls.contexts import (
    ClientTls,
    Reloading,
    ServerContexts,
    ServerTls,
    client_context,
)
from tests.gateway.edge.authority import Authority
from tests.gateway.http.rig import Gateway
from tests.gateway.http.wire import Wire
from tests.waiting import RecordingObserver

LOOPBACK = ip_network("127.0.0.0/8")


def tls_door(
    tls: ServerTls, identity: dict[IdentityPart, str] | None = None, *, proxied: bool = False
) -> Callable[[RecordingObserver], Door]:
    """Return how to make a door with TLS, behind a balancer on this machine if `proxied`."""

    def make(observer: RecordingObserver) -> Door:
        contexts: Reloading[ServerContexts] = Reloading(
            "listener test",
            tls.files(),
            lambda replacing: ServerContexts(tls, replacing=replacing),
            observer,
        )
        return Door(
            name="test",
            tls=contexts,
            identity=identity or {},
            proxied_by=(LOOPBACK,) if proxied else (),
        )

    return make


def simple_door(*certificates: CertificateFiles) -> Callable[[RecordingObserver], Door]:
    """Return how to make a door with these certificates."""
    return tls_door(ServerTls(certificates=certificates))


def secure(tls: ClientTls) -> Callable[[RecordingObserver], SecureDialling]:
    """Return how to make a secure way to an upstream."""

    def make(observer: RecordingObserver) -> SecureDialling:
        contexts: Reloading[ssl.SSLContext] = Reloading(
            "upstream test",
            tls.files(),
            lambda replacing: client_context(tls, replacing=replacing),
            observer,
        )
        return SecureDialling(tls=tls, contexts=contexts)

    return make


def trusting(ca_file: Path, own: CertificateFiles | None = None) -> ssl.SSLContext:
    """Return a client's context."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if own is not None:
        context.load_cert_chain(own.cert_file, own.key_file)
    return context


def connect(
    gateway: Gateway,
    authority: Authority,
    name: str = "a.example",
    *,
    own: CertificateFiles | None = None,
    before: bytes = b"",
) -> Wire:
    """Return a client's TLS connection; `before` is sent in the clear."""
    sock = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
    if before:
        sock.sendall(before)
    context = trusting(authority.file, own)
    return Wire(context.wrap_socket(sock, server_hostname=name))


def shown(wire: Wire) -> tuple[str, ...]:
    """Return the names in the certificate that the gateway showed."""
    assert isinstance(wire.sock, ssl.SSLSocket)
    certificate = wire.sock.getpeercert()
    assert certificate is not None
    names = certificate["subjectAltName"]
    return tuple(str(pair[1]) for pair in names)
