"""W3C trace context: what a request's `traceparent` becomes on its way through the gateway.

Source: W3C Recommendation "Trace Context" (level 1, 2021). A valid one is passed on with a parent
id of ours, `tracestate` untouched. One that is absent or broken is replaced by a new trace, and a
`tracestate` is dropped then (sections 3.2, 4.3): it belongs to a trace that nobody knows any more.
"""

import re
from binascii import hexlify
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

Bits: TypeAlias = Callable[[int], int]
"""Returns a random number of so many bits: ids need to be unique, not secret."""

# Version 00 has nothing after the flags; a higher one may (section 2.2.2: parse what is known).
_PARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
# What real clients send, with the part that is ours to replace at a fixed place.
_USUAL: Final = re.compile(rb" 00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]\r\n")
_PARENT_AT: Final = len(b" 00-") + 33
_PARENT_END: Final = _PARENT_AT + 16
_NAME: Final = b"traceparent:"
_STATE: Final = b"tracestate:"
_LINE: Final = b"\r\n" + _NAME
# Flags of version 00 that are passed on: sampled (level 1, section 3.2.2.5), and that the trace id
# is random (level 2); what is not defined must be zero. Of a later version one is known: sampled.
_FLAGS: Final = 0b11
_SAMPLED: Final = 0b01


class Parent(NamedTuple):
    """Whose child a request is."""

    trace_id: int
    span_id: int
    sampled: bool


def read_parent(lines: Sequence[bytes]) -> Parent | None:
    """Return what `traced` would go on with in field lines; None where a new trace begins."""
    said = [line[len(_NAME) :] for line in lines if line[: len(_NAME)].lower() == _NAME]
    found = _PARENT.fullmatch(said[0].strip(b" \t")) if len(said) == 1 else None
    if found is None or (found[1] == b"00" and found[4]):
        return None
    value = said[0].strip(b" \t")
    sampled = bool(int(found[3], 16) & _SAMPLED)
    return Parent(int(found[2], 16), int(value[36:52], 16), sampled)


def is_untraced(block: bytes) -> bool:
    """Whether field lines certainly hold nothing of a trace context."""
    return b"trace" not in block.lower()


def traced(block: bytes, bits: Bits, new_flags: bytes = b"00") -> bytes:
    """Return the field lines of a request, each with its CRLF, with a trace context of ours.

    `new_flags` are those of a trace that begins here.
    """
    lower = block.lower()
    at = lower.find(_LINE)
    if at < 0 and lower[:5] != b"trace":
        if b"\r\ntracestate:" in lower:
            block = _without(block, _STATE)
        return block + new_trace(bits, new_flags)
    at = 0 if lower.startswith(_NAME) else at + 2
    value = at + len(_NAME)
    once = lower.find(_LINE, value) < 0
    if once and _USUAL.match(block, value) is not None:
        parent = b"%016x" % (bits(64) or 1)
        return block[: value + _PARENT_AT] + parent + block[value + _PARENT_END :]
    end = block.find(b"\r\n", at)
    found = _PARENT.fullmatch(block[value:end].strip(b" \t")) if at != 1 else None
    if not once or found is None or (found[1] == b"00" and found[4]):
        return _without(_without(block, _NAME), _STATE) + new_trace(bits, new_flags)
    flags = b"%02x" % (int(found[3], 16) & (_FLAGS if found[1] == b"00" else _SAMPLED))
    head = block[:value]
    return b"%b 00-%b-%016x-%b%b" % (head, found[2], bits(64) or 1, flags, block[end:])


def new_trace(bits: Bits, flags: bytes = b"00") -> bytes:
    """Return the field line of a new trace, with its CRLF."""
    # Both ids spelt by one call: a third of what formatting two takes.
    both = (bits(128) or 1) << 64 | (bits(64) or 1)
    ids = hexlify(both.to_bytes(24, "big"), b"-", -16)
    return b"traceparent: 00-%b-%b\r\n" % (ids, flags)


def _without(block: bytes, name: bytes) -> bytes:
    lines = block.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line[: len(name)].lower() != name)
