"""Which trailer sections may be passed on (RFC 9110 6.5).

A trailer section goes on only when its sender announced every field of it, the next hop said that
it reads trailers, and no field is one that a recipient must know before the body. Otherwise all of
it is dropped: half a section means something else than its sender meant. It is never merged into
the header section, which was judged, routed by and forwarded before.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from bridge.gateway.http.fields import PLAIN, is_token, kind_of_name

# Framing, routing, request modifiers, authentication, response control and content: RFC 9110 6.5.1.
# What has a kind of its own in `fields` is refused by that.
FORBIDDEN: Final = frozenset(
    b"age authorization cache-control content-disposition content-encoding content-language"
    b" content-location content-range content-type cookie expires if-match if-modified-since"
    b" if-none-match if-range if-unmodified-since idempotency-key location origin pragma range"
    b" referer retry-after set-cookie traceparent tracestate vary warning www-authenticate".split()
)


@lru_cache(maxsize=256)
def announced(value: bytes) -> frozenset[bytes]:
    """Return the lower-case names that a Trailer field announces.

    Empty when one of them may stand in no trailer section, so that nothing of it is passed on.
    """
    names = set()
    for part in value.lower().split(b","):
        name = part.strip(b" \t")
        if not name:
            continue
        if not is_token(name) or name in FORBIDDEN or kind_of_name(name) != PLAIN:
            return frozenset()
        names.add(name)
    return frozenset(names)


def carried(lines: Sequence[bytes], names: frozenset[bytes]) -> Sequence[bytes]:
    """Return the field lines of a trailer section, or none when one was not announced."""
    for line in lines:
        if line.partition(b":")[0].lower() not in names:
            return ()
    return lines


def last_chunk(lines: Sequence[bytes]) -> bytes:
    """Return the last chunk and a trailer section."""
    return b"\r\n".join([b"0", *lines, b"\r\n"])
