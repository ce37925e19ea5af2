"""Clients over TLS: which certificate they see, who they are, and how certificates are replaced."""

import base64
import hashlib
import shutil
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.tls.certificate_files import CertificateFiles, check_files
from bridge.gateway.tls.certificate_names import NameTable, normal_name
from bridge.gateway.tls.contexts import ServerTls
from bridge.model.errors import ConfigInvalid
from tests.gateway.edge.authority import Authority
from tests.gateway.edge.rig import LOOPBACK, connect, shown, simple_door, tls_door
from tests.gateway.http.rig import Gateway, ports
from tests.gateway.http.upstream import Upstream, replies
from tests.gateway.http.wire import GET, POST, Ended

OPENSSL = shutil.which("openssl") or "openssl"
HOST = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n"


def test_requests_over_tls_are_forwarded_as_https(authority: Authority, upstream: Upstream) -> None:
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway:
        with connect(gateway, authority) as client:
            for path in (b"/one", b"/two"):
                client.send(POST % path)
                assert client.message().body == b"ok"
            assert isinstance(client.sock, ssl.SSLSocket)
            assert client.sock.selected_alpn_protocol() == "http/1.1"
        first, _ = upstream.received
    assert first.body == b"abc"
    assert first.one(b"X-Forwarded-Proto") == b"https"
    assert first.one(b"Forwarded") == b'for=127.0.0.1;proto=https;host="a"'


