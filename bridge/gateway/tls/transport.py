"""TLS over an ordinary transport, as a transport for the protocol above it.

Not asyncio's own: that cannot take bytes which were read before the handshake (the PROXY protocol
precedes it), cannot end one direction alone, hides from a draining worker what is not sent yet,
and takes an end of the wire without `close_notify` for a clean one. The last would make a cut
answer look whole (RFC 9112 9.8).
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

# What one call hands on at most; a slower reader above us stops the loop of reading in between.
_READ_BYTES: Final = 65_536


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """A protocol for the raw transport, and a transport for the protocol that `open_app` makes.

    `open_app` is called once the handshake is done, and returns that protocol; `failed` is called
    in its place when it never will be, with a reason that names no value of the peer's.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        open_app: Callable[["TlsTransport"], asyncio.Protocol],
        failed: Callable[[Exception], None],
        server_hostname: str | None = None,
        unclean_end: bool = False,
    ) -> None:
        """`server_hostname` makes us the client; `unclean_end` forgives a missing
        `close_notify`."""
        super().__init__()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
        )
        self._open_app = open_app
        self._failed = failed
        self._unclean_end = unclean_end
        self._raw: asyncio.Transport
        self._app: asyncio.Protocol | None = None
        self._paused = False
        self._peer_ended = False
        self._ended = False
        self._over = False
        self._loss: Exception | None = None

    # -- towards the wire -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the wire; a client begins the handshake."""
        self._raw = cast(asyncio.Transport, transport)
        if not self.ssl_object.server_side:
            self._shake_hands()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the wire."""
        if self._over:
            return
        self._incoming.write(data)
        if self._app is None:
            self._shake_hands()
        else:
            self._read()

    def eof_received(self) -> bool:
        """The wire ends; without `close_notify` before it, that may be a third party's doing."""
        if self._peer_ended and not self._over:
            return True
        if self._app is not None and not self._over:
            if self._unclean_end:
                self._peer_ended = True
                return bool(self._app.eof_received())
            self._loss = ConnectionAbortedError("the TLS connection ended without close_notify")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The wire is gone."""
        self._over = True
        app, self._app = self._app, None
        if app is not None:
            app.connection_lost(exc or self._loss)
        elif self._loss is None:
            self._loss = exc or ConnectionAbortedError("the connection ended within the handshake")
            self._failed(self._loss)

    def pause_writing(self) -> None:
        """The peer reads slowly."""
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._app is not None:
            self._app.resume_writing()

    def _shake_hands(self) -> None:
        try:
            self.ssl_object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ssl.CertificateError) as exc:
            self._flush()  # The alert that tells the peer why.
            self._over = True
            self._loss = exc
            self._raw.close()
            self._failed(exc)
            return
        self._flush()
        self._app = self._open_app(self)
        self._app.connection_made(self)
        if not self._over:
            self._read()

    def _read(self) -> None:
        read = self.ssl_object.read
        while not (self._paused or self._over or self._peer_ended or self._raw.is_closing()):
            parts: list[bytes] = []
            size = 0
            try:
                while size < _READ_BYTES:
                    part = read(_READ_BYTES)
                    if not part:
                        self._peer_ended = True
                        break
                    parts.append(part)
                    size += len(part)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self._peer_ended = True
            except ssl.SSLError as exc:
                self._loss = exc
                self._flush()
                self._raw.abort()
                return
            if self._outgoing.pending:
                self._flush()  # An answer to a key update.
            app = self._app
            if parts and app is not None:
                app.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
            if size < _READ_BYTES:
                break
        app = None if self._over or self._paused else self._app
        if self._peer_ended and app is not None and not app.eof_received():
            self.close()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    # -- towards the protocol above ---------------------------------------------------------------

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Send."""
        if self._over or self._ended or not data:
            return
        encrypt = self.ssl_object.write
        try:
            sent = encrypt(data)
            if sent < len(data):
                rest = memoryview(data)[sent:]
                while rest:
                    rest = rest[encrypt(rest) :]
        except ssl.SSLError as exc:
            self._loss = exc
            self._raw.abort()
            return
        self._flush()

    def can_write_eof(self) -> bool:
        """Half a TLS connection can end (RFC 8446 6.1)."""
        return True

    def write_eof(self) -> None:
        """Send `close_notify`, and the end of our direction of the wire after it."""
        if self._ended or self._over:
            return
        self._ended = True
        self._notify_close()
        if not self._raw.is_closing():
            self._raw.write_eof()

    def _notify_close(self) -> None:
        # The peer's own is not here yet, which is an error to `unwrap`; ours is written.
        with contextlib.suppress(ssl.SSLError, ValueError):
            self.ssl_object.unwrap()
        self._flush()

    def close(self) -> None:
        """Send what is left and `close_notify`, then close; the peer's is not waited for."""
        if self._over or self._raw.is_closing():
            return
        if not self._ended and self._app is not None:
            self._ended = True
            self._notify_close()
        self._raw.close()

    def abort(self) -> None:
        """Close at once."""
        self._raw.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._over or self._raw.is_closing()

    def pause_reading(self) -> None:
        """Hand on nothing for a while, and read nothing."""
        if not self._paused:
            self._paused = True
            if not self._raw.is_closing():
                self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = False
            if not self._raw.is_closing():
                self._raw.resume_reading()
            # What was decrypted from the last read waits in our own buffer, not in the kernel's.
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._over and self._app is not None:
            self._read()

    def is_reading(self) -> bool:
        """Whether it is not paused."""
        return not self._paused

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Bound what waits for a slow peer."""
        self._raw.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent yet."""
        return self._raw.get_write_buffer_size() + self._outgoing.pending

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the wire knows, and `ssl_object`."""
        if name == "ssl_object":
            return self.ssl_object
        return self._raw.get_extra_info(name, default)
