"""`legacy-bridge routes`: check, explain, diff, plan and apply on files, without a gateway."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.sequencer import Sequencer
from bridge.model.write import WriteState
from bridge.runtime.exit_codes import CONFIG, TEMPORARY
from tests.cli.deployment import Deployment
from tests.cli.journalled import journalled

WHY = ("-r", "other paths", "-t", "CHG-7", "--actor", "ana")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def edit(deployment: Deployment, name: str, old: str, new: str) -> None:
    """Edit a route file."""
    path = deployment.folder / "routes" / f"{name}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def planned(deployment: Deployment, *arguments: str) -> Any:
    """Return `routes plan`."""
    said = deployment.call("routes", "plan", "--json", *arguments)
    assert said.code == 0, said.err
    return said.json()


def apply(deployment: Deployment, *arguments: str) -> Any:
    """Apply what is planned, or go back."""
    plan = () if "--back" in arguments else (planned(deployment)["plan"],)
    said = deployment.call("routes", "apply", *plan, *arguments, *WHY, "--json")
    assert said.code == 0, said.err
    return said.json()


def entries(deployment: Deployment) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return leaf fields and payload of the CONFIG entries."""
    with deployment.stores() as stores:
        log = stores.event_log()
        while Sequencer(stores.desk(), log).step():
            pass
        return [
            (json.loads(entry.leaf)["fields"], json.loads(entry.payload))
            for entry in log.read(0, 1_000)
            if entry.kind.value == "config"
        ]


_FAULT = ("fault", "orders")


def findings(deployment: Deployment) -> list[tuple[str, str, str]]:
    """Return what `routes check` finds."""
    said = deployment.call("routes", "check", "--json")
    found = [(each["kind"], each["where"], each["what"]) for each in said.json()]
    assert said.code == any(kind == "fault" for kind, _, _ in found)
    return found


def test_check_finds_faults_in_every_file(deployment: Deployment) -> None:
    assert findings(deployment) == []
    edit(deployment, "orders", "/order_id, entity", "order_id, entity")
    edit(deployment, "catalog", "methods: [GET]", "methods: [get]")
    (first, second) = findings(deployment)
    assert first[:2] == ("fault", "catalog.yaml")
    assert "'methods.0' has method 'get'" in first[2]
    assert second[:2] == ("fault", "orders.yaml")
    assert "'key.created' 'order_id' is no JSON pointer" in second[2]
    assert not (deployment.folder / "data").exists(), "it only looks"


def test_check_finds_what_may_not_be_meant(deployment: Deployment) -> None:
    deployment.settings["gateway"]["upstreams"]["nobody"] = {"url": "http://127.0.0.1:1"}
    deployment.write()
    edit(
        deployment,
        "orders",
        "routes:",
        "routes:\n  - {id: order-list, methods: [GET], path: /orders}\n"
        "  - {id: mine, methods: [GET], path: /mine, key: {claim: sub, entity: order}}",
    )
    assert {(kind, where, what.split(":")[0]) for kind, where, what in findings(deployment)} == {
        ("notice", "upstream nobody", "no route names it"),
        ("notice", "orders/order-list", "has no key"),
        ("notice", "orders/mine", "takes its key from a claim that nobody verifies"),
    }


def test_check_refuses_keys_that_would_be_dealt_into_two_cohorts(deployment: Deployment) -> None:
    other = "routes:\n  - {id: mine, methods: [GET], path: /mine, key: {cookie: customer}}"
    edit(deployment, "orders", "routes:", other)
    faults = [what for kind, where, what in findings(deployment) if (kind, where) == _FAULT]
    assert len(faults) == 1
    assert "of several kinds (no entity, 'order')" in faults[0]
    assert "name one 'entity' in every 'key' of the group" in faults[0]


SAMPLED = """
group: catalog
sides: {legacy: legacy-app}
routes:
  - id: product-list
    methods: [POST]
    path: /products
    writes: true
    request: {legacy: {path: {prefix: /products, to: /v2/items}, body: {rename: {/nr: number}},
                       headers: {set: {X-Shop: "7"}, remove: [Cookie]}}}
    response: {legacy: {body: {set: {/source: old}}, headers: {add: {X-By: us}}}}
    samples:
      - name: numbers keep their digits
        request: {target: "/products?a=%2F", headers: {Cookie: x=1}, body: '{"nr": 1.50}'}
        becomes: {target: "/v2/items?a=%2F", headers: {X-Shop: "7", Cookie: null},
                  body: '{"number": 1.50}'}
        answer: {headers: {ETag: '"1"', Content-Type: application/json}, body: '{"a": 12.50}'}
        answer_becomes: {headers: {ETag: null, X-By: us}, body: '{"a": 12.50,"source":"old"}'}
"""


