"""A body as the client would read it: decoded on a copy, with a bound against bombs.

RFC 9110 §8.4 (Content-Encoding); gzip: RFC 1952, deflate: RFC 1950 (and RFC 1951 alone, as many
servers send it).
"""

import zlib
from typing import Final, NamedTuple

from bridge.model.http import HttpResponse

# gzip of zeros grows a thousandfold: what a real answer of text grows by is 10 to 30. It bounds
# the work for answers that lie far below the byte bound.
_GROWTH_MAX: Final = 200
_GROWTH_FREE_BYTES: Final = 64 * 1024
_CODINGS_COUNT_MAX: Final = 3


class Content(NamedTuple):
    """A decoded body."""

    body: bytes
    media_type: str
    """Lower case, without parameters; empty when there is none."""
    charset: str
    """As declared, lower case; empty when there is none."""
    problem: str = ""
    """Why the body could not be decoded; it is then as it came."""


def content_of(response: HttpResponse, bytes_max: int) -> Content:
    """Return the body of `response`, decoded up to `bytes_max`."""
    media_type, charset = _content_type(response.header(b"content-type"))
    body = response.body
    codings = [
        coding
        for name, value in response.headers
        if name.lower() == b"content-encoding"
        for coding in value.decode("latin-1").lower().replace(" ", "").split(",")
        if coding not in ("", "identity")
    ]
    if not codings or not body:
        return Content(body, media_type, charset)
    if len(codings) > _CODINGS_COUNT_MAX:
        return Content(body, media_type, charset, "too many content codings")
    for coding in reversed(codings):
        decoded = _decoded(body, coding, bytes_max)
        if isinstance(decoded, str):
            return Content(response.body, media_type, charset, decoded)
        body = decoded
    return Content(body, media_type, charset)


def _content_type(value: bytes | None) -> tuple[str, str]:
    if value is None:
        return "", ""
    media_type, _, parameters = value.decode("latin-1").partition(";")
    charset = ""
    for parameter in parameters.split(";"):
        name, equals, given = parameter.partition("=")
        if equals and name.strip().lower() == "charset":
            charset = given.strip().strip('"').lower()
            break
    return media_type.strip().lower(), charset


def _decoded(body: bytes, coding: str, bytes_max: int) -> bytes | str:
    """Return the decoded bytes, or why there are none."""
    if coding in ("gzip", "x-gzip"):
        windows: tuple[int, ...] = (zlib.MAX_WBITS | 16,)
    elif coding == "deflate":
        windows = (zlib.MAX_WBITS, -zlib.MAX_WBITS)
    else:
        return f"content coding {coding[:20]!r} is not known"
    most = min(bytes_max, _GROWTH_FREE_BYTES + len(body) * _GROWTH_MAX)
    for window in windows:
        try:
            return _inflated(body, window, most)
        except zlib.error:
            continue
    return f"content coding {coding!r} is broken"


def _inflated(body: bytes, window: int, most: int) -> bytes | str:
    parts = []
    left = most
    rest = body
    while rest:
        # A gzip body may have several members (RFC 1952 §2.2).
        machine = zlib.decompressobj(window)
        part = machine.decompress(rest, left + 1)
        if len(part) > left:
            return f"decodes to more than {most} bytes"
        if not machine.eof:
            raise zlib.error("cut short")
        parts.append(part)
        left -= len(part)
        rest = machine.unused_data
        if window < zlib.MAX_WBITS + 1:
            break
    return b"".join(parts)
