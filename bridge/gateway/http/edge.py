"""The fields that the gateway writes itself: Via, Forwarded and X-Forwarded-*."""

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, TypeAlias

from bridge.gateway.http.request_head import RequestHead
from bridge.model.http import Headers

Network: TypeAlias = IPv4Network | IPv6Network

_LIST_FIELDS: Final = (b"x-forwarded-for", b"forwarded")


def is_loop(via: tuple[bytes, ...], name: bytes) -> bool:
    """Whether a request has passed the gateway called `name` before (RFC 9110 7.6.3)."""
    wanted = name.lower()
    for value in via:
        for hop in value.split(b","):
            words = hop.split()
            if len(words) > 1 and words[1].lower() == wanted:
                return True
    return False


class Edge:
    """Writes these fields for the requests of one client's connection."""

    __slots__ = (
        "_added", "_added_from", "_address", "_block", "_cached", "_cached_for", "_lines", "_name",
        "_trusted",
    )  # fmt: skip

    def __init__(self, address: str, trusted: tuple[Network, ...], name: bytes) -> None:
        plain = address.partition("%")[0]
        self._address = plain.encode("ascii")
        self._trusted = bool(trusted) and _is_in(plain, trusted)
        self._name = name
        self._cached: Headers = ()
        self._cached_for: tuple[bytes | None, int] | None = None
        self._lines: list[bytes] = []
        self._added = b""
        self._added_from: Headers = ()
        self._block = b""

    def block(self, head: RequestHead) -> bytes:
        """Return the field lines of a request to forward, the added ones last, each with its CRLF.

        A head that shares its lines with the one before needs the same block.
        """
        if head.lines is not self._lines:
            pairs = self.pairs(head)
            if pairs is not self._added_from:
                self._added_from = pairs
                self._added = b"".join(b"%b: %b\r\n" % pair for pair in pairs)
            self._lines = head.lines
            self._block = b"\r\n".join([*head.lines, self._added])
        return self._block

    def pairs(self, head: RequestHead) -> Headers:
        """Return the fields to add to a request.

        What an untrusted peer says about other hops is replaced, not appended to.
        """
        if head.forwarded and self._trusted:
            return self._pairs(head)
        needed = (head.authority.raw if head.authority else None, head.minor)
        if needed != self._cached_for:
            self._cached = self._pairs(head)
            self._cached_for = needed
        return self._cached

    def _pairs(self, head: RequestHead) -> Headers:
        address = self._address
        host = head.authority.raw if head.authority else None
        element = (b'for="[%b]";proto=http' if b":" in address else b"for=%b;proto=http") % address
        if host is not None:
            element += b';host="%b"' % host
        said = _said(head) if self._trusted else {}
        pairs: list[tuple[bytes, bytes]] = [
            (b"X-Forwarded-For", _appended(said.get(b"x-forwarded-for"), address)),
            (b"X-Forwarded-Proto", said.get(b"x-forwarded-proto", b"http")),
        ]
        if b"x-forwarded-host" in said or host is not None:
            pairs.append((b"X-Forwarded-Host", said.get(b"x-forwarded-host", host or b"")))
        pairs.append((b"Forwarded", _appended(said.get(b"forwarded"), element)))
        if said:
            others = (_pair(line) for line in head.forwarded)
            pairs += [(wire, value) for wire, value in others if wire.lower() not in _OWN]
        pairs.append((b"Via", b"1.%d %b" % (head.minor, self._name)))
        return tuple(pairs)


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    parsed = ip_address(address)
    return any(parsed in network for network in networks)


_OWN: Final = frozenset((*_LIST_FIELDS, b"x-forwarded-proto", b"x-forwarded-host"))


def _pair(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip(b" \t")


def _said(head: RequestHead) -> dict[bytes, bytes]:
    """What a trusted hop said: lists joined in their order, else the last value."""
    said: dict[bytes, bytes] = {}
    for line in head.forwarded:
        name, value = _pair(line)
        lower = name.lower()
        said[lower] = _appended(said.get(lower), value) if lower in _LIST_FIELDS else value
    return said


def _appended(before: bytes | None, value: bytes) -> bytes:
    return b"%b, %b" % (before, value) if before else value