def test_check_runs_the_samples(deployment: Deployment) -> None:
    path = deployment.folder / "routes" / "catalog.yaml"
    path.write_text(SAMPLED)
    assert findings(deployment) == []
    path.write_text(SAMPLED.replace('{"number": 1.50}', '{"number":1.5}'))
    ((kind, where, what),) = findings(deployment)
    assert (kind, where) == ("fault", "catalog/product-list")
    assert what.startswith("sample 'numbers keep their digits': request has body")
    path.write_text(SAMPLED.replace('target: "/products?', 'target: "/goods?'))
    assert next(what for *_, what in findings(deployment)).endswith("not by this route")


def explained(deployment: Deployment, *arguments: str) -> Any:
    """Return `routes explain`."""
    return deployment.call("routes", "explain", *arguments, "--json").json()


def test_explain_says_route_stage_side_and_why(deployment: Deployment) -> None:
    """The sentence: "`explain` says for one request which route, stage, side and why"."""
    assert deployment.call("switch", "orders", "shadow", *WHY).code == 0
    assert deployment.call("switch", "orders", "dual", *WHY).code == 0
    facts = explained(deployment, "PUT", "/orders/7/status?x=1")
    assert (facts["route"], facts["group"], facts["stage"]) == ("order-status", "orders", "dual")
    assert facts["epoch"] == 2
    assert facts["answered_by"] == {
        "side": "legacy",
        "upstream": "legacy-app",
        "why": "it is the authority",
    }
    assert "its path is /orders/{order_id}/status; order_id is '7'" in facts["because"]
    assert (facts["key"]["value"], facts["key"]["lane"]) == ("7", "order:7")
    assert 0 <= facts["key"]["cohort_bucket"] < 10_000
    assert facts["write"]["journalled"] is True
    assert facts["write"]["replayed_to"] == "modern"
    assert facts["limits"]["body_bytes_max"] == 16 << 20
    others = {each["route"]: each["because"] for each in facts["not"]}
    assert others["order-create"] == "its path ends where the request goes on with '7'"


def test_explain_knows_an_entity_by_both_ids(deployment: Deployment) -> None:
    pairs = deployment.folder / "pairs"
    pairs.write_text('["7", "m-7"]\n')
    assert deployment.call("ids", "import", "orders", "order", str(pairs), *WHY).code == 0
    old, new = (explained(deployment, "PUT", f"/orders/{name}/status") for name in ("7", "m-7"))
    assert old["key"] | {"value": ""} == new["key"] | {"value": ""}, "one lane, one bucket"
    assert new["key"]["lane"] == "order:7"


def test_explain_says_why_there_is_no_route(deployment: Deployment) -> None:
    said = deployment.call("routes", "explain", "DELETE", "http://shop.example/orders", "--json")
    assert said.code == 1
    facts = said.json()
    assert facts["refused"]["status"] == 405
    assert facts["not"][0] == {"route": "order-create", "because": "it takes POST"}
    said = deployment.call("routes", "explain", "GET", "/a%2Fb")
    assert "ambiguous-path" in said.out


def test_explain_reads_keys_from_fields_and_bodies(deployment: Deployment) -> None:
    edit(deployment, "orders", "{created: /order_id, entity: order}", "{json: /tenant}")
    body = deployment.folder / "body"
    body.write_text('{"tenant": "acme"}')
    facts = explained(deployment, "POST", "/orders", "--body-file", str(body))
    assert facts["key"]["lane"] == "acme"
    edit(deployment, "orders", "{json: /tenant}", "{cookie: tenant}")
    facts = explained(deployment, "POST", "/orders", "-H", 'Cookie: a=1; tenant="acme"')
    assert facts["key"]["lane"] == "acme"
    facts = explained(deployment, "POST", "/orders", "-H", "Cookie: tenant=a; tenant=b")
    assert facts["key"]["missing"] == "a journalled write is refused"


def test_diff_is_about_meaning(deployment: Deployment) -> None:
    apply(deployment)
    edit(deployment, "catalog", "group: catalog", "# other words\ngroup:   catalog")
    assert deployment.call("routes", "diff", "--json").json() == []
    edit(deployment, "catalog", "path: /products", "path: /goods, timeout_ms: 100")
    edit(deployment, "orders", "id: order-status", "id: order-state")
    said = deployment.call("routes", "diff", "--json")
    assert said.code == 1
    found = {(each["change"], each["route"]): each for each in said.json()}
    assert found.keys() == {
        ("changed", "product-list"),
        ("removed", "order-status"),
        ("added", "order-state"),
    }
    changed = found["changed", "product-list"]
    assert changed["takes_other_requests"]
    assert changed["fields"] == [
        {"field": "path", "before": "/products", "after": "/goods"},
        {"field": "timeout_ms", "before": 30_000, "after": 100},
    ]
    assert "may go elsewhere" in deployment.call("routes", "diff").out


