"""Requests that must be refused, each with the section that says so. Data only."""

from typing import NamedTuple

GET = b"GET /abuse HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /abuse HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Case(NamedTuple):
    """One thing that a client may not do."""

    id: str
    raw: bytes
    status: int


def _get(id_: str, line: bytes, status: int = 400) -> Case:
    return Case(id_, GET + line + b"\r\n\r\n", status)


def _post(id_: str, lines: bytes, body: bytes = b"x", status: int = 400) -> Case:
    return Case(id_, POST + lines + b"\r\n\r\n" + body, status)


def _line(id_: str, line: bytes, status: int = 400) -> Case:
    return Case(id_, line + b"\r\nHost: a\r\n\r\n", status)


def _chunks(id_: str, body: bytes, status: int = 400) -> Case:
    return Case(id_, CHUNKED + body, status)


LENGTHS = (
    _post("9112-6.3-cl-and-te", b"Content-Length: 1\r\nTransfer-Encoding: chunked"),
    _post("9112-6.3-te-and-cl", b"Transfer-Encoding: chunked\r\nContent-Length: 1"),
    _post("9110-8.6-cl-plus", b"Content-Length: +1"),
    _post("9110-8.6-cl-minus", b"Content-Length: -1"),
    _post("9110-8.6-cl-underscore", b"Content-Length: 1_0"),
    _post("9110-8.6-cl-hex", b"Content-Length: 0x1"),
    _post("9110-8.6-cl-inner-space", b"Content-Length: 1 1"),
    _post("9110-8.6-cl-empty", b"Content-Length:"),
    _post("9110-8.6-cl-list", b"Content-Length: 1, 1"),
    _post("9110-8.6-cl-fraction", b"Content-Length: 1.0"),
    _post("9110-8.6-cl-huge", b"Content-Length: 99999999999999999999"),
    _post("9110-8.6-cl-arabic-digits", b"Content-Length: \xd9\xa1"),
    _post("9112-6.3-cl-differing", b"Content-Length: 1\r\nContent-Length: 2"),
    _post("9112-6.3-cl-repeated", b"Content-Length: 1\r\nContent-Length: 1"),
    _post("9112-6.3-cl-repeated-case", b"Content-Length: 1\r\ncontent-length: 1"),
    _post("9110-15.5.14-cl-over-route", b"Content-Length: 1048577", b"", 413),
)

