"""The fields that the gateway writes itself: Via, Forwarded and X-Forwarded-*."""

from collections.abc import Container
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, NamedTuple, TypeAlias

from bridge.gateway.http.deadline import NAME as DEADLINE
from bridge.gateway.http.deadline import parse_deadline_ms
from bridge.gateway.http.request_head import RequestHead, end_to_end
from bridge.gateway.http.trace_context import Bits, is_untraced, new_trace, traced
from bridge.model.http import Headers

Network: TypeAlias = IPv4Network | IPv6Network


class Origin(NamedTuple):
    """Where a connection comes from, as its listener knows it."""

    address: str
    """The client's, without a port; a balancer may have told it by the PROXY protocol."""
    scheme: bytes = b"http"
    identity: Headers = ()
    """Fields that tell who the client's certificate is of."""
    hosts: Container[bytes | None] | None = None
    """Hosts that may be asked for; every other gets 421. None: any."""


class Whole(NamedTuple):
    """The fields of a request, as they are forwarded and as they are kept."""

    block: bytes
    """Each with its CRLF."""
    fields: Headers
    """The same without framing and Expect."""
    plain: bool
    """Whether none of them means anything to the write path."""


# `Idempotency-Key` has a meaning for writes, and what begins with our own prefix is not passed on.
_LOOKED_AT: Final = (b"idempotency-key", b"legacy-bridge-")
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
        "_added", "_added_from", "_address", "_block", "_cached", "_cached_for", "_hops",
        "_identity", "_lines", "_name", "_scheme", "_trusted", "_whole", "known_by",
    )  # fmt: skip

    def __init__(self, origin: Origin, trusted: tuple[Network, ...], name: bytes) -> None:
        plain = origin.address.partition("%")[0]
        self._scheme = origin.scheme
        self._identity = origin.identity
        self._address = plain.encode("ascii")
        self._hops = trusted
        self._trusted = bool(trusted) and _is_in(plain, trusted)
        self._name = name
        self._cached: Headers = ()
        self._cached_for: tuple[bytes | None, int] | None = None
        self._lines: list[bytes] = []
        self._added = b""
        self._added_from: Headers = ()
        self._block = b""
        self._whole = Whole(b"", (), plain=False)
        self.known_by: tuple[list[bytes] | None, object, str] = (None, None, "")
        """Field lines of the last request, what in them tells clients apart, and who it was."""

    def block(self, head: RequestHead) -> bytes:
        """Return the field lines of a request to forward, added ones last, each with its CRLF."""
        return self.stamped(self.base(head))

    def stamped(self, block: bytes) -> bytes:
        """Return a block with what every request has of its own."""
        return block

    def base(self, head: RequestHead) -> bytes:
        """Return the block without what every request has of its own.

        A head that shares its lines with the one before needs the same one, and gets it.
        """
        if head.lines is not self._lines:
            pairs = self.pairs(head)
            if pairs is not self._added_from:
                self._added_from = pairs
                self._added = b"".join(b"%b: %b\r\n" % pair for pair in pairs)
            self._lines = head.lines
            self._block = b"\r\n".join([*head.lines, self._added])
        return self._block

    def whole(self, head: RequestHead) -> "Whole":
        """Return the block of a request to forward, and all of its fields, told apart once."""
        base = self.base(head)
        whole = self._whole
        if whole.block is not base:
            fields = end_to_end(head.lines) + self.pairs(head)
            plain = not any(name.lower().startswith(_LOOKED_AT) for name, _ in fields)
            whole = self._whole = Whole(base, fields, plain)
        block = self.stamped(base)
        if block is base:
            return whole
        if block.startswith(base):
            return Whole(block, (*whole.fields, _pair(block[len(base) : -2])), whole.plain)
        return Whole(block, end_to_end(block.split(b"\r\n")[:-1]), whole.plain)

    def fields(self, head: RequestHead) -> Headers:
        """Return all fields of a request that is journalled, without framing and Expect."""
        return end_to_end(head.lines) + self.pairs(head)

    def client_address(self, head: RequestHead) -> str:
        """Return where a request comes from: past the hops that are trusted, if there are any."""
        if self._trusted and head.forwarded:
            said = _said(head).get(b"x-forwarded-for", b"")
            for each in reversed(said.decode("latin-1").split(",")):
                address = each.strip(" []")
                try:
                    if not _is_in(address, self._hops):
                        return address
                except ValueError:
                    break  # Nothing before it can be believed.
        return self._address.decode("ascii")

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

    def deadline_ms(self, head: RequestHead) -> int | None:
        """Return how long a trusted hop waits for the answer, if it said so."""
        if not self._trusted:
            return None
        said = [value for name, value in map(_pair, head.forwarded) if name.lower() == _DEADLINE]
        return parse_deadline_ms(said[0]) if len(said) == 1 else None

    def _pairs(self, head: RequestHead) -> Headers:
        address = self._address
        host = head.authority.raw if head.authority else None
        scheme = self._scheme
        node = b'for="[%b]";proto=%b' if b":" in address else b"for=%b;proto=%b"
        element = node % (address, scheme)
        if host is not None:
            element += b';host="%b"' % host
        said = _said(head) if self._trusted else {}
        pairs: list[tuple[bytes, bytes]] = [
            (b"X-Forwarded-For", _appended(said.get(b"x-forwarded-for"), address)),
            (b"X-Forwarded-Proto", said.get(b"x-forwarded-proto", scheme)),
        ]
        if b"x-forwarded-host" in said or host is not None:
            pairs.append((b"X-Forwarded-Host", said.get(b"x-forwarded-host", host or b"")))
        pairs.append((b"Forwarded", _appended(said.get(b"forwarded"), element)))
        if said:
            others = (_pair(line) for line in head.forwarded)
            pairs += [(wire, value) for wire, value in others if wire.lower() not in _OWN]
        if self._identity and not self._trusted:
            # The certificate of a trusted hop is not its client's: that hop's word alone counts.
            pairs += self._identity
        pairs.append((b"Via", b"1.%d %b" % (head.minor, self._name)))
        return tuple(pairs)


