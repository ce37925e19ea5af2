"""Upstreams over TLS: verified or not at all."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from adapters.upstream.pool import PoolLimits
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.tls.certificate_files import CertificateFiles
from bridge.gateway.tls.contexts import ClientTls
from tests.gateway.edge.authority import Authority
from tests.gateway.edge.rig import secure
from tests.gateway.http.rig import Gateway
from tests.gateway.http.wire import DEADLINE_S, GET, OK, POST, Ended, Message, Wire


class SecureUpstream:
    """Answers OK over TLS; a thread per connection."""

    def __init__(self, files: CertificateFiles, client_ca: Path | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(files.cert_file, files.key_file)
        if client_ca is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        self.names: list[str | None] = []
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        self.received: list[Message] = []
        self.peers: list[str] = []
        self.connections = 0
        self.answer = OK
        self.clean_end = True
        self._wires: list[ssl.SSLSocket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError, Ended), self.context.wrap_socket(sock, server_side=True) as secured:
            self._wires.append(secured)
            certificate = secured.getpeercert()
            if certificate:
                self.peers.append(str(certificate["subject"]))
            wire = Wire(secured)
            while True:
                self.received.append(wire.message())
                wire.send(self.answer)
                if b"Length" not in self.answer:
                    if self.clean_end:
                        secured.unwrap()
                    return

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE_S)
        for wire in self._wires:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE_S)


@contextmanager
def running(files: CertificateFiles, client_ca: Path | None = None) -> Iterator[SecureUpstream]:
    upstream = SecureUpstream(files, client_ca)
    try:
        yield upstream
    finally:
        upstream.close()


def gateway_to(upstream: SecureUpstream, tls: ClientTls) -> Gateway:
    names = {"legacy": upstream.port, "modern": upstream.port}
    return Gateway(
        names,
        secure=secure(tls),
        limits=PoolLimits(wait_ms=2_000),
        settings=PlaneSettings(drain_ms=500, drain_idle_ms=0),
    )


def test_requests_go_out_verified_over_kept_connections(authority: Authority) -> None:
    tls = ClientTls(server_name="legacy.example", ca_file=authority.file)
    with running(authority.issue("legacy", "legacy.example")) as upstream:
        with gateway_to(upstream, tls) as gateway, gateway.connect() as client:
            for path in (b"/1", b"/2", b"/3"):
                client.send(POST % path)
                assert client.message().body == b"ok"
        assert upstream.connections == 1
        assert upstream.names == ["legacy.example"]
        assert [message.body for message in upstream.received] == [b"abc"] * 3


def test_an_address_may_be_the_name(authority: Authority) -> None:
    tls = ClientTls(server_name="127.0.0.1", ca_file=authority.file)
    with running(authority.issue("legacy", "127.0.0.1")) as upstream:
        with gateway_to(upstream, tls) as gateway, gateway.connect() as client:
            client.send(GET % b"/")
            assert client.message().status == 200
        assert upstream.names == [None]


@pytest.mark.parametrize("fault", ["name", "authority", "expired", "plain"])
def test_an_upstream_that_cannot_be_verified_gets_no_request(
    authority: Authority, tmp_path: Path, fault: str
) -> None:
    ca_file = authority.file
    files = authority.issue("legacy", "legacy.example", days=-0.1 if fault == "expired" else 9)
    if fault == "authority":
        ca_file = Authority(tmp_path, "stranger").file
    name = "other.example" if fault == "name" else "legacy.example"
    with running(files) as upstream:
        if fault == "plain":
            upstream.context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        tls = ClientTls(server_name=name, ca_file=ca_file)
        with gateway_to(upstream, tls) as gateway, gateway.connect() as client:
            client.send(POST % b"/secret")
            answer = client.message()
        assert answer.status == 502
        assert answer.one(b"legacy-bridge-error") == b"upstream-unreachable"
        assert (b"certificate is not accepted" in answer.body) is (fault != "plain"), answer.body
        assert upstream.received == []


def test_we_show_our_certificate_and_take_a_new_one(authority: Authority, tmp_path: Path) -> None:
    clients = Authority(tmp_path, "clients")
    own = clients.issue("gateway", common_name="first")
    tls = ClientTls(server_name="legacy.example", ca_file=authority.file, certificate=own)
    with running(authority.issue("legacy", "legacy.example"), clients.file) as upstream:
        for name in ("first", "second"):
            clients.issue("gateway", common_name=name)
            with gateway_to(upstream, tls) as gateway, gateway.connect() as client:
                client.send(GET % b"/")
                assert client.message().status == 200
        assert ["first" in upstream.peers[0], "second" in upstream.peers[1]] == [True, True]


def test_a_new_authority_is_taken_while_running(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    ca_file = tmp_path / "trusted.pem"
    ca_file.write_bytes(other.file.read_bytes())
    tls = ClientTls(server_name="legacy.example", ca_file=ca_file)
    with (
        running(authority.issue("legacy", "legacy.example")) as upstream,
        gateway_to(upstream, tls) as gateway,
        gateway.connect() as client,
    ):
        client.send(GET % b"/")
        assert client.message().status == 502
        ca_file.write_bytes(authority.file.read_bytes())
        assert gateway.secure is not None
        assert gateway.secure.contexts.look()
        client.send(GET % b"/")
        assert client.message().status == 200


@pytest.mark.parametrize(("clean", "forgiven"), [(True, False), (False, False), (False, True)])
def test_9112_9_8_an_answer_without_a_close_notify_is_not_whole(
    authority: Authority, clean: bool, forgiven: bool
) -> None:
    tls = ClientTls(server_name="legacy.example", ca_file=authority.file, unclean_end=forgiven)
    with running(authority.issue("legacy", "legacy.example")) as upstream:
        upstream.answer = b"HTTP/1.0 200 OK\r\n\r\nhalf"
        upstream.clean_end = clean
        with gateway_to(upstream, tls) as gateway, gateway.connect() as client:
            client.send(GET % b"/")
            if clean or forgiven:
                assert client.message().body == b"half"
            else:
                with pytest.raises(Ended):
                    client.message()
