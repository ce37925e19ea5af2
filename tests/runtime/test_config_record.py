"""A role says under which settings, contracts and routes it works, once for each of them."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.sequencer import Sequencer
from bridge.model.entry import EntryKind
from bridge.model.errors import StorageUnavailable
from bridge.runtime.roles.config_record import record_configuration
from bridge.storage.applied_routes import read_files
from tests.cli.deployment import Deployment

SECRET = "canary-token-that-is-long"


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(
        tmp_path,
        sources={"shop": {"dsn": "postgresql://ana:canary-password@127.0.0.1:1/shop"}},
        delivery={"url": "amqp://ana:canary-password@127.0.0.1:1/"},
        contracts={"dir": "contracts"},
        control={"port": 8081, "token": SECRET, "tokens": {}},
    )


def start(deployment: Deployment, role: str) -> bool:
    with deployment.stores() as stores:
        return record_configuration(stores, role)


def told(deployment: Deployment) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    with deployment.stores() as stores:
        log = stores.event_log()
        while Sequencer(stores.desk(), log).step():
            pass
        entries = log.read(0, 100)
    assert {entry.kind for entry in entries} <= {EntryKind.CONFIG}
    assert "canary" not in repr(entries), "a secret or an address is in the log"
    return [(json.loads(entry.leaf)["fields"], json.loads(entry.payload)) for entry in entries]


def test_a_restart_with_the_same_configuration_adds_nothing(deployment: Deployment) -> None:
    assert start(deployment, "delivery")
    assert not start(deployment, "delivery")
    assert start(deployment, "gateway:0"), "another kind of role"
    assert not start(deployment, "gateway:1"), "the same kind"
    (one, payload), (other, _) = told(deployment)
    assert (one["role"], other["role"]) == ("delivery", "gateway")
    assert one["sha256"] == other["sha256"]
    assert one["actor"]["type"] == "gateway"
    assert payload["routes"].keys() == {"catalog.yaml", "orders.yaml"}
    assert payload["settings"]["delivery"]["url"] == "(not shown)"


def test_what_changed_is_told_by_its_digest(deployment: Deployment) -> None:
    start(deployment, "log")
    routes_file = deployment.folder / "routes" / "orders.yaml"
    routes_file.write_text(routes_file.read_text() + "\n# a word\n")
    with deployment.stores() as stores:
        store = stores.routes_in_force().store
        digest = store.keep(read_files(routes_file.parent))
        store.put_in_force(digest, instead_of=None, at="2026-01-01T00:00:00+00:00")
    assert start(deployment, "log")
    contract = deployment.folder / "contracts" / "shop.order" / "1.0"
    contract.mkdir(parents=True)
    (contract / "schema.json").write_text("{}")
    assert start(deployment, "log")
    deployment.settings["log_level"] = "debug"
    deployment.write()
    assert start(deployment, "log")
    first, routes, contracts, settings = (fields for fields, _ in told(deployment))
    digests = ("routes_sha256", "contracts_sha256", "settings_sha256")
    for before, after, changed in (
        (first, routes, "routes_sha256"),
        (routes, contracts, "contracts_sha256"),
        (contracts, settings, "settings_sha256"),
    ):
        assert {name for name in digests if before[name] != after[name]} == {changed}
        assert after["before_sha256"] == before["sha256"]
    assert told(deployment)[2][1]["contracts"].keys() == {"shop.order/1.0/schema.json"}


def test_a_lost_memory_repeats_one_entry(deployment: Deployment) -> None:
    start(deployment, "log")
    (deployment.folder / "data" / "recorded-configuration.json").write_text("{broken")
    assert start(deployment, "log")
    assert not start(deployment, "log")
    assert len(told(deployment)) == 2


def test_what_cannot_be_read_ends_the_start(deployment: Deployment) -> None:
    (deployment.folder / "contracts").write_text("a file")
    assert start(deployment, "log"), "no folder has no files; capture says what is wrong with it"
    with deployment.stores() as stores:
        lock = stores.run_dir.parent / "recorded-configuration.lock"
    lock.unlink()
    lock.mkdir()
    with pytest.raises(StorageUnavailable, match=r"recorded-configuration\.lock"):
        start(deployment, "log")
    assert stat.S_ISDIR(lock.stat().st_mode)