CODINGS = (
    _post("9112-6.1-te-unknown", b"Transfer-Encoding: gzip", status=501),
    _post("9112-6.1-te-identity", b"Transfer-Encoding: identity", status=501),
    _post("9112-6.1-te-gzip-chunked", b"Transfer-Encoding: gzip, chunked", status=501),
    _post("9112-6.3-te-chunked-not-last", b"Transfer-Encoding: chunked, gzip"),
    _post("9112-6.1-te-chunked-twice", b"Transfer-Encoding: chunked, chunked"),
    _post("9112-6.1-te-two-fields", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    _post("9112-6.1-te-two-fields-identity", b"Transfer-Encoding: identity\r\n"
          b"Transfer-Encoding: chunked"),
    _post("9112-6.1-te-prefix", b"Transfer-Encoding: xchunked", status=501),
    _post("9112-6.1-te-quoted", b'Transfer-Encoding: "chunked"'),
    _post("9112-6.1-te-empty", b"Transfer-Encoding:"),
    _post("9112-6.1-te-comma", b"Transfer-Encoding: ,chunked"),
    _post("9112-6.1-te-vertical-tab", b"Transfer-Encoding: \x0bchunked"),
    _post("9112-6.1-te-nbsp", b"Transfer-Encoding: \xa0chunked"),
    _post("9112-5.1-te-space-before-colon", b"Transfer-Encoding : chunked"),
    _post("9112-6.1-te-params", b"Transfer-Encoding: chunked;q=1", status=501),
    Case("9112-6.1-te-in-http-1.0",
         b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
)  # fmt: skip

CHUNKS = (
    _chunks("9112-7.1-size-0x", b"0x1\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-plus", b"+1\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-minus", b"-1\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-empty", b"\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-space-before", b" 1\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-space-after", b"1 \r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-underscore", b"1_0\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-huge", b"fffffffffffffffff\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-letter", b"g\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-bare-lf", b"1\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-size-bare-cr", b"1\rx\r\n0\r\n\r\n"),
    _chunks("9112-7.1-data-bare-lf", b"1\r\nx\n0\r\n\r\n"),
    _chunks("9112-7.1-data-too-long", b"1\r\nxy\r\n0\r\n\r\n"),
    _chunks("9112-7.1-data-too-short", b"5\r\nx\r\n0\r\n\r\n\r\n\r\n"),
    _chunks("9112-7.1-data-no-crlf", b"1\r\nx0\r\n\r\n"),
    _chunks("9112-7.1.1-ext-control", b"1;a=\x01\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1.1-ext-bare-lf", b"1;a\nb\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1.1-ext-bare-cr", b"1;a\rb\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1.1-ext-8-bit", b"1;a=\xff\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1.1-ext-long", b"1;" + b"a" * 20_000 + b"\r\nx\r\n0\r\n\r\n"),
    _chunks("9112-7.1.1-ext-many", (b"1;" + b"a" * 900 + b"\r\nx\r\n") * 30 + b"0\r\n\r\n"),
    _chunks("9112-7.1.2-trailer-no-colon", b"0\r\nnonsense\r\n\r\n"),
    _chunks("9112-7.1.2-trailer-space", b"0\r\nA : b\r\n\r\n"),
    _chunks("9112-7.1.2-trailer-folded", b"0\r\nA: b\r\n c\r\n\r\n"),
    _chunks("9112-7.1.2-trailer-control", b"0\r\nA: \x00\r\n\r\n"),
    _chunks("9112-7.1.2-trailer-bare-lf", b"0\r\nA: b\nC: d\r\n\r\n"),
    _chunks("9112-7.1.2-trailer-long", b"0\r\n" + b"A: " + b"b" * 20_000 + b"\r\n\r\n"),
    _chunks("9110-15.5.14-chunks-over-route", b"100001\r\n" + b"x" * 0x100001 + b"\r\n0\r\n\r\n",
            413),
)  # fmt: skip

LINES = (
    _line("9112-2.2-line-bare-lf", b"GET /abuse HTTP/1.1\nX: y"),
    Case("9112-2.2-all-bare-lf", b"GET /abuse HTTP/1.1\nHost: a\n\n", 400),
    Case("9112-2.2-line-bare-cr", b"GET /abuse HTTP/1.1\rHost: a\r\n\r\n", 400),
    _get("9112-2.2-field-bare-cr", b"X: a\rb"),
    _get("9112-2.2-field-bare-lf", b"X: a\nY: b"),
    _get("9112-2.2-field-cr-cr-lf", b"X: a\r"),
    _get("9110-5.5-field-nul", b"X: a\x00b"),
    _get("9110-5.5-field-bell", b"X: a\x07b"),
    _get("9110-5.5-field-del", b"X: a\x7fb"),
    _line("9112-3-two-spaces", b"GET  /abuse HTTP/1.1"),
    _line("9112-3-space-at-end", b"GET /abuse HTTP/1.1 "),
    _line("9112-3-space-at-start", b" GET /abuse HTTP/1.1"),
    _line("9112-3-tab", b"GET\t/abuse HTTP/1.1"),
    _line("9112-3-no-target", b"GET HTTP/1.1"),
    _line("9112-3-space-in-target", b"GET /a b HTTP/1.1"),
    _line("9110-9.1-method-no-token", b"G(T /abuse HTTP/1.1"),
    _line("9110-9.1-method-empty", b" /abuse HTTP/1.1"),
    _line("9112-2.3-http-0.9", b"GET /abuse"),
    _line("9112-2.3-version-lower-case", b"GET /abuse http/1.1"),
    _line("9112-2.3-version-three-digits", b"GET /abuse HTTP/1.10"),
    _line("9112-2.3-version-one-digit", b"GET /abuse HTTP/1"),
    _line("9112-2.3-version-other-name", b"GET /abuse HTTQ/1.1"),
    _line("9110-15.6.6-http-2.0", b"GET /abuse HTTP/2.0", 505),
    _line("9110-15.6.6-http-3.1", b"GET /abuse HTTP/3.1", 505),
    Case("9113-3.4-http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    Case("8446-tls-client-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    Case("9112-2.2-two-empty-lines", b"\r\n\r\n" + GET + b"\r\n", 400),
    _get("9112-5.1-space-before-colon", b"X : y"),
    _get("9112-5.1-tab-before-colon", b"X\t: y"),
    _get("9112-5.2-folded", b"X: y\r\n z"),
    _get("9112-5.2-folded-tab", b"X: y\r\n\tz"),
    Case("9112-5.2-folded-first",
         b"GET /abuse HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", 400),
    _get("9112-5-no-colon", b"nonsense"),
    _get("9110-5.1-empty-name", b": y"),
    _get("9110-5.1-name-with-space", b"X Y: z"),
    _get("9110-5.1-name-with-slash", b"X/Y: z"),
    _get("9110-5.1-name-8-bit", b"X\xc3\xa9: z"),
    _line("9110-15.5.15-target-long", b"GET /" + b"a" * 9_000 + b" HTTP/1.1", 414),
    Case("9110-15.5.15-target-endless", b"GET /" + b"a" * 9_000, 414),
    _get("6585-5-field-long", b"X: " + b"y" * 70_000, 431),
    _get("6585-5-fields-many", b"\r\n".join(b"X%d: y" % n for n in range(101)), 431),
    _get("6585-5-head-long", b"\r\n".join(b"X%d: %b" % (n, b"y" * 1_000) for n in range(90)), 431),
    _get("3875-4.1.18-content_length", b"Content_Length: 5"),
    _get("3875-4.1.18-transfer_encoding", b"Transfer_Encoding: chunked"),
    _get("3875-4.1.18-x_forwarded_for", b"X_Forwarded_For: 10.0.0.1"),
    _get("3875-4.1.18-mixed", b"X-Forwarded_For: 10.0.0.1"),
    _get("3875-4.1.18-authorization-twin", b"X-User: me\r\nX_User: root"),
)  # fmt: skip

TARGETS = (
    Case("9112-3.2-no-host", b"GET /abuse HTTP/1.1\r\n\r\n", 400),
    _get("9112-3.2-two-hosts", b"Host: b"),
    _get("9112-3.2-two-equal-hosts", b"Host: a"),
    *(
        Case(f"9112-3.2-host-{name}", b"GET /abuse HTTP/1.1\r\nHost: %b\r\n\r\n" % value, 400)
        for name, value in (
            ("empty", b""), ("comma", b"a,b"), ("user", b"u@a"), ("slash", b"a/b"),
            ("space", b"a b"), ("port-letters", b"a:x"), ("port-long", b"a:123456"),
            ("two-ports", b"a:1:2"), ("query", b"a?b"), ("bracket", b"[::1"), ("8-bit", b"\xe9"),
            ("backslash", b"a\\b"), ("percent", b"a%00"), ("scheme", b"http://a"),
        )
    ),
    _line("9112-3.2.2-absolute-user", b"GET http://u@a/ HTTP/1.1"),
    _line("9112-3.2.2-absolute-no-host", b"GET http:///x HTTP/1.1"),
    _line("9112-3.2.2-absolute-other-scheme", b"GET ftp://a/x HTTP/1.1"),
    _line("9112-3.2.4-asterisk-get", b"GET * HTTP/1.1"),
    _line("9112-3.2-no-slash", b"GET abuse HTTP/1.1"),
    _line("9112-3.2-fragment", b"GET /abuse#x HTTP/1.1"),
    _line("9112-3.2-control", b"GET /abu\x01se HTTP/1.1"),
    _line("9112-3.2-8-bit", b"GET /abus\xe9 HTTP/1.1"),
    _line("9110-9.3.6-connect", b"CONNECT a:443 HTTP/1.1", 405),
    _line("9110-9.3.8-trace", b"TRACE /abuse HTTP/1.1", 405),
    _get("9110-10.1.1-expect-other", b"Expect: magic", 417),
    _get("9110-7.6.1-nominates-host", b"Connection: Host"),
    _get("9110-7.6.1-nominates-authorization", b"Connection: close, Authorization"),
    _get("9110-7.6.1-nominates-cookie", b"Connection: cookie"),
    _get("9110-7.6.1-nominates-forwarded", b"Connection: X-Forwarded-For"),
    _get("9110-7.6.1-nominates-length", b"Connection: content-length"),
    _get("9110-7.6.1-option-no-token", b"Connection: a b"),
    _get("9110-7.6.3-loop", b"Via: 1.0 other, 1.1 legacy-bridge", 508),
    _get("9110-7.6.3-loop-case", b"Via: 1.1 Legacy-Bridge (x)", 508),
)  # fmt: skip

CASES = (*LENGTHS, *CODINGS, *CHUNKS, *LINES, *TARGETS)

PATHS = (
    ("3986-6.2-encoded-slash", b"/a%2Fb"),
    ("3986-6.2-encoded-slash-lower", b"/a%2fb"),
    ("3986-6.2-encoded-backslash", b"/a%5Cb"),
    ("3986-6.2-backslash", b"/a\\b"),
    ("3986-6.2-encoded-nul", b"/a%00b"),
    ("3986-6.2-encoded-newline", b"/a%0ab"),
    ("3986-6.2-encoded-dots", b"/a/%2e%2e/b"),
    ("3986-6.2-half-encoded-dots", b"/a/.%2E/b"),
    ("3986-6.2-encoded-dot", b"/a/%2e/b"),
    ("3986-6.2-doubly-encoded", b"/a%252Fb"),
    ("3986-2.1-bad-escape", b"/a%zzb"),
    ("3986-2.1-cut-escape", b"/a%2"),
    ("3629-3-overlong-slash", b"/a%c0%afb"),
    ("3629-3-overlong-three", b"/a%e0%80%afb"),
    ("3629-3-surrogate", b"/a%ed%a0%80"),
    ("3986-5.2.4-above-root", b"/../a"),
)
"""Paths that gateway and back end could read differently: 400, the connection goes on."""
