"""What an upstream may answer, and what becomes of it."""

from tests.gateway.abuse.case import MARK, Act, Allowed, Case, Level, Script
from tests.gateway.abuse.cases.build import GET, HOST, MUST, POST, SECURITY, SHOULD, answer, case
from tests.gateway.abuse.outcomes import Cut, Passed, Replaced, Sequence, Sound

_BAD = Replaced()
_BAD_GATEWAY = Replaced(statuses=(502,))
_LENGTH = b"Content-Length: 5\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_RIGHT = b"5\r\nright\r\n0\r\n\r\n"
_1_0 = b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n"


def _back(
    id_: str, rfc: str, level: Level, raw: bytes | Script, *allow: Allowed,
    sends: bytes | Script = GET + b"\r\n", closes: bool = False,
    methods: tuple[bytes, ...] = (b"GET",), wait_for: int = 1,
) -> Case:  # fmt: skip
    steps: Script = (raw,) if isinstance(raw, bytes) else raw
    answers: Script = (Act.WHOLE, *steps, *((Act.END,) if closes else ()))
    return case(
        id_, rfc, level, sends, *allow, answers=answers, methods=methods, wait_for=wait_for,
        pieces=False,
    )  # fmt: skip


_BAD_LENGTHS = (
    ("plus", b"+5"), ("minus", b"-5"), ("hex", b"0x5"), ("empty", b""), ("letter", b"5a"),
    ("huge", b"99999999999999999999"), ("list-differing", b"5, 6"), ("space", b"5 5"),
)  # fmt: skip

