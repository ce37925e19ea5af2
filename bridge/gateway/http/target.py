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

_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_DOUBLE_ESCAPE: Final = re.compile(rb"%25[0-9A-Fa-f]{2}")
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


def _decoded(part: bytes) -> str:
    if b"%" not in part:
        return part.decode("ascii")
    if part.count(b"%") != len(_ESCAPE.findall(part)):
        raise _ambiguous("a percent sign that begins no escape")
    if _DOUBLE_ESCAPE.search(part):
        raise _ambiguous("a doubly encoded byte")
    plain = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), part)
    if b"/" in plain or b"\\" in plain:
        raise _ambiguous("an encoded slash or backslash")
    if plain in _DOTS:
        raise _ambiguous("an encoded dot segment")
    if any(byte < 0x20 or byte == 0x7F for byte in plain):
        raise _ambiguous("an encoded control character")
    try:
        return plain.decode("utf-8")
    except UnicodeDecodeError:
        raise _ambiguous("an escape that is not UTF-8") from None


def _ambiguous(what: str) -> MessageRefused:
    return MessageRefused(
        400, f"{what} in the path, which systems read differently", "RFC 3986 6.2"
    )
