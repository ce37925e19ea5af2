"""Where a request ends: Content-Length and Transfer-Encoding."""

from tests.gateway.abuse.cases.build import (
    BROKEN,
    GET,
    MUST,
    ONE_CHUNK,
    POST,
    REFUSED,
    SECURITY,
    SHOULD,
    broken,
    case,
)
from tests.gateway.abuse.outcomes import Passed, Refused

_X = Passed(body=b"x", has=((b"content-length", b"1"),), lacks=(b"transfer-encoding",))
_CHUNKED_X = Passed(body=b"x", closed=True)
_BY_SIZE = Passed(body=b"x")


_BAD_LENGTHS = (
    ("plus", b"+1"), ("minus", b"-1"), ("underscore", b"1_0"), ("hex", b"0x1"),
    ("inner-space", b"1 1"),
    ("empty", b""), ("fraction", b"1.0"), ("huge", b"99999999999999999999"), ("exponent", b"1e0"),
    ("wraps-to-1", b"18446744073709551617"), ("arabic-digits", b"\xd9\xa1"), ("letter", b"1a"),
    ("list-differing", b"1, 2"), ("list-empty-element", b"1,,2"), ("semicolon", b"1;"),
    ("quoted", b'"1"'), ("vertical-tab", b"\x0b1"), ("form-feed", b"1\x0c"), ("nbsp", b"\xa01"),
    ("comma", b","), ("full-width-digit", b"\xef\xbc\x91"), ("minus-zero", b"-0"),
)  # fmt: skip

LENGTHS = (
    *(
        broken(f"cl-{name}", "9112 6.3 (5)", POST + b"Content-Length: " + value + b"\r\n\r\nx")
        for name, value in _BAD_LENGTHS
    ),
    broken(
        "cl-differing", "9112 6.3 (5)",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    ),
    broken(
        "cl-differing-case", "9112 6.3 (5)",
        POST + b"Content-Length: 1\r\ncOnTeNt-LeNgTh: 20\r\n\r\nx",
    ),
    broken(
        "cl-differing-far-apart", "9112 6.3 (5)",
        POST + b"Content-Length: 1\r\n" + b"X: y\r\n" * 20 + b"Content-Length: 5\r\n\r\nx",
    ),
    case(
        "cl-repeated", "9112 6.3 (5)", MUST,
        POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", REFUSED, _X,
    ),
    case("cl-list-equal", "9112 6.3 (5)", MUST, POST + b"Content-Length: 1, 1\r\n\r\nx", REFUSED,
         _X),
    case("cl-leading-zeros", "9110 8.6", MUST, POST + b"Content-Length: 0001\r\n\r\nx", _BY_SIZE),
    case("cl-white-space", "9110 5.5", MUST, POST + b"Content-Length: \t 1 \t\r\n\r\nx", _X),
    case("cl-no-space", "9110 5.5", MUST, POST + b"Content-Length:1\r\n\r\nx", _X),
    case("cl-name-case", "9110 5.1", MUST, POST + b"CONTENT-length: 1\r\n\r\nx", _X),
    case("cl-zero", "9110 8.6", MUST, POST + b"Content-Length: 0\r\n\r\n", Passed(body=b"")),
    case("cl-none", "9112 6.3 (7)", MUST, POST + b"\r\n", Passed(body=b""),
         Refused(statuses=(411,))),
    case("cl-with-get", "9110 9.3.1", MUST, GET + b"Content-Length: 1\r\n\r\nx", _X, REFUSED),
    case(
        "cl-with-delete", "9110 9.3.5", MUST,
        b"DELETE /case HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", _X, REFUSED,
    ),
    case(
        "cl-in-http-1.0", "9112 6.3", MUST,
        b"POST /case HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        Passed(body=b"x", closed=True),
    ),
    broken(
        "cl-none-in-http-1.0", "9112 6.3 (7)", b"POST /case HTTP/1.0\r\nHost: a\r\n\r\n",
        Passed(body=b"", closed=True), Refused(statuses=(411,)), level=MUST,
    ),
    broken("cl-space-before-colon", "9112 5.1", POST + b"Content-Length : 1\r\n\r\nx"),
    broken("cl-tab-before-colon", "9112 5.1", POST + b"Content-Length\t: 1\r\n\r\nx"),
    case("cl-folded", "9112 5.2", SHOULD, POST + b"Content-Length:\r\n 1\r\n\r\nx", BROKEN, _X),
    case(
        "cl-bare-cr-before", "9112 2.2", SECURITY, POST + b"X: y\rContent-Length: 1\r\n\r\n",
        BROKEN, Passed(body=b""),
    ),
)  # fmt: skip

_BOTH = b"Content-Length: %d\r\nTransfer-Encoding: chunked"

