"""Host and request target: what is valid, and the normalised copy that routes are matched on.

The target itself is forwarded byte for byte. Only a copy is normalised, and a path that gateway and
back end could read differently is refused, so that nobody reaches a route by another route's name.
"""

import re
from typing import Final, NamedTuple

from bridge.gateway.http.framing import MessageRefused

_HOST: Final = re.compile(
    rb"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._~-]*)|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{0,5}))?"
)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*)(.*)", re.DOTALL)
TARGET_BYTES: Final = bytes(byte for byte in range(0x21, 0x7F) if byte != 0x23)
"""What a target may hold: neither a fragment, nor white space, control or 8-bit bytes."""

ENCODED_SLASH: Final = "encoded_slash"
ENCODED_DOTS: Final = "encoded_dots"
DOUBLE_ESCAPES: Final = "double_escapes"
NON_UTF8: Final = "non_utf8"

# What an overlong form begins with: `/` in two, three or four bytes (RFC 3629 3).
_OVERLONG: Final = re.compile(rb"[\xc0\xc1]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]")
_NOTHING: Final[frozenset[str]] = frozenset()

_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_DOUBLE_ESCAPE: Final = re.compile(rb"%25[0-9A-Fa-f]{2}")
_ENCODED_DOT: Final = re.compile(rb"%2[eE]")
_DOTS: Final = (b".", b"..")

ASTERISK: Final = b"*"


class Authority(NamedTuple):
    """A valid `host[:port]`."""

    name: bytes
    """Lower case, without the port."""
    raw: bytes


def parse_authority(raw: bytes) -> Authority:
    """Check a Host value or the authority of an absolute target.

    Raises:
        MessageRefused: it is empty, a list, has user information, or is otherwise no host.
    """
    found = _HOST.fullmatch(raw)
    if found is None or len(raw) > 255:
        raise MessageRefused(400, "Host is not one host with an optional port", "RFC 9112 3.2")
    return Authority(found["name"].lower(), raw)


def split_absolute(target: bytes) -> tuple[Authority, bytes]:
    """Return authority and origin form of an absolute target.

    Raises:
        MessageRefused: it is not an absolute http(s) URI with a valid authority.
    """
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise MessageRefused(400, "the target is neither a path nor an http URI", "RFC 9112 3.2")
    rest = found[2]
    return parse_authority(found[1]), rest if rest.startswith(b"/") else b"/" + rest


def segments(path: bytes) -> list[str]:
    """Return the segments of a target's path as routes are matched on them.

    Percent-decoded once, dot segments removed; `//` and a last `/` leave empty segments.

    Raises:
        MessageRefused: the path could be read differently by a back end.
    """
    if b"\\" in path:
        raise _ambiguous("a backslash")
    if b"/." not in path and b"%" not in path:
        return path[1:].decode("ascii").split("/")
    return [_decoded(part) for part in _without_dots(path[1:].split(b"/"))]


class LenientPath(NamedTuple):
    """A path under leniences, in the two ways in which it may be read."""

    parts: list[str]
    """As its route's back end reads it: encoded slashes are data of their segment."""
    other: list[str]
    """As a system reads it that decodes first, then splits, merges slashes and cuts parameters."""
    used: frozenset[str]
    """Names of the leniences without which it would have been refused."""


def lenient_segments(path: bytes, allowed: frozenset[str]) -> LenientPath:
    """Return both readings of a path that `segments` refuses.

    Raises:
        MessageRefused: it is refused even so.
    """
    if b"\\" in path:
        raise _ambiguous("a backslash")
    used: set[str] = set()
    raw = path[1:].split(b"/")
    if ENCODED_DOTS in allowed:
        dots = [_ENCODED_DOT.sub(b".", part) for part in raw]
        dots = [dot if dot in _DOTS else part for dot, part in zip(dots, raw, strict=True)]
        if dots != raw:
            used.add(ENCODED_DOTS)
            raw = dots
    parts = [_decoded(part, allowed, used) for part in _without_dots(raw)]
    twice = [part.encode("utf-8", "surrogateescape") for part in parts]
    if DOUBLE_ESCAPES in used:
        twice = [_ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), part) for part in twice]
    split = b"/".join(twice).replace(b"\\", b"/").split(b"/")
    split = [kept for part in split if (kept := part.partition(b";")[0])]
    other = [part.decode("utf-8", "surrogateescape") for part in _without_dots(split or [b""])]
    return LenientPath(parts, other, frozenset(used))


def loose_segments(path: bytes) -> list[str]:
    """Return the segments as a back end reads them that merges slashes and cuts `;parameters` off.

    Raises:
        MessageRefused: as `segments`.
    """
    parts = [kept for part in path.split(b"/") if (kept := part.partition(b";")[0])]
    return [_decoded(part) for part in _without_dots(parts or [b""])]


def _without_dots(parts: list[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    for part in parts:
        if part == b"..":
            if not kept:
                raise _ambiguous("dot segments above the root")
            kept.pop()
        elif part != b".":
            kept.append(part)
    if parts[-1] in _DOTS:
        kept.append(b"")
    return kept


def _decoded(part: bytes, allowed: frozenset[str] = _NOTHING, used: set[str] | None = None) -> str:
    """Decode one segment once; what `allowed` lets pass is noted in `used`."""
    if b"%" not in part:
        return part.decode("ascii")
    found: set[str] = set() if used is None else used
    if part.count(b"%") != len(_ESCAPE.findall(part)):
        raise _ambiguous("a percent sign that begins no escape")
    if _DOUBLE_ESCAPE.search(part):
        _let(DOUBLE_ESCAPES, allowed, found, "a doubly encoded byte")
    plain = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), part)
    if b"/" in plain or b"\\" in plain:
        _let(ENCODED_SLASH, allowed, found, "an encoded slash or backslash")
    if plain in _DOTS:
        raise _ambiguous("an encoded dot segment")
    if any(byte < 0x20 or byte == 0x7F for byte in plain):
        raise _ambiguous("an encoded control character")
    try:
        return plain.decode("utf-8")
    except UnicodeDecodeError:
        if _OVERLONG.search(plain):
            raise _ambiguous("an overlong escape") from None
        _let(NON_UTF8, allowed, found, "an escape that is not UTF-8")
        return plain.decode("latin-1")


def _let(name: str, allowed: frozenset[str], used: set[str], what: str) -> None:
    if name not in allowed:
        raise _ambiguous(what)
    used.add(name)


def _ambiguous(what: str) -> MessageRefused:
    return MessageRefused(
        400, f"{what} in the path, which systems read differently", "RFC 3986 6.2"
    )
