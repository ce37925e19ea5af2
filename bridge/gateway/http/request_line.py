"""The first line of a request, and what can be refused before the whole head is there."""

from typing import Final

from bridge.gateway.http.fields import is_token
from bridge.gateway.http.framing import (
    HEAD_BYTES_MAX,
    REQUEST_LINE_BYTES_MAX,
    MessageRefused,
    broken_line,
    has_broken_line,
)
from bridge.gateway.http.target import TARGET_BYTES

_USUAL_METHODS: Final = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS".split())


def parse_request_line(line: bytes) -> tuple[bytes, bytes, int]:
    """Return method, target and minor version, of which more than 1 is to be read as 1.

    Raises:
        MessageRefused: anything but `token SP target SP HTTP/1.x`.
    """
    if len(line) > REQUEST_LINE_BYTES_MAX:
        raise MessageRefused(414, f"request line over {REQUEST_LINE_BYTES_MAX} bytes", "RFC 9112 3")
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[1]:
        raise MessageRefused(400, "the request line has not three parts", "RFC 9112 3")
    method, target, version = parts
    if target.translate(None, TARGET_BYTES):
        raise MessageRefused(
            400, "a fragment, control character or 8-bit byte in the target", "RFC 9112 3.2"
        )
    if method not in _USUAL_METHODS and not is_token(method):
        raise MessageRefused(400, "the method is no token", "RFC 9110 9.1")
    if version == b"HTTP/1.1":
        return method, target, 1
    if version == b"HTTP/1.0":
        return method, target, 0
    number = version.removeprefix(b"HTTP/")
    if (
        len(version) == 8
        and len(number) == 3
        and number[1:2] == b"."
        and (number[:1] + number[2:]).isdigit()
    ):
        if number[:1] == b"1":
            return method, target, int(number[2:])  # A later HTTP/1 is compatible (RFC 9110 2.5).
        raise MessageRefused(505, "the version is not HTTP/1", "RFC 9110 15.6.6")
    raise MessageRefused(400, "the request line does not end in a version", "RFC 9112 2.3")


def refuse_partial(data: bytes, start: int) -> None:
    """Refuse a head that is still arriving as soon as it cannot become a good one.

    Only what came after the first `start` bytes is looked at, so that a head in single bytes costs
    no more than a whole one.

    Raises:
        MessageRefused: it cannot, so nobody waits for its end.
    """
    line_end = data.find(b"\r\n", 0, REQUEST_LINE_BYTES_MAX + 2)
    if line_end >= 0:
        if line_end >= start - 1:
            parse_request_line(data[:line_end])
    elif len(data) > REQUEST_LINE_BYTES_MAX + 1:
        raise MessageRefused(414, f"request line over {REQUEST_LINE_BYTES_MAX} bytes", "RFC 9112 3")
    if has_broken_line(data, start):
        raise broken_line(data)
    if len(data) > HEAD_BYTES_MAX:
        raise MessageRefused(431, f"head over {HEAD_BYTES_MAX} bytes", "RFC 6585 5")
