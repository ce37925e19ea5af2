"""A TCP wire that a test can cut: a proxy between a client of ours and a real server.

One thread owns all sockets, so that a cut is a true reset (closing a socket under a reader in
another thread is not). Each verb returns when it has taken effect.
"""

import queue
import select
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

# A link holds at most this much per direction; then TCP's own back pressure works, as on a wire.
_BUFFER_BYTES_MAX = 256 * 1024
_READ_BYTES = 64 * 1024
_CONNECT_TIMEOUT_S = 5
_VERB_TIMEOUT_S = 10
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _End:
    """One of the two sockets of a link, with what is still to be written to it."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = end
        self.outgoing = bytearray()
        self.read_done = False
        self.write_done = False


class _Link:
    """A client's connection and our own to the target."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = _End(client)
        self.server = _End(server)

    def close(self, *, reset: bool) -> None:
        for end in (self.client, self.server):
            if reset:
                end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            end.socket.close()


class Wire:
    """Forwards `127.0.0.1:port` to a port of this machine until a test says otherwise."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener: socket.socket | None = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._links: list[_Link] = []
        self._to_server = True
        self._to_client = True
        self._ended = False
        self._accepted = 0
        self._verbs: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = (
            queue.SimpleQueue()
        )
        self._woken, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._loop, name="wire", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many connections are open through the wire now."""
        return len(self._links)

    @property
    def accepted(self) -> int:
        """How many connections came through since the beginning."""
        return self._accepted

    def through(self, url: str) -> str:
        """Return `url` with host and port replaced by the wire's."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    def cut(self) -> None:
        """Reset both ends of every connection; new connections still come through."""
        self._do(self._reset_links)

    def deaf(self, *, answers_only: bool = False) -> None:
        """Keep connections open and let new ones begin, but forward nothing: a half-open wire.

        With `answers_only` the server still hears the client: it acts, and its answer is lost on
        the way for as long as the wire is deaf (then `cut`, or `resume` to deliver it late).
        """

        def apply() -> None:
            self._to_server, self._to_client = answers_only, False

        self._do(apply)

    def refuse(self) -> None:
        """Refuse new connections, as if nobody listened; those that are open go on."""
        self._do(self._close_listener)

    def resume(self) -> None:
        """Forward and accept again, on the same port; what was held back is delivered."""

        def apply() -> None:
            self._to_server = self._to_client = True
            if self._listener is None:
                self._listener = _listen(self.port)

        self._do(apply)

    def close(self) -> None:
        """Reset what is open and end the thread. May be repeated."""
        if self._ended:
            return

        def apply() -> None:
            self._ended = True

        self._do(apply)
        self._thread.join(_VERB_TIMEOUT_S)
        self._waker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _do(self, verb: Callable[[], None]) -> None:
        done = threading.Event()
        self._verbs.put((verb, done))
        self._waker.send(b"!")
        assert done.wait(_VERB_TIMEOUT_S), "the wire's thread has died"

    def _loop(self) -> None:
        while not self._ended:
            self._turn()
        self._reset_links()
        self._close_listener()
        self._woken.close()

    def _turn(self) -> None:
        """Wait for something to happen, and deal with it."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        # A deaf wire does not accept: the kernel answers the handshake and keeps the client.
        if self._listener is not None and self._to_server:
            poll.register(self._listener, select.POLLIN)
        for link in self._links:
            for end, mask in self._interests(link):
                poll.register(end.socket, mask)
        ready = {number for number, _ in poll.poll()}
        if self._woken.fileno() in ready:
            self._woken.recv(4096)
            self._run_verbs()
            return  # The picture has changed; look again.
        for link in list(self._links):
            self._forward(link, ready)
        if self._listener is not None and self._listener.fileno() in ready:
            self._accept(self._listener)

    def _run_verbs(self) -> None:
        while not self._verbs.empty():
            verb, done = self._verbs.get()
            verb()
            done.set()

    def _directions(self, link: _Link) -> list[tuple[_End, _End]]:
        """Return (from, to) of each direction that is forwarded now."""
        found = []
        if self._to_server:
            found.append((link.client, link.server))
        if self._to_client:
            found.append((link.server, link.client))
        return found

    def _interests(self, link: _Link) -> list[tuple[_End, int]]:
        masks = {link.client: 0, link.server: 0}
        for source, sink in self._directions(link):
            if not source.read_done and len(sink.outgoing) < _BUFFER_BYTES_MAX:
                masks[source] |= select.POLLIN
            if sink.outgoing:
                masks[sink] |= select.POLLOUT
        # An end that we want nothing from is left out: its hang-up would wake us without end.
        return [(end, mask) for end, mask in masks.items() if mask]

    def _forward(self, link: _Link, ready: set[int]) -> None:
        try:
            for source, sink in self._directions(link):
                if source.socket.fileno() in ready and not source.read_done:
                    _read(source, sink)
                _write(sink)
                if source.read_done and not sink.outgoing and not sink.write_done:
                    sink.write_done = True
                    sink.socket.shutdown(socket.SHUT_WR)
        except OSError:
            # One end broke: the other learns it the same way, as it would on one wire.
            link.close(reset=True)
            self._links.remove(link)
            return
        if link.client.write_done and link.server.write_done:
            link.close(reset=False)
            self._links.remove(link)

    def _accept(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(
                ("127.0.0.1", self._target_port), timeout=_CONNECT_TIMEOUT_S
            )
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            client.close()
            return
        self._accepted += 1
        self._links.append(_Link(client, server))

    def _reset_links(self) -> None:
        for link in self._links:
            link.close(reset=True)
        self._links.clear()

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def _read(source: _End, sink: _End) -> None:
    try:
        data = source.socket.recv(_READ_BYTES)
    except BlockingIOError:
        return  # Ready to be written to, not read from.
    if data:
        sink.outgoing += data
    else:
        source.read_done = True


def _write(sink: _End) -> None:
    if not sink.outgoing:
        return
    try:
        sent = sink.socket.send(sink.outgoing)
    except BlockingIOError:
        return
    del sink.outgoing[:sent]
