"""Expectations, interim answers, upgrades, and requests sent ahead."""

from tests.gateway.abuse.case import OK, Act, Allowed, Case, Level, Script
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
from tests.gateway.abuse.outcomes import (
    Bounded,
    Early,
    Middle,
    Passed,
    Refused,
    Replaced,
    Sequence,
    Sound,
    Tunnel,
    Unsent,
)

_EXPECT = POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
_RIGHT = answer(b"Content-Length: 5\r\n", b"right")
_1_0 = b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n"

EXPECTATIONS = (
    case("expect-and-wait", "9110 10.1.1", MUST, (_EXPECT, Act.ANSWERED, b"body"),
         Passed(body=b"body"),
         answers=(_CONTINUE, *OK), wait_for=1),
    case("expect-answered-by-upstream-late", "9110 10.1.1", MUST,
         (_EXPECT, Act.PAUSE, Act.PAUSE, b"body"),
         Passed(body=b"body"), answers=(_CONTINUE, *OK)),
    case("expect-and-send", "9110 10.1.1", MUST, _EXPECT + b"body", Passed(body=b"body")),
    case("expect-case", "9110 10.1.1", MUST,
         (POST + b"expect: 100-CONTINUE\r\nContent-Length: 4\r\n\r\n", Act.ANSWERED, b"body"),
         Passed(body=b"body"), answers=(_CONTINUE, *OK)),
    case("expect-chunked", "9110 10.1.1", MUST,
         (POST + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", Act.ANSWERED,
          b"4\r\nbody\r\n0\r\n\r\n"), Passed(body=b"body"), answers=(_CONTINUE, *OK)),
    case("expect-refused", "9110 10.1.1", SHOULD, (_EXPECT, Act.ANSWERED),
         Early(status=413), answers=(answer(b"Content-Length: 0\r\n", status=b"413 Too Large"),),
         probe=False),
    case("expect-in-1.0", "9110 10.1.1", MUST,
         (b"POST /case HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
         Act.PAUSE, b"body"),
         Passed(body=b"body", interims=()), answers=(_CONTINUE, *OK)),
    case("expect-without-body", "9110 10.1.1", MUST, GET + b"Expect: 100-continue\r\n\r\n",
         Passed()),
    case("expect-with-length-0", "9110 10.1.1", MUST,
         POST + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
         Passed(body=b"")),
    field("expect-other", "9110 10.1.1", SHOULD, b"Expect: magic", Refused(statuses=(417,)),
          Passed()),
    case("expect-other-with-body", "9110 10.1.1", SHOULD,
         POST + b"Expect: magic\r\nContent-Length: 1\r\n\r\nx",
         Refused(statuses=(417,)), Passed(body=b"x")),
)  # fmt: skip


def _interims(
    id_: str, level: Level, answers: bytes, *allow: Allowed, sends: bytes = GET + b"\r\n",
    rfc: str = "9110 15.2",
) -> Case:  # fmt: skip
    return case(id_, rfc, level, sends, *allow, answers=(Act.WHOLE, answers), pieces=False)


INTERIMS = (
    _interims("103", MUST, _HINTS + _RIGHT, Passed(interims=(103,))),
    _interims("102", MUST, b"HTTP/1.1 102 Processing\r\n\r\n" + _RIGHT, Passed(interims=(102,))),
    _interims("103-103-102", MUST, _HINTS * 2 + b"HTTP/1.1 102 Processing\r\n\r\n" + _RIGHT,
              Passed(interims=(103, 103, 102))),
    _interims("199-unknown", MUST, b"HTTP/1.1 199 Odd\r\n\r\n" + _RIGHT, Passed(interims=(199,))),
    _interims("100-unasked", MUST, _CONTINUE + _RIGHT, Passed(interims=(100,)),
              Passed(interims=())),
    _interims("103-to-1.0", MUST, _HINTS + _RIGHT, Passed(interims=()), sends=_1_0),
    _interims("103-with-length", SECURITY,
              b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + _RIGHT,
              Passed(), Replaced()),
    _interims("103-chunked", SECURITY,
              b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + _RIGHT,
              Passed(), Replaced()),
    _interims("103-field-nul", SECURITY, b"HTTP/1.1 103 Early Hints\r\nX: a\x00b\r\n\r\n" + _RIGHT,
              Passed(), Replaced()),
    _interims("103-endless", SECURITY, _HINTS * 3_000, Bounded()),
    case("103-then-nothing", "9110 15.6.3", MUST, GET + b"\r\n", Replaced(),
         answers=(Act.WHOLE, _HINTS, Act.PAUSE, Act.END)),
)  # fmt: skip

_WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
_ECHO: Script = (_SWITCHED, Act.ECHO)
_UNASKED: Script = (Act.WHOLE, _SWITCHED)
_PLAIN = Passed(lacks=(b"upgrade",))


def _upgrade(id_: str, rfc: str, level: Level, lines: bytes, *allow: Allowed) -> Case:
    return case(id_, rfc, level, GET + lines + b"\r\n\r\n", *allow)


UPGRADES = (
    case("websocket", "6455 4", MUST, (GET + _WEBSOCKET, Act.ANSWERED, b"\x81\x05hello"),
         Tunnel(rest=b"\x81\x05hello"), answers=_ECHO),
    case("websocket-sent-ahead", "6455 4", MUST, GET + _WEBSOCKET + b"\x81\x05hello",
         Tunnel(rest=b"\x81\x05hello"), REFUSED, answers=_ECHO),
    case("websocket-any-bytes", "6455 5", MUST,
         (GET + _WEBSOCKET, Act.ANSWERED, b"GET /smuggled HTTP/1.1\r\n\r\n\0\xff\n\r"),
         Tunnel(rest=b"GET /smuggled HTTP/1.1\r\n\r\n\0\xff\n\r"), answers=_ECHO),
    case("websocket-upstream-first", "6455 4", MUST, (GET + _WEBSOCKET, Act.ANSWERED, Act.PAUSE),
         Tunnel(rest=b"\x81\x02hi"), answers=(_SWITCHED + b"\x81\x02hi", Act.HANG)),
    case("websocket-refused", "6455 4", MUST, GET + _WEBSOCKET,
         Passed(status=403, answer=b"no"),
         answers=(Act.WHOLE, answer(b"Content-Length: 2\r\n", b"no", b"403 Forbidden"))),
    case("websocket-refused-then-more", "6455 4", SECURITY, GET + _WEBSOCKET + GET + b"\r\n",
         Sequence(targets=(b"/case", b"/case"), statuses=(403, 200)),
         Passed(status=403, answer=b"/case", closed=True),
         answers=(Act.WHOLE, answer(b"Content-Length: 5\r\n", b"/case", b"403 Forbidden")),
         wait_for=2),
    _upgrade("upgrade-not-nominated", "9110 7.8", MUST, b"Upgrade: websocket", _PLAIN),
    _upgrade("upgrade-unknown", "9110 7.8", MUST, b"Connection: Upgrade\r\nUpgrade: other/1",
             Sound()),
    _upgrade("upgrade-h2c", "9113 3.1", SECURITY,
             b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
             b"HTTP2-Settings: AAMAAABkAAQAAP__", _PLAIN,
             REFUSED),
    _upgrade("upgrade-h2c-hidden", "9113 3.1", SECURITY,
             b"Connection: Upgrade\r\nUpgrade: websocket, h2c", REFUSED,
             Passed(lacks=(b"http2-settings",))),
    case("upgrade-in-1.0", "9110 7.8", MUST, b"GET /case HTTP/1.0\r\n" + HOST + _WEBSOCKET, _PLAIN),
    case("101-unasked", "9110 7.8", SECURITY, GET + b"\r\n", Replaced(), answers=_UNASKED),
    case("101-unasked-on-post", "9110 7.8", SECURITY, POST + b"Content-Length: 1\r\n\r\nx",
         Replaced(),
         answers=_UNASKED),
    case("101-for-upgrade-not-nominated", "9110 7.8", SECURITY, GET + b"Upgrade: websocket\r\n\r\n",
         Replaced(),
         answers=_UNASKED),
)  # fmt: skip


