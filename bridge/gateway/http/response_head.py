"""Parse an upstream's response head by the same strict rules."""

from functools import lru_cache
from typing import Final, NamedTuple

from bridge.gateway.http.fields import (
    CODING,
    CONNECTION,
    DATE,
    FIELD_BYTES,
    HOP,
    LENGTH,
    TE,
    TRAILER,
    UPGRADE,
)
from bridge.gateway.http.framing import (
    CHUNKED,
    UNTIL_CLOSE,
    MessageRefused,
    body_length,
    broken_line,
    connection_options,
    name_of,
    special_fields,
    split_head,
    value_of,
)
from bridge.model.http import Headers

_KNOWN_OPTIONS: Final = frozenset((b"keep-alive", b"close", b"upgrade", b"transfer-encoding"))


class ResponseHead(NamedTuple):
    """One response's head."""

    status: int
    lines: list[bytes]
    """Status line, then the end-to-end and framing fields in their order; never changed."""
    length: int
    """Bytes of body, CHUNKED or UNTIL_CLOSE."""
    minor: int
    keep_alive: bool
    dated: bool
    upgrade: bytes | None
    """Value of Upgrade, in a 101."""
    trailer: bytes
    """Value of Trailer: the fields that are to follow a chunked body."""
    relayed: dict[object, object]
    """How it was written to clients of some kind within the last second; `relay`'s own."""


def stored_fields(head: ResponseHead, *, bodiless: bool = False) -> Headers:
    """Return the fields of an answer that is kept whole, without framing.

    Without a body its length says how long it would be: nobody else knows (RFC 9110 8.6).
    """
    if bodiless:
        return _fields_of(head, _CODING_ALONE)
    known = head.relayed.get(_STORED)
    if type(known) is _Stored and known.lines is head.lines:
        return known.fields
    made = _Stored(head.lines, _fields_of(head, _FRAMING))
    head.relayed[_STORED] = made
    return made.fields


def _fields_of(head: ResponseHead, left_out: frozenset[bytes]) -> Headers:
    pairs = (line.partition(b":") for line in head.lines[1:])
    return tuple(
        (name, value.strip(b" \t")) for name, _, value in pairs if name.lower() not in left_out
    )


class _Stored(NamedTuple):
    lines: list[bytes]
    fields: Headers


_STORED: Final = "stored"
_CODING_ALONE: Final = frozenset((b"transfer-encoding",))
_FRAMING: Final = _CODING_ALONE | {b"content-length"}


class ResponseReader:
    """Reads the heads of one upstream connection.

    A head that equals the one before, which answers of one kind within a second do, is not parsed
    again. Only the last one is kept, and only as long as its connection.
    """

    __slots__ = ("_method", "_raw", "_seen")

    def __init__(self) -> None:
        self._raw = b""
        self._method = b""
        self._seen: ResponseHead | None = None

    def read(self, raw: bytes, method: bytes) -> ResponseHead:
        """Parse a head, given without its final empty line; `method` is the request's.

        Raises:
            MessageRefused: it breaks a rule; its connection must be closed.
        """
        seen = self._seen
        if seen is None or raw != self._raw or method != self._method:
            seen = self._seen = parse_response_head(raw, method)
            self._raw = raw
            self._method = method
        return seen


def parse_response_head(head: bytes, method: bytes) -> ResponseHead:
    """Parse a head, given without its final empty line; `method` is the request's.

    Raises:
        MessageRefused: it breaks a rule; its connection must be closed.
    """
    lines = split_head(head)
    status, minor = _status_line(lines[0])
    if minor > 1:
        minor = 1  # A later HTTP/1 is compatible (RFC 9110 2.5), but what we send on is 1.1.
        lines[0] = b"HTTP/1.1" + lines[0][8:]
    lengths: tuple[bytes, ...] = ()
    codings: tuple[bytes, ...] = ()
    connection: tuple[bytes, ...] = ()
    dropped: list[int] = []
    framing: list[int] = []
    upgrade = None
    trailer = b""
    dated = False
    for kind, index, line in special_fields(lines):
        if kind == DATE:
            dated = True
        elif kind == LENGTH:
            lengths += (line,)
            framing.append(index)
        elif kind == CONNECTION:
            connection += (line,)
            dropped.append(index)
        elif kind == CODING:
            codings += (line,)
            framing.append(index)
        elif kind in (HOP, TE):
            dropped.append(index)
        elif kind == TRAILER:
            trailer = trailer + b", " + value_of(line) if trailer else value_of(line)
            dropped.append(index)
        elif kind == UPGRADE:
            upgrade = value_of(line)
            dropped.append(index)
    length = _length(lengths, codings, minor)
    if status < 200 or status == 204:
        # No length may be told where there can be no body (RFC 9110 8.6, RFC 9112 6.1).
        dropped += framing
        length = 0
    elif status == 304 or method == b"HEAD":
        length = 0
    options = _options(connection)
    if not _KNOWN_OPTIONS.issuperset(options):
        dropped += _nominated(lines, options - _KNOWN_OPTIONS)
    if len(dropped) > 1:
        dropped = sorted(set(dropped), reverse=True)
    for index in dropped:
        del lines[index]
    persistent = minor == 1 or b"keep-alive" in options
    keep_alive = persistent and length != UNTIL_CLOSE and b"close" not in options
    return ResponseHead(
        status,
        lines,
        length,
        minor,
        keep_alive,
        dated,
        upgrade,
        trailer if length == CHUNKED else b"",
        {},
    )


@lru_cache(maxsize=1024)
def _length(lengths: tuple[bytes, ...], codings: tuple[bytes, ...], minor: int) -> int:
    length = body_length([*map(value_of, lengths)], [*map(value_of, codings)], minor)
    return UNTIL_CLOSE if length is None else length


@lru_cache(maxsize=256)
def _options(lines: tuple[bytes, ...]) -> frozenset[bytes]:
    return connection_options(tuple(map(value_of, lines)))


def _nominated(lines: list[bytes], options: frozenset[bytes]) -> list[int]:
    return [
        index
        for index, line in enumerate(lines)
        if index and name_of(line).lower().encode("latin-1") in options
    ]


@lru_cache(maxsize=256)
def _status_line(line: bytes) -> tuple[int, int]:
    version, code, rest = line[:9], line[9:12], line[12:]
    if version == b"HTTP/1.1 ":
        minor = 1
    elif version == b"HTTP/1.0 ":
        minor = 0
    elif version[:7] == b"HTTP/1." and version[7:8].isdigit() and version[8:] == b" ":
        minor = int(version[7:8])
    else:
        raise MessageRefused(502, "the status line does not begin with HTTP/1.x", "RFC 9112 4")
    if len(code) != 3 or not code.isdigit() or not b"100" <= code <= b"599":
        raise MessageRefused(502, "the status is not a number from 100 to 599", "RFC 9110 15")
    if rest.translate(None, FIELD_BYTES):
        raise broken_line(line)
    if rest and rest[:1] != b" ":
        raise MessageRefused(502, "no space after the status", "RFC 9112 4")
    return int(code), minor
