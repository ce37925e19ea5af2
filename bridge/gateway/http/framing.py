"""The rules of RFC 9112 that requests and responses share, as strict as they can be read.

Both ends of a proxy must agree on where a message ends. Every lenience (a bare LF, a folded line,
two lengths) is one that some back end reads differently, so each is refused by name and section.
The heads are scanned by our own code alone: a second parser beside it would be a second opinion
about the same bytes, which is the very thing that smuggling lives on.
"""

import re
from functools import lru_cache
from itertools import repeat
from typing import Final

from bridge.gateway.http.fields import (
    FIELD_BYTES,
    IMITATION,
    PLAIN,
    UNDERSCORE,
    UNSEEN,
    is_token,
    kind_of_line,
    known_line,
    may_be_nominated,
)
from bridge.model.errors import DecodeError

# The limits of nginx and Apache (8 k line, 100 fields); 64 k is their usual sum of large cookies.
REQUEST_LINE_BYTES_MAX: Final = 8_192
HEAD_BYTES_MAX: Final = 65_536
FIELDS_MAX: Final = 100

CHUNKED: Final = -1
"""As a body length: `Transfer-Encoding: chunked`."""
UNTIL_CLOSE: Final = -2
"""As a body length (responses only): the body ends with the connection."""

# 2^53 and more is no body that anybody sends, but a number that some back end reads differently.
_LENGTH_DIGITS_MAX: Final = 15

