"""What a request's head says, as the gateway decides on it and forwards it."""

from typing import Final, NamedTuple

from bridge.gateway.http.target import Authority
from bridge.model.http import Headers

_FRAMING: Final = (b"content-length", b"transfer-encoding", b"expect")


class RequestHead(NamedTuple):
    """One request's head: strict, and every forwarded line as it was received."""

    start: bytes
    """The request line to forward, without CRLF."""
    method: bytes
    target: bytes
    """Origin form (or `*`), byte for byte."""
    minor: int
    authority: Authority | None
    """None only in HTTP/1.0."""
    lines: list[bytes]
    """The end-to-end and framing fields in their order; shared between heads, never changed."""
    length: int
    """Bytes of body, 0 without one, or CHUNKED."""
    keep_alive: bool
    expects: bool
    """Whether the client waits for `100 Continue` before it sends the body."""
    upgrade: bytes | None
    """Value of Upgrade when this is a proper WebSocket handshake."""
    via: tuple[bytes, ...]
    """Values of Via, for the loop check; the lines themselves are forwarded."""
    forwarded: tuple[bytes, ...]
    """Lines of Forwarded and X-Forwarded-*, which are not among `lines`."""
    max_forwards: int | None
    """Of OPTIONS alone; the field line that is forwarded says one less."""
    trailer: bytes = b""
    """Value of Trailer: the fields that are to follow the body."""
    takes_trailers: bool = False
    """Whether the client reads trailers: `TE: trailers`, nominated by Connection."""
    plain: bool = False
    """Whether nothing in it means anything to a proxy but Host, Content-Length and
    `Connection: keep-alive`; the usual case."""


def end_to_end(lines: list[bytes]) -> Headers:
    """Return forwarded field lines as pairs, without framing and Expect."""
    pairs = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() not in _FRAMING:
            pairs.append((name, value.strip(b" \t")))
    return tuple(pairs)