def test_a_large_answer_arrives_whole(authority: Authority, upstream: Upstream) -> None:
    body = bytes(range(256)) * 20_000
    upstream.default = replies(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway, connect(gateway, authority) as client:
        client.send(GET % b"/large")
        assert hashlib.sha256(client.message().body).digest() == hashlib.sha256(body).digest()


def test_a_large_request_arrives_whole(authority: Authority, upstream: Upstream) -> None:
    body = bytes(range(256)) * 4_000
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway, connect(gateway, authority) as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
        client.send(body)
        assert client.message().status == 200
    assert upstream.received[0].body == body


def test_each_name_gets_its_own_certificate(authority: Authority, upstream: Upstream) -> None:
    certificates = (
        authority.issue("a", "a.example"),
        authority.issue("b", "*.b.example"),
        authority.issue("c", "c.b.example"),
    )
    with Gateway(ports(upstream), door=simple_door(*certificates)) as gateway:
        for name, names in (
            ("a.example", ("a.example",)),
            ("x.b.example", ("*.b.example",)),
            ("c.b.example", ("c.b.example",)),
        ):
            with connect(gateway, authority, name) as client:
                assert shown(client) == names


def test_an_unknown_name_sees_the_first_certificate_or_is_refused(
    authority: Authority, upstream: Upstream
) -> None:
    certificate = authority.issue("a", "a.example")
    mismatch = pytest.raises(ssl.SSLCertVerificationError, match="mismatch")
    with Gateway(ports(upstream), door=simple_door(certificate)) as gateway, mismatch:
        connect(gateway, authority, "other.example")
    refusing = tls_door(ServerTls(certificates=(certificate,), refuse_unknown_names=True))
    with Gateway(ports(upstream), door=refusing) as gateway:
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            connect(gateway, authority, "other.example")
        with connect(gateway, authority) as client:
            client.send(GET % b"/")
            assert client.message().status == 200


def test_9110_7_4_a_host_of_another_certificate_is_misdirected(
    authority: Authority, upstream: Upstream
) -> None:
    door = simple_door(authority.issue("a", "a.example"), authority.issue("b", "b.example"))
    with Gateway(ports(upstream), door=door) as gateway:
        with connect(gateway, authority, "b.example") as client:
            client.send(HOST % b"b.example")
            assert client.message().status == 200
            client.send(HOST % b"a.example")
            assert client.message().status == 421
        with connect(gateway, authority, "a.example") as client:
            client.send(HOST % b"unknown.example")
            assert client.message().status == 200


def test_an_old_version_of_tls_is_refused(authority: Authority, upstream: Upstream) -> None:
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway:
        done = subprocess.run(
            [OPENSSL, "s_client", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0",
             "-connect", f"127.0.0.1:{gateway.port}"],
            input=b"", capture_output=True, timeout=20, check=False,
        )  # fmt: skip
        assert b"Cipher is (NONE)" in done.stdout
        gateway.observer.await_note("handshake_failed", why="unsupported_protocol")


def test_plain_http_and_a_slow_handshake_are_cut_off(
    authority: Authority, upstream: Upstream
) -> None:
    door = simple_door(authority.issue("a", "a.example"))
    settings = PlaneSettings(handshake_ms=200, drain_ms=100)
    with Gateway(ports(upstream), door=door, settings=settings) as gateway:
        with gateway.connect() as client:
            client.send(GET % b"/")
            assert b"HTTP" not in client.rest()
        with gateway.connect() as client:
            client.send(b"\x16\x03\x01")
            assert client.rest() == b""
        gateway.observer.await_note("connection_refused", why="timeout")
    assert upstream.received == []


def mutual(authority: Authority, clients: Authority, mode: str) -> ServerTls:
    assert mode in ("optional", "required")
    return ServerTls(
        certificates=(authority.issue("a", "a.example"),),
        client_certificates="optional" if mode == "optional" else "required",
        client_ca_file=clients.file,
    )


def test_the_client_s_certificate_is_told_and_cannot_be_forged(
    authority: Authority, upstream: Upstream, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    own = clients.issue("ana", "ana.example", common_name="Ana, Büro", uris=("spiffe://x/ana",))
    door = tls_door(
        mutual(authority, clients, "optional"),
        {
            "certificate": "Client-Cert",
            "subject": "X-Client-Cert-Subject",
            "san": "X-Client-Cert-San",
            "fingerprint": "X-SSL-Client-Fingerprint",
        },
    )
    forged = (
        b"GET /%b HTTP/1.1\r\nHost: a.example\r\nClient-Cert: :Zm9yZ2Vk:\r\n"
        b"x-client-cert-subject: CN=root\r\nX-SSL-Client-Fingerprint: 00\r\n"
        b"SSL-Client-Verify: SUCCESS\r\nX_Client_Cert_Subject: CN=root\r\n\r\n"
    )
    with Gateway(ports(upstream), door=door) as gateway:
        with connect(gateway, authority, own=own) as client:
            client.send(forged.replace(b"X_Client_Cert_Subject: CN=root\r\n", b"") % b"told")
            assert client.message().status == 200
        with connect(gateway, authority) as client:
            client.send(forged.replace(b"X_Client_Cert_Subject: CN=root\r\n", b"") % b"none")
            assert client.message().status == 200
        with connect(gateway, authority) as client:
            client.send(forged % b"imitated")
            client.message()
    told = upstream.requests_to(b"/told")[0]
    der = x509.load_pem_x509_certificate(own.cert_file.read_bytes())
    value = told.one(b"Client-Cert")
    assert value is not None
    raw = base64.b64decode(value.strip(b":"))
    assert x509.load_der_x509_certificate(raw) == der
    assert told.one(b"X-Client-Cert-Subject") == rb"CN=Ana\, B%C3%BCro"
    assert told.one(b"X-Client-Cert-San") == b"dns:ana.example, uri:spiffe://x/ana"
    assert told.one(b"X-SSL-Client-Fingerprint") == hashlib.sha256(raw).hexdigest().encode()
    for message in upstream.requests_to(b"/none") + upstream.requests_to(b"/imitated"):
        names = {name.lower().replace(b"_", b"-") for name, _ in message.fields}
        assert not {name for name in names if b"client-cert" in name or b"ssl-client" in name}


def test_a_required_certificate_must_be_there_and_be_certified(
    authority: Authority, upstream: Upstream, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    door = tls_door(mutual(authority, clients, "required"))
    with Gateway(ports(upstream), door=door) as gateway:
        for own in (None, authority.issue("stranger"), clients.issue("old", days=-0.5)):
            with pytest.raises((ssl.SSLError, Ended, ConnectionError)):  # noqa: PT012, SIM117
                with connect(gateway, authority, own=own) as client:
                    client.send(GET % b"/")
                    client.message()
        with connect(gateway, authority, own=clients.issue("ana")) as client:
            client.send(GET % b"/in")
            assert client.message().status == 200
    assert [message.target for message in upstream.received] == [b"/in"]


def test_a_trusted_hop_speaks_for_its_clients(
    authority: Authority, upstream: Upstream, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    door = tls_door(
        mutual(authority, clients, "optional"), {"fingerprint": "X-Client-Cert-Fingerprint"}
    )
    settings = PlaneSettings(trusted_hops=(LOOPBACK,), drain_ms=100)
    own = clients.issue("balancer")
    with (
        Gateway(ports(upstream), door=door, settings=settings) as gateway,
        connect(gateway, authority, own=own) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Client-Cert-Fingerprint: ab\r\n\r\n")
        assert client.message().status == 200
    assert upstream.received[0].all(b"X-Client-Cert-Fingerprint") == [b"ab"]


def test_a_new_certificate_is_taken_and_open_connections_stay(
    authority: Authority, upstream: Upstream
) -> None:
    door = simple_door(authority.issue("a", "a.example"))
    with Gateway(ports(upstream), door=door) as gateway, connect(gateway, authority) as before:
        assert gateway.door.tls is not None
        assert not gateway.door.tls.look()
        authority.issue("a", "a.example", "new.example")
        assert gateway.door.tls.look()
        with connect(gateway, authority) as client:
            assert shown(client) == ("a.example", "new.example")
        before.send(GET % b"/")
        assert before.message().status == 200
        assert gateway.observer.notes("tls_reloaded")


@pytest.mark.parametrize("fault", ["key", "expired", "empty", "gone", "half"])
def test_a_certificate_that_cannot_be_used_leaves_the_last_one(
    authority: Authority, upstream: Upstream, fault: str
) -> None:
    files = authority.issue("a", "a.example")
    with Gateway(ports(upstream), door=simple_door(files)) as gateway:
        assert gateway.door.tls is not None
        if fault == "key":
            shutil.copy(authority.issue("other", "a.example").key_file, files.key_file)
        elif fault == "expired":
            authority.issue("a", "a.example", days=-0.1)
        elif fault == "empty":
            files.cert_file.write_bytes(b"")
        elif fault == "gone":
            files.cert_file.unlink()
        else:
            files.cert_file.write_bytes(files.cert_file.read_bytes()[:200])
        assert not gateway.door.tls.look()
        told = gateway.observer.await_note("tls_reload_failed")
        assert str(files.cert_file) in str(told["error"]) or str(files.key_file) in str(
            told["error"]
        )
        with connect(gateway, authority) as client:
            client.send(GET % b"/")
            assert client.message().status == 200


def test_a_key_that_everybody_can_read_is_refused(authority: Authority) -> None:
    files = authority.issue("a", "a.example")
    files.key_file.chmod(0o644)
    with pytest.raises(ConfigInvalid, match="mode is 0644"):
        check_files(files, datetime.now(UTC))


def test_names_of_certificates() -> None:
    table = NameTable([("a.example", "*.b.example"), ("x.b.example", "a.example")])
    assert table.find("A.example") == 0
    assert table.find("a.example.") == 0
    assert table.find("y.b.example") == 0
    assert table.find("x.b.example") == 1
    assert table.find("z.y.b.example") is None
    assert table.find("b.example") is None
    assert normal_name("*.example") is None
    assert normal_name("*.a.example") == "*.a.example"
    assert normal_name("a.*.example") is None
    assert normal_name("bücher.example") == "xn--bcher-kva.example"
    assert normal_name("-") == "-" or normal_name("..") is None


def test_a_declared_name_that_is_none_is_refused(authority: Authority) -> None:
    files = authority.issue("a", "a.example")
    wrong = CertificateFiles(
        cert_file=files.cert_file, key_file=files.key_file, names=("*.example",)
    )
    with pytest.raises(ConfigInvalid, match="no DNS name"):
        tls_door(ServerTls(certificates=(wrong,)))(Gateway({}).observer)
