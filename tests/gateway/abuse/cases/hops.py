"""What belongs to one hop, and what intermediaries say of each other."""

from tests.gateway.abuse.case import TAIL, Act, Allowed, Case, Level
from tests.gateway.abuse.cases.build import (
    GET,
    HOST,
    MUST,
    POST,
    REFUSED,
    SECURITY,
    SHOULD,
    answer,
    case,
    field,
)
from tests.gateway.abuse.outcomes import Own, Passed

_HOPS = (
    (MUST, b"Upgrade: x/1"), (SHOULD, b"Keep-Alive: timeout=5"), (SHOULD, b"TE: gzip"),
    (SHOULD, b"Proxy-Connection: keep-alive"), (SHOULD, b"Proxy-Authorization: Basic eDp5"),
)  # fmt: skip
_BACK_HOPS = (
    (SHOULD, b"Keep-Alive: timeout=5"), (SHOULD, b"Proxy-Connection: keep-alive"),
    (MUST, b"Upgrade: x/1"),
)  # fmt: skip


def _back(id_: str, level: Level, fields: bytes, *allow: Allowed, rfc: str = "9110 7.6.1") -> Case:
    answers = (Act.WHOLE, answer(fields + b"\r\nContent-Length: 5\r\n", b"right"))
    return case(id_, rfc, level, GET + b"\r\n", *allow, answers=answers)


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0]


def _options(id_: str, value: bytes, *allow: Allowed, level: Level = MUST) -> Case:
    raw = b"OPTIONS /case HTTP/1.1\r\n" + HOST + b"Max-Forwards: " + value + b"\r\n\r\n"
    return case(id_, "9110 7.6.2", level, raw, *allow)


HOPS = (
    *(
        field("hop-" + _name(line).decode().lower(), "9110 7.6.1", level, line,
              Passed(lacks=(_name(line),)))
        for level, line in _HOPS
    ),
    *(
        field("nominated-" + _name(line).decode().lower(), "9110 7.6.1", MUST,
              b"Connection: " + _name(line) + b"\r\n" + line, Passed(lacks=(_name(line),)),
              REFUSED)
        for _, line in _HOPS
    ),
    field("nominated", "9110 7.6.1", MUST, b"Connection: X-Hop\r\nX-Hop: a",
          Passed(lacks=(b"X-Hop",))),
    field("nominated-case", "9110 7.6.1", MUST, b"Connection: x-hOp\r\nX-Hop: a",
          Passed(lacks=(b"X-Hop",))),
    field("nominated-before", "9110 7.6.1", MUST, b"X-Hop: a\r\nConnection: X-Hop",
          Passed(lacks=(b"X-Hop",))),
    field("nominated-list", "9110 7.6.1", MUST,
          b"Connection: keep-alive , X-Hop,,X-Hip\r\nX-Hop: a\r\nX-Hip: b",
          Passed(lacks=(b"X-Hop", b"X-Hip"))),
    field("nominated-twice", "9110 7.6.1", MUST,
          b"Connection: X-Hop\r\nConnection: X-Hip\r\nX-Hop: a\r\nX-Hip: b",
          Passed(lacks=(b"X-Hop", b"X-Hip"))),
    field("nominated-repeated", "9110 7.6.1", MUST, b"Connection: X-Hop\r\nX-Hop: a\r\nX-Hop: b",
          Passed(lacks=(b"X-Hop",))),
    field("nominated-absent", "9110 7.6.1", MUST, b"Connection: X-Hop", Passed(lacks=(b"X-Hop",))),
    field("nominates-host", "9110 7.6.1", SECURITY, b"Connection: Host", REFUSED,
          Passed(has=((b"host", b"a"),))),
    field("nominates-x-forwarded-for", "9110 7.6.1", SECURITY, b"Connection: X-Forwarded-For",
          REFUSED,
          Passed(has=((b"x-forwarded-for", b"127.0.0.1"),))),
    field("nominates-via", "9110 7.6.1", SECURITY, b"Connection: Via", REFUSED,
          Passed(has=((b"via", b"1.1 gateway"),))),
    field("option-no-token", "9110 7.6.1", SHOULD, b"Connection: a b", REFUSED, Passed()),
    field("option-empty", "9110 5.6.1", MUST, b"Connection: ,", Passed()),
    field("close", "9112 9.6", MUST, b"Connection: close", Passed(closed=True)),
    field("close-case", "9112 9.6", MUST, b"Connection: CLOSE", Passed(closed=True)),
    field("close-in-list", "9112 9.6", MUST, b"Connection: X-Hop, close\r\nX-Hop: a",
          Passed(closed=True, lacks=(b"X-Hop",))),
    case("close-then-more", "9112 9.6", MUST, GET + b"Connection: close\r\n\r\n" + TAIL,
         Passed(closed=True)),
    case("close-then-more-after-body", "9112 9.6", MUST,
         POST + b"Connection: close\r\nContent-Length: 1\r\n\r\nx" + TAIL,
         Passed(closed=True, body=b"x")),
    case("http-1.0-closes", "9112 9.3", MUST, b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n" + TAIL,
         Passed(closed=True)),
    case("http-1.0-keep-alive", "9112 9.3", SHOULD,
         b"GET /case HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", Passed()),
    field("keep-alive", "9112 9.3", SHOULD, b"Connection: keep-alive", Passed(closed=False)),
    field("via-added", "9110 7.6.3", MUST, b"X: y", Passed(has=((b"via", b"1.1 gateway"),))),
    field("via-appended", "9110 7.6.3", MUST, b"Via: 1.0 other",
          Passed(has=((b"via", b"1.0 other, 1.1 gateway"),)),
          Passed(has=((b"via", b"1.0 other"), (b"via", b"1.1 gateway")))),
    case("via-of-1.0", "9110 7.6.3", MUST, b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n",
         Passed(has=((b"via", b"1.0 gateway"),))),
    _options("max-forwards-0", b"0", Own()),
    _options("max-forwards-1", b"1", Passed(has=((b"max-forwards", b"0"),))),
    _options("max-forwards-10", b"10", Passed(has=((b"max-forwards", b"9"),))),
    _options("max-forwards-letters", b"x", REFUSED, Passed(), level=SHOULD),
    case("max-forwards-trace", "9110 7.6.2", MUST,
         b"TRACE /case HTTP/1.1\r\n" + HOST + b"Max-Forwards: 0\r\n\r\n", REFUSED, Own()),
    field("max-forwards-get", "9110 7.6.2", SHOULD, b"Max-Forwards: 0", Passed()),
    field("forwarded-for-replaced", "7239 8.1", SECURITY, b"X-Forwarded-For: 10.0.0.1", REFUSED,
          Passed(has=((b"x-forwarded-for", b"127.0.0.1"),))),
    field("forwarded-for-twice", "7239 8.1", SECURITY,
          b"X-Forwarded-For: 10.0.0.1\r\nx-forwarded-for: 10.0.0.2", REFUSED,
          Passed(has=((b"x-forwarded-for", b"127.0.0.1"),))),
    field("forwarded-proto-replaced", "7239 8.1", SECURITY, b"X-Forwarded-Proto: https", REFUSED,
          Passed(has=((b"x-forwarded-proto", b"http"),)), Passed(lacks=(b"x-forwarded-proto",))),
)  # fmt: skip

