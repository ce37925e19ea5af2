"""Host, the forms of the target, and paths that two readers take for different ones."""

from tests.gateway.abuse.cases.build import (
    BAD_REQUEST,
    GET,
    HOST,
    MUST,
    REFUSED,
    SECURITY,
    SHOULD,
    case,
    request,
    statuses_but,
)
from tests.gateway.abuse.outcomes import Own, Passed, Refused

_BAD_HOSTS = (
    ("user", b"u@a"), ("slash", b"a/b"), ("space", b"a b"), ("port-letters", b"a:x"),
    ("two-ports", b"a:1:2"), ("query", b"a?b"), ("fragment", b"a#b"), ("bracket", b"[::1"),
    ("bracket-empty", b"[]"), ("8-bit", b"\xe9"), ("backslash", b"a\\b"), ("scheme", b"http://a"),
    ("quote", b'"a"'), ("angle", b"<a>"), ("percent-cut", b"a%2"), ("tab", b"a\tb"),
    ("brace", b"{a}"),
    ("port-minus", b"a:-1"), ("pipe", b"a|b"), ("control", b"a\x01"), ("nul", b"a\x00"),
)  # fmt: skip

_ODD_HOSTS = (
    ("comma", b"a,b"), ("port-long", b"a:123456"), ("percent", b"a%00"), ("port-empty", b"a:"),
    ("dot-at-end", b"a."), ("underscore", b"a_b"), ("upper-case", b"A"), ("dots", b"a..b"),
)  # fmt: skip

HOSTS = (
    case("host-none", "9112 3.2", MUST, b"GET /case HTTP/1.1\r\n\r\n", BAD_REQUEST),
    case("host-two", "9112 3.2", MUST, GET + b"Host: b\r\n\r\n", BAD_REQUEST),
    case("host-two-equal", "9112 3.2", MUST, GET + b"Host: a\r\n\r\n", BAD_REQUEST),
    case("host-two-case", "9112 3.2", MUST, GET + b"hOST: b\r\n\r\n", BAD_REQUEST),
    case("host-two-in-1.0", "9112 3.2", MUST, b"GET /case HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
         BAD_REQUEST),
    case("host-none-in-1.0", "9112 3.2", MUST, b"GET /case HTTP/1.0\r\n\r\n", Passed()),
    case("host-empty", "9110 4.2.1", SHOULD, b"GET /case HTTP/1.1\r\nHost:\r\n\r\n", REFUSED,
         Passed()),
    *(
        case(f"host-{name}", "9112 3.2", MUST,
             b"GET /case HTTP/1.1\r\nHost: " + value + b"\r\n\r\n",
             BAD_REQUEST)
        for name, value in _BAD_HOSTS
    ),
    *(
        case(f"host-{name}", "9112 3.2", SHOULD,
             b"GET /case HTTP/1.1\r\nHost: " + value + b"\r\n\r\n",
             REFUSED, Passed(has=((b"host", value),)), Passed(has=((b"host", value.lower()),)))
        for name, value in _ODD_HOSTS
    ),
    case("host-port", "9110 7.2", MUST, b"GET /case HTTP/1.1\r\nHost: a:8080\r\n\r\n",
         Passed(has=((b"host", b"a:8080"),))),
    case("host-ipv6", "9110 7.2", MUST, b"GET /case HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
         Passed(has=((b"host", b"[::1]:80"),))),
    case("host-last", "9110 7.2", MUST, b"GET /case HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n",
         Passed(has=((b"host", b"a"),))),
)  # fmt: skip

