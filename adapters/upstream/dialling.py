"""Open connections to an upstream, over TLS where its address says so."""

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bridge.gateway.tls.contexts import ClientTls, Reloading
from bridge.gateway.tls.transport import TlsTransport
from bridge.gateway.wires.opening import connect

P = TypeVar("P", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureDialling:
    """How TLS to one upstream is spoken; its context is replaced when its files change."""

    tls: ClientTls
    contexts: Reloading[ssl.SSLContext]


async def dial(make: Callable[[], P], host: str, port: int, secure: SecureDialling | None) -> P:
    """Connect and return the protocol that `make` made, once its transport can be written to.

    Raises:
        OSError: there is no connection, or over TLS none that is verified.
    """
    if secure is None:
        _, protocol = await connect(make, host, port)
        return protocol
    opened: asyncio.Future[P] = asyncio.get_running_loop().create_future()

    def open_app(_: TlsTransport) -> asyncio.Protocol:
        made = make()
        if not opened.done():
            opened.set_result(made)
        return made

    def failed(why: Exception) -> None:
        if not opened.done():
            opened.set_exception(why)

    wire, _ = await connect(
        lambda: TlsTransport(
            secure.contexts.current,
            open_app=open_app,
            failed=failed,
            server_hostname=secure.tls.server_name,
            unclean_end=secure.tls.unclean_end,
        ),
        host,
        port,
    )
    try:
        return await opened
    except BaseException:
        wire.abort()
        raise


def reason(exc: OSError) -> str:
    """Say why there is no connection, without the peer's words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {exc.verify_message.lower()}"
    if isinstance(exc, ssl.SSLError):
        return f"no TLS: {(exc.reason or 'unknown').lower().replace('_', ' ')}"
    # asyncio replaces the system's words by "Connect call failed" and the address.
    return os.strerror(exc.errno).lower() if exc.errno else type(exc).__name__
