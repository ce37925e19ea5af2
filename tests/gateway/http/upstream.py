"""An upstream that behaves as badly as a test wants."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.gateway.http.wire import DEADLINE_S, OK, Ended, Message, Wire

Behaviour = Callable[[Wire, Message], None]


def replies(raw: bytes) -> Behaviour:
    """Answer with these bytes and go on."""
    return lambda wire, _: wire.send(raw)


def replies_and_closes(raw: bytes) -> Behaviour:
    """Answer with these bytes and close."""

    def behave(wire: Wire, _: Message) -> None:
        wire.send(raw)
        wire.close()

    return behave


def hangs(until: threading.Event) -> Behaviour:
    """Answer nothing until the test is over."""

    def behave(wire: Wire, _: Message) -> None:
        until.wait(DEADLINE_S)
        raise Ended

    return behave


class Upstream:
    """Answers `OK`, or behaves as `at[path]` says. A thread per connection."""

    def __init__(self) -> None:
        self.at: dict[bytes, Behaviour] = {}
        self.received: list[Message] = []
        self.default: Behaviour | None = None
        """Behaves at every target that is not in `at`."""
        self.reader: Callable[[Wire], Message] | None = None
        """Reads the next requests instead of `Wire.message`."""
        self.connections = 0
        self._wires: list[Wire] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *args: Wire) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            wire = Wire(sock)
            wire.sock.settimeout(None)
            self._wires.append(wire)
            self._start(self._serve, wire)

    def _serve(self, wire: Wire) -> None:
        with wire, suppress(Ended, OSError):
            while True:
                request = self._read(wire)
                self.received.append(request)
                behave = self.at.get(request.target.partition(b"?")[0], self.default or replies(OK))
                behave(wire, request)

    def _read(self, wire: Wire) -> Message:
        if not wire.buffer and not wire.more():
            raise Ended
        return self.reader(wire) if self.reader else wire.message()

    def requests_to(self, target: bytes) -> list[Message]:
        """Return what was received for one target."""
        return [message for message in self.received if message.target == target]

    def close(self) -> None:
        """Stop listening and close every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in self._wires:
            with suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE_S)
