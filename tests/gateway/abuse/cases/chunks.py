"""The chunked coding of requests, and its trailers."""

from tests.gateway.abuse.case import Act
from tests.gateway.abuse.cases.build import (
    BROKEN,
    MUST,
    POST,
    REFUSED,
    SECURITY,
    SHOULD,
    broken,
    case,
)
from tests.gateway.abuse.outcomes import Passed, Refused, Unsent

_CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
_LAST = b"0\r\n\r\n"
_X = Passed(body=b"x")

_BROKEN_SIZES = (
    ("0x", b"0x1\r\nx\r\n"), ("plus", b"+1\r\nx\r\n"), ("minus", b"-1\r\nx\r\n"),
    ("empty", b"\r\nx\r\n"),
    ("underscore", b"1_0\r\nx\r\n"), ("huge", b"fffffffffffffffff\r\nx\r\n"),
    ("letter", b"g\r\nx\r\n"),
    ("wraps-to-1", b"10000000000000001\r\nx\r\n"), ("fraction", b"1.0\r\nx\r\n"),
    ("nul", b"1\x00\r\nx\r\n"),
    ("bare-cr", b"1\rx\r\n"), ("two-numbers", b"1 1\r\nx\r\n"), ("quoted", b'"1"\r\nx\r\n'),
    ("comma", b"1,1\r\nx\r\n"), ("full-width", b"\xef\xbc\x91\r\nx\r\n"),
    ("cr-cr-lf", b"1\r\r\nx\r\n"),
    ("vertical-tab", b"1\x0b\r\nx\r\n"), ("32-bit-minus", b"ffffffff00000001\r\nx\r\n"),
)  # fmt: skip

_SPACED = (
    ("space-before", b" 1\r\nx\r\n"), ("space-after", b"1 \r\nx\r\n"),
    ("tab-after", b"1\t\r\nx\r\n"),
    ("spaces-around-extension", b"1 ; a = b\r\nx\r\n"), ("empty-extension", b"1;\r\nx\r\n"),
)  # fmt: skip

_BROKEN_DATA = (
    ("bare-lf", b"1\r\nx\n"), ("bare-cr", b"1\r\nx\r"), ("too-long", b"1\r\nxy\r\n"),
    ("no-crlf", b"1\r\nx"), ("lf-cr", b"1\r\nx\n\r"), ("two-characters-for-crlf", b"1\r\nxyz"),
    ("cr-letter", b"1\r\nx\rX"),
)  # fmt: skip

_EXTENSIONS = (
    ("name", b";a"), ("value", b";a=b"), ("quoted", b';a="b c"'), ("quoted-semicolon", b';a=";"'),
    ("several", b";a=b;c=d"), ("quoted-escape", b';a="\\""'),
)  # fmt: skip

_BROKEN_EXTENSIONS = (
    ("bare-lf", b";a\nb"), ("bare-cr", b";a\rb"), ("nul", b";a=\x00"), ("bare-lf-at-end", b";a\n"),
    ("cr-lf-in-quotes", b';a="\r\n"'), ("only-lf", b";\n"),
)  # fmt: skip

_ODD_TRAILERS = (
    ("space-before-colon", MUST, b"A : b"), ("folded", MUST, b"A: b\r\n c"),
    ("nul", SECURITY, b"A: \x00"), ("bare-lf", SHOULD, b"A: b\nC: d"),
    ("bare-cr", SECURITY, b"A: b\rC: d"), ("no-colon", MUST, b"nonsense"),
    ("name-space", SECURITY, b"A B: c"), ("name-empty", SECURITY, b": c"),
)  # fmt: skip

_FORBIDDEN = (
    b"Content-Length: 5", b"Transfer-Encoding: gzip", b"Host: evil",
    b"Authorization: Basic eDp5",
    b"Content-Encoding: gzip", b"Content-Type: text/evil", b"Connection: close", b"Cookie: a=b",
    b"X-Forwarded-For: 10.0.0.1",
)  # fmt: skip


def _name(line: bytes) -> str:
    return line.partition(b":")[0].decode().lower()


def _merged(line: bytes) -> Passed:
    """Not among the header fields; where there is a proper one, its value tells."""
    name, _, value = line.partition(b": ")
    return Passed(body=b"x", header_lacks=((name, value),))


