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
from tests.gateway.abuse.outcomes import Passed, Refused, Sound, Unsent

_CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
_LAST = b"0\r\n\r\n"
_X = Passed(body=b"x", lacks=(b"content-length",))
_ANY_X = Passed(body=b"x")

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

_FORBIDDEN = (
    b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: evil",
    b"Authorization: Basic eDp5",
    b"Content-Encoding: gzip", b"Content-Type: text/evil", b"Connection: close", b"Cookie: a=b",
    b"X-Forwarded-For: 10.0.0.1",
)  # fmt: skip


def _forbidden(line: bytes) -> Passed:
    name = line.partition(b":")[0]
    if name in (b"Host", b"Transfer-Encoding", b"X-Forwarded-For"):
        # There is a proper one in the header, so only its value tells.
        values = {b"Host": b"a", b"Transfer-Encoding": b"chunked", b"X-Forwarded-For": b"127.0.0.1"}
        return Passed(body=b"x", has=((name, values[name]),), trailers_lack=(name,))
    return Passed(body=b"x", lacks=(name,))


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
        case(f"size-{name}", "9112 7.1", SHOULD, _CHUNKED + chunk + _LAST, BROKEN, _ANY_X)
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
        _ANY_X,
    ),
    case(
        "extension-8-bit", "9112 7.1.1", SHOULD, _CHUNKED + b"1;a=\xff\r\nx\r\n" + _LAST, BROKEN,
        _ANY_X
    ),
    case(
        "extension-long", "9112 7.1.1", SHOULD,
        _CHUNKED + b"1;" + b"a" * 20_000 + b"\r\nx\r\n" + _LAST, BROKEN, _ANY_X,
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
            "trailer-" + line.partition(b":")[0].decode().lower(), "9110 6.5.1", SECURITY,
            _CHUNKED + b"1\r\nx\r\n0\r\n" + line + b"\r\n\r\n", BROKEN, _forbidden(line),
        )
        for line in _FORBIDDEN
    ),
    broken("trailer-space-before-colon", "9112 5.1", _CHUNKED + b"1\r\nx\r\n0\r\nA : b\r\n\r\n",
           Sound(), level=MUST),
    broken("trailer-folded", "9112 5.2", _CHUNKED + b"1\r\nx\r\n0\r\nA: b\r\n c\r\n\r\n",
           level=SHOULD),
    broken("trailer-nul", "9110 5.5", _CHUNKED + b"1\r\nx\r\n0\r\nA: \x00\r\n\r\n"),
    broken("trailer-bare-lf", "9112 7.1.2", _CHUNKED + b"1\r\nx\r\n0\r\nA: b\nC: d\r\n\r\n",
           level=SHOULD),
    broken("trailer-bare-cr", "9112 2.2", _CHUNKED + b"1\r\nx\r\n0\r\nA: b\rC: d\r\n\r\n"),
    broken("trailer-no-colon", "9112 7.1.2", _CHUNKED + b"1\r\nx\r\n0\r\nnonsense\r\n\r\n",
           level=MUST),
    case("trailer-long", "9112 7.1.2", SHOULD,
         _CHUNKED + b"1\r\nx\r\n0\r\n" + b"A: " + b"b" * 20_000 + b"\r\n\r\n", BROKEN, _ANY_X),
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
