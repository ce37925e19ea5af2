"""Listeners, TLS, limits and protection as a deployment declares them, in running processes."""

import signal
from pathlib import Path
from typing import Any

import pytest

from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.preflight import preflight
from bridge.runtime.watching.status import collect_status
from bridge.runtime.wiring.certificates import certificate_status
from bridge.runtime.wiring.gateway_edge import plane_settings
from tests.cli.deployment import Deployment
from tests.gateway.edge.authority import Authority
from tests.gateway.edge.peers import accepts, curl, free_port, haproxy
from tests.gateway.edge.test_tls_out import running as secure_upstream
from tests.gateway.http.upstream import Upstream
from tests.runtime.running import Running
from tests.waiting import wait_until


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def listeners(deployment: Deployment, **given: Any) -> None:
    gateway = deployment.settings["gateway"]
    del gateway["port"]
    gateway["listeners"] = given
    deployment.write()


def tls_files(authority: Authority, *names: str) -> dict[str, Any]:
    files = authority.issue("front", *names)
    return {"cert_file": files.cert_file.name, "key_file": files.key_file.name}


def test_listeners_and_upstreams_of_a_running_gateway(
    deployment: Deployment, authority: Authority, upstream: Upstream, tmp_path: Path
) -> None:
    plain, secure, balanced = free_port(), free_port(), free_port()
    own = authority.issue("gateway", common_name="the gateway")
    legacy = authority.issue("legacy", "legacy.example")
    with secure_upstream(legacy, authority.file) as behind:
        deployment.settings["gateway"]["upstreams"]["legacy-app"] = {
            "url": f"https://127.0.0.1:{behind.port}",
            "tls": {
                "ca_file": authority.file.name,
                "server_name": "legacy.example",
                "cert_file": own.cert_file.name,
                "key_file": own.key_file.name,
            },
            "protection": {
                "requests_per_s": 1_000,
                "concurrency": {"max": 8},
                "breaker": {},
            },
        }
        deployment.settings["gateway"]["plane"] = {"name": "edge-test", "trace": True}
        listeners(
            deployment,
            plain={"port": plain},
            secure={"port": secure, "tls": {"certificates": [tls_files(authority, "a.example")]}},
            balanced={"port": balanced, "proxy_protocol_from": ["127.0.0.0/8"]},
        )
        gateway = Running(deployment, "run", "gateway:0")
        try:
            wait_until(lambda: accepts(balanced), what="the listeners")
            secured = [
                "--cacert", str(authority.file), "--resolve", f"a.example:{secure}:127.0.0.1",
                f"https://a.example:{secure}/products",
            ]  # fmt: skip
            assert curl(f"http://127.0.0.1:{plain}/products") == "ok"
            assert curl(*secured) == "ok"
            with haproxy(tmp_path, balanced, "send-proxy-v2") as front:
                assert curl("--interface", "127.0.0.9", f"http://127.0.0.1:{front}/products")
            told = [request.one(b"Forwarded") for request in behind.received]
            assert [b"proto=https" in (each or b"") for each in told] == [False, True, False]
            assert (told[2] or b"").startswith(b"for=127.0.0.9;")
            assert behind.received[0].one(b"Via") == b"1.1 edge-test"
            assert behind.received[0].one(b"traceparent")
            authority.issue("front", "a.example", "b.example")
            gateway.process.send_signal(signal.SIGHUP)
            secured[-2:] = [f"b.example:{secure}:127.0.0.1", f"https://b.example:{secure}/products"]
            wait_until(lambda: "tls_reloaded" in gateway.log.read_text(), what="the reload")
            assert curl(*secured) == "ok"
        finally:
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(20) == 0


def test_certificates_that_end_are_told(deployment: Deployment, authority: Authority) -> None:
    port = free_port()
    soon = authority.issue("front", "a.example", days=5)
    files = {"cert_file": soon.cert_file.name, "key_file": soon.key_file.name}
    listeners(deployment, secure={"port": port, "tls": {"certificates": [files]}})
    settings = load_settings(deployment.config, {})
    (found,) = (each for each in preflight(settings) if each.what == "certificates")
    assert found.ok
    assert "5.0 days" in found.message
    status = collect_status(settings)
    assert status["certificates"][0]["problem"] == "it expires in 5.0 days"
    assert not status["healthy"]
    authority.issue("front", "a.example", days=-0.5)
    (found,) = (each for each in preflight(settings) if each.what == "certificates")
    assert not found.ok
    assert "has expired" in found.message
    soon.cert_file.write_bytes(b"")
    assert settings.gateway is not None
    (shown,) = certificate_status(settings.gateway)
    assert "holds no PEM certificate" in shown["problem"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"listeners": {"a": {"port": 1}}}, "belong into one of listeners"),
        ({"plane": {"drain_ms": 60_000}}, "plane.drain_ms"),
        ({"plane": {"hosts": ["*.a"]}}, "no dns name"),
        ({"upstreams": {"a": {"url": "http://a", "tls": {}}}}, "not https"),
        ({"upstreams": {"a": {"url": "https://a", "tls": {"key_file": "k"}}}}, "is missing"),
        ({"upstreams": {"a": {"url": "http://a", "protection": {"burst": 3}}}}, "without requests"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    deployment: Deployment, changes: dict[str, Any], why: str
) -> None:
    deployment.settings["gateway"] |= changes
    deployment.write()
    with pytest.raises(ConfigInvalid, match=why):
        load_settings(deployment.config, {})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"client_certificates": "required"}, "who may certify clients"),
        ({"client_ca_file": "ca.pem"}, "client_certificates is none"),
        ({"client_fields": {"subject": "X-User"}}, "could be forged"),
        ({"certificates": []}, "certificates"),
        ({"min_version": "1.1"}, "min_version"),
    ],
)
def test_tls_that_cannot_be_meant_is_refused(
    deployment: Deployment, changes: dict[str, Any], why: str
) -> None:
    tls = {"certificates": [{"cert_file": "a", "key_file": "b"}]} | changes
    listeners(deployment, secure={"port": 1, "tls": tls})
    with pytest.raises(ConfigInvalid, match=why):
        load_settings(deployment.config, {})


def test_every_limit_of_a_worker_can_be_set(deployment: Deployment) -> None:
    deployment.settings["gateway"]["plane"] = {
        "hosts": ["Shop.example", "bücher.example"],
        "trusted_hops": ["10.0.0.0/8"],
        "head_ms": 5_000,
        "drain_idle_ms": 0,
    }
    deployment.write()
    gateway = load_settings(deployment.config, {}).gateway
    assert gateway is not None
    plane = plane_settings(gateway)
    assert plane.hosts == {b"shop.example", b"xn--bcher-kva.example"}
    assert plane.head_ms == 5_000
    assert plane.drain_idle_ms == 0
    assert str(plane.trusted_hops[0]) == "10.0.0.0/8"
    assert plane.write_wait_ms == 2 * gateway.lane_wait_ms + gateway.drain_wait_ms
    names = set(type(plane).__dataclass_fields__) - {"write_wait_ms"}
    assert names == set(type(gateway.plane).model_fields)
