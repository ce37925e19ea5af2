"""Accept and open connections: as wires on a `TurnLoop`, else as asyncio's own transports."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from bridge.gateway.wires.turns import TurnLoop
from bridge.gateway.wires.wire import Wire

P = TypeVar("P", bound=asyncio.Protocol)

# Of one turn; others have their turn in between.
_ACCEPTS_MAX: Final = 64
# Out of descriptors or memory: trying at once would find the same, with nothing given back.
_REST_S: Final = 1.0
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Listening(Protocol):
    """Accepts connections until it is closed."""

    def close(self) -> None:
        """Accept no more, and close the listening socket."""


async def listen(make: Callable[[], asyncio.Protocol], listener: socket.socket) -> Listening:
    """Accept the connections of a listening socket; `make` returns what takes each."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, TurnLoop):
        return _Acceptor(loop, make, listener)
    return await loop.create_server(make, sock=listener)


async def connect(make: Callable[[], P], host: str, port: int) -> tuple[asyncio.Transport, P]:
    """Connect, and return the transport with what `make` made for it.

    Raises:
        OSError: no address of the host takes the connection; of the last one that was tried.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, TurnLoop):
        return await loop.create_connection(make, host, port)
    try:
        # What is a number needs no thread that asks the resolver.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=_NUMERIC)
    except socket.gaierror:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    last = OSError(f"no address of {host!r}")
    for family, kind, number, _, address in found:
        try:
            sock = await _connected(loop, socket.socket(family, kind, number), address)
        except OSError as exc:
            last = exc
            continue
        protocol = make()
        return Wire(loop, sock, protocol, address), protocol
    raise last


async def _connected(
    loop: TurnLoop, sock: socket.socket, address: tuple[object, ...]
) -> socket.socket:
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


class _Acceptor:
    def __init__(
        self, loop: TurnLoop, make: Callable[[], asyncio.Protocol], listener: socket.socket
    ) -> None:
        self._loop = loop
        self._make = make
        self._listener = listener
        self._rest: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._begin()

    def close(self) -> None:
        """Accept no more, and close the listening socket."""
        if self._rest is not None:
            self._rest.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    def _begin(self) -> None:
        self._rest = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_MAX):
            try:
                sock, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                context = {"message": "cannot accept connections for a second", "exception": exc}
                self._loop.call_exception_handler(context)
                self._loop.remove_reader(self._listener)
                self._rest = self._loop.call_later(_REST_S, self._begin)
                return
            try:
                Wire(self._loop, sock, self._make(), peer)
            except OSError:
                sock.close()  # It was reset before we looked.
