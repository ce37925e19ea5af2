"""`Prefer: respond-async` (RFC 7240 4.1): found, and taken out of what is passed on."""

from collections.abc import Iterable
from typing import Final

from bridge.model.http import Headers

REQUEST_FIELD: Final = b"legacy-bridge-request"
"""Header that names the queued request in every answer about it; only the gateway writes it."""

_TOKEN: Final = b"respond-async"


def prefers_async(headers: Headers) -> bool:
    """Whether one of the `Prefer` fields asks for an asynchronous answer."""
    return any(name.lower() == b"prefer" and _asks(value) for name, value in headers)


def lines_prefer_async(lines: Iterable[bytes]) -> bool:
    """As `prefers_async`, of raw field lines."""
    return any(line[:7].lower() == b"prefer:" and _asks(line[7:]) for line in lines)


def without_preference(headers: Headers) -> Headers:
    """Return the headers without the preference that we have applied; others are passed on."""
    kept = []
    for name, value in headers:
        if name.lower() == b"prefer" and _asks(value):
            rest = b", ".join(part for part in _parts(value) if not _is_token(part))
            if rest:
                kept.append((name, rest))
        else:
            kept.append((name, value))
    return tuple(kept)


def _asks(value: bytes) -> bool:
    return any(_is_token(part) for part in _parts(value))


def _parts(value: bytes) -> list[bytes]:
    return [part.strip() for part in value.split(b",") if part.strip()]


def _is_token(part: bytes) -> bool:
    # A value or parameters may follow; they have no meaning for this preference.
    return part.partition(b";")[0].partition(b"=")[0].strip().lower() == _TOKEN