CHUNKS = (
    *(
        broken(f"size-{name}", "9112 7.1", _CHUNKED + chunk + _LAST)
        for name, chunk in _BROKEN_SIZES
    ),
    *(broken(f"data-{name}", "9112 7.1", _CHUNKED + chunk + _LAST) for name, chunk in _BROKEN_DATA),
    broken("data-too-short", "9112 7.1", _CHUNKED + b"5\r\nx\r\n0\r\n\r\n\r\n\r\n"),
    broken("size-bare-lf", "9112 7.1", _CHUNKED + b"1\nx\r\n" + _LAST, level=MUST),
    broken("last-bare-lf", "9112 7.1", _CHUNKED + b"1\r\nx\r\n0\n\n", level=MUST),
    broken("last-size-bare-lf", "9112 7.1", _CHUNKED + b"1\r\nx\r\n0\n\r\n", level=MUST),
    broken("last-end-bare-lf", "9112 7.1", _CHUNKED + b"1\r\nx\r\n0\r\n\n", level=MUST),
    *(
        case(f"size-{name}", "9112 7.1", SHOULD, _CHUNKED + chunk + _LAST, BROKEN, _X)
        for name, chunk in _SPACED
    ),
    *(
        broken(f"extension-{name}", "9112 7.1.1",
               _CHUNKED + b"1" + extension + b"\r\nx\r\n" + _LAST)
        for name, extension in _BROKEN_EXTENSIONS
    ),
    *(
        case(
            f"extension-{name}", "9112 7.1.1", MUST,
            _CHUNKED + b"1" + extension + b"\r\nx\r\n" + _LAST, _X,
        )
        for name, extension in _EXTENSIONS
    ),
    case(
        "extension-control", "9112 7.1.1", SHOULD, _CHUNKED + b"1;a=\x01\r\nx\r\n" + _LAST, BROKEN,
        _X,
    ),
    case(
        "extension-8-bit", "9112 7.1.1", SHOULD, _CHUNKED + b"1;a=\xff\r\nx\r\n" + _LAST, BROKEN,
        _X
    ),
    case(
        "extension-long", "9112 7.1.1", SHOULD,
        _CHUNKED + b"1;" + b"a" * 20_000 + b"\r\nx\r\n" + _LAST, BROKEN, _X,
    ),
    case(
        "extensions-endless", "9112 7.1.1", SECURITY,
        (_CHUNKED, *(b"1;" + b"a" * 60_000 + b"\r\nx\r\n",) * 100), BROKEN, pieces=False,
    ),
    case("sizes-in-capitals", "9112 7.1", MUST, _CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n",
         Passed(body=b"0123456789")),
    case("sizes-in-small", "9112 7.1", MUST, _CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n",
         Passed(body=b"0123456789")),
    case("size-leading-zeros", "9112 7.1", MUST, _CHUNKED + b"0001\r\nx\r\n0000\r\n\r\n", _X),
    case("size-many-zeros", "9112 7.1", SHOULD, _CHUNKED + b"0" * 40 + b"1\r\nx\r\n" + _LAST, _X,
         BROKEN),
    case("no-data", "9112 7.1", MUST, _CHUNKED + _LAST, Passed(body=b"")),
    case("many-chunks", "9112 7.1", MUST, _CHUNKED + b"1\r\nx\r\n" * 200 + _LAST,
         Passed(body=b"x" * 200)),
    case("data-of-crlf", "9112 7.1", MUST, _CHUNKED + b"4\r\n\r\n\r\n\r\n" + _LAST,
         Passed(body=b"\r\n\r\n")),
    case("data-of-a-request", "9112 7.1", MUST,
         _CHUNKED + b"23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n" + _LAST,
         Passed(body=b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")),
    case("trailer", "9112 7.1.2", MUST, _CHUNKED + b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n", _X),
    case("trailer-announced", "9110 6.5.1", MUST,
         POST
         + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n",
         _X),
    *(
        case(
            f"trailer-merged-{_name(line)}", "9110 6.5.1", SECURITY,
            _CHUNKED + b"1\r\nx\r\n0\r\n" + line + b"\r\n\r\n", BROKEN, _merged(line),
        )
        for line in _FORBIDDEN
    ),
    *(
        case(
            f"trailer-relayed-{_name(line)}", "9110 6.5.1", SHOULD,
            POST + b"Trailer: " + line.partition(b":")[0]
            + b"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + line + b"\r\n\r\n",
            BROKEN, Passed(body=b"x", trailers_lack=(line.partition(b":")[0],)),
        )
        for line in _FORBIDDEN
    ),
    *(
        case(f"trailer-{name}", "9112 7.1.2", level,
             _CHUNKED + b"1\r\nx\r\n0\r\n" + line + b"\r\n\r\n", BROKEN, _X)
        for name, level, line in _ODD_TRAILERS
    ),
    case("trailer-long", "9112 7.1.2", SHOULD,
         _CHUNKED + b"1\r\nx\r\n0\r\n" + b"A: " + b"b" * 20_000 + b"\r\n\r\n", BROKEN, _X),
    case("trailers-endless", "9112 7.1.2", SECURITY,
         (_CHUNKED + b"1\r\nx\r\n0\r\n", *(b"A: " + b"b" * 60_000 + b"\r\n",) * 100), BROKEN,
         pieces=False),
    case("cut-in-size", "9112 8", SECURITY, (_CHUNKED + b"5", Act.PAUSE, Act.GONE), Unsent()),
    case("cut-in-data", "9112 8", SECURITY, (_CHUNKED + b"5\r\nx", Act.PAUSE, Act.GONE), Unsent()),
    case("cut-before-last", "9112 8", SECURITY, (_CHUNKED + b"1\r\nx\r\n", Act.PAUSE, Act.GONE),
         Unsent()),
    case("cut-in-trailers", "9112 8", SECURITY,
         (_CHUNKED + b"1\r\nx\r\n0\r\n", Act.PAUSE, Act.GONE),
         Unsent()),
    case("ended-before-last", "9112 8", SECURITY, (_CHUNKED + b"1\r\nx\r\n", Act.PAUSE, Act.END),
         Refused(closed=True)),
    case("dribbled", "9112 7.1", MUST,
         (_CHUNKED, Act.PAUSE, b"5\r", Act.PAUSE, b"\nri", Act.PAUSE, b"ght\r", Act.PAUSE,
         b"\n0\r\n\r",
          Act.PAUSE, b"\n"), Passed(body=b"right")),
    case("never-ends", "9110 15.5.9", SECURITY, (_CHUNKED + b"1\r\nx\r\n",), REFUSED),
)  # fmt: skip
