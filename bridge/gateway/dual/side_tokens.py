"""Tokens by which a tester sees the other side: signed, for one group, until a time.

Whoever may act on a group makes one (`legacy-bridge routes force`), which leaves an entry in the
event log; the gateway keeps no list of them. A token chooses who answers a *read* and can do
nothing else; one that does not hold alters nothing.

Form: base64url (RFC 4648 5, no padding) of a version byte, the side (1), the end (seconds from
1970, 4 bytes), a digest of the group (6) and the first 16 bytes of their HMAC-SHA-256. It comes in
a field, or in a cookie, for browsers; several, of several groups, have commas or full stops between
them.
"""

import base64
import binascii
import hashlib
import hmac
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple

from bridge.gateway.http.request_head import RequestHead
from bridge.model.stage import Side

FIELD: Final = b"legacy-bridge-side"
COOKIE: Final = b"legacy_bridge_side"
KEY_BYTES: Final = 32

# A rehearsal takes days; a token that is forgotten should end by itself.
LIFETIME_S_MAX: Final = 7 * 86_400

_VERSION: Final = b"\x01"
_TOKEN: Final = struct.Struct(">BI6s")
_TAG_BYTES: Final = 16
_TOKEN_BYTES: Final = 1 + _TOKEN.size + _TAG_BYTES
_SIDES: Final = (Side.LEGACY, Side.MODERN)
# One for each group that somebody tests at once; more is noise.
_CANDIDATES_MAX: Final = 16


class Verdict(Enum):
    """What becomes of a token that a request brings."""

    HOLDS = "holds"
    ELSEWHERE = "elsewhere"  # It is for another group.
    FORGED = "forged"  # We did not sign it, or it was changed.
    EXPIRED = "expired"


class Brought(NamedTuple):
    """What the tokens of one request come to."""

    side: Side | None
    """Who is to answer; None when no token holds."""
    verdicts: Sequence[Verdict]
    head: RequestHead
    """The request without them."""


class SideTokens:
    """Makes tokens and reads them."""

    def __init__(self, key: bytes, *, now: Callable[[], float] = time.time) -> None:
        """`key` is the same on all machines; raises `ValueError` for another size."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes, needs {KEY_BYTES}")
        self._key = key
        self._now = now

    def make(self, group: str, side: Side, until: float) -> str:
        """Return the token that forces reads of `group` to `side` until `until` (from 1970)."""
        body = _VERSION + _TOKEN.pack(_SIDES.index(side), int(until), _digest(group))
        return base64.urlsafe_b64encode(body + self._tag(body)).rstrip(b"=").decode("ascii")

    def brought(self, group: str, head: RequestHead) -> Brought | None:
        """Return what the request's tokens say of `group`; None when it brings none."""
        found: list[bytes] = []
        lines: list[bytes] = []
        for line in head.lines:
            kept = _without(line, found)
            if kept is not None:
                lines.append(kept)
        if not found:
            return None
        side = None
        verdicts = []
        for text in found[:_CANDIDATES_MAX]:
            verdict, names = self._read(text, group)
            verdicts.append(verdict)
            if verdict is Verdict.HOLDS:
                side = names
        return Brought(side, verdicts, head._replace(lines=lines))

    def _read(self, text: bytes, group: str) -> tuple[Verdict, Side | None]:
        raw = _decoded(text)
        body, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        if body[:1] != _VERSION or not hmac.compare_digest(tag, self._tag(body)):
            return Verdict.FORGED, None
        side, ends_at, of = _TOKEN.unpack(body[1:])
        if of != _digest(group):
            return Verdict.ELSEWHERE, None
        if not self._now() < ends_at:
            return Verdict.EXPIRED, None
        return Verdict.HOLDS, _SIDES[side]

    def _tag(self, body: bytes) -> bytes:
        # Named, so that nothing else that is signed with a key of this size passes for a token.
        return hmac.digest(self._key, b"side-token" + body, "sha256")[:_TAG_BYTES]


def _without(line: bytes, found: list[bytes]) -> bytes | None:
    """Return a field line without tokens, which are added to `found`; None when nothing is left."""
    name, _, value = line.partition(b":")
    # Nearly every name is told apart by its length.
    if len(name) == len(FIELD) and name.lower() == FIELD:
        found += _split(value)
        return None
    if len(name) != 6 or name.lower() != b"cookie" or COOKIE not in value:
        return line
    kept = []
    for part in value.split(b";"):
        cookie, equals, text = part.strip(b" \t").partition(b"=")
        if equals and cookie == COOKIE:
            found += _split(text.strip(b'"'))
        else:
            kept.append(part)
    if len(kept) == value.count(b";") + 1:
        return line
    rest = b";".join(kept).strip(b" \t")
    return b"%b: %b" % (name, rest) if rest else None


def _split(value: bytes) -> Iterator[bytes]:
    for part in value.replace(b".", b",").split(b","):
        text = part.strip(b" \t")
        if text:
            yield text


def _decoded(text: bytes) -> bytes:
    """Return the bytes of a token; empty when it is none."""
    try:
        raw = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if len(raw) == _TOKEN_BYTES else b""


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=6).digest()
