"""Field names that mean something to a proxy, and the kind of each.

A field is looked up by its whole line first: in real traffic most lines (`Accept: */*`, `Host: …`)
come again and again, so a hit saves splitting the line and checking its name. Lines with
credentials and long lines are never kept.
"""

from functools import lru_cache
from typing import Final

PLAIN: Final = 0
HOST: Final = 1
LENGTH: Final = 2
CODING: Final = 3
CONNECTION: Final = 4
HOP: Final = 5
UPGRADE: Final = 6
EXPECT: Final = 7
VIA: Final = 8
FORWARDED: Final = 9
MAX_FORWARDS: Final = 10
UNDERSCORE: Final = 11
DATE: Final = 12
IMITATION: Final = 13
TE: Final = 14
TRAILER: Final = 15
NOT_A_NAME: Final = -1
UNSEEN: Final = -2

_KINDS: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authenticate": HOP,
    b"proxy-authorization": HOP,
    b"http2-settings": HOP,
    b"te": TE,
    b"trailer": TRAILER,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"via": VIA,
    b"forwarded": FORWARDED,
    b"x-forwarded-for": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"x-forwarded-server": FORWARDED,
    b"x-forwarded-prefix": FORWARDED,
    b"x-forwarded-ssl": FORWARDED,
    b"x-real-ip": FORWARDED,
    b"client-cert": FORWARDED,
    b"client-cert-chain": FORWARDED,
    # What a trusted hop may say, and what we say ourselves: see `deadline`.
    b"x-request-deadline-ms": FORWARDED,
    # What a gateway says of its own copies and replays: applications drop mails and invoices by it.
    b"legacy-bridge-error": FORWARDED,
    b"legacy-bridge-intent": FORWARDED,
    b"legacy-bridge-origin": FORWARDED,
    b"legacy-bridge-replay": FORWARDED,
    b"legacy-bridge-request": FORWARDED,
    b"legacy-bridge-shadow": FORWARDED,
    b"max-forwards": MAX_FORWARDS,
    b"date": DATE,
}

IDENTITY_PREFIXES: Final = (b"x-client-cert-", b"x-ssl-client-", b"ssl-client-")
"""Names that tell an application who a client's certificate is of: never a client's own to say."""

_TOLD_BY_HOPS: Final = (b"x-forwarded-", *IDENTITY_PREFIXES)

# Framing fields may be nominated (they are hop-by-hop or ours anyway); these carry meaning from end
# to end, and `Connection: authorization` would be a way to strip them on the way (RFC 9110 7.6.1).
_MAY_NOT_BE_NOMINATED: Final = frozenset(
    b"host content-length content-type content-encoding content-range authorization cookie"
    b" set-cookie cache-control date via expect forwarded client-cert client-cert-chain"
    b" idempotency-key if-match if-none-match if-modified-since if-unmodified-since if-range"
    b" range location max-forwards origin referer vary www-authenticate x-real-ip"
    b" x-request-id traceparent tracestate etag".split()
)

# A CGI or WSGI back end reads `X_Forwarded_For` and `X-Forwarded-For` as one variable, so that a
# client could speak in the name of a field that we replace, remove or frame by.
_NOT_IMITATED: Final = frozenset(_KINDS) | _MAY_NOT_BE_NOMINATED

_CREDENTIALS: Final = frozenset(b"authorization cookie set-cookie proxy-authorization".split())

FIELD_BYTES: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
"""What a field line may hold: neither CR nor LF nor any other control character."""

_TOKEN_BYTES: Final = (
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

# About 1 MB at most: lines of up to 128 bytes, and their dict.
_LINES_KEPT_MAX: Final = 4096
_LINE_KEPT_BYTES_MAX: Final = 128

_lines: dict[bytes, int] = {}


def is_token(text: bytes) -> bool:
    """Whether `text` is a `token` of RFC 9110 5.6.2."""
    return bool(text) and not text.translate(None, _TOKEN_BYTES)


def kind_of_name(name: bytes) -> int:
    """Return the kind of a field name; NOT_A_NAME when it is not a token."""
    if not is_token(name):
        return NOT_A_NAME
    lower = name.lower()
    kind = _KINDS.get(lower)
    if kind is not None:
        return kind
    if lower.startswith(_TOLD_BY_HOPS):
        return FORWARDED
    if b"_" in lower:
        twin = lower.replace(b"_", b"-")
        if twin in _NOT_IMITATED or twin.startswith(_TOLD_BY_HOPS):
            return IMITATION
        return UNDERSCORE
    return PLAIN


known_line = _lines.get
"""Return the kind of a field line that was seen before, or the given UNSEEN."""


def kind_of_line(line: bytes) -> int:
    """Return the kind of a field line, and remember it when that is safe and small.

    NOT_A_NAME also stands for a line without a colon, with white space before it, folded, or with a
    control character: no line is remembered that was not checked whole.
    """
    name, colon, _ = line.partition(b":")
    if not colon or line.translate(None, FIELD_BYTES):
        return NOT_A_NAME
    kind, keep = _named(name)
    if keep and len(line) <= _LINE_KEPT_BYTES_MAX:
        if len(_lines) >= _LINES_KEPT_MAX:
            _lines.clear()
        _lines[line] = kind
    return kind


def is_plain_line(line: bytes) -> bool:
    """Whether a line is a good field of kind PLAIN; it is not remembered."""
    name, colon, _ = line.partition(b":")
    return bool(colon) and _named(name)[0] == PLAIN and not line.translate(None, FIELD_BYTES)


@lru_cache(maxsize=4096)
def _named(name: bytes) -> tuple[int, bool]:
    """Return a name's kind, and whether its lines may be kept."""
    kind = kind_of_name(name)
    return kind, kind >= 0 and name.lower() not in _CREDENTIALS


def may_be_nominated(option: bytes) -> bool:
    """Whether a Connection option (lower case) may make us remove the field of its name."""
    return option not in _MAY_NOT_BE_NOMINATED and not option.startswith(_TOLD_BY_HOPS)
