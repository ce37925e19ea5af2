"""Where the parts of a time-stamp response are, and its certificates in the order of DER. Pure.

OpenSSL, and with it many authorities, sends the certificates signer first, while DER wants the
elements of a SET OF sorted (X.690 section 11.6), and our decoder insists on that. The certificates
are not under the signature (RFC 5652 section 5.4), and sorting them changes no length, so they are
sorted for the decoder alone; what is kept is the token as it came.
"""

from typing import NamedTuple

from bridge.model.errors import DecodeError

_CONTEXT_0 = 0xA0

# A token has its signer's certificate and a few above it.
_CERTIFICATES_MAX = 100


class _Part(NamedTuple):
    """One element: its tag, and where it, its content and its end are."""

    tag: int
    start: int
    content: int
    end: int


def token_of(reply: bytes) -> bytes:
    """Return the `TimeStampToken` of a response, byte for byte; raises `DecodeError`."""
    parts = _inside(reply, _part(reply, 0, len(reply)))
    if len(parts) != 2:
        raise DecodeError("cannot read a time-stamp response: it holds no token")
    return reply[parts[1].start : parts[1].end]


def with_sorted_certificates(reply: bytes) -> bytes:
    """Return `reply` with the certificates of its token as DER sorts them.

    Raises:
        DecodeError: it is not nested as a time-stamp response is (RFC 3161 section 2.4.2).
    """
    place = _certificates(reply)
    if place is None:
        return reply
    found = sorted(reply[part.start : part.end] for part in _inside(reply, place))
    return reply[: place.content] + b"".join(found) + reply[place.end :]


def _certificates(reply: bytes) -> _Part | None:
    """Return the field `certificates` of the SignedData; None for a response without one."""
    parts = _inside(reply, _part(reply, 0, len(reply)))
    if len(parts) < 2:
        return None  # A rejection.
    content_info = _inside(reply, parts[1])
    if len(content_info) != 2 or content_info[1].tag != _CONTEXT_0:
        raise DecodeError("cannot read a time-stamp response: its token is no SignedData")
    (signed_data, *_) = _inside(reply, content_info[1])
    fields = _inside(reply, signed_data)
    return next((field for field in fields if field.tag == _CONTEXT_0), None)


def _inside(data: bytes, outer: _Part) -> list[_Part]:
    parts: list[_Part] = []
    at = outer.content
    while at < outer.end:
        parts.append(_part(data, at, outer.end))
        at = parts[-1].end
        if len(parts) > _CERTIFICATES_MAX:
            raise DecodeError("cannot read a time-stamp response: it has too many parts")
    if not parts:
        raise DecodeError("cannot read a time-stamp response: a part of it is empty")
    return parts


def _part(data: bytes, at: int, end: int) -> _Part:
    """Read tag and length at `at`; DER has only definite lengths, ours fit in four bytes."""
    if at + 2 > end:
        raise DecodeError("cannot read a time-stamp response: it is cut")
    tag, first = data[at], data[at + 1]
    content, size = at + 2, first
    if first & 0x80:
        count = first & 0x7F
        content += count
        if not 1 <= count <= 4 or content > end:
            raise DecodeError("cannot read a time-stamp response: a length of it is malformed")
        size = int.from_bytes(data[at + 2 : content], "big")
    if content + size > end:
        raise DecodeError("cannot read a time-stamp response: it is cut")
    return _Part(tag, at, content, content + size)
