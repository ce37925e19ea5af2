"""Reconciliation at the shell: two real applications, their journal, and people who decide."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.eventlog.sequencer import Sequencer
from bridge.model.stage import Stage
from bridge.model.write import WriteKind
from tests.cli.deployment import Deployment
from tests.control.served import served
from tests.gateway.comparison.answers import rule
from tests.gateway.dual.peer import Peer
from tests.warrants import by

WHY = ("--reason", "restored from the wrong backup", "--ticket", "T-9", "--actor", "ana")


class Shop(Deployment):
    """A deployment whose two applications run, with orders that both have."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.legacy, self.modern = Peer("legacy", "{}"), Peer("modern", "ord_{}")
        upstreams = self.settings["gateway"]["upstreams"]
        upstreams["legacy-app"]["url"] = f"http://127.0.0.1:{self.legacy.port}"
        upstreams["modern-orders"]["url"] = f"http://127.0.0.1:{self.modern.port}"
        self.config.write_text(yaml.safe_dump(self.settings))
        path = folder / "routes" / "orders.yaml"
        tree = yaml.safe_load(path.read_text())
        side = rule("ignore", "/side", "/order_id", name="who-answers")
        tree["routes"][-1]["comparison"] = {"rules": [side]}
        tree["routes"][-1]["reconcile"]["repair"]["without"] = ["/side", "/order_id"]
        path.write_text(yaml.safe_dump(tree))
        for number in range(1, 7):
            self.legacy.orders[str(number)] = ["new"]
            self.modern.orders[f"ord_{number}"] = ["new"]
        with self.stores() as stores:
            pairs = [(str(number), f"ord_{number}") for number in range(1, 7)]
            stores.desk().import_ids("orders", "order", pairs, by("backfill", "T-1"))
            stores.desk().switch("orders", Stage.DUAL, expected_epoch=0, warrant=by("go", "T-2"))

    def close(self) -> None:
        self.legacy.close()
        self.modern.close()

    def leaves(self, action: str) -> list[dict[str, Any]]:
        """Return the fields of the log's entries about `action`."""
        with self.stores() as stores:
            while Sequencer(stores.desk(), stores.event_log()).step():
                pass
            fields = [
                json.loads(entry.leaf)["fields"] for entry in stores.event_log().read(0, 1_000)
            ]
        return [one for one in fields if one.get("action") == action]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def test_what_differs_is_found_shown_and_repaired(shop: Shop) -> None:
    shop.modern.orders["ord_2"].append("canary-wrong")
    del shop.modern.orders["ord_5"]
    (walk,) = shop.call("reconcile", "run", "orders", "--json").json()
    assert (walk["looked"], walk["differing"]) == (6, 2)
    found = {one["key"]: one for one in shop.call("reconcile", "list", "--json").json()}
    assert {key: one["divergence"] for key, one in found.items()} == {
        "2": "changed",
        "5": "missing",
    }
    assert "canary-wrong" not in json.dumps(found)
    assert shop.call("reconcile", "show", "orders", "2").json()["fields"] == ["/status"]
    assert "changed" in shop.call("reconcile", "list").out
    status = shop.call("reconcile", "status", "--json").json()
    assert status["findings"] == [
        {"group": "orders", "entity": "order", "state": "open", "count": 2}
    ]
    assert "order" in shop.call("reconcile", "status").out

    plan = shop.call("reconcile", "repair", "orders", "2", *WHY)
    assert plan.code == 0, plan.err
    assert "dry run" in plan.out
    assert "canary-wrong" not in plan.out
    (told,) = shop.call("reconcile", "repair", "orders", "2", "--json", *WHY).json()
    assert (told["method"], told["target"]) == ("PUT", "/orders/2/status")
    with shop.stores() as stores:
        assert not stores.desk().list_writes(kind=WriteKind.REPAIR), "a dry run changes nothing"
    (told,) = shop.call("reconcile", "repair", "orders", "2", "--apply", "--json", *WHY).json()
    with shop.stores() as stores:
        (write,) = stores.desk().list_writes(kind=WriteKind.REPAIR)
        assert write.intent.intent_id == told["intent"]
        assert json.loads(write.intent.request.body) == {"status": "new"}
    assert shop.call("reconcile", "show", "orders", "2").json()["state"] == "repaired"
    dry, wet = shop.leaves("reconcile-repair")[0], shop.leaves("reconcile-repair")[-1]
    assert (dry["applied"], wet["applied"], wet["repairs"]) == (False, True, 1)


def test_the_api_tells_what_was_found(shop: Shop) -> None:
    shop.modern.orders["ord_2"].append("wrong")
    shop.call("reconcile", "run", "orders")
    with served(shop) as api:
        standing = api.get("/api/reconciliation").json()
        assert standing["findings"][0]["count"] == 1
        assert standing["walks"][0]["looked"] == 6
        (found,) = api.get("/api/reconciliation/findings", state="open").json()
        assert (found["key"], found["divergence"]) == ("2", "changed")
        assert api.get("/api/reconciliation/bypasses").json() == []
        assert api.get("/api/reconciliation/findings", state="odd").status_code >= 400
    (read,) = shop.leaves("reconcile-list")
    assert read["found"] == 1
    assert len(shop.leaves("reconcile-bypasses")) == 1


def test_a_bulk_repair_needs_two_people_and_both_are_recorded(shop: Shop) -> None:
    for number in (1, 3):
        shop.modern.orders[f"ord_{number}"].append("wrong")
    both = ("reconcile", "repair", "orders", "1", "3", "--apply")
    alone = shop.call(*both, *WHY)
    assert alone.code != 0
    assert "--approver" in alone.err
    same = shop.call(*both, "--approver", "ana", *WHY)
    assert "another person" in same.err
    with shop.stores() as stores:
        assert not stores.desk().list_writes(kind=WriteKind.REPAIR)
    done = shop.call(*both, "--approver", "bob", "--json", *WHY).json()
    assert [one["key"] for one in done] == ["1", "3"]
    refused, _, entry = shop.leaves("reconcile-repair")
    assert refused["outcome"] == "refused"
    assert (entry["actor"]["id"], entry["approver"], entry["repairs"]) == ("ana", "bob", 2)


def test_a_difference_may_be_accepted(shop: Shop) -> None:
    shop.modern.orders["ord_4"].append("better here")
    shop.call("reconcile", "run", "orders")
    assert shop.call("reconcile", "accept", "orders", "4", *WHY).code == 0
    shop.call("reconcile", "run", "orders")
    (found,) = shop.call("reconcile", "list", "--state", "accepted", "--json").json()
    assert found["reason"] == "restored from the wrong backup"
    assert shop.leaves("reconcile-accept")[0]["outcome"] == "done"


def test_an_entity_that_nobody_declared_is_named_with_those_that_are(shop: Shop) -> None:
    said = shop.call("reconcile", "run", "orders", "--entity", "customer")
    assert said.code != 0
    assert "known are order" in said.err
