"""Before anything starts: every problem at once, none with a secret in it."""

import socket
from pathlib import Path
from typing import Any

import pytest

from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.exit_codes import CONFIG
from bridge.runtime.port_check import check_port
from bridge.runtime.preflight import preflight
from tests.cli.deployment import Deployment

SECRET = "hunter2canary"

BROKEN: dict[str, Any] = {
    "contracts": {"dir": "no-contracts"},
    "sources": {
        "crm": {"dsn": f"postgresql://ana:{SECRET}@127.0.0.1:1/crm"},
        "shop": {"dsn": f"{SECRET} that is no dsn"},
    },
    "delivery": {"url": f"amqp://ana:{SECRET}@127.0.0.1:1/"},
    "event_log": {"url": f"mysql://ana:{SECRET}@db/log"},
    "gateway": {"host": "192.0.2.1", "routes": "no-routes"},
    "control": {"host": "192.0.2.1"},
}


def findings(deployment: Deployment) -> dict[str, str]:
    """Return the problems by what was looked at."""
    found = preflight(load_settings(deployment.config, {}))
    assert not [finding for finding in found if SECRET in finding.message]
    return {finding.what: finding.message for finding in found if not finding.ok}


def test_all_is_well(tmp_path: Path) -> None:
    assert findings(Deployment(tmp_path)) == {}


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    problems = findings(Deployment(tmp_path, **BROKEN))
    assert set(problems) == {
        "data folder", "contracts", "source crm", "source shop", "broker", "routes",
        "gateway port", "control",
    }  # fmt: skip
    assert "event_log.url" in problems["data folder"]
    assert "no-contracts" in problems["contracts"]
    assert "no-routes" in problems["routes"]
    assert "192.0.2.1" in problems["gateway port"]
    assert "without a token" in problems["control"]


def test_up_tells_every_problem_and_starts_nothing(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, **BROKEN)
    said = deployment.run("up")
    assert said.code == CONFIG
    told = said.err.splitlines()
    assert all(line.startswith("legacy-bridge: ") for line in told)
    assert len(set(told)) == len(told)
    for words in ("event_log.url", "no-contracts", "no-routes", "192.0.2.1", "without a token"):
        assert any(words in line for line in told), words
    assert told[-1].endswith("`legacy-bridge check` shows the whole list")
    assert SECRET not in said.err + said.out
    assert not list(deployment.run_dir.glob("*.json"))


@pytest.mark.parametrize(
    "dsn",
    [
        f"{SECRET} that is no dsn",
        f"postgresql://ana:{SECRET}@127.0.0.1:99999/shop",
        f"postgresql://ana:{SECRET}@127.0.0.1:1/shop?unknown=1",
        f"postgresql://ana:{SECRET}[@127.0.0.1:1/shop",
        f"postgresql://ana:{SECRET}%zz@127.0.0.1:1/shop",
        f"host=127.0.0.1 port=1 password='{SECRET}",
    ],
)
def test_a_wrong_dsn_is_told_without_its_password(tmp_path: Path, dsn: str) -> None:
    contracts = Path(__file__).parents[1] / "pgbench_contracts"
    deployment = Deployment(
        tmp_path, contracts={"dir": str(contracts)}, sources={"pgbench": {"dsn": dsn}}
    )
    assert set(findings(deployment)) == {"source pgbench"}


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        f"amqp:/{SECRET}",
        f"http://ana:{SECRET}@127.0.0.1/",
        f"amqp://ana:{SECRET}@127.0.0.1:99999/",
        f"amqp://ana:{SECRET}@127.0.0.1:port/",
        f"amqp://ana:{SECRET}[@127.0.0.1:1/",
        f"amqp://ana:{SECRET}@127.0.0.1:1/?heartbeat=x",
    ],
)
def test_a_wrong_broker_address_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    assert set(findings(Deployment(tmp_path, delivery={"url": url}))) == {"broker"}


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ana:{SECRET}@127.0.0.1:99999/log",
        f"postgresql://ana:{SECRET}@127.0.0.1:1/log",
        f"postgresql://ana:{SECRET}[@127.0.0.1:1/log",
        f"postgresql://ana:{SECRET}%zz@127.0.0.1:1/log",
    ],
)
def test_a_wrong_event_log_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    assert set(findings(Deployment(tmp_path, event_log={"url": url}))) == {"data folder"}


def test_one_port_for_two_is_told(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.settings["control"]["port"] = deployment.gateway_port
    deployment.write()
    assert set(findings(deployment)) == {"ports"}


def test_a_port_is_taken_by_a_worker_of_ours_too() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigInvalid, match=r"change gateway\.port"):
            check_port("127.0.0.1", port, "gateway.port")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:port",
        "http://127.0.0.1:123456",
        "http://[::1",
        "http://a:b@c",
    ],
)
def test_an_upstream_s_address_has_a_host_and_a_port(tmp_path: Path, url: str) -> None:
    deployment = Deployment(tmp_path)
    deployment.settings["gateway"]["upstreams"]["legacy-app"]["url"] = url
    deployment.write()
    with pytest.raises(ConfigInvalid, match=r"gateway\.upstreams\.legacy-app\.url"):
        load_settings(deployment.config, {})