class TracingEdge(Edge):
    """Also passes a trace context on."""

    __slots__ = ("_bits", "_untraced")

    def __init__(
        self, origin: Origin, trusted: tuple[Network, ...], name: bytes, bits: Bits
    ) -> None:
        super().__init__(origin, trusted, name)
        self._bits = bits
        self._untraced: bytes | None = None
        """The last block, by which no trace comes in."""

    def stamped(self, block: bytes) -> bytes:
        """Return a block with a trace context of its own, every time."""
        if block is self._untraced:
            return block + new_trace(self._bits)
        if is_untraced(block):
            self._untraced = block
        return traced(block, self._bits)

    def whole(self, head: RequestHead) -> "Whole":
        """Return the block of a request to forward, and all of its fields, told apart once."""
        base = self.base(head)
        whole = self._whole
        if whole.block is not base:
            fields = end_to_end(head.lines) + self.pairs(head)
            plain = not any(name.lower().startswith(_LOOKED_AT) for name, _ in fields)
            whole = self._whole = Whole(base, fields, plain)
        block = self.stamped(base)
        if block is base:
            return whole
        if block.startswith(base):
            return Whole(block, (*whole.fields, _pair(block[len(base) : -2])), whole.plain)
        return Whole(block, end_to_end(block.split(b"\r\n")[:-1]), whole.plain)

    def fields(self, head: RequestHead) -> Headers:
        """Return all fields, among them a trace context."""
        lines = b"".join(b"%b: %b\r\n" % pair for pair in super().fields(head))
        return tuple(_pair(line) for line in traced(lines, self._bits).split(b"\r\n") if line)


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    parsed = ip_address(address)
    return any(parsed in network for network in networks)


_DEADLINE: Final = DEADLINE.lower()
_OWN: Final = frozenset((*_LIST_FIELDS, b"x-forwarded-proto", b"x-forwarded-host", _DEADLINE))


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