_SAME = (
    ("two-slashes", b"/a//b"), ("slashes-first", b"//a/b"), ("query-empty", b"/a?"),
    ("query-marks", b"/a?b?c"), ("escapes-case", b"/a%c3%a9%C3%A9"), ("semicolons", b"/a;b=c;d"),
    ("sub-delims", b"/!$&'()*+,=:@"), ("slash-at-end", b"/a/"), ("query-slashes", b"/a?b=/../c//d"),
    ("query-escapes", b"/a?b=%2F%00%zz"), ("tilde", b"/~a/%7Ea"), ("query-plus", b"/a?b=c+d%20e"),
    ("query-quotes", b"/a?b='c'"),
)  # fmt: skip
# No URI has these, yet clients send them: refused, or passed on as they are.
_SAME_OR_REFUSED = (
    ("pipe", b"/a|b"), ("query-brackets", b"/a?b[]=c"), ("query-angles", b"/a?<b>"),
    ("caret", b"/a^b"),
    ("double-quote", b'/a"b'), ("braces", b"/a?{b}"), ("percent-alone", b"/a%zz"),
    ("percent-cut", b"/a%2"),
)  # fmt: skip

TARGETS = (
    *(
        case(f"target-{name}", "9110 7.7", MUST, request(b"GET " + target + b" HTTP/1.1"),
             Passed(target=target))
        for name, target in _SAME
    ),
    *(
        case(f"target-{name}", "9110 7.7", MUST, request(b"GET " + target + b" HTTP/1.1"),
             Passed(target=target), REFUSED)
        for name, target in _SAME_OR_REFUSED
    ),
    case("target-dots", "9110 7.7", MUST, request(b"GET /a/./b/../c HTTP/1.1"), REFUSED,
         Passed(target=b"/a/./b/../c")),
    case("target-fragment", "9112 3.2", SHOULD, request(b"GET /case#x HTTP/1.1"), REFUSED),
    case("target-control", "9112 3.2", SECURITY, request(b"GET /ca\x01se HTTP/1.1"), REFUSED),
    case("target-nul", "9112 3.2", SECURITY, request(b"GET /ca\x00se HTTP/1.1"), REFUSED),
    case("target-8-bit", "9112 3.2", SECURITY, request(b"GET /cas\xe9 HTTP/1.1"), REFUSED,
         Passed(target=b"/cas%E9")),
    case("target-del", "9112 3.2", SECURITY, request(b"GET /cas\x7f HTTP/1.1"), REFUSED),
    case("target-no-slash", "9112 3.2", SECURITY, request(b"GET case HTTP/1.1"), REFUSED),
    case("target-query-alone", "9112 3.2", SECURITY, request(b"GET ?case HTTP/1.1"), REFUSED),
    case("target-backslash-first", "9112 3.2", SECURITY, request(b"GET \\case HTTP/1.1"), REFUSED),
    case("asterisk-get", "9112 3.2.4", MUST, request(b"GET * HTTP/1.1"), REFUSED),
    case("asterisk-options", "9112 3.2.4", MUST, request(b"OPTIONS * HTTP/1.1"),
         Passed(target=b"*"), Own(), REFUSED),
    case("asterisk-and-more", "9112 3.2.4", SECURITY, request(b"OPTIONS *case HTTP/1.1"), REFUSED),
    case("absolute", "9112 3.2.2", MUST, request(b"GET http://a/case HTTP/1.1"),
         Passed(target=b"/case", has=((b"host", b"a"),)),
         Passed(target=b"http://a/case", has=((b"host", b"a"),))),
    case("absolute-other-host", "9112 3.2.2", MUST, request(b"GET http://b/case HTTP/1.1"),
         Passed(target=b"/case", has=((b"host", b"b"),)), REFUSED),
    case("absolute-empty-path", "9112 3.2.1", MUST, request(b"GET http://a HTTP/1.1"),
         Passed(target=b"/", has=((b"host", b"a"),)), Passed(target=b"http://a/"),
         Passed(target=b"http://a")),
    case("absolute-query", "9112 3.2.1", MUST, request(b"GET http://a?b HTTP/1.1"),
         Passed(target=b"/?b", has=((b"host", b"a"),))),
    case("absolute-scheme-case", "9110 4.2.3", MUST, request(b"GET HTTP://a/case HTTP/1.1"),
         Passed(target=b"/case", has=((b"host", b"a"),)), Passed(target=b"HTTP://a/case")),
    case("absolute-user", "9110 4.2.4", SHOULD, request(b"GET http://u@a/case HTTP/1.1"), REFUSED),
    case("absolute-no-host", "9110 4.2.1", MUST, request(b"GET http:///case HTTP/1.1"), REFUSED),
    case("absolute-other-scheme", "9110 7.4", SHOULD, request(b"GET ftp://a/case HTTP/1.1"),
         REFUSED),
    case("absolute-without-host-field", "9112 3.2", MUST, b"GET http://a/case HTTP/1.1\r\n\r\n",
         BAD_REQUEST),
    case("absolute-bad-host-field", "9112 3.2", MUST,
         b"GET http://a/case HTTP/1.1\r\nHost: u@b\r\n\r\n", BAD_REQUEST),
    case("connect", "9110 9.3.6", SECURITY, request(b"CONNECT a:443 HTTP/1.1"), REFUSED),
    case("connect-path", "9110 9.3.6", SECURITY, request(b"CONNECT /case HTTP/1.1"), REFUSED),
    case("authority-get", "9112 3.2.3", SECURITY, request(b"GET a:80 HTTP/1.1"), REFUSED),
    case("trace", "9110 9.3.8", SHOULD, request(b"TRACE /case HTTP/1.1"),
         Refused(statuses=statuses_but(500, 502, 503)), Passed()),
    case("trace-credentials", "9110 9.3.8", SECURITY,
         b"TRACE /case HTTP/1.1\r\n" + HOST + b"Cookie: a=b\r\n\r\n", REFUSED, Passed()),
)  # fmt: skip

