"""Raw sockets that speak HTTP on purpose badly, and read it leniently."""

import socket
import struct
from contextlib import suppress
from typing import NamedTuple, Self

DEADLINE_S = 10.0
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Ended(Exception):
    """The other end closed the connection before a whole message."""


class Message(NamedTuple):
    """One message as it was on the wire."""

    start: bytes
    fields: list[tuple[bytes, bytes]]
    """Names and values as sent, but for the white space around values."""
    body: bytes
    raw_body: bytes
    raw_head: bytes

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start.split(b" ")[1])

    @property
    def target(self) -> bytes:
        """Of a request."""
        return self.start.split(b" ")[1]

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of a field."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def one(self, name: bytes) -> bytes | None:
        """Return the only value of a field, or None."""
        values = self.all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None


class Wire:
    """A raw socket that can read HTTP messages leniently and do everything else on purpose."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(DEADLINE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send everything, unless the other end has gone."""
        with suppress(ConnectionError):
            self.sock.sendall(data)

    def dribble(self, data: bytes, size: int) -> None:
        """Send in pieces, each a packet of its own."""
        for at in range(0, len(data), size):
            self.send(data[at : at + size])

    def close(self) -> None:
        """Close in the ordinary way."""
        self.sock.close()

    def reset(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def more(self) -> bytes:
        """Read once; b"" at the end."""
        try:
            data = self.sock.recv(65_536)
        except ConnectionError:
            data = b""
        self.buffer += data
        return data

    def rest(self) -> bytes:
        """Read until the other end closes."""
        while self.more():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def exactly(self, size: int) -> bytes:
        """Read `size` bytes."""
        while len(self.buffer) < size:
            if not self.more():
                raise Ended(self.buffer)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def until(self, mark: bytes) -> bytes:
        """Read up to and with `mark`."""
        while mark not in self.buffer:
            if not self.more():
                raise Ended(self.buffer)
        end = self.buffer.index(mark) + len(mark)
        return self.exactly(end)

    def message(self, *, bodiless: bool = False, until_close: bool = False) -> Message:
        """Read one message, its body as its fields say.

        Raises:
            Ended: the connection ended within it.
        """
        raw_head = self.until(b"\r\n\r\n")
        start, *lines = raw_head[:-4].split(b"\r\n")
        fields = []
        for line in lines:
            name, _, value = line.partition(b":")
            fields.append((name, value.strip(b" \t")))
        message = Message(start, fields, b"", b"", raw_head)
        if bodiless:
            return message
        if message.all(b"transfer-encoding"):
            body, raw_body = self._chunks()
        elif until_close:
            body = raw_body = self.rest()
        else:
            body = raw_body = self.exactly(int(message.one(b"content-length") or 0))
        return message._replace(body=body, raw_body=raw_body)

    def _chunks(self) -> tuple[bytes, bytes]:
        body = raw = b""
        while True:
            line = self.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            data = self.exactly(size + 2) if size else self.until(b"\r\n")
            raw += line + data
            body += data[:-2] if size else b""
            if not size:
                return body, raw
