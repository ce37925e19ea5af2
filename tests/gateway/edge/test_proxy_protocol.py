"""The PROXY protocol: who the client is behind a balancer, and nothing that a stranger may say."""

import struct
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.http.proxy_protocol import (
    SIGNATURE,
    V2_BYTES_MAX,
    Proxied,
    ProxyRefused,
    crc32c,
    read_proxy_header,
)
from bridge.gateway.plane.entrance import Door
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.tls.contexts import ServerTls
from tests.gateway.edge.authority import Authority
from tests.gateway.edge.rig import LOOPBACK, connect, tls_door
from tests.gateway.http.rig import Gateway, ports
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import GET

V4 = struct.pack("!4s4sHH", ip_address("192.0.2.7").packed, bytes(4), 1, 2)
V6 = struct.pack("!16s16sHH", ip_address("2001:db8::7").packed, bytes(16), 1, 2)


def v2(command: int, family: int, body: bytes) -> bytes:
    """Return a header of version 2."""
    return SIGNATURE + bytes((0x20 | command, family)) + struct.pack("!H", len(body)) + body


def field(kind: int, value: bytes) -> bytes:
    """Return a field of version 2."""
    return struct.pack("!BH", kind, len(value)) + value


def summed(body: bytes, value: int | None = None) -> bytes:
    """Return a header of version 2 with a checksum."""
    blank = v2(1, 0x11, body + field(3, bytes(4)))
    right = struct.pack("!I", crc32c(blank) if value is None else value)
    return v2(1, 0x11, body + field(3, right))


GOOD = [
    (b"PROXY TCP4 192.0.2.7 192.0.2.8 56324 443\r\n", "192.0.2.7", False),
    (b"PROXY TCP6 2001:db8::7 2001:db8::8 0 65535\r\n", "2001:db8::7", False),
    (b"PROXY UNKNOWN\r\n", None, False),
    (b"PROXY UNKNOWN ffff:f...f:ffff 65535 anything at all\r\n", None, False),
    (v2(1, 0x11, V4), "192.0.2.7", False),
    (v2(1, 0x21, V6), "2001:db8::7", False),
    (v2(1, 0x11, V4 + field(0x04, b"noop")), "192.0.2.7", False),
    (v2(1, 0x11, V4 + field(0x20, b"\x01" + bytes(4))), "192.0.2.7", True),
    (v2(1, 0x11, V4 + field(0x20, b"\x00" + bytes(4))), "192.0.2.7", False),
    (summed(V4), "192.0.2.7", False),
    (v2(0, 0x00, b""), None, False),
    (v2(0, 0x11, V4), None, False),
    (v2(1, 0x00, b"whatever"[:3] + b"\x00\x00"), None, False),
    (v2(1, 0x31, bytes(216)), None, False),
    (v2(1, 0x21, ip_address("::ffff:192.0.2.7").packed + bytes(20)), "192.0.2.7", False),
]

BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 56324 443\n" + b" " * 107,
    b"PROXY  TCP4 192.0.2.7 192.0.2.8 56324 443\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 56324 65536\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 056 443\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 +56 443\r\n",
    b"PROXY TCP4 192.0.2.007 192.0.2.8 56324 443\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::8 1 2\r\n",
    b"PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 1\r\n",
    b"PROXY UDP4 192.0.2.7 192.0.2.8 1 2\r\n",
    b"proxy TCP4 192.0.2.7 192.0.2.8 1 2\r\n",
    b"PROXY TCP4 " + b"1" * 107,
    SIGNATURE[:5] + b"x",
    SIGNATURE + b"\x11\x11\x00\x0c" + V4,
    v2(2, 0x11, V4),
    v2(1, 0x41, V4),
    v2(1, 0x13, V4),
    v2(1, 0x11, V4[:-1]),
    v2(1, 0x21, V4),
    v2(1, 0x11, V4 + b"\x04\x00"),
    v2(1, 0x11, V4 + b"\x04\x00\x05noop"),
    summed(V4, 7),
    SIGNATURE + b"\x21\x11" + struct.pack("!H", V2_BYTES_MAX),
]


@pytest.mark.parametrize(("header", "address", "tls"), GOOD)
def test_a_header_is_read_at_any_split(header: bytes, address: str | None, tls: bool) -> None:
    for size in range(len(header)):
        assert read_proxy_header(header[:size]) is None, size
    assert read_proxy_header(header + b"GET") == Proxied(address, tls, len(header))


