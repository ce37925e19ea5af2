"""A body as the client would read it: decoded on a copy, with a bound against bombs.

RFC 9110 §8.4 (Content-Encoding); its codings are those of `decoding`.
"""

from typing import Final, NamedTuple

from bridge.gateway.comparison.decoding import decoded
from bridge.model.http import HttpResponse

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
        plain = decoded(body, coding, bytes_max)
        if isinstance(plain, str):
            return Content(response.body, media_type, charset, plain)
        body = plain
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