BACK_HOPS = (
    *(
        _back("back-hop-" + _name(line).decode().lower(), level, line,
              Passed(answer_lacks=(_name(line),)))
        for level, line in _BACK_HOPS
    ),
    _back("back-nominated", MUST, b"Connection: X-Hop\r\nX-Hop: a",
          Passed(answer_lacks=(b"X-Hop",))),
    _back("back-nominated-case", MUST, b"X-Hop: a\r\nConnection: x-hop, keep-alive",
          Passed(answer_lacks=(b"X-Hop",))),
    _back("back-nominated-twice", MUST,
          b"Connection: X-Hop\r\nConnection: X-Hip\r\nX-Hop: a\r\nX-Hip: b",
          Passed(answer_lacks=(b"X-Hop", b"X-Hip"))),
    _back("back-close-stays-there", SHOULD, b"Connection: close", Passed(closed=False)),
    _back("back-date-added", MUST, b"X: y", Passed(answer_names=(b"date",)), rfc="9110 6.6.1"),
    _back("back-date-kept", MUST, b"Date: Tue, 15 Nov 1994 08:12:31 GMT",
          Passed(answer_has=((b"date", b"Tue, 15 Nov 1994 08:12:31 GMT"),)), rfc="9110 6.6.1"),
    _back("back-server-kept", SHOULD, b"Server: old/1", Passed(answer_has=((b"server", b"old/1"),)),
          rfc="9110 10.2.4"),
    _back("back-cookies-apart", MUST, b"Set-Cookie: a=1, x\r\nX: y\r\nset-cookie: b=2",
          Passed(answer_has=((b"set-cookie", b"a=1, x"), (b"set-cookie", b"b=2"))), rfc="9110 5.3"),
    _back("back-challenges", SHOULD,
          b"WWW-Authenticate: Basic realm=a\r\nWWW-Authenticate: Digest realm=b",
          Passed(answer_has=((b"www-authenticate", b"Basic realm=a"),
          (b"www-authenticate", b"Digest realm=b"))),
          rfc="9110 5.3"),
    _back("back-unknown-kept", MUST, b"X-Anything: goes",
          Passed(answer_has=((b"x-anything", b"goes"),)),
          rfc="9110 5.1"),
    _back("back-8-bit-kept", SHOULD, b"X: \xe9\xff", Passed(answer_has=((b"x", b"\xe9\xff"),)),
          rfc="9110 5.5"),
    _back("back-encoding-kept", MUST, b"Content-Encoding: gzip",
          Passed(answer_has=((b"content-encoding", b"gzip"),)),
          rfc="9110 7.7"),
    _back("back-etag-kept", MUST, b'ETag: "x"\r\nAccept-Ranges: bytes',
          Passed(answer_has=((b"etag", b'"x"'), (b"accept-ranges", b"bytes"))), rfc="9110 7.7"),
)  # fmt: skip
