"""Read the PROXY protocol's header, versions 1 and 2: who the client is behind a balancer.

Source: HAProxy, "The PROXY protocol, versions 1 & 2" (proxy-protocol.txt, revision of 2020). The
header comes once, before anything else on the connection, and only a sender that is trusted may
write it: the caller asks for that. Anything malformed ends the connection; nothing is guessed.
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"

V1_BYTES_MAX: Final = 107
"""The longest line of version 1, CRLF included (section 2.1)."""

V2_BYTES_MAX: Final = 4_096
"""Of a header of version 2. The longest address pair is 216 bytes; the rest is for vendors' own
fields, certificates among them, which we skip."""

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESS_BYTES: Final = {0x1: 12, 0x2: 36, 0x3: 216}
_TYPE_CRC32C, _TYPE_SSL = 0x03, 0x20
_CLIENT_SSL = 0x01


class ProxyRefused(Exception):
    """The header is not what the protocol says; the text says what was wrong with it."""


class Proxied(NamedTuple):
    """What the header said."""

    address: str | None
    """The client's; None when the connection is the balancer's own (health check, UNKNOWN)."""
    tls: bool
    """Whether the client came to the balancer over TLS (version 2, PP2_TYPE_SSL)."""
    size: int
    """Bytes of the header; what follows them is the client's."""


def read_proxy_header(data: bytes) -> Proxied | None:
    """Return what the header at the beginning of `data` says, or None when it is not whole yet.

    Raises:
        ProxyRefused: it can never become a header.
    """
    if not data:
        return None
    if data[:1] == b"P":
        return _version_1(data)
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _version_2(data)
    raise ProxyRefused("no PROXY header at the beginning")


def _version_1(data: bytes) -> Proxied | None:
    if data[:6] != b"PROXY "[: len(data)]:
        raise ProxyRefused("no PROXY header at the beginning")
    end = data.find(b"\r\n", 0, V1_BYTES_MAX)
    if end < 0:
        if len(data) >= V1_BYTES_MAX:
            raise ProxyRefused(f"no end of line within {V1_BYTES_MAX} bytes")
        return None
    words = data[:end].split(b" ")
    size = end + 2
    if words[1] == b"UNKNOWN":
        return Proxied(None, False, size)  # Whatever follows must be ignored (section 2.1).
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise ProxyRefused("a line of version 1 that has not family, two addresses and two ports")
    source, *_ = (_address(word, words[1]) for word in words[2:4])
    for port in words[4:6]:
        if not port.isdigit() or len(port) > 5 or int(port) > 65_535:
            raise ProxyRefused("a port that is no number up to 65535")
        if port[:1] == b"0" and port != b"0":
            raise ProxyRefused("a port with a leading zero")
    return Proxied(source, False, size)


def _address(word: bytes, family: bytes) -> str:
    try:
        text = word.decode("ascii")
        parsed = IPv4Address(text) if family == b"TCP4" else IPv6Address(text)
    except ValueError as exc:
        raise ProxyRefused(f"an address that is none of {family.decode()}") from exc
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        raise ProxyRefused("an address with a zone")
    return str(parsed)


def _version_2(data: bytes) -> Proxied | None:
    if len(data) < 16:
        return None
    command, family = data[12], data[13]
    if command not in (_LOCAL, _PROXY):
        raise ProxyRefused("a version or command that is unknown")
    size = 16 + int.from_bytes(data[14:16], "big")
    if size > V2_BYTES_MAX:
        raise ProxyRefused(f"a header of {size} bytes; {V2_BYTES_MAX} are read")
    if family >> 4 > 3 or family & 0xF > 2:
        raise ProxyRefused("an address family or transport that is unknown")
    if len(data) < size:
        return None
    addresses = _ADDRESS_BYTES.get(family >> 4, 0) if family else 0
    if command == _PROXY and size - 16 < addresses:
        raise ProxyRefused("a header shorter than the addresses of its family")
    tls = _checked_fields(data[:size], 16 + addresses) if command == _PROXY and family else False
    if command == _LOCAL or family not in (_TCP4, _TCP6):
        # Health checks, and what is neither TCP over IPv4 nor IPv6: the connection's own ends.
        return Proxied(None, tls, size)
    if family == _TCP4:
        return Proxied(str(IPv4Address(data[16:20])), tls, size)
    address = IPv6Address(data[16:32])
    return Proxied(str(address.ipv4_mapped or address), tls, size)


def _checked_fields(header: bytes, at: int) -> bool:
    """Walk the type-length-value fields; return whether the client used TLS.

    A checksum must be verified where it is present (section 2.2.3).
    """
    tls = False
    while at < len(header):
        if at + 3 > len(header):
            raise ProxyRefused("a field that is cut")
        kind, length = struct.unpack_from("!BH", header, at)
        value = header[at + 3 : at + 3 + length]
        if len(value) < length:
            raise ProxyRefused("a field that is cut")
        if kind == _TYPE_SSL and value:
            tls = bool(value[0] & _CLIENT_SSL)
        elif kind == _TYPE_CRC32C:
            blank = header[: at + 3] + bytes(length) + header[at + 3 + length :]
            if length != 4 or int.from_bytes(value, "big") != crc32c(blank):
                raise ProxyRefused("a checksum that does not fit")
        at += 3 + length
    return tls


def crc32c(data: bytes) -> int:
    """Return the CRC of Castagnoli (RFC 4960, appendix B), reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()
