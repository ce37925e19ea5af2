"""The trace context of a request to a side: read it, and put the span of this call into it.

Requests come here as they are about to be sent, with the span of the client's request as parent.
"""

import re
from typing import Final, NamedTuple

from bridge.model.http import Headers

_PARENT: Final = re.compile(
    rb"\r\ntraceparent:[ \t]*00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})[ \t]*\r\n",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NAME: Final = b"traceparent"
_SAMPLED: Final = 1
# What the other makers of requests write into them, and what that makes of a call.
_SHADOW: Final = re.compile(rb"\r\nlegacy-bridge-shadow:[ \t]*(copy|probe)\b", re.IGNORECASE)
_REPLAY: Final = b"legacy-bridge-replay"


class Outgoing(NamedTuple):
    """Where a sampled request to a side belongs."""

    trace_id: int
    parent_id: int


def sampled_head(data: bytes) -> tuple[Outgoing, int] | None:
    """Return where the request that `data` begins belongs, and where its parent id stands.

    None when it is not sampled, or has no trace context of ours.
    """
    end = data.find(b"\r\n\r\n")
    found = _PARENT.search(data, 0, end + 2 if end >= 0 else len(data))
    if found is None or not int(found[3], 16) & _SAMPLED:
        return None
    return Outgoing(int(found[1], 16), int(found[2], 16)), found.start(2)


def with_parent(data: bytes, at: int, span_id: int) -> bytes:
    """Return `data` with another parent id, as `sampled_head` has found the first."""
    return b"%b%016x%b" % (data[:at], span_id, data[at + 16 :])


def sampled_fields(headers: Headers) -> Outgoing | None:
    """Return where a request with these fields belongs; None when it is not sampled."""
    for name, value in headers:
        if name.lower() == _NAME:
            found = _VALUE.fullmatch(value)
            if found is not None and int(found[3], 16) & _SAMPLED:
                return Outgoing(int(found[1], 16), int(found[2], 16))
            return None
    return None


def with_fields(headers: Headers, span_id: int) -> Headers:
    """Return fields with another parent id; `sampled_fields` has found one."""
    return tuple(
        (name, b"%b%016x%b" % (value[:36], span_id, value[52:]))
        if name.lower() == _NAME
        else (name, value)
        for name, value in headers
    )


def purpose_of(data: bytes) -> str:
    """Return what a request that goes beside a client's is for: `copy`, `probe`; else `request`."""
    found = _SHADOW.search(data)
    return "request" if found is None else found[1].decode("ascii").lower()


def is_replay(headers: Headers) -> bool:
    """Whether a request brings a journalled write to the other side."""
    return any(name.lower() == _REPLAY for name, _ in headers)
