"""Write the copy of a request as the other side gets it. Pure.

The copy says what the original said, with its Host, and besides that it is one. What a route
declares is replaced; a body goes with its length, however it came.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.model.http import Headers, HttpRequest

MARKER: Final = b"Legacy-Bridge-Shadow"
"""Stands in every request that we make beside a client's; no gateway copies one that has it."""

COPY: Final = b"copy"
"""Sent to the other side."""
PROBE: Final = b"probe"
"""Sent to the same side once more."""

# As we write it, and as proxies that lower case do.
_MARKED: Final = (MARKER + b":", MARKER.lower() + b":")
# What both hold and hardly anything else does: one search of the block instead of two.
_HINT: Final = MARKER[1:7]
_CREDENTIALS: Final = (b"authorization", b"cookie")
_REFRAMED: Final = frozenset((b"content-length", b"transfer-encoding", b"expect", b"trailer"))


class Swaps(NamedTuple):
    """What becomes of a copy's fields and path."""

    headers: Mapping[bytes, bytes | None]
    """Name in lower case → value in its place, None to leave it out."""
    names: Mapping[bytes, bytes]
    """Name in lower case → as it was declared, for those that are set."""
    prefix: bytes = b""
    becomes: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.headers or self.prefix)


def swaps_of(rules: ShadowRules, credentials: Headers) -> Swaps:
    """Return what `rules` declare, and the upstream's own credentials in place of the client's."""
    values: dict[bytes, bytes | None] = {}
    names: dict[bytes, bytes] = {}
    if credentials:
        values = dict.fromkeys(_CREDENTIALS)
    for name, value in rules.headers.items():
        wire = name.encode("ascii")
        names[wire.lower()] = wire
        values[wire.lower()] = None if value is None else value.encode("ascii")
    for wire, secret in credentials:
        names[wire.lower()] = wire
        values[wire.lower()] = secret
    return Swaps(
        headers=values,
        names=names,
        prefix=rules.path.prefix.encode("ascii") if rules.path else b"",
        becomes=rules.path.becomes.encode("ascii") if rules.path else b"",
    )


def is_marked(block: bytes) -> bool:
    """Whether these field lines are those of a request of ours (or another gateway's)."""
    return _HINT in block and (_MARKED[0] in block or _MARKED[1] in block)


def plain_copy(start: bytes, block: bytes, mark: bytes) -> bytes:
    """Return the copy of a request without a body of which nothing is changed."""
    return b"%b\r\n%b%b: %b\r\n\r\n" % (start, block, MARKER, mark)


def request_of(method: bytes, target: bytes, block: bytes, body: bytes) -> HttpRequest:
    """Return a request from its field lines as forwarded, without what frames it."""
    headers = []
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon and name.lower() not in _REFRAMED:
            headers.append((name, value.strip(b" \t")))
    return HttpRequest(method=method, target=target, headers=tuple(headers), body=body)


def swapped(request: HttpRequest, swaps: Swaps) -> HttpRequest:
    """Return `request` with the declared fields and path in it."""
    if not swaps:
        return request
    target, headers = request.target, request.headers
    if swaps.prefix and target.startswith(swaps.prefix):
        target = swaps.becomes + target[len(swaps.prefix) :]
    if swaps.headers:
        kept = [field for field in headers if field[0].lower() not in swaps.headers]
        added = [
            (swaps.names[name], value) for name, value in swaps.headers.items() if value is not None
        ]
        headers = (*kept, *added)
    return HttpRequest(method=request.method, target=target, headers=headers, body=request.body)


def encoded_head(
    method: bytes, target: bytes, headers: Headers, mark: bytes, length: int | None
) -> bytes:
    """Return a head with its final empty line; `length` is the body's, None without one."""
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    lines += [b"%b: %b" % field for field in headers]
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    return b"\r\n".join([*lines, b"%b: %b" % (MARKER, mark), b"\r\n"])
