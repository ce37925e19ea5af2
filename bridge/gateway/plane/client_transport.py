"""The lower half of a client's connection: bytes out, back-pressure, and the ways to end it."""

import asyncio
import socket
import struct
import time
from typing import Final, cast

from bridge.gateway.plane.edited_heads import EditedBlock
from bridge.gateway.plane.handling import ANSWER, BODY, GONE, HEAD, LINGER, TUNNEL, Handling
from bridge.gateway.plane.plane import Plane
from bridge.gateway.plane.slow_client import SlowClient
from bridge.gateway.transports import half_close, read_in_pieces

# What a slow client has not taken yet; beyond it the upstream is not read.
_SEND_BUFFER_BYTES_MAX: Final = 262_144
# And from here on it is read again.
_CAUGHT_UP_BYTES: Final = _SEND_BUFFER_BYTES_MAX // 4
# A refused client may still be sending; closing at once would reset the answer away under it.
_LINGER_S: Final = 2.0
_LINGER_BYTES_MAX: Final = 1 << 20
_UNDER_WAY: Final = frozenset((BODY, ANSWER, TUNNEL))
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class ClientTransport(asyncio.Protocol):
    """`deadline` (monotonic seconds) is looked at by the worker's tick."""

    __slots__ = (
        "_choked", "_held", "_paused", "_slow", "_to_throw", "deadline", "edited", "plane", "step",
        "transport",
    )  # fmt: skip

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.transport: asyncio.Transport
        self.edited = EditedBlock()
        self.step = HEAD
        self.deadline = plane.now + plane.settings.head_ms / 1000
        self._paused = False
        self._choked = False
        self._to_throw = 0
        self._held = 0
        self._slow: SlowClient | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(_SEND_BUFFER_BYTES_MAX, _CAUGHT_UP_BYTES)
        read_in_pieces(transport)

    def write(self, data: bytes) -> None:
        """Send to the client, if it is still there."""
        if self.step is not GONE:
            self.transport.write(data)

    def hold(self, count: int) -> bool:
        """Count bytes of the current request that are held until it ends; False: no room."""
        if not self.plane.held.take(count):
            return False
        self._held += count
        return True

    def let_go(self) -> None:
        """Give back what the current request held."""
        self.plane.held.give_back(self._held)
        self._held = 0

    def fall_behind(self, handling: Handling | None) -> None:
        """Hear that the client takes what it is sent too slowly: it has some time to catch up."""
        self._choked = True
        self.pause_receiving()
        if self._slow is None or self._slow.whose is not handling:
            self._slow = SlowClient(handling)
        until = self._slow.falls_behind(
            time.monotonic(),
            self.transport.get_write_buffer_size(),
            _CAUGHT_UP_BYTES,
            self.deadline,
            self.plane.settings,
        )
        self.deadline = until if handling is None else min(until, handling.until)

    def catch_up(self, handling: Handling | None) -> None:
        """Hear that it has: its upstream's time begins again."""
        self._choked = False
        self.resume_receiving()
        slow = self._slow
        if slow is not None and handling is not None and slow.whose is handling:
            size = self.transport.get_write_buffer_size()
            self.deadline = min(slow.catches_up(time.monotonic(), size), handling.until)

    def pause_receiving(self) -> None:
        """Read no more from the client for a while."""
        if not self._paused and self.step is not GONE:
            self._paused = True
            self.transport.pause_reading()

    def resume_receiving(self) -> None:
        """Read again, unless the client itself must catch up first."""
        if self._paused and not self._choked:
            self._paused = False
            if self.step is not GONE and not self.transport.is_closing():
                self.transport.resume_reading()

    def cut(self) -> None:
        """End with a reset: an HTTP/1.0 body ends with its connection, so an ordinary end would
        make half an answer look whole."""
        if self.step is not GONE:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def abort(self) -> None:
        """Close at once; half an answer must not look whole."""
        if self.step in _UNDER_WAY:
            self.cut()
        else:
            self.transport.abort()

    def linger(self) -> None:
        """End, but throw away for a while what a refused client may still be sending."""
        self.step = LINGER
        self._to_throw = _LINGER_BYTES_MAX
        self.deadline = self.plane.now + _LINGER_S
        if not self.transport.is_closing():
            self._choked = False
            self.resume_receiving()
            half_close(self.transport)

    @property
    def is_done(self) -> bool:
        """Whether everything was sent and only the client's own end is waited for."""
        return self.step is LINGER and self.transport.get_write_buffer_size() == 0

    def throw_away(self, data: bytes) -> None:
        """Read what a refused client still sends, up to a bound."""
        self._to_throw -= len(data)
        if self._to_throw < 0:
            self.transport.abort()
