"""Which writes a client has made lately, told by the client itself in a signed token.

A read that names no key (a list) does not say whose writes it must show, and a gateway that does
not share the journal does not know them. So the answer to a write brings a token with the client's
newest writes, one a lane; a read that brings it back is answered by the side that has them.

Form: base64url (RFC 4648 5, no padding) of a version byte, up to `WRITES_MAX` records and the first
16 bytes of their HMAC-SHA-256. A record has 33 bytes: end (seconds from 1970, 4 bytes), side (1),
digest of the group (6) and of the lane (6), intent id (16). Nothing in it is secret or trusted
before its signature holds, and nothing that it says can do more than choose the side of a read.
"""

import base64
import binascii
import hashlib
import hmac
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from bridge.model.http import Headers, HttpRequest
from bridge.model.observer import Observer, SilentObserver
from bridge.model.stage import Side

FIELD: Final = b"legacy-bridge-writes"
COOKIE: Final = b"legacy_bridge_writes"
KEY_BYTES: Final = 32

# One for each key that a person writes within the lifetime; with it a token has 727 characters, a
# fifth of what browsers keep of a cookie. The oldest go first.
WRITES_MAX: Final = 16
# Far longer than replays take, far shorter than the journal remembers (a day).
LIFETIME_S: Final = 600

_VERSION: Final = b"\x01"
_RECORD: Final = struct.Struct(">IB6s6s16s")
_TAG_BYTES: Final = 16
_CHARACTERS_MAX: Final = (1 + WRITES_MAX * _RECORD.size + _TAG_BYTES + 2) // 3 * 4
_SIDES: Final = (Side.LEGACY, Side.MODERN)
# Lines and cookies that are looked at: a client has one of each.
_CANDIDATES_MAX: Final = 4
_ANY_LANE: Final = bytes(6)


class Written(NamedTuple):
    """One write that a client made."""

    ends_at: int
    """Until when the token speaks of it; seconds from 1970."""
    side: Side
    """The side that took it."""
    group: bytes
    lane: bytes
    """Digest; all zero for what a create made, whose key is named by its answer."""
    intent_id: str

    def concerns(self, group: str, lane: str | None) -> bool:
        """Whether a read of `lane` must show it; None: a read that names no key."""
        if self.group != _digest(group):
            return False
        return lane is None or self.lane in (_ANY_LANE, _digest(lane))


class WriteTokens:
    """Makes tokens and reads them; knows nothing that is not in them."""

    def __init__(
        self,
        key: bytes,
        *,
        now: Callable[[], float] = time.time,
        observer: Observer | None = None,
        lifetime_s: int = LIFETIME_S,
    ) -> None:
        """`key` is the same on all machines of a deployment; raises `ValueError` for another size.

        What cannot be believed is noted (`write_token_forged`, `write_token_expired`), never told.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes, needs {KEY_BYTES}")
        self._key = key
        self._now = now
        self._observer = observer or SilentObserver()
        self._lifetime_s = lifetime_s

    def brought(self, request: HttpRequest) -> Sequence[Written]:
        """Return the writes of the request's token, oldest first; none for what does not hold."""
        found: dict[str, Written] = {}
        for text in _candidates(request):
            for written in self._read(text):
                found[written.intent_id] = written
        return sorted(found.values(), key=lambda written: written.ends_at)

    def answer(
        self, request: HttpRequest, group: str, lane: str, side: Side, intent_id: str
    ) -> Headers:
        """Return the fields that give the client this write, beside those that it brought."""
        try:
            bytes_of_id = bytes.fromhex(intent_id)
        except ValueError:
            return ()
        if len(bytes_of_id) != 16:
            return ()
        named = _ANY_LANE if lane.startswith("new:") else _digest(lane)
        ends_at = int(self._now()) + self._lifetime_s
        new = Written(ends_at, side, _digest(group), named, intent_id)
        # One lane is replayed in order: its newest write stands for those before it.
        kept = [
            old
            for old in self.brought(request)
            if old.lane == _ANY_LANE or (old.group, old.lane) != (new.group, new.lane)
        ]
        token = self._written([*kept, new][-WRITES_MAX:])
        cookie = b"%b=%b; Max-Age=%d; Path=/; HttpOnly; SameSite=Lax" % (
            COOKIE,
            token,
            self._lifetime_s,
        )
        return ((FIELD, token), (b"Set-Cookie", cookie))

    def _written(self, writes: Iterable[Written]) -> bytes:
        body = _VERSION + b"".join(
            _RECORD.pack(
                one.ends_at,
                _SIDES.index(one.side),
                one.group,
                one.lane,
                bytes.fromhex(one.intent_id),
            )
            for one in writes
        )
        return base64.urlsafe_b64encode(body + self._tag(body)).rstrip(b"=")

    def _read(self, text: bytes) -> list[Written]:
        raw = _decoded(text)
        body, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        whole = body[:1] == _VERSION and (len(body) - 1) % _RECORD.size == 0
        if not whole or not hmac.compare_digest(tag, self._tag(body)):
            self._observer.note("write_token_forged")
            return []
        now = self._now()
        writes = [
            Written(ends_at, _SIDES[side], group, lane, bytes_of_id.hex())
            for ends_at, side, group, lane, bytes_of_id in _RECORD.iter_unpack(body[1:])
        ]
        valid = [one for one in writes if now < one.ends_at <= now + self._lifetime_s + 60]
        if not valid:
            self._observer.note("write_token_expired")
        return valid

    def _tag(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_TAG_BYTES]


def _candidates(request: HttpRequest) -> list[bytes]:
    found = []
    for name, value in request.headers:
        lowered = name.lower()
        if lowered == FIELD:
            found.append(value.strip())
        elif lowered == b"cookie":
            for part in value.split(b";"):
                field, equals, text = part.strip(b" \t").partition(b"=")
                if equals and field == COOKIE:
                    found.append(text.strip(b'"'))
    # The same token in a field and a cookie is one.
    return list(dict.fromkeys(found))[:_CANDIDATES_MAX]


def _decoded(text: bytes) -> bytes:
    """Return the bytes of a token; empty when it is none."""
    if len(text) > _CHARACTERS_MAX:
        return b""
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest()
