"""What flows over TLS in both directions: tunnels, slow readers, refusals half-way, cut answers."""

import socket
import ssl
from collections.abc import Callable

import pytest

from tests.gateway.edge.authority import Authority
from tests.gateway.edge.rig import connect, simple_door, trusting
from tests.gateway.http.rig import Gateway, ports
from tests.gateway.http.upstream import Upstream, replies_and_closes
from tests.gateway.http.wire import GET, Ended, Message, Wire
from tests.waiting import wait_until

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhl\r\n\r\nEARLY"
)


def echo(wire: Wire, _: Message) -> None:
    wire.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )
    while data := wire.buffer or wire.more():
        wire.buffer = b""
        wire.send(data)
    wire.send(b"END")
    raise Ended


def test_a_tunnel_over_tls_goes_both_ways_and_ends_by_halves(
    authority: Authority, upstream: Upstream
) -> None:
    upstream.at[b"/ws"] = echo
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway, connect(gateway, authority) as client:
        client.send(UPGRADE)
        assert client.message(bodiless=True).status == 101
        assert client.exactly(5) == b"EARLY"
        client.send(b"x" * 100_000)
        assert client.exactly(100_000) == b"x" * 100_000
    # The client is gone without a word: both ends of the tunnel are let go.
    assert not gateway.observer.notes("tunnel_failed")


def test_a_client_may_end_its_half_of_a_tunnel(authority: Authority, upstream: Upstream) -> None:
    upstream.at[b"/ws"] = echo
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting(authority.file).wrap_bio(incoming, outgoing, server_hostname="a.example")
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as sock:

            def pumped(step: Callable[[], bytes | None]) -> bytes | None:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        sock.sendall(outgoing.read())
                        data = sock.recv(65_536)
                        assert data
                        incoming.write(data)

            pumped(client.do_handshake)
            client.write(UPGRADE)
            seen = b""
            while not seen.endswith(b"EARLY"):
                seen += pumped(lambda: client.read(65_536)) or b""
            with pytest.raises(ssl.SSLWantReadError):
                client.unwrap()  # Writes `close_notify`; the other end's is not here yet.
            sock.sendall(outgoing.read())
            # What the upstream says after it has heard of the end still arrives.
            assert pumped(lambda: client.read(65_536)) == b"END"


def test_a_slow_reader_over_tls_stops_the_upstream(
    authority: Authority, upstream: Upstream
) -> None:
    size = 30_000_000
    sent: list[int] = []

    def flood(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sum(sent) < size:
            wire.send(b"z" * 100_000)
            sent.append(100_000)

    upstream.at[b"/flood"] = flood
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway, connect(gateway, authority) as client:
        client.send(GET % b"/flood")
        client.until(b"\r\n\r\n")
        before = -1

        def stopped() -> bool:
            nonlocal before
            before, last = len(sent), before
            return before == last and before > 0

        wait_until(stopped, what="the upstream to be held up")
        assert sum(sent) < size
        got = len(client.buffer)
        client.buffer = b""
        while got < size:
            assert client.more()
            got += len(client.buffer)
            client.buffer = b""
    assert got == size


def test_a_refusal_half_way_reaches_a_client_that_still_sends(
    authority: Authority, upstream: Upstream
) -> None:
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway, connect(gateway, authority) as client:
        client.send(b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        client.send(b"x" * 300_000)
        answer = client.message()
        assert answer.status == 413
        assert client.rest() == b""


@pytest.mark.parametrize("minor", [0, 1])
def test_a_cut_answer_is_no_clean_end_of_tls(
    authority: Authority, upstream: Upstream, minor: int
) -> None:
    upstream.at[b"/cut"] = replies_and_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway, connect(gateway, authority) as client:
        client.send(b"GET /cut HTTP/1.%d\r\nHost: a\r\n\r\n" % minor)
        assert isinstance(client.sock, ssl.SSLSocket)
        # On by default: what ends without `close_notify` looks like an end.
        client.sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # typeshed lacks it
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            read_on(client.sock)


def read_on(sock: ssl.SSLSocket) -> None:
    """Read until a clean end."""
    while sock.recv(1_000):
        pass