def _get(target: bytes, fields: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n"


_THREE = Sequence(targets=(b"/1", b"/2", b"/3"), statuses=(200,) * 3)
_FIRST = answer(b"Content-Length: 2\r\n", b"/1")

PIPELINES = (
    case("three", "9112 9.3.2", MUST, _get(b"/1") + _get(b"/2") + _get(b"/3"), _THREE,
         answers=(Act.WHOLE, _FIRST), wait_for=3),
    case("slow-first", "9112 9.3.2", MUST, _get(b"/1") + _get(b"/2") + _get(b"/3"), _THREE,
         answers=(Act.WHOLE, Act.PAUSE, Act.PAUSE, _FIRST), wait_for=3),
    case("slow-body", "9112 9.3.2", MUST, _get(b"/1") + _get(b"/2") + _get(b"/3"), _THREE,
         answers=(Act.WHOLE, _FIRST[:-1], Act.PAUSE, _FIRST[-1:]), wait_for=3),
    case("fifty", "9112 9.3.2", MUST, b"".join(_get(b"/%d" % n) for n in range(1, 51)),
         Sequence(targets=tuple(b"/%d" % n for n in range(1, 51)), statuses=(200,) * 50),
         answers=(Act.WHOLE, _FIRST), wait_for=50),
    case("post-then-get", "9112 9.3.2", MUST,
         b"POST /1 HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nbody" + _get(b"/2"),
         Sequence(targets=(b"/1", b"/2"), statuses=(200, 200)), answers=(Act.WHOLE, _FIRST),
         wait_for=2),
    case("chunks-then-get", "9112 9.3.2", MUST,
         b"POST /1 HTTP/1.1\r\n" + HOST
         + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n" + _get(b"/2"),
         Sequence(targets=(b"/1", b"/2"), statuses=(200, 200)), answers=(Act.WHOLE, _FIRST),
         wait_for=2),
    case("trailers-then-get", "9112 7.1.2", MUST,
         b"POST /1 HTTP/1.1\r\n" + HOST
         + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX: y\r\n\r\n"
         + _get(b"/2"),
         Sequence(targets=(b"/1", b"/2"), statuses=(200, 200)), answers=(Act.WHOLE, _FIRST),
         wait_for=2),
    case("get-with-body-then-get", "9110 9.3.1", SECURITY,
         _get(b"/1", b"Content-Length: 4\r\n") + b"body" + _get(b"/2"),
         Sequence(targets=(b"/1", b"/2"), statuses=(200, 200)), REFUSED,
         answers=(Act.WHOLE, _FIRST), wait_for=2),
    case("empty-lines-between", "9112 2.2", SHOULD, _get(b"/1") + b"\r\n" + _get(b"/2"),
         Sequence(targets=(b"/1", b"/2"), statuses=(200, 200)), answers=(Act.WHOLE, _FIRST),
         wait_for=2),
    case("close-in-the-middle", "9112 9.6", MUST,
         _get(b"/1") + _get(b"/2", b"Connection: close\r\n") + _get(b"/3"),
         Sequence(targets=(b"/1", b"/2"), statuses=(200, 200), closed=True),
         answers=(Act.WHOLE, _FIRST), wait_for=3),
    case("bad-in-the-middle", "9112 9.2", MUST, _get(b"/1") + b"nonsense\r\n\r\n" + _get(b"/3"),
         Middle(), answers=(Act.WHOLE, _FIRST), wait_for=3),
    case("early-answer-to-a-body", "9112 9.5", SECURITY,
         (POST + b"Content-Length: 40\r\n\r\nbody", Act.ANSWERED,
         b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
         Sound(), answers=(answer(b"Content-Length: 5\r\n", b"right"),)),
    case("byte-by-byte", "9112 2.2", MUST,
         (*(GET[at : at + 1] for at in range(len(GET))), b"\r", Act.PAUSE,
         b"\n"), Passed()),
    case("half-closed", "9112 9.6", SHOULD, (POST + b"Content-Length: 1\r\n\r\nx", Act.END),
         Passed(body=b"x", closed=True)),
    case("cut-in-body", "9112 8", SECURITY, (POST + b"Content-Length: 10\r\n\r\nx", Act.PAUSE,
         Act.GONE), Unsent()),
    case("ended-in-body", "9112 8", SECURITY, (POST + b"Content-Length: 10\r\n\r\nx", Act.PAUSE,
         Act.END),
         Refused(closed=True)),
    case("ended-in-head", "9112 8", SECURITY, (GET + b"X: y\r\n", Act.PAUSE, Act.END),
         Refused(closed=True)),
)  # fmt: skip
