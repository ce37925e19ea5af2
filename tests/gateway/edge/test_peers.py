"""The same with programs that others wrote: curl, openssl, HAProxy and nginx."""

import subprocess
from pathlib import Path

import pytest

from bridge.gateway.plane.entrance import Door
from bridge.gateway.tls.contexts import ClientTls, ServerTls
from tests.gateway.edge.authority import Authority
from tests.gateway.edge.peers import curl, haproxy, nginx, program
from tests.gateway.edge.rig import LOOPBACK, secure, tls_door
from tests.gateway.http.rig import Gateway, ports
from tests.gateway.http.upstream import Upstream


def proxied(_: object) -> Door:
    return Door(name="test", proxied_by=(LOOPBACK,))


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2"])
def test_haproxy_tells_the_client(tmp_path: Path, upstream: Upstream, how: str) -> None:
    with (
        Gateway(ports(upstream), door=proxied) as gateway,
        haproxy(tmp_path, gateway.port, f"{how} check") as front,
    ):
        answer = curl("--interface", "127.0.0.9", f"http://127.0.0.1:{front}/seen")
        assert answer == "ok"
    seen = upstream.requests_to(b"/seen")[0]
    assert seen.one(b"X-Forwarded-For") == b"127.0.0.9"


def test_haproxy_passes_tls_through(
    tmp_path: Path, authority: Authority, upstream: Upstream
) -> None:
    tls = ServerTls(
        certificates=(authority.issue("a", "a.example"),),
        client_certificates="required",
        client_ca_file=authority.file,
    )
    door = tls_door(tls, {"subject": "X-Client-Cert-Subject"}, proxied=True)
    own = authority.issue("ana")
    with (
        Gateway(ports(upstream), door=door) as gateway,
        haproxy(tmp_path, gateway.port, "send-proxy-v2") as front,
    ):
        answer = curl(
            "--cacert", str(authority.file),
            "--cert", str(own.cert_file), "--key", str(own.key_file),
            "--interface", "127.0.0.9",
            "--resolve", f"a.example:{front}:127.0.0.1",
            f"https://a.example:{front}/1", f"https://a.example:{front}/2",
        )  # fmt: skip
        assert answer == "okok"
    for request in upstream.received:
        assert request.one(b"X-Client-Cert-Subject") == b"CN=ana"
        forwarded = request.one(b"Forwarded")
        assert forwarded is not None
        assert forwarded.startswith(b"for=127.0.0.9;proto=https;")


def test_nginx_as_an_upstream_over_tls(tmp_path: Path, authority: Authority) -> None:
    own = authority.issue("gateway", common_name="the gateway")
    tls = ClientTls(server_name="legacy.example", ca_file=authority.file, certificate=own)
    files = authority.issue("legacy", "legacy.example")
    with (
        nginx(tmp_path, files, authority.file) as port,
        Gateway({"legacy": port, "modern": port}, secure=secure(tls)) as gateway,
    ):
        first, second = (curl(f"http://127.0.0.1:{gateway.port}/") for _ in range(2))
    assert first == "legacy.example CN=the gateway TLSv1.3 1"
    assert second == "legacy.example CN=the gateway TLSv1.3 2"  # The same connection again.


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_sees_http_1_1_alone(
    authority: Authority, upstream: Upstream, version: str
) -> None:
    door = tls_door(ServerTls(certificates=(authority.issue("a", "a.example"),)))
    with Gateway(ports(upstream), door=door) as gateway:
        done = subprocess.run(
            [program("openssl"), "s_client", version, "-connect", f"127.0.0.1:{gateway.port}",
             "-servername", "a.example", "-CAfile", str(authority.file), "-verify_return_error",
             "-verify_hostname", "a.example", "-alpn", "h2,http/1.1", "-quiet", "-ign_eof"],
            input=b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
            capture_output=True, timeout=20, check=False,
        )  # fmt: skip
    assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n"), done.stderr
    assert done.stdout.endswith(b"\r\n\r\nok")
