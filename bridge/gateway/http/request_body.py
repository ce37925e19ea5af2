"""One request's body as it arrives: how much is left, and whether it comes fast enough."""

from bridge.gateway.http.chunked import ChunkedDecoder
from bridge.gateway.http.framing import CHUNKED, MessageRefused


class RequestBody:
    """Bytes from the client in, body data out, up to the route's limit."""

    __slots__ = ("_began", "_bytes_max", "_decoder", "_left", "_size", "done", "rest", "trailers")

    def __init__(self, length: int, bytes_max: int, now: float) -> None:
        self._decoder = ChunkedDecoder() if length == CHUNKED else None
        self._left = length
        self._bytes_max = bytes_max
        self._size = 0
        self._began = now
        self.done = length == 0
        self.rest = b""
        """What followed the body, once `done`."""
        self.trailers: list[bytes] = []
        """Field lines of the trailer section, once `done`."""

    def feed(self, data: bytes) -> bytes:
        """Return the body data in `data`.

        Raises:
            MessageRefused: the coding is broken, or the body is larger than its route allows.
        """
        decoder = self._decoder
        if decoder is None:
            if len(data) >= self._left:
                self.done = True
                data, self.rest = data[: self._left], data[self._left :]
            self._left -= len(data)
        elif data:
            data = decoder.feed(data)
            if decoder.done:
                self.done = True
                self.rest = decoder.rest
                self.trailers = decoder.trailers
        self._size += len(data)
        if self._size > self._bytes_max:
            raise too_large(self._bytes_max)
        return data

    def keeps_pace(self, now: float, rate_min: int, grace_s: float) -> bool:
        """Whether the body comes with `rate_min` bytes per second, once `grace_s` are over."""
        elapsed = now - self._began
        return elapsed <= grace_s or self._size >= rate_min * elapsed


def too_large(bytes_max: int) -> MessageRefused:
    """Say that a body is over its route's limit."""
    return MessageRefused(
        413, f"body over {bytes_max} bytes, the route's limit", "RFC 9110 15.5.14"
    )