def test_applied_routes_are_used_and_edited_ones_are_not(deployment: Deployment) -> None:
    apply(deployment)
    edit(deployment, "orders", "id: order-status", "id: order-state")
    asked = ("PUT", "/orders/7/status")
    assert explained(deployment, *asked, "--in-force")["route"] == "order-status"
    assert explained(deployment, *asked)["route"] == "order-state"
    first = apply(deployment)
    assert explained(deployment, *asked, "--in-force")["route"] == "order-state"
    apply(deployment, "--back")
    assert explained(deployment, *asked, "--in-force")["route"] == "order-status"
    told = [fields for fields, _ in entries(deployment)]
    assert [(each["action"], each["outcome"]) for each in told] == [
        ("routes-apply", "done"),
        ("routes-apply", "done"),
        ("routes-apply-back", "done"),
    ]
    assert told[1]["before"] == told[2]["after"] == first["base"]
    assert told[1]["ticket"] == "CHG-7"
    assert entries(deployment)[1][1]["reason"] == "other paths"


def test_a_plan_is_refused_when_files_or_gateway_moved_on(deployment: Deployment) -> None:
    apply(deployment)
    edit(deployment, "orders", "id: order-status", "id: order-state")
    plan = planned(deployment)["plan"]
    edit(deployment, "orders", "id: order-state", "id: order-stat")
    said = deployment.call("routes", "apply", plan, *WHY)
    assert said.code == TEMPORARY
    assert f"cannot apply plan '{plan}': files and gateway are at" in said.err
    newer = planned(deployment)["plan"]
    apply(deployment)
    said = deployment.call("routes", "apply", newer, *WHY)
    assert said.code == TEMPORARY, "the gateway is not the plan's base any more"
    outcomes = [fields["outcome"] for fields, _ in entries(deployment)]
    assert outcomes == ["done", "refused", "done", "refused"]


def test_files_with_a_fault_are_not_planned(deployment: Deployment) -> None:
    apply(deployment)
    edit(deployment, "orders", "methods: [PUT]", "methods: [put]")
    assert "cannot load routes 'orders.yaml'" in deployment.refused("routes", "plan")
    assert deployment.call("routes", "apply", "a-b", *WHY).code == CONFIG


def test_open_lanes_block_what_would_lose_them(deployment: Deployment) -> None:
    apply(deployment)
    journalled(deployment, WriteState.PARKED)
    edit(deployment, "orders", "{path: order_id, entity: order}, ids", "{header: X-Order}, ids")
    (risk,) = planned(deployment)["risks"]
    assert risk["blocks"]
    assert "has another key" in risk["text"]
    edit(deployment, "orders", ", modern: modern-orders", "")
    texts = [risk["text"] for risk in planned(deployment)["risks"] if risk["blocks"]]
    assert any("loses its modern side" in text for text in texts)
    plan = planned(deployment)["plan"]
    said = deployment.call("routes", "apply", plan, *WHY)
    assert said.code == CONFIG
    assert "roll it back and let its lanes drain first" in said.err
    (deployment.folder / "routes" / "orders.yaml").unlink()
    texts = [risk["text"] for risk in planned(deployment)["risks"] if risk["blocks"]]
    assert any("is removed, which stands at stage" in text for text in texts)
    apply(deployment, "--accept-risks")
    fields, payload = entries(deployment)[-1]
    assert fields["outcome"] == "done"
    assert payload["risks_accepted"] is True


def test_going_back_needs_something_before(deployment: Deployment) -> None:
    assert "no other routes were in force" in deployment.refused("routes", "apply", "--back", *WHY)
    apply(deployment)
    assert "no other routes were in force" in deployment.refused("routes", "apply", "--back", *WHY)
    assert "name a plan" in deployment.refused("routes", "apply", *WHY)


def test_a_damaged_copy_is_not_used(deployment: Deployment) -> None:
    apply(deployment)
    copies = deployment.folder / "data" / "routes" / "applied"
    ((copy),) = copies.iterdir()
    (copy / "orders.yaml").write_text("group: orders\n")
    said = deployment.call("routes", "list", "--in-force")
    assert said.code != 0
    assert "were changed or removed" in said.err


def test_list_shows_rules(deployment: Deployment) -> None:
    rows = deployment.call("routes", "list", "--json").json()
    status = next(row for row in rows if row["id"] == "order-status")
    assert status["key"] == {"place": "path", "name": "order_id", "entity": "order"}
    assert status["sides"] == {"legacy": "legacy-app", "modern": "modern-orders"}
    assert "order-status" in deployment.call("routes", "list").out