_UNSEEN: Final = repeat(UNSEEN)
_BROKEN_LINE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class MessageRefused(DecodeError):
    """A message that we do not take: `status` for a client, `section` of the RFC that says why."""

    def __init__(self, status: int, detail: str, section: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.section = section


Specials = list[tuple[int, int, bytes]]
"""(kind, index among the lines, line) of the fields that a proxy has to look at."""


def split_head(head: bytes) -> list[bytes]:
    """Return start line and field lines of a head (without its final empty line), unchecked.

    Raises:
        MessageRefused: too many fields.
    """
    lines = head.split(b"\r\n")
    if len(lines) > FIELDS_MAX + 1:
        raise MessageRefused(431, f"more than {FIELDS_MAX} header fields", "RFC 9110 5.4")
    return lines


def broken_line(part: bytes) -> MessageRefused:
    """Say what is wrong with bytes that are not visible characters in lines ended by CRLF."""
    found = _BROKEN_LINE.search(part)
    byte = found[0] if found else b""
    what = {b"\n": "a bare LF", b"\r": "a bare CR"}.get(byte, "a control character")
    return MessageRefused(400, f"{what} in the head", "RFC 9112 2.2")


def has_broken_line(part: bytes, start: int) -> bool:
    """Whether a head that is still arriving can already be refused for its bytes from `start`."""
    # The last byte may be the CR of a CRLF that is still on its way, then as well as now.
    end = len(part) - part.endswith(b"\r")
    return _BROKEN_LINE.search(part, max(0, start - 1), end) is not None


def special_fields(lines: list[bytes]) -> Specials:
    """Check every field line and return those that a proxy has to look at.

    A line that was seen before was checked then; only the others are looked into.

    Raises:
        MessageRefused: a control character, a bare CR or LF, or a name that is no token.
    """
    kinds = list(map(known_line, lines, _UNSEEN))
    kinds[0] = PLAIN  # The start line.
    specials: Specials = []
    for index in [at for at, kind in enumerate(kinds) if kind]:
        line = lines[index]
        kind = kinds[index]
        if kind == UNSEEN:
            kind = kind_of_line(line)
            if kind == PLAIN:
                continue
            if kind < 0:
                raise _bad_field(line)
        specials.append((kind, index, line))
    return specials


def refuse_imitations(specials: Specials, lines: list[bytes]) -> None:
    """Refuse names with underscores that a CGI or WSGI back end reads as another field's.

    Raises:
        MessageRefused: such a name.
    """
    for kind, _, line in specials:
        if kind == IMITATION:
            raise MessageRefused(
                400,
                f"field {name_of(line)!r} imitates another by its underscore",
                "RFC 3875 4.1.18",
            )
        if kind == UNDERSCORE:
            twin = name_of(line).lower().replace("_", "-")
            if any(name_of(other).lower() == twin for other in lines[1:]):
                raise MessageRefused(
                    400, f"both {name_of(line)!r} and {twin!r} are given", "RFC 3875 4.1.18"
                )


def name_of(line: bytes) -> str:
    """Return a field's name for a message; never its value."""
    return line.partition(b":")[0][:64].decode("latin-1")


def value_of(line: bytes) -> bytes:
    """Return a field line's value without the white space around it."""
    return line.partition(b":")[2].strip(b" \t")


def _bad_field(line: bytes) -> MessageRefused:
    if line.translate(None, FIELD_BYTES):
        return broken_line(line)
    name, colon, _ = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        return MessageRefused(400, "a folded field line", "RFC 9112 5.2")
    if not colon:
        return MessageRefused(400, "a field line without a colon", "RFC 9112 5")
    if name.rstrip(b" \t") != name:
        return MessageRefused(400, "white space before a field's colon", "RFC 9112 5.1")
    return MessageRefused(400, "a field name that is no token", "RFC 9110 5.1")


def is_length(text: bytes) -> bool:
    """Whether `text` is a Content-Length that we take."""
    # isdigit() of bytes is ASCII digits alone: no sign, no underscore, no inner space.
    return text.isdigit() and len(text) <= _LENGTH_DIGITS_MAX


def body_length(lengths: list[bytes], codings: list[bytes], minor: int) -> int | None:
    """Return the length that the framing fields give: bytes, CHUNKED, or None without any.

    Raises:
        MessageRefused: the fields contradict each other or are not what we take.
    """
    if codings:
        if lengths:
            raise MessageRefused(
                400, "both Content-Length and Transfer-Encoding", "RFC 9112 6.3 (3)"
            )
        if minor == 0:
            raise MessageRefused(400, "Transfer-Encoding in HTTP/1.0", "RFC 9112 6.1")
        return _coding(codings)
    if not lengths:
        return None
    if len(lengths) > 1:
        raise MessageRefused(400, "more than one Content-Length", "RFC 9112 6.3 (5)")
    text = lengths[0]
    if not is_length(text):
        raise MessageRefused(400, "Content-Length is not a number of bytes", "RFC 9110 8.6")
    return int(text)


def _coding(codings: list[bytes]) -> int:
    if len(codings) > 1:
        raise MessageRefused(400, "more than one Transfer-Encoding", "RFC 9112 6.1")
    names = [part.strip(b" \t").lower() for part in codings[0].split(b",")]
    if names == [b"chunked"]:
        return CHUNKED
    if names.count(b"chunked") > 1 or (b"chunked" in names and names[-1] != b"chunked"):
        raise MessageRefused(400, "chunked is not the last transfer coding", "RFC 9112 6.3 (4)")
    if not all(is_token(name.partition(b";")[0].rstrip(b" \t")) for name in names):
        raise MessageRefused(400, "Transfer-Encoding is not a list of codings", "RFC 9112 6.1")
    raise MessageRefused(501, "a transfer coding other than chunked", "RFC 9112 6.1")


@lru_cache(maxsize=256)
def connection_options(values: tuple[bytes, ...]) -> frozenset[bytes]:
    """Return the options of Connection, lower case.

    Raises:
        MessageRefused: an option that is no token, or names a field that may not be removed.
    """
    options = set()
    for value in values:
        for part in value.lower().split(b","):
            option = part.strip(b" \t")
            if not option:
                continue
            if not is_token(option):
                raise MessageRefused(400, "a Connection option that is no token", "RFC 9110 7.6.1")
            if not may_be_nominated(option):
                raise MessageRefused(
                    400,
                    f"Connection nominates {option.decode('ascii')!r}, which is end-to-end",
                    "RFC 9110 7.6.1",
                )
            options.add(option)
    return frozenset(options)
