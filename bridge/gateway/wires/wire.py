"""A transport of plain TCP whose bytes leave at the end of the loop's turn."""

import asyncio
import select
import socket
from typing import Any, Final

from bridge.gateway.wires.turns import TurnLoop

_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLOUT

# Above 128 kB the C library may map memory anew for every read, which costs more than the read.
_READ_BYTES: Final = 65_536
# More than this does not wait for the end of the turn: it would only be memory.
_HELD_BYTES_MAX: Final = 65_536
_HIGH_DEFAULT: Final = 65_536


class Wire(asyncio.Transport):
    """See `asyncio.Transport`, whose promises hold; belongs to one `TurnLoop`.

    An error of the socket ends it and is told by `connection_lost`; an exception of the protocol
    does so, too, and goes to the loop's exception handler.
    """

    __slots__ = (
        "_blocked", "_choked", "_closing", "_eof", "_fd", "_high", "_loop", "_low", "_mask",
        "_over", "_peer", "_protocol", "_reading", "_recv", "_send", "_sock", "_turns", "_unsent",
    )  # fmt: skip

    def __init__(
        self, loop: TurnLoop, sock: socket.socket, protocol: asyncio.BaseProtocol, peer: object
    ) -> None:
        """Take a connected socket, tell `protocol`, and read."""
        super().__init__()
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = loop
        self._turns = loop.turns
        self._sock = sock
        self._recv = sock.recv
        self._send = sock.send
        self._fd = sock.fileno()
        self._peer = peer
        self._protocol: asyncio.Protocol
        self.set_protocol(protocol)
        self._unsent: bytes | bytearray = b""
        self._mask = 0
        self._high, self._low = _HIGH_DEFAULT, _HIGH_DEFAULT // 4
        self._reading = True
        self._blocked = False
        """The kernel takes no more for now."""
        self._choked = False
        """The protocol was told to write no more for now."""
        self._eof = False
        self._closing = False
        self._over = False
        try:
            protocol.connection_made(self)
        except Exception as exc:
            self._stumbled(exc)
        self._look()

    # -- what the loop's turns do ---------------------------------------------------------------

    def readable(self) -> None:
        """Read once, and hand it on."""
        if not self._reading:
            return  # Paused by another one of this turn.
        try:
            data = self._recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._end(exc)
            return
        try:
            if data:
                self._protocol.data_received(data)
            elif self._protocol.eof_received():
                self._reading = False
                self._look()
            else:
                self.close()
        except Exception as exc:
            self._stumbled(exc)

    def ready(self, event: int) -> None:
        """Read, write, or learn of an error by trying."""
        if event & ~_WRITE and self._reading:
            self.readable()
        if event & ~_READ and self._blocked and not self._over:
            self._blocked = False
            self.flush()
            if not self._over:
                self._look()

    def flush(self) -> bool:
        """Send what there is; return whether the protocol was or will be told of anything."""
        data = self._unsent
        if not data or self._blocked:
            return False
        try:
            sent = self._send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as exc:
            self._end(exc)
            return True
        if sent == len(data):
            self._unsent = b""
            return (self._closing or self._eof or self._choked) and self._sent_all()
        if type(data) is bytearray:
            del data[:sent]
        else:
            self._unsent = bytearray(data[sent:])
        self._blocked = True
        self._look()
        self._weigh()
        return True

    # -- what users do: writing -----------------------------------------------------------------

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Send by the end of this turn, in order."""
        if self._closing or not data:
            return
        assert not self._eof, "written after the end"
        if not self._unsent:
            self._unsent = data if type(data) is bytes else bytes(data)
            self._turns.unsent.append(self)
        elif type(self._unsent) is bytearray:
            self._unsent += data
        else:
            self._unsent = bytearray(self._unsent)
            self._unsent += data
        if self._blocked:
            self._weigh()
        elif len(self._unsent) > _HELD_BYTES_MAX:
            self.flush()

    def write_eof(self) -> None:
        """Send no more, after what was written."""
        if self._closing or self._eof:
            return
        self._eof = True
        if not self._unsent:
            self._sock.shutdown(socket.SHUT_WR)

    def can_write_eof(self) -> bool:
        """TCP can."""
        return True

    def close(self) -> None:
        """Read no more; end when everything is sent."""
        if self._closing:
            return
        self._closing = True
        self._reading = False
        if self._unsent:
            self._look()
        else:
            self._end(None)

    def abort(self) -> None:
        """End at once."""
        self._end(None)

    def is_closing(self) -> bool:
        """Whether it has ended or is about to."""
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when the protocol is told to pause and to go on."""
        if high is None:
            high = _HIGH_DEFAULT if low is None else 4 * low
        self._high = high
        self._low = high // 4 if low is None else low
        self._weigh()

    def get_write_buffer_size(self) -> int:
        """Return how much was not sent yet, what waits for the end of the turn included."""
        return len(self._unsent)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return (low, high)."""
        return self._low, self._high

    # -- what users do: reading, and the rest ---------------------------------------------------

    def pause_reading(self) -> None:
        """Read no more for a while."""
        if not self._closing and self._reading:
            self._reading = False
            self._look()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._closing and not self._reading:
            self._reading = True
            self._look()

    def is_reading(self) -> bool:
        """Whether it is read."""
        return self._reading and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell another one from now on."""
        assert isinstance(protocol, asyncio.Protocol), "bytes are handed on, not buffers"
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who is told."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return `socket` or `peername`."""
        return {"socket": self._sock, "peername": self._peer}.get(name, default)

    # -- inside ---------------------------------------------------------------------------------

    def _look(self) -> None:
        """Wait for what is to be done."""
        if self._over:
            return
        mask = (_READ if self._reading else 0) | (_WRITE if self._blocked else 0)
        if mask != self._mask:
            self._turns.watch(self._fd, self, self._mask, mask)
            self._mask = mask

    def _weigh(self) -> None:
        """Tell the protocol when it has written too much, and when it may go on."""
        size = len(self._unsent)
        try:
            if not self._choked:
                if self._blocked and size > self._high:
                    self._choked = True
                    self._protocol.pause_writing()
            elif size <= self._low:
                self._choked = False
                self._protocol.resume_writing()
        except Exception as exc:
            self._stumbled(exc)

    def _sent_all(self) -> bool:
        """Do what waited for it; return True, for whoever is told may have done anything."""
        self._weigh()
        if self._over or self._unsent:
            return True
        if self._closing:
            self._end(None)
        elif self._eof:
            try:
                self._sock.shutdown(socket.SHUT_WR)
            except OSError as exc:
                self._end(exc)
        return True

    def _end(self, exc: Exception | None) -> None:
        if self._over:
            return
        self._over = self._closing = True
        self._reading = self._blocked = False
        self._unsent = b""
        if self._mask:
            self._turns.watch(self._fd, self, self._mask, 0)
            self._mask = 0
        self._loop.call_soon(self._lost, exc)

    def _lost(self, exc: Exception | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._sock.close()

    def _stumbled(self, exc: Exception) -> None:
        """A bug of the protocol ends its connection and no other."""
        context = {"message": "a connection's protocol failed", "exception": exc, "transport": self}
        self._loop.call_exception_handler(context)
        self._end(exc)