@pytest.mark.parametrize("header", BAD)
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(ProxyRefused):
        read_proxy_header(header)


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(SIGNATURE.__add__)))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    try:
        said = read_proxy_header(data)
    except ProxyRefused:
        return
    assert said is None or 0 < said.size <= len(data)


def test_the_checksum_is_castagnoli_s() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def proxied(_: object) -> Door:
    return Door(name="test", proxied_by=(LOOPBACK,))


@pytest.mark.parametrize("header", [GOOD[0][0], GOOD[4][0]])
def test_the_client_s_address_is_forwarded(upstream: Upstream, header: bytes) -> None:
    with Gateway(ports(upstream), door=proxied) as gateway:
        with gateway.connect() as client:
            client.dribble(header + GET % b"/", 7)
            assert client.message().status == 200
            client.send(GET % b"/again")
            assert client.message().status == 200
        with gateway.connect() as client:
            client.send(header + GET % b"/at-once")
            assert client.message().status == 200
    for request in upstream.received:
        assert request.one(b"X-Forwarded-For") == b"192.0.2.7"
        assert request.one(b"Forwarded") == b'for=192.0.2.7;proto=http;host="a"'


def test_a_balancer_s_own_connection_keeps_its_address(upstream: Upstream) -> None:
    with Gateway(ports(upstream), door=proxied) as gateway, gateway.connect() as client:
        client.send(v2(0, 0, b"") + GET % b"/")
        assert client.message().status == 200
    assert upstream.received[0].one(b"X-Forwarded-For") == b"127.0.0.1"


def test_the_client_behind_a_balancer_is_no_trusted_hop(upstream: Upstream) -> None:
    settings = PlaneSettings(trusted_hops=(LOOPBACK,), drain_ms=100)
    request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
    with Gateway(ports(upstream), door=proxied, settings=settings) as gateway:
        with gateway.connect() as client:
            client.send(GOOD[0][0] + request)
            client.message()
        with gateway.connect() as client:
            client.send(v2(0, 0, b"") + request)
            client.message()
    spoofed, believed = upstream.received
    assert spoofed.one(b"X-Forwarded-For") == b"192.0.2.7"
    assert believed.one(b"X-Forwarded-For") == b"203.0.113.9, 127.0.0.1"


def test_strangers_and_malformed_headers_are_cut_off(upstream: Upstream) -> None:
    def elsewhere(_: object) -> Door:
        return Door(name="test", proxied_by=(ip_network("192.0.2.0/24"),))

    with Gateway(ports(upstream), door=elsewhere) as gateway, gateway.connect() as client:
        client.send(GOOD[0][0] + GET % b"/")
        assert client.rest() == b""
        gateway.observer.await_note("connection_refused", why="proxy_not_trusted")
    with Gateway(ports(upstream), door=proxied) as gateway:
        for data in (GET % b"/", GOOD[0][0].replace(b"443", b"x") + GET % b"/"):
            with gateway.connect() as client:
                client.send(data)
                assert client.rest() == b""
        gateway.observer.await_note("connection_refused", why="proxy_malformed")
    assert upstream.received == []


def test_a_header_that_never_ends_is_timed_out(upstream: Upstream) -> None:
    settings = PlaneSettings(handshake_ms=200, drain_ms=100)
    with Gateway(ports(upstream), door=proxied, settings=settings) as gateway:
        with gateway.connect() as client:
            client.send(b"PROXY TCP4 ")
            assert client.rest() == b""
        gateway.observer.await_note("connection_refused", why="timeout")


def test_the_header_comes_before_the_handshake(authority: Authority, upstream: Upstream) -> None:
    tls = ServerTls(certificates=(authority.issue("a", "a.example"),))
    with Gateway(ports(upstream), door=tls_door(tls, proxied=True)) as gateway:
        for header, path in ((GOOD[0][0], b"/1"), (GOOD[4][0], b"/2")):
            with connect(gateway, authority, before=header) as client:
                client.send(GET % path)
                assert client.message().status == 200
    for request in upstream.received:
        assert request.one(b"Forwarded") == b'for=192.0.2.7;proto=https;host="a"'


def test_a_balancer_that_ends_tls_says_so(upstream: Upstream) -> None:
    with Gateway(ports(upstream), door=proxied) as gateway, gateway.connect() as client:
        client.send(GOOD[7][0] + GET % b"/")
        assert client.message().status == 200
    assert upstream.received[0].one(b"X-Forwarded-Proto") == b"https"
