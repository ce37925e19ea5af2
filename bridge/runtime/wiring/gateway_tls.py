"""What TLS of listeners and upstreams is made of, from the settings."""

import ssl
from urllib.parse import urlsplit

from adapters.upstream.dialling import SecureDialling
from bridge.gateway.tls.certificate_files import CertificateFiles
from bridge.gateway.tls.contexts import (
    ClientTls,
    Reloading,
    ServerTls,
    client_context,
    server_name_of,
)
from bridge.model.observer import Observer
from bridge.runtime.configuration.gateway_settings import ListenerSettings, UpstreamSettings


def server_tls(listener: ListenerSettings) -> ServerTls | None:
    """Return what a listener's TLS is made of; None without."""
    tls = listener.tls
    if tls is None:
        return None
    return ServerTls(
        certificates=tuple(
            CertificateFiles(cert_file=each.cert_file, key_file=each.key_file, names=each.names)
            for each in tls.certificates
        ),
        refuse_unknown_names=tls.unknown_names == "refuse",
        min_version=tls.min_version,
        client_certificates=tls.client_certificates,
        client_ca_file=tls.client_ca_file,
    )


def address(upstream: UpstreamSettings) -> tuple[str, int]:
    """Return host and port of an upstream's URL."""
    parts = urlsplit(upstream.url)
    assert parts.hostname is not None, "the settings' pattern demands a host"
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def secure_dialling(
    name: str, upstream: UpstreamSettings, observer: Observer
) -> SecureDialling | None:
    """Return how TLS to an upstream is spoken; None when its URL does not ask for it.

    Raises:
        ConfigInvalid: a file must not be used.
    """
    if not upstream.url.startswith("https:"):
        return None
    given = upstream.tls
    own = None
    if given is not None and given.cert_file is not None and given.key_file is not None:
        own = CertificateFiles(cert_file=given.cert_file, key_file=given.key_file)
    asked = given.server_name if given is not None and given.server_name else address(upstream)[0]
    tls = ClientTls(
        server_name=server_name_of(asked),
        ca_file=given.ca_file if given else None,
        certificate=own,
        min_version=given.min_version if given else "1.2",
        unclean_end=given.unclean_end if given else False,
    )
    made: Reloading[ssl.SSLContext] = Reloading(
        f"upstream {name}",
        tls.files(),
        lambda replacing: client_context(tls, replacing=replacing),
        observer,
    )
    return SecureDialling(tls=tls, contexts=made)