ANSWERS = (
    *(
        _back(f"back-cl-{name}", "9112 6.3 (5)", MUST,
              answer(b"Content-Length: " + value + b"\r\n", b"right"), _BAD_GATEWAY)
        for name, value in _BAD_LENGTHS
    ),
    _back("back-cl-differing", "9112 6.3 (5)", MUST,
          answer(b"Content-Length: 5\r\nContent-Length: 3\r\n", b"right"), _BAD_GATEWAY),
    _back("back-cl-repeated", "9112 6.3 (5)", MUST, answer(_LENGTH * 2, b"right"), _BAD, Passed()),
    _back("back-cl-list-equal", "9112 6.3 (5)", MUST, answer(b"Content-Length: 5, 5\r\n", b"right"),
          _BAD, Passed()),
    _back("back-cl-and-te", "9112 6.3 (3)", SECURITY,
          answer(b"Content-Length: 3\r\n" + _CHUNKED, _RIGHT),
          _BAD, Passed()),
    _back("back-te-and-cl", "9112 6.3 (3)", SECURITY,
          answer(_CHUNKED + b"Content-Length: 30\r\n", _RIGHT),
          _BAD, Passed()),
    _back("back-te-unknown", "9112 6.1", SECURITY, answer(b"Transfer-Encoding: gzip\r\n", b"right"),
          _BAD, Cut(), closes=True),
    _back("back-te-twice", "9112 6.1", SECURITY,
          answer(b"Transfer-Encoding: chunked, chunked\r\n", _RIGHT), _BAD, Cut(), closes=True),
    _back("back-te-two-fields", "9112 6.1", SECURITY, answer(_CHUNKED * 2, _RIGHT), _BAD, Cut(),
          closes=True),
    _back("back-te-not-last", "9112 6.3 (4)", SECURITY,
          answer(b"Transfer-Encoding: chunked, gzip\r\n", _RIGHT), _BAD, Cut(), closes=True),
    _back("back-te-vertical-tab", "9112 6.1", SECURITY,
          answer(b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 15\r\n", _RIGHT), _BAD),
    _back("back-te-in-1.0", "9112 6.1", SHOULD,
          b"HTTP/1.0 200 OK\r\n" + MARK + _CHUNKED + b"\r\n" + _RIGHT, _BAD, Passed(), closes=True),
    _back("back-te-upper-case", "9112 7", MUST, answer(b"TRANSFER-ENCODING: Chunked\r\n", _RIGHT),
          Passed()),
    _back("back-lf-line", "9112 2.2", SHOULD, b"HTTP/1.1 200 OK\n" + MARK + _LENGTH + b"\r\nright",
          _BAD, Passed()),
    _back("back-lf-field", "9112 2.2", SHOULD, answer(b"X: a\nY: b\r\n" + _LENGTH, b"right"), _BAD,
          Passed()),
    _back("back-cr-field", "9112 2.2", SECURITY, answer(b"X: a\rb\r\n" + _LENGTH, b"right"), _BAD,
          Passed()),
    _back("back-nul-field", "9110 5.5", SECURITY, answer(b"X: a\x00b\r\n" + _LENGTH, b"right"),
          _BAD,
          Passed()),
    _back("back-name-space", "9110 5.1", SECURITY, answer(b"X Y: a\r\n" + _LENGTH, b"right"), _BAD,
          Passed()),
    _back("back-name-empty", "9110 5.1", SECURITY, answer(b": a\r\n" + _LENGTH, b"right"), _BAD,
          Passed()),
    _back("back-space-before-colon", "9112 5.1", SECURITY, answer(b"X : a\r\n" + _LENGTH, b"right"),
          _BAD,
          Passed()),
    _back("back-cl-space-before-colon", "9112 5.1", SECURITY,
          answer(b"Content-Length : 5\r\n", b"right"),
          _BAD, Passed()),
    _back("back-folded", "9112 5.2", MUST, answer(b"X: a\r\n b\r\n" + _LENGTH, b"right"), _BAD,
          Passed()),
    _back("back-folded-first", "9112 2.2", MUST,
          b"HTTP/1.1 200 OK\r\n X: a\r\n" + MARK + _LENGTH + b"\r\nright", _BAD, Passed()),
    _back("back-no-colon", "9112 5", SECURITY, answer(b"nonsense\r\n" + _LENGTH, b"right"), _BAD,
          Passed()),
    _back("back-no-version", "9112 4", MUST, b"200 OK\r\n" + MARK + _LENGTH + b"\r\nright", _BAD),
    _back("back-version-2", "9112 4", MUST, b"HTTP/2.0 200 OK\r\n" + MARK + _LENGTH + b"\r\nright",
          _BAD),
    _back("back-version-small", "9112 4", MUST,
          b"http/1.1 200 OK\r\n" + MARK + _LENGTH + b"\r\nright", _BAD),
    _back("back-version-1.2", "9110 2.5", SHOULD,
          b"HTTP/1.2 200 OK\r\n" + MARK + _LENGTH + b"\r\nright",
          Passed()),
    _back("back-two-spaces", "9112 4", MUST,
          b"HTTP/1.1  200 OK\r\n" + MARK + _LENGTH + b"\r\nright", _BAD,
          Passed()),
    *(
        _back(f"back-status-{status.decode()}", "9110 15", MUST,
              answer(_LENGTH, b"right", status + b" X"),
              _BAD)
        for status in (b"20", b"2000", b"2xx", b"099", b"000")
    ),
    _back("back-status-600", "9110 15", SHOULD, answer(_LENGTH, b"right", b"600 X"), _BAD,
          Passed(status=600)),
    _back("back-status-unknown", "9110 15", MUST, answer(_LENGTH, b"right", b"299 Odd"),
          Passed(status=299)),
    _back("back-status-477", "9110 15", MUST, answer(_LENGTH, b"right", b"477 Odd"),
          Passed(status=477)),
    _back("back-reason-empty", "9112 4", MUST, b"HTTP/1.1 200 \r\n" + MARK + _LENGTH + b"\r\nright",
          Passed()),
    _back("back-reason-none", "9112 4", SHOULD, b"HTTP/1.1 200\r\n" + MARK + _LENGTH + b"\r\nright",
          Passed(), _BAD),
    _back("back-reason-8-bit", "9112 4", SHOULD, answer(_LENGTH, b"right", b"200 \xe9t\xe9"),
          Passed()),
    _back("back-reason-nul", "9112 4", SECURITY, answer(_LENGTH, b"right", b"200 a\x00b"), _BAD,
          Passed()),
    _back("back-reason-cr", "9112 4", SECURITY, answer(_LENGTH, b"right", b"200 a\rb"), _BAD,
          Passed()),
    _back("back-ssh", "9112 4", MUST, b"SSH-2.0-OpenSSH_9.2\r\n\r\n", _BAD, closes=True),
    _back("back-nothing", "9110 15.6.3", MUST, b"", _BAD, closes=True),
    _back("back-half-a-line", "9112 8", MUST, b"HTTP/1.1 20", _BAD, closes=True),
    _back("back-half-a-head", "9112 8", MUST, b"HTTP/1.1 200 OK\r\n" + MARK, _BAD, closes=True),
    _back("back-reset", "9110 15.6.3", MUST, (Act.GONE,), _BAD),
    _back("back-head-endless", "6585 5", SECURITY,
          (b"HTTP/1.1 200 OK\r\n", *(b"X: " + b"y" * 60_000 + b"\r\n",) * 60),
          _BAD),
    _back("back-hangs", "9110 15.6.5", SHOULD, (Act.HANG,), Replaced(statuses=(504,))),
    _back("back-hangs-in-head", "9110 15.6.5", SHOULD, (b"HTTP/1.1 200 OK\r\n", Act.HANG), _BAD),
)  # fmt: skip

_CUTS = (
    ("length", answer(b"Content-Length: 10\r\n", b"right")),
    ("chunk", answer(_CHUNKED, b"a\r\nright")),
    ("no-last-chunk", answer(_CHUNKED, b"5\r\nright\r\n")),
    ("trailer", answer(_CHUNKED, b"5\r\nright\r\n0\r\nX: ")),
    ("last-crlf", answer(_CHUNKED, b"5\r\nright\r\n0\r\n")),
)  # fmt: skip

_BROKEN_CHUNKS = (
    ("size-0x", b"0x5\r\nright\r\n0\r\n\r\n"), ("size-minus", b"-5\r\nright\r\n0\r\n\r\n"),
    ("too-long", b"5\r\nrighter\r\n0\r\n\r\n"), ("bare-lf", b"5\nright\r\n0\r\n\r\n"),
    ("size-huge", b"fffffffffffffffff\r\nright\r\n0\r\n\r\n"),
    ("letter", b"g\r\nright\r\n0\r\n\r\n"),
    ("data-bare-lf", b"5\r\nright\n0\r\n\r\n"),
)  # fmt: skip

_LENGTH_TRAILER, _COOKIE_TRAILER = b"Content-Length: 3", b"Set-Cookie: a=b"
_BACK_TRAILERS = (
    ("merged-length", SECURITY, _LENGTH_TRAILER, Passed(answer_header_lacks=(b"content-length",))),
    ("merged-cookie", SECURITY, _COOKIE_TRAILER, Passed(answer_header_lacks=(b"set-cookie",))),
    ("relayed-length", SHOULD, _LENGTH_TRAILER, Passed(answer_lacks=(b"content-length",))),
    ("relayed-cookie", SHOULD, _COOKIE_TRAILER, Passed(answer_lacks=(b"set-cookie",))),
)

BODIES = (
    *(_back(f"cut-{name}", "9112 8", SECURITY, raw, Cut(), _BAD, closes=True) for name,
    raw in _CUTS),
    *(
        _back(f"cut-{name}-to-1.0", "9112 8", SHOULD, raw, Cut(), _BAD, closes=True, sends=_1_0)
        for name, raw in _CUTS
    ),
    *(
        _back(f"reset-{name}", "9112 8", SECURITY, (raw, Act.PAUSE, Act.GONE), Cut(), _BAD)
        for name, raw in _CUTS
    ),
    _back("stalled-length", "9112 8", SECURITY, (answer(b"Content-Length: 10\r\n", b"right"),
          Act.HANG), Cut(),
          _BAD),
    _back("stalled-chunk", "9112 8", SECURITY, (answer(_CHUNKED, b"5\r\nright\r\n"), Act.HANG),
          Cut(), _BAD),
    *(
        _back(f"back-chunk-{name}", "9112 7.1", SECURITY, answer(_CHUNKED, chunks), Cut(), _BAD,
              closes=True)
        for name, chunks in _BROKEN_CHUNKS
    ),
    *(
        _back(f"back-chunk-{name}-later", "9112 7.1", SECURITY,
              (answer(_CHUNKED, b"5\r\nfirst\r\n"), Act.PAUSE, chunks), Cut(), closes=True)
        for name, chunks in _BROKEN_CHUNKS
    ),
    _back("back-chunk-extension", "9112 7.1.1", MUST,
          answer(_CHUNKED, b"5;a=b\r\nright\r\n0;c\r\n\r\n"), Passed()),
    _back("back-chunk-capitals", "9112 7.1", MUST,
          answer(_CHUNKED, b"A\r\n0123456789\r\n0\r\n\r\n"),
          Passed(answer=b"0123456789")),
    _back("back-trailer", "9110 6.5", MUST,
          answer(_CHUNKED, b"5\r\nright\r\n0\r\nX-Sum: 1\r\n\r\n"), Passed()),
    *(
        _back(f"back-trailer-{name}", "9110 6.5.1", level,
              answer(_CHUNKED, b"5\r\nright\r\n0\r\n" + line + b"\r\n\r\n"), _BAD, Cut(), allowed)
        for name, level, line, allowed in _BACK_TRAILERS
    ),
    _back("back-chunked-to-1.0", "9112 7.1", MUST, answer(_CHUNKED, _RIGHT),
          Passed(closed=True, answer_lacks=(b"transfer-encoding",)), sends=_1_0),
    _back("until-close", "9112 6.3 (8)", MUST, answer(b"", b"right"), Passed(), closes=True),
    _back("until-close-empty", "9112 6.3 (8)", MUST, answer(b""), Passed(answer=b""), closes=True),
    _back("until-close-from-1.0", "9112 6.3 (8)", MUST,
          b"HTTP/1.0 200 OK\r\n" + MARK + b"\r\nright", Passed(),
          closes=True),
    _back("until-close-to-1.0", "9112 6.3 (8)", MUST, answer(b"", b"right"), Passed(closed=True),
          closes=True,
          sends=_1_0),
    _back("until-close-reset", "9112 8", MUST, (answer(b"", b"right"), Act.PAUSE, Act.GONE),
          Cut(), _BAD),
    _back("keep-alive-from-1.0", "9112 9.3", MUST,
          b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + MARK + _LENGTH + b"\r\nright",
          Passed()),
)  # fmt: skip

_HEAD = b"HEAD /case HTTP/1.1\r\n" + HOST + b"\r\n"
_EMPTY = Passed(answer=b"", closed=False)

BODILESS = (
    _back("head-with-length", "9110 9.3.2", MUST, answer(b"Content-Length: 1000\r\n"), _EMPTY,
          sends=_HEAD,
          methods=(b"HEAD",)),
    _back("head-keeps-length", "9110 8.6", SHOULD, answer(b"Content-Length: 1000\r\n"),
          Passed(answer=b"", answer_has=((b"content-length", b"1000"),)), sends=_HEAD,
          methods=(b"HEAD",)),
    _back("head-chunked", "9110 9.3.2", MUST, answer(_CHUNKED), _EMPTY, sends=_HEAD,
          methods=(b"HEAD",)),
    _back("head-without-either", "9110 9.3.2", MUST, answer(b""), _EMPTY, sends=_HEAD,
          methods=(b"HEAD",)),
    _back("head-with-a-body", "9110 9.3.2", SECURITY, answer(b"Content-Length: 5\r\n", b"wrong"),
          Passed(answer=b""), _BAD, sends=_HEAD, methods=(b"HEAD",)),
    _back("head-then-get", "9112 6.3 (1)", SECURITY, answer(b"Content-Length: 6\r\n"),
          Sequence(targets=(b"/case", b"/next"), statuses=(200, 200)),
          sends=_HEAD + b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n", methods=(b"HEAD", b"GET"),
          wait_for=2),
    _back("204", "9112 6.3 (1)", MUST, answer(b"", status=b"204 No Content"),
          Passed(status=204, answer=b"", closed=False)),
    _back("204-with-length", "9110 8.6", MUST,
          answer(b"Content-Length: 0\r\n", status=b"204 No Content"),
          Passed(status=204, answer=b""), _BAD),
    _back("204-with-a-body", "9112 6.3 (1)", SECURITY, answer(_LENGTH, b"wrong", b"204 No Content"),
          Passed(status=204, answer=b""), _BAD),
    _back("204-chunked", "9112 6.1", SECURITY, answer(_CHUNKED, b"0\r\n\r\n", b"204 No Content"),
          Passed(status=204, answer=b""), _BAD),
    _back("304-with-length", "9110 15.4.5", MUST,
          answer(b"Content-Length: 1000\r\n", status=b"304 Not Modified"),
          Passed(status=304, answer=b"", closed=False)),
    _back("304-with-a-body", "9112 6.3 (1)", SECURITY,
          answer(_LENGTH, b"wrong", b"304 Not Modified"),
          Passed(status=304, answer=b""), _BAD),
    _back("304-keeps-length", "9110 8.6", SHOULD,
          answer(b"Content-Length: 1000\r\n", status=b"304 Not Modified"),
          Passed(status=304, answer=b"", answer_has=((b"content-length", b"1000"),))),
    _back("206-kept", "9110 14", MUST,
          answer(b"Content-Range: bytes 0-4/10\r\n" + _LENGTH, b"right", b"206 Partial Content"),
          Passed(status=206, answer_has=((b"content-range", b"bytes 0-4/10"),))),
    _back("post-then-answer-empty", "9110 8.6", MUST, answer(b"Content-Length: 0\r\n"),
          Passed(answer=b"", closed=False), sends=POST + b"Content-Length: 1\r\n\r\nx"),
)  # fmt: skip

_EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

POISON = (
    _back("more-than-length", "9112 6.3", SECURITY, answer(_LENGTH, b"rightwrong"), Passed(), _BAD,
          Cut()),
    _back("second-answer", "9112 9.2", SECURITY, answer(_LENGTH, b"right" + _EVIL), Passed(), _BAD,
          Cut()),
    _back("second-answer-later", "9112 9.2", SECURITY,
          (answer(_LENGTH, b"right"), Act.PAUSE, _EVIL),
          Passed(), sends=(GET + b"\r\n", Act.ANSWERED, Act.PAUSE, Act.PAUSE)),
    _back("second-answer-after-204", "9112 6.3 (1)", SECURITY,
          answer(b"", status=b"204 No Content") + _EVIL, Passed(status=204, answer=b""), _BAD,
          Cut()),
    _back("second-answer-after-chunks", "9112 9.2", SECURITY, answer(_CHUNKED, _RIGHT + _EVIL),
          Passed(), _BAD, Cut()),
    _back("answer-before-the-request", "9112 9.2", SECURITY, _EVIL, Sound(), sends=GET + b"\r\n"),
    _back("early-answer-then-more", "9112 9.2", SECURITY,
          (answer(_LENGTH, b"right"), Act.PAUSE, b"\r\n"),
          Passed(), sends=(GET + b"\r\n", Act.ANSWERED, Act.PAUSE, Act.PAUSE)),
)  # fmt: skip
