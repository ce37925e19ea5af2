"""Fold the fields that a proxy has to look at into one request head."""

from functools import lru_cache
from typing import Final

from bridge.gateway.http import fields
from bridge.gateway.http.framing import (
    CHUNKED,
    MessageRefused,
    Specials,
    body_length,
    connection_options,
    name_of,
    refuse_imitations,
    value_of,
)
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.target import ASTERISK, Authority, parse_authority, split_absolute

REFUSED_METHODS: Final = frozenset((b"CONNECT", b"TRACE"))


def folded(
    method: bytes, target: bytes, minor: int, lines: list[bytes], found: Specials
) -> RequestHead:
    if minor > 1:
        minor = 1
        lines[0] = b"%b %b HTTP/1.1" % (method, target)
    fold = _Fold(method, minor)
    for kind, index, line in found:
        fold.take(kind, index, line)
    if fold.underscored:
        refuse_imitations(found, lines)
    return fold.head(target, lines)


def _not_served(method: bytes) -> MessageRefused:
    return MessageRefused(405, f"{method.decode('ascii')} is not served", "RFC 9110 9.3")


class _Fold:
    """Folds the fields that a proxy looks at into one head."""

    __slots__ = (
        "codings", "connection", "dropped", "expect", "forwarded", "hosts", "lengths",
        "max_forwards", "max_forwards_at", "method", "minor", "te", "trailer", "underscored",
        "upgrades", "via",
    )  # fmt: skip

    def __init__(self, method: bytes, minor: int) -> None:
        self.method = method
        self.minor = minor
        self.hosts: list[bytes] = []
        self.lengths: list[bytes] = []
        self.codings: list[bytes] = []
        self.connection: tuple[bytes, ...] = ()
        self.upgrades: tuple[bytes, ...] = ()
        self.via: tuple[bytes, ...] = ()
        self.forwarded: tuple[bytes, ...] = ()
        self.expect: bytes | None = None
        self.max_forwards: bytes | None = None
        self.max_forwards_at = 0
        self.te: tuple[bytes, ...] = ()
        self.trailer: tuple[bytes, ...] = ()
        self.underscored = False
        self.dropped: list[int] = []

    def take(self, kind: int, index: int, line: bytes) -> None:
        """Take one field."""
        if kind == fields.HOST:
            self.hosts.append(line)
        elif kind == fields.LENGTH:
            self.lengths.append(value_of(line))
        elif kind == fields.CODING:
            self.codings.append(value_of(line))
        elif kind == fields.VIA:
            self.via += (value_of(line),)
        elif kind == fields.MAX_FORWARDS:
            self.max_forwards = value_of(line)
            self.max_forwards_at = index
        elif kind in (fields.UNDERSCORE, fields.IMITATION):
            self.underscored = True
        elif kind != fields.DATE:
            self.dropped.append(index)
            if kind == fields.CONNECTION:
                self.connection += (value_of(line),)
            elif kind == fields.UPGRADE:
                self.upgrades += (value_of(line),)
            elif kind == fields.FORWARDED:
                self.forwarded += (line,)
            elif kind == fields.EXPECT:
                self._expect(index, value_of(line))
            elif kind == fields.TE:
                self.te += (value_of(line),)
            elif kind == fields.TRAILER:
                self.trailer += (value_of(line),)

    def _expect(self, index: int, value: bytes) -> None:
        if self.minor == 0:
            return  # HTTP/1.0 knows no interim answer: the expectation is ignored (9110 10.1.1).
        if value.lower() != b"100-continue":
            raise MessageRefused(417, "an expectation other than 100-continue", "RFC 9110 10.1.1")
        self.expect = value
        self.dropped.remove(index)

    def head(self, target: bytes, lines: list[bytes]) -> RequestHead:
        """Put the head together.

        Raises:
            MessageRefused: the fields contradict each other.
        """
        method, minor = self.method, self.minor
        authority = self._authority()
        if target[:1] != b"/":
            if method in REFUSED_METHODS:
                raise _not_served(method)
            if target == ASTERISK:
                if method != b"OPTIONS":
                    raise MessageRefused(400, "target '*' without OPTIONS", "RFC 9112 3.2.4")
            else:
                absolute, target = split_absolute(target)
                lines = _with_host(lines, absolute, authority)
                authority = absolute
                lines[0] = b"%b %b HTTP/1.1" % (method, target)
        elif method in REFUSED_METHODS:
            raise _not_served(method)
        length = body_length(self.lengths, self.codings, minor) or 0
        options = connection_options(self.connection) if self.connection else frozenset()
        # Transfer-Encoding frames the body that we send on, whoever nominates it.
        nominated = options - {b"keep-alive", b"close", b"upgrade", b"transfer-encoding"}
        if nominated:
            self._drop_nominated(lines, nominated)
        forwards = self._forwards()
        if forwards:
            lines[self.max_forwards_at] = b"Max-Forwards: %d" % (forwards - 1)
        for index in reversed(self.dropped):
            del lines[index]
        if minor == 0:
            lines[0] = b"%b %b HTTP/1.1" % (method, target)
        return RequestHead(
            lines[0],
            method,
            target,
            minor,
            authority,
            lines[1:],
            length,
            b"close" not in options and (minor == 1 or b"keep-alive" in options),
            self.expect is not None and length != 0,
            self._upgrade(options, length),
            self.via,
            self.forwarded,
            forwards,
            b", ".join(self.trailer) if length == CHUNKED else b"",
            bool(self.te) and minor == 1 and b"te" in options and _names_trailers(self.te),
        )

    def _authority(self) -> Authority | None:
        hosts = self.hosts
        if len(hosts) == 1:
            return authority_in(hosts[0])
        if hosts:
            raise MessageRefused(400, "more than one Host", "RFC 9112 3.2")
        if self.minor:
            raise MessageRefused(400, "no Host in HTTP/1.1", "RFC 9112 3.2")
        return None

    def _drop_nominated(self, lines: list[bytes], options: frozenset[bytes]) -> None:
        nominated = {
            index
            for index, line in enumerate(lines)
            if index and name_of(line).lower().encode("latin-1") in options
        }
        self.dropped = sorted(nominated.union(self.dropped))

    def _upgrade(self, options: frozenset[bytes], length: int) -> bytes | None:
        """Any other upgrade is ignored, which RFC 9110 7.8 allows: h2c past us would be blind."""
        if (
            self.upgrades
            and b"upgrade" in options
            and self.method == b"GET"
            and self.minor
            and length == 0
            and len(self.upgrades) == 1
            and self.upgrades[0].lower() == b"websocket"
        ):
            return self.upgrades[0]
        return None

    def _forwards(self) -> int | None:
        text = self.max_forwards
        if text is None or self.method != b"OPTIONS":
            return None
        if not text.isdigit() or len(text) > 5:
            raise MessageRefused(400, "Max-Forwards is not a number", "RFC 9110 7.6.2")
        return int(text)


@lru_cache(maxsize=64)
def _names_trailers(values: tuple[bytes, ...]) -> bool:
    return any(part.strip(b" \t").lower() == b"trailers" for part in b",".join(values).split(b","))


@lru_cache(maxsize=1024)
def authority_in(line: bytes) -> Authority:
    return parse_authority(value_of(line))


def _with_host(lines: list[bytes], absolute: Authority, authority: Authority | None) -> list[bytes]:
    """An absolute target's authority replaces Host, in place (RFC 9112 3.2.2)."""
    if authority is not None and authority.raw == absolute.raw:
        return lines
    host = b"Host: " + absolute.raw
    if authority is None:
        return [*lines, host]
    return [
        host if index and fields.kind_of_line(line) == fields.HOST else line
        for index, line in enumerate(lines)
    ]
