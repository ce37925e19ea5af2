"""Random exchanges: a request and its answer as bytes, and what must arrive of each.

Everything is drawn from one `random.Random`, so that a seed gives the same exchanges again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

_TOKEN: Final = b"!#$%&'*+-.^`|~0123456789abcdefgXYZ"
_VALUE: Final = bytes(byte for byte in range(0x20, 0x100) if byte != 0x7F) + b"\t"
_PATH: Final = b"abcXYZ019/.;,=~!$&'()*+:@|-_"
_ESCAPES: Final = (b"%20", b"%C3%A9", b"%c3%a9", b"%41", b"%7e", b"%3B", b"%26")
_QUERY: Final = b"abc019%/?=&+|\"<>^`{}[]\\;:@!$'()*,-._~"
_SPACES: Final = (b"", b" ", b"\t", b"  ", b" \t ")
_METHODS: Final = (
    b"GET", b"GET", b"GET", b"POST", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS",
    b"REPORT", b"get", b"M-SEARCH",
)  # fmt: skip
_ASKED: Final = (
    b"Accept: */*", b"accept: text/html;q=0.9", b"Cookie: a=1; b=2", b"COOKIE: c=3",
    b"Authorization: Basic eDp5", b'If-None-Match: W/"x"', b"Range: bytes=0-9,-5", b"Origin: null",
    b"Accept-Encoding: gzip, br", b"User-Agent: x/1 (y; z)", b"Cache-Control: no-cache",
    b"X_Under: score", b"Content-Type: application/json", b"Pragma: no-cache",
    b"If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT", b"Content-Encoding: gzip", b"DNT: 1",
    b"Date: Tue, 15 Nov 1994 08:12:31 GMT", b"Referer: http://a/?b#c",
)  # fmt: skip
_SAID: Final = (
    b"Set-Cookie: a=1; Path=/", b"set-cookie: b=2, c; HttpOnly", b"Server: old/1.0 (x)",
    b'ETag: W/"x"', b"Content-Type: text/html; charset=utf-8", b"Vary: *", b"Age: 0",
    b"WWW-Authenticate: Basic realm=a", b"WWW-Authenticate: Digest realm=b", b"Location: /a?b=c%2F",
    b"Content-Encoding: gzip", b"Accept-Ranges: bytes", b"Content-Range: bytes 0-4/10",
    b"Link: </a>; rel=preload", b"Cache-Control: no-store, private", b"X-Powered-By: PHP/5.2",
)  # fmt: skip
_HOPS: Final = (
    b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"Proxy-Authorization: Basic eDp5",
    b"TE: gzip;q=0.5", b"Upgrade: other/1",
)  # fmt: skip
_STATUSES: Final = (
    200, 200, 200, 200, 201, 202, 203, 204, 205, 206, 207, 299, 301, 302, 303, 304, 307, 308, 400,
    401, 403, 404, 409, 410, 412, 418, 422, 429, 451, 499, 500, 501, 502, 503, 504, 511, 599,
)  # fmt: skip
_BODY_BYTES_MAX: Final = 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the upstream answers, and what must arrive of it."""

    status_line: bytes
    interims: list[bytes]
    """Head of each interim answer."""
    raw: bytes
    """With its interim answers."""
    said: list[bytes]
    """Field lines that must reach the client byte for byte and in this order."""
    dated: bool
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    until_close: bool


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and its answer: bytes to send at both ends, and what must arrive."""

    number: int
    method: bytes
    target: bytes
    minor: int
    close: bool
    request: bytes
    kept: list[bytes]
    """Field lines that must reach the upstream byte for byte and in this order."""
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    wants_trailers: bool
    answer: Answer
    seen: list[str] = field(default_factory=list)
    """What went wrong."""
    arrived: int = 0
    """How often the request reached the upstream."""


class Maker:
    """Makes exchanges."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def exchange(self, number: int, *, last: bool) -> Exchange:
        """Make one; only the `last` of a connection may end it."""
        rng = self._rng
        method = rng.choice(_METHODS)
        target = b"/e/%d/" % number + self._path() + self._query()
        minor = 0 if last and rng.random() < 0.3 else 1
        close = minor == 0 or (last and rng.random() < 0.5)
        kept = self._fields(_ASKED, 12)
        wants = minor == 1 and rng.random() < 0.3
        body = self._body() if method not in (b"GET", b"HEAD") or rng.random() < 0.1 else b""
        chunked = minor == 1 and bool(body) and rng.random() < 0.5
        trailers = self._trailers() if chunked and rng.random() < 0.4 else []
        lines = [*kept]
        framing = self._framing(body, chunked=chunked)
        if framing and (body or chunked):
            lines.insert(rng.randint(0, len(lines)), framing)
        lines.insert(rng.randint(0, len(lines)), host := rng.choice((b"Host: a", b"hOST:a:80 ")))
        if rng.random() < 0.1:
            lines.insert(rng.randint(0, len(lines)), b"Max-Forwards: 5")
        kept = list(lines)
        lines = self._hopped(lines, wants=wants, trailers=trailers, close=close)
        start = target
        if rng.random() < 0.05:
            start = b"http://" + host.partition(b":")[2].strip() + target
        head = b"%b %b HTTP/1.%d\r\n%b\r\n\r\n" % (method, start, minor, b"\r\n".join(lines))
        return Exchange(
            number=number, method=method, target=target, minor=minor, close=close,
            request=head + self._encoded(body, trailers, chunked=chunked), kept=kept, body=body,
            trailers=trailers, wants_trailers=wants, answer=self._answer(method),
        )  # fmt: skip

    def ahead(self, most: int) -> int:
        """Return how many requests the next connection takes."""
        return self._rng.randint(1, most)

    def pieces(self, data: bytes) -> Sequence[bytes]:
        """Cut at a few random places."""
        cuts = sorted(self._rng.randint(0, len(data)) for _ in range(self._rng.randint(0, 4)))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]

    # -- parts ----------------------------------------------------------------------------------

    def _answer(self, method: bytes) -> Answer:
        rng = self._rng
        status = rng.choice(_STATUSES)
        bodiless = status in (204, 304) or method == b"HEAD"
        body = self._body()
        framing = rng.choice(("length", "length", "chunked", "close"))
        trailers = self._trailers() if framing == "chunked" and rng.random() < 0.4 else []
        said = self._fields(_SAID, 10)
        dated = rng.random() < 0.5
        if dated:
            said.insert(rng.randint(0, len(said)), b"Date: Tue, 15 Nov 1994 08:12:31 GMT")
        raw_body = b""
        if status == 204:
            framing = "none"
        elif framing != "close":
            said.insert(
                rng.randint(0, len(said)), self._framing(body, chunked=framing == "chunked")
            )
        if not bodiless:
            raw_body = self._encoded(body, trailers, chunked=framing == "chunked")
        else:
            body, trailers = b"", []
        lines = self._hopped(said, wants=False, trailers=trailers, close=False)
        reason = rng.choice((b" OK", b"", b" ", b" Not \xe9 Reason", b" " + self._value()))
        status_line = b"HTTP/1.1 %d%b" % (status, reason)
        interims = [
            b"\r\n".join((b"HTTP/1.1 %d Hint" % rng.choice((102, 103)), *self._fields(_SAID, 3)))
            for _ in range(rng.choice((0, 0, 0, 1, 2)))
        ]
        head = b"\r\n".join((status_line, *lines, b"\r\n"))
        return Answer(
            status_line=status_line,
            interims=interims,
            raw=b"".join(one + b"\r\n\r\n" for one in interims) + head + raw_body,
            said=said,
            dated=dated,
            body=body,
            trailers=trailers,
            until_close=framing == "close" and not bodiless,
        )

    def _hopped(
        self, lines: list[bytes], *, wants: bool, trailers: list[tuple[bytes, bytes]], close: bool
    ) -> list[bytes]:
        """Return the lines with fields of this hop among them, which must not go on."""
        rng = self._rng
        lines = [*lines]
        options = [b"close"] if close else []
        hops = [rng.choice(_HOPS)] if rng.random() < 0.2 else []
        if wants:
            hops = [b"TE: trailers"]
            options.append(b"TE")
        if trailers:
            hops.append(b"Trailer: " + b", ".join(name for name, _ in trailers))
        if rng.random() < 0.2:
            options.append(b"x-HOP")
            hops.append(b"X-Hop: mine")
        if options:
            hops.append(b"Connection: " + b" , ".join(options))
        for hop in hops:
            lines.insert(rng.randint(0, len(lines)), hop)
        return lines

    def _fields(self, known: Sequence[bytes], most: int) -> list[bytes]:
        rng = self._rng
        lines = []
        for _ in range(rng.randint(0, most)):
            if rng.random() < 0.5:
                lines.append(rng.choice(known))
                continue
            name = b"x-" + self._some(_TOKEN, 1, 12)
            around = rng.choice(_SPACES), self._value(), rng.choice(_SPACES)
            lines.append(name + b":" + b"".join(around))
        return lines

    def _value(self) -> bytes:
        return self._some(_VALUE, 0, 40).strip(b" \t")

    def _some(self, of: bytes, least: int, most: int) -> bytes:
        return bytes(self._rng.choices(of, k=self._rng.randint(least, most)))

    def _path(self) -> bytes:
        path = self._some(_PATH, 0, 25).replace(b"/.", b"/").replace(b"..", b".")
        return path + self._rng.choice(_ESCAPES) if self._rng.random() < 0.3 else path

    def _query(self) -> bytes:
        return b"?" + self._some(_QUERY, 0, 30) if self._rng.random() < 0.5 else b""

    def _body(self) -> bytes:
        size = self._rng.choice((0, 1, 10, 100, _BODY_BYTES_MAX))
        return self._rng.randbytes(self._rng.randint(0, size))

    def _trailers(self) -> list[tuple[bytes, bytes]]:
        return [(b"X-T%d" % index, self._value()) for index in range(self._rng.randint(1, 3))]

    def _framing(self, body: bytes, *, chunked: bool) -> bytes:
        name = b"Transfer-Encoding" if chunked else b"Content-Length"
        value = b"chunked" if chunked else b"%d" % len(body)
        case = self._rng.choice((bytes.lower, bytes.upper, bytes))
        return case(name) + b":" + self._rng.choice(_SPACES) + value

    def _encoded(self, body: bytes, trailers: list[tuple[bytes, bytes]], *, chunked: bool) -> bytes:
        if not chunked:
            return body
        rng = self._rng
        out = b""
        at = 0
        while at < len(body):
            size = rng.randint(1, len(body) - at)
            extension = rng.choice((b"", b"", b"", b";a=b", b';c="d e"'))
            out += rng.choice((b"%x", b"%X", b"0%x")) % size + extension
            out += b"\r\n" + body[at : at + size] + b"\r\n"
            at += size
        section = b"".join(b"%b: %b\r\n" % pair for pair in trailers)
        return out + b"0\r\n" + section + b"\r\n"