_BAD_CODINGS = (
    ("prefix", b"xchunked"), ("quoted", b'"chunked"'), ("vertical-tab", b"\x0bchunked"),
    ("nbsp", b"\xa0chunked"), ("not-last", b"chunked, gzip"),
    ("not-last-identity", b"chunked, identity"),
    ("twice", b"chunked, chunked"), ("unknown", b"gzip"),
    ("unknown-then-chunked", b"x-none, chunked"),
    ("identity", b"identity"), ("suffix", b"chunkedx"), ("params", b"chunked;q=1"), ("empty", b""),
    ("semicolon", b"chunked;"), ("nul", b"chunked\x00"), ("slash", b"chunked/1"),
    ("space-inside", b"chun ked"), ("bare-cr", b"chunked\r"), ("form-feed", b"chunked\x0c"),
    ("list-by-space", b"identity chunked"), ("apostrophe", b"'chunked'"),
    ("kelvin", b"chun\xe2\x84\xaaed"),
)  # fmt: skip

CODINGS = (
    *(
        broken(
            f"te-{name}", "9112 6.1",
            POST + b"Transfer-Encoding: " + value + b"\r\n\r\n" + ONE_CHUNK
        )
        for name, value in _BAD_CODINGS
    ),
    *(
        broken(
            f"te-{name}-with-cl", "9112 6.1",
            POST + b"Content-Length: 11\r\nTransfer-Encoding: " + value + b"\r\n\r\n" + ONE_CHUNK,
        )
        for name, value in _BAD_CODINGS
        if name not in ("unknown-then-chunked", "bare-cr", "nul")
    ),
    broken("cl-and-te", "9112 6.3 (3)", POST + _BOTH % 11 + b"\r\n\r\n" + ONE_CHUNK, _CHUNKED_X),
    broken("cl-and-te-short", "9112 6.3 (3)", POST + _BOTH % 3 + b"\r\n\r\n" + ONE_CHUNK,
           _CHUNKED_X),
    broken(
        "te-and-cl", "9112 6.3 (3)",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + ONE_CHUNK, _CHUNKED_X,
    ),
    broken(
        "te-and-cl-zero", "9112 6.3 (3)",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + ONE_CHUNK, _CHUNKED_X,
    ),
    broken(
        "te-between-two-cl", "9112 6.3",
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\nContent-Length: 11\r\n\r\n"
        + ONE_CHUNK,
    ),
    broken(
        "te-two-fields", "9112 6.1",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + ONE_CHUNK,
    ),
    broken(
        "te-two-fields-identity", "9112 6.1",
        POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" + ONE_CHUNK,
    ),
    broken(
        "te-two-fields-not-last", "9112 6.3 (4)",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n" + ONE_CHUNK,
    ),
    broken(
        "te-in-http-1.0", "9112 6.1",
        b"POST /case HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + ONE_CHUNK,
        _CHUNKED_X,
    ),
    broken(
        "te-in-http-1.0-keep-alive", "9112 6.1",
        b"POST /case HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
        + ONE_CHUNK, _CHUNKED_X,
    ),
    broken(
        "te-in-http-1.0-with-cl", "9112 6.1",
        b"POST /case HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 11\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + ONE_CHUNK, _CHUNKED_X,
    ),
    broken(
        "te-space-before-colon", "9112 5.1",
        POST + b"Content-Length: 11\r\nTransfer-Encoding : chunked\r\n\r\n" + ONE_CHUNK,
    ),
    case(
        "te-folded", "9112 5.2", SECURITY,
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + ONE_CHUNK, BROKEN, _BY_SIZE,
    ),
    case(
        "te-folded-away", "9112 5.2", SECURITY,
        POST + b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 11\r\n\r\n" + ONE_CHUNK,
        BROKEN, Passed(body=ONE_CHUNK),
    ),
    case(
        "te-behind-bare-cr", "9112 2.2", SECURITY,
        POST + b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 11\r\n\r\n" + ONE_CHUNK,
        BROKEN, Passed(body=ONE_CHUNK),
    ),
    case(
        "te-upper-case", "9112 7", MUST, POST + b"Transfer-Encoding: CHUNKED\r\n\r\n" + ONE_CHUNK,
        _BY_SIZE,
    ),
    case(
        "te-name-case", "9110 5.1", MUST, POST + b"tRANSFER-eNCODING:chunked\r\n\r\n" + ONE_CHUNK,
        _BY_SIZE,
    ),
    case(
        "te-white-space", "9110 5.5", MUST,
        POST + b"Transfer-Encoding: \tchunked\t \r\n\r\n" + ONE_CHUNK, _BY_SIZE,
    ),
    case(
        "te-empty-list-element", "9110 5.6.1", MUST,
        POST + b"Transfer-Encoding: ,chunked\r\n\r\n" + ONE_CHUNK, REFUSED, _BY_SIZE,
    ),
    case(
        "te-with-get", "9110 9.3.1", MUST, GET + b"Transfer-Encoding: chunked\r\n\r\n" + ONE_CHUNK,
        _BY_SIZE, REFUSED,
    ),
    case(
        "te-unknown-501", "9112 6.1", SHOULD, POST + b"Transfer-Encoding: gzip\r\n\r\nx",
        Refused(statuses=(501,), silent=False),
    ),
    case(
        "te-nominated-away", "9110 7.6.1", SECURITY,
        POST + b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n" + ONE_CHUNK,
        BROKEN, _BY_SIZE,
    ),
    case(
        "cl-nominated-away", "9110 7.6.1", SECURITY,
        POST + b"Connection: Content-Length\r\nContent-Length: 1\r\n\r\nx", BROKEN, _BY_SIZE,
    ),
)  # fmt: skip
