"""Response heads as a client gets them: an upstream's, relayed, and our own."""

from typing import Final, NamedTuple

from bridge.gateway.http.fields import CODING, kind_of_line
from bridge.gateway.http.framing import CHUNKED, UNTIL_CLOSE
from bridge.gateway.http.response_head import ResponseHead
from bridge.model.http import HttpResponse

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# Ours to write: whoever made the answer does not know this connection.
_CONNECTION_FIELDS: Final = frozenset(
    b"connection content-length date keep-alive transfer-encoding upgrade".split()
)


class Client(NamedTuple):
    """What a response's framing depends on at the client's side."""

    method: bytes
    minor: int
    keep_alive: bool


class Relayed(NamedTuple):
    """A head for the client and how its body is to be sent."""

    head: bytes
    """With its final empty line."""
    chunked: bool
    close: bool
    """Whether the connection ends with this answer."""


class _Made(NamedTuple):
    """A head as it was written, and what it was made of: it holds until one of them is another."""

    relayed: Relayed
    date_line: bytes
    lines: list[bytes]


def relayed_head(head: ResponseHead, client: Client, via: bytes, date_line: bytes) -> Relayed:
    """Return an upstream's final head as the client gets it.

    A body that ends with the upstream's connection is chunked, so that a cut one shows; to an
    HTTP/1.0 client, which knows no chunks, it ends with the client's connection.
    """
    made = head.relayed.get(client)
    if type(made) is _Made and made.date_line is date_line and made.lines is head.lines:
        return made.relayed
    relayed = _relayed(head, client, via, date_line)
    head.relayed[client] = _Made(relayed, date_line, head.lines)
    return relayed


def _relayed(head: ResponseHead, client: Client, via: bytes, date_line: bytes) -> Relayed:
    lines = head.lines
    chunked = head.length == CHUNKED
    if client.keep_alive and client.minor and head.minor and head.length != UNTIL_CLOSE:
        added = (via, b"\r\n") if head.dated else (via, date_line, b"\r\n")
        return Relayed(b"\r\n".join((*lines, *added)), chunked, close=False)
    close = not client.keep_alive
    lines = [*lines]
    if head.minor == 0:
        lines[0] = b"HTTP/1.1" + lines[0][8:]
        via = via.replace(b"1.1", b"1.0", 1)
    if client.minor == 0:
        close = close or head.length < 0
        chunked = False
        lines = [lines[0], *(line for line in lines[1:] if kind_of_line(line) != CODING)]
    elif head.length == UNTIL_CLOSE:
        chunked = True
        lines.append(b"Transfer-Encoding: chunked")
    lines.append(via)
    if not head.dated:
        lines.append(date_line)
    if close:
        lines.append(b"Connection: close\r\n\r\n")
    elif client.minor == 0:
        lines.append(b"Connection: keep-alive\r\n\r\n")
    else:
        lines.append(b"\r\n")
    return Relayed(b"\r\n".join(lines), chunked, close)


def interim_head(head: ResponseHead, via: bytes) -> bytes:
    """Return a 1xx head as the client gets it."""
    return b"\r\n".join([b"HTTP/1.1" + head.lines[0][8:], *head.lines[1:], via, b"\r\n"])


def switched_head(head: ResponseHead, via: bytes) -> bytes:
    """Return a 101 head as the client gets it."""
    token = head.upgrade or b"websocket"
    lines = [*head.lines, via, b"Connection: Upgrade", b"Upgrade: " + token, b"\r\n"]
    return b"\r\n".join(lines)


def whole_answer(
    response: HttpResponse, client: Client, via: bytes | None, date_line: bytes, *, close: bool
) -> bytes:
    """Return a whole answer, framed for this client; `via` is None for the gateway's own."""
    lines = [b"HTTP/1.1 %d %b" % (response.status, response.reason)]
    dated = False
    for name, value in response.headers:
        lower = name.lower()
        if lower == b"date":
            dated = True
        elif lower in _CONNECTION_FIELDS:
            continue
        lines.append(b"%b: %b" % (name, value))
    if via is not None:
        lines.append(via)
    if not dated:
        lines.append(date_line)
    bodiless = response.status in (204, 304)
    if client.method == b"HEAD" or response.status == 304:
        # What a GET would have had: the upstream's own word, or nothing (RFC 9110 8.6).
        told = response.header(b"content-length")
        if told is None and response.body:
            told = b"%d" % len(response.body)
        if told is not None and response.status != 204:
            lines.append(b"Content-Length: " + told)
    elif not bodiless:
        lines.append(b"Content-Length: %d" % len(response.body))
    if close:
        lines.append(b"Connection: close")
    elif client.minor == 0:
        lines.append(b"Connection: keep-alive")
    body = b"" if bodiless or client.method == b"HEAD" else response.body
    return b"\r\n".join([*lines, b"\r\n"]) + body
