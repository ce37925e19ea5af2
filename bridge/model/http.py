"""HTTP messages as bytes: order, case and repetition of fields are kept as received."""

from dataclasses import dataclass
from typing import TypeAlias

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request whose body is fully read (bounded by the route's limit)."""

    method: bytes
    target: bytes
    """Request target byte for byte, e.g. `/orders/7?x=%2F`."""
    headers: Headers
    """End-to-end fields only; framing and hop-by-hop fields are the connection's business."""
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of `name` (ASCII case-insensitive), or None."""
        return find_header(self.headers, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """A response whose body is fully read (bounded)."""

    status: int
    reason: bytes
    headers: Headers
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of `name` (ASCII case-insensitive), or None."""
        return find_header(self.headers, name)


def find_header(headers: Headers, name: bytes) -> bytes | None:
    """Return the first value of `name` (ASCII case-insensitive), or None."""
    wanted = name.lower()
    for field, value in headers:
        if field.lower() == wanted:
            return value
    return None
