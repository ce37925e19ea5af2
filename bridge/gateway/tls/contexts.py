"""TLS contexts of a listener and of an upstream, built whole and swapped as one reference.

A new certificate is taken when its files change; open connections keep what they began with. One
that cannot be used leaves the last good one in force, and says so: a listener that stopped because
of half a copied file would be the worse failure.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Literal, TypeVar

from bridge.gateway.tls.certificate_files import (
    CertificateFacts,
    CertificateFiles,
    Stamp,
    check_files,
    load_authorities,
    load_chain,
    served_names,
    stamp,
    utc_now,
)
from bridge.gateway.tls.certificate_names import NameTable, normal_name
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer

ALPN: Final = ("http/1.1",)

T = TypeVar("T")

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """What a listener's TLS is made of."""

    certificates: tuple[CertificateFiles, ...]
    """The first is the one for names that no certificate is served for, unless refused."""
    refuse_unknown_names: bool = False
    min_version: Literal["1.2", "1.3"] = "1.2"
    client_certificates: Literal["none", "optional", "required"] = "none"
    client_ca_file: Path | None = None

    def files(self) -> tuple[Path, ...]:
        """Return every file that is read."""
        found = [path for each in self.certificates for path in (each.cert_file, each.key_file)]
        return (*found, *((self.client_ca_file,) if self.client_ca_file else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """What an upstream's TLS is made of; its certificate is always verified."""

    server_name: str
    """Sent as SNI and looked for in its certificate: a DNS name or an IP address."""
    ca_file: Path | None = None
    """Who may certify it; the machine's own authorities when absent."""
    certificate: CertificateFiles | None = None
    """What we show when it asks."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    unclean_end: bool = False
    """Whether an answer that ends with its connection may end without `close_notify`."""

    def files(self) -> tuple[Path, ...]:
        """Return every file that is read."""
        own = self.certificate
        found = (own.cert_file, own.key_file) if own else ()
        return (*found, *((self.ca_file,) if self.ca_file else ()))


class ServerContexts:
    """A listener's contexts of one moment; `front` is the one to begin a handshake with."""

    __slots__ = ("_by_context", "_contexts", "_names", "facts", "front")

    def __init__(self, tls: ServerTls, *, replacing: bool = False) -> None:
        """An expired certificate is better than no service, unless it is `replacing` another.

        Raises:
            ConfigInvalid: a file must not be used.
        """
        now = utc_now() if replacing else None
        self.facts: list[CertificateFacts] = []
        names = []
        self._contexts: list[ssl.SSLContext] = []
        for files in tls.certificates:
            facts = check_files(files, now)
            self.facts.append(facts)
            names.append(served_names(files, facts))
            context = _server_context(tls)
            load_chain(context, files)
            self._contexts.append(context)
        self._names = NameTable(names)
        self._by_context = {id(context): index for index, context in enumerate(self._contexts)}
        self.front = _server_context(tls)
        load_chain(self.front, tls.certificates[0])
        self._by_context[id(self.front)] = 0
        self.front.sni_callback = self._chooser(refuse=tls.refuse_unknown_names)

    def _chooser(
        self, *, refuse: bool
    ) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], int | None]:
        contexts, names = self._contexts, self._names

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
            index = None if name is None else names.find(name)
            if index is None:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if refuse else None
            connection.context = contexts[index]
            return None

        return choose

    def hosts_of(
        self, connection: ssl.SSLObject, among: frozenset[bytes]
    ) -> "CoveredHosts | frozenset[bytes] | None":
        """Return the hosts that may be asked for over a connection whose handshake is done.

        `among` are those that are served at all; empty, like None for an answer, means any.
        """
        if len(self._contexts) == 1:
            return among or None
        own = self._by_context[id(connection.context)]
        return CoveredHosts(self._names, own, among)


class CoveredHosts:
    """Hosts of requests that a connection's certificate is also chosen for (RFC 9110 7.4).

    What no certificate names is answered wherever the default one is shown.
    """

    __slots__ = ("_among", "_names", "_own")

    def __init__(self, names: NameTable, own: int, among: frozenset[bytes]) -> None:
        self._names = names
        self._own = own
        self._among = among

    def __contains__(self, host: object) -> bool:
        if self._among and host not in self._among:
            return False
        if host is None:
            return True  # HTTP/1.0 may leave it out: the certificate is all that was asked for.
        assert isinstance(host, bytes), host
        return (self._names.find(host.decode("ascii", "replace")) or 0) == self._own


def _server_context(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.set_alpn_protocols([*ALPN])
    # A peer that renegotiates makes us work at its will, and could change who it is half-way.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= ssl.OP_NO_COMPRESSION
    context.verify_mode = _VERIFY[tls.client_certificates]
    if tls.client_ca_file is not None:
        load_authorities(context, tls.client_ca_file)
    return context


def client_context(tls: ClientTls, *, replacing: bool = False) -> ssl.SSLContext:
    """Return the context for connections to an upstream; it verifies certificate and name.

    Raises:
        ConfigInvalid: a file must not be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert context.check_hostname, "TLS to upstreams is never unverified"
    context.minimum_version = _VERSIONS[tls.min_version]
    context.set_alpn_protocols([*ALPN])
    context.options |= ssl.OP_NO_RENEGOTIATION
    if tls.ca_file is not None:
        load_authorities(context, tls.ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.certificate is not None:
        check_files(tls.certificate, utc_now() if replacing else None)
        load_chain(context, tls.certificate)
    return context


class Reloading(Generic[T]):
    """Something that is made of files, and made again when they change.

    `make(replacing)` is told whether there is a good one already, which stays when it raises.
    """

    def __init__(
        self,
        what: str,
        files: tuple[Path, ...],
        make: Callable[[bool], T],
        observer: Observer,
    ) -> None:
        """`what` names it in notes. Raises `ConfigInvalid` when it cannot be made at all."""
        self._what = what
        self._files = files
        self._make = make
        self._observer = observer
        self._stamp: Stamp = stamp(files)
        self.current: T = make(False)

    def look(self, *, force: bool = False) -> bool:
        """Make it again if a file has changed, or by force; return whether there is a new one."""
        found = stamp(self._files)
        if found == self._stamp and not force:
            return False
        # Remembered even if it fails: the same bad files are not tried again every second.
        self._stamp = found
        try:
            self.current = self._make(True)
        except ConfigInvalid as exc:
            self._observer.note("tls_reload_failed", what=self._what, error=str(exc))
            return False
        self._observer.note("tls_reloaded", what=self._what)
        return True


def server_name_of(host: str) -> str:
    """Return what to look for in an upstream's certificate: its name in ASCII, or its address."""
    return normal_name(host) or host