# Everything but /locked is the upstream's; each of these is /locked to some back end.
_LOCKED = (
    ("dots", b"/x/../locked/a"), ("encoded-dots", b"/x/%2e%2e/locked/a"),
    ("half-dots", b"/x/.%2E/locked/a"),
    ("encoded-slash", b"/locked%2Fa"), ("encoded-slash-small", b"/x%2f..%2flocked/a"),
    ("two-slashes", b"//locked/a"), ("dot", b"/./locked/a"), ("encoded-dot", b"/%2e/locked/a"),
    ("backslash", b"/x/..\\locked/a"), ("encoded-backslash", b"/x/..%5clocked/a"),
    ("encoded-letter", b"/%6cocked/a"), ("doubly-encoded", b"/%256cocked/a"),
    ("doubly-encoded-dots", b"/x/%252e%252e/locked/a"), ("overlong-slash", b"/x/..%c0%aflocked/a"),
    ("parameter-dots", b"/x/..;/locked/a"), ("parameter", b"/locked;x/a"), ("nul", b"/locked%00/a"),
    ("above-root", b"/../locked/a"), ("newline", b"/locked%0a/a"),
    ("overlong-letter", b"/%c1%acocked/a"),
    ("absolute", b"http://a/locked/a"), ("encoded-tab", b"/locked%09/a"),
    ("wide-slash", b"/x/..%e0%80%aflocked/a"),
)  # fmt: skip

PATHS = (
    *(
        case(f"locked-{name}", "3986 6.2", SECURITY, request(b"GET " + path + b" HTTP/1.1"),
             REFUSED)
        for name, path in _LOCKED
    ),
    case("locked-plainly", "9110 15.5.4", SECURITY, request(b"GET /locked/a HTTP/1.1"), REFUSED),
    case("unlocked", "9110 7.7", MUST, request(b"GET /lockedout/a HTTP/1.1"), Passed()),
    case("unlocked-escape", "9110 7.7", MUST, request(b"GET /a%20b HTTP/1.1"),
         Passed(target=b"/a%20b")),
    case("unlocked-utf-8", "9110 7.7", MUST, request(b"GET /%C3%A9 HTTP/1.1"),
         Passed(target=b"/%C3%A9")),
)  # fmt: skip
