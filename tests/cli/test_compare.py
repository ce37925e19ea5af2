"""What a person sees of comparisons, at the shell and over the API."""

import json

import pytest
import yaml

from bridge.eventlog.sequencer import Sequencer
from bridge.gateway.comparison.book import ComparisonBook, RouteBook
from bridge.gateway.comparison.difference import Comparison, Outcome
from bridge.gateway.openapi.checking import Fault
from tests.cli.deployment import Deployment
from tests.control.served import served
from tests.gateway.comparison.answers import answer, rule
from tests.gateway.openapi.generated import content

SECRET = "canary-4711"
WHY = ("--reason", "modern was mended", "--ticket", "T-7", "--actor", "ana")


def book(deployment: Deployment) -> ComparisonBook:
    numbers = iter(range(1_000))
    return ComparisonBook(key=b"k" * 32, chance=lambda: 0.0, new_id=lambda: f"s{next(numbers)}")


def compared(deployment: Deployment, count: int = 80) -> None:
    """Store what a worker found: every second answer of modern has a wrong total."""
    with deployment.stores() as stores:
        desk = stores.comparisons()
        made = book(deployment)
        route = desk.route("order-read")
        kept: RouteBook = made.of(route.route_id, route.comparison)
        for number in range(count):
            mine = answer({"total": 10, "name": SECRET, "at": number})
            theirs = answer({"total": 10 + number % 2, "name": SECRET, "at": 0})
            found = kept.comparer.compare(mine, theirs)
            same = kept.comparer.compare(mine, mine)
            kept.add(found, mine, theirs, made_at=1_780_000_000.0, again=same, by_chance=True)
        desk.store.add(made.drain())


@pytest.fixture
def shown(deployment: Deployment) -> Deployment:
    path = deployment.folder / "routes" / "orders.yaml"
    tree = yaml.safe_load(path.read_text())
    clock = rule("ignore", "/at", name="clock")
    tree["routes"][-1]["comparison"] = {"rules": [clock], "show": ["/total"]}
    path.write_text(yaml.safe_dump(tree))
    compared(deployment)
    return deployment


def test_the_verdict_is_shown_for_people_and_for_programs(shown: Deployment) -> None:
    told = {one["route"]: one for one in shown.call("compare", "status", "--json").json()}
    assert told["order-read"]["verdict"] == "mismatch"
    assert told["order-read"]["wrong_fields"] == ["/total"]
    assert told["order-status"]["verdict"] == "not-enough-data"
    assert told["order-read"]["warnings"] == ["rule 'clock' hides more than 5 % of answers"]
    table = shown.call("compare", "status").out
    assert "mismatch" in table
    assert "hide much: clock" in table
    fields = shown.call("compare", "show", "order-read").out
    assert "/total" in fields
    assert "40 of 80" in fields
    rules = shown.call("compare", "rules", "order-read", "--json").json()
    assert [(one["name"], one["answers"], one["warned"]) for one in rules] == [("clock", 79, True)]
    assert "ana 2026-11-02" in shown.call("compare", "rules", "order-read").out


def test_samples_have_no_values_but_those_that_are_shown(shown: Deployment) -> None:
    (first, *_) = shown.call("compare", "samples", "order-read", "--json").json()
    (difference,) = first["differences"]
    assert (difference["authority"], difference["other"]) == (10, 11)
    assert first["bodies"][0]["value"]["name"].startswith("text:11:")
    whole = shown.call("compare", "samples", "order-read", "--sample", first["sample"])
    assert whole.json()["sample"] == first["sample"]
    for path in (shown.folder / "data").glob("comparisons.db*"):
        assert SECRET.encode() not in path.read_bytes()


def test_a_sample_is_compared_again_by_the_present_rules(shown: Deployment) -> None:
    told = shown.call("compare", "samples", "order-read", "--again", "--json").json()
    assert {one["again"]["equal"] for one in told} == {False}
    assert "differs: /total" in shown.call("compare", "samples", "order-read", "--again").out
    path = shown.folder / "routes" / "orders.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["routes"][-1]["comparison"]["rules"].append(rule("tolerance", "/total", absolute=1))
    path.write_text(yaml.safe_dump(tree))
    told = shown.call("compare", "samples", "order-read", "--again", "--json").json()
    assert {one["again"]["equal"] for one in told} == {True}
    standing = shown.call("compare", "show", "order-read", "--json").json()
    assert standing["compared"] == 0, "counts under other rules are not added up"


def test_counts_are_begun_anew_by_a_person_with_a_reason(shown: Deployment) -> None:
    assert shown.call("compare", "restart", "order-read", *WHY).code == 0
    assert shown.call("compare", "show", "order-read", "--json").json()["compared"] == 0
    assert shown.call("compare", "samples", "order-read", "--json").json() == []
    with shown.stores() as stores:
        while Sequencer(stores.desk(), stores.event_log()).step():
            pass
        leaves = [json.loads(entry.leaf)["fields"] for entry in stores.event_log().read(0, 100)]
    (entry,) = [one for one in leaves if one.get("action") == "compare-restart"]
    assert (entry["route"], entry["compared"], entry["verdict"]) == ("order-read", 80, "mismatch")
    said = shown.call("compare", "restart", "nothing", *WHY)
    assert said.code != 0
    assert "routes with two sides are" in said.err


def test_the_api_tells_the_same(shown: Deployment) -> None:
    with served(shown) as api:
        told = {one["route"]: one for one in api.get("/api/comparisons").json()}
        assert told["order-read"]["verdict"] == "mismatch"
        one = api.get("/api/comparisons/order-read").json()
        assert one["rules_given"][0]["reviewed_by"] == "ana"
        samples = api.send(
            "GET",
            "/api/comparisons/order-read/samples",
            headers={"Legacy-Bridge-Actor": "bob"},
        ).json()
        assert samples
        assert SECRET not in json.dumps(samples)
        assert api.get("/api/comparisons/nothing").status_code >= 400
    with shown.stores() as stores:
        leaves = [json.loads(entry.leaf)["fields"] for entry in stores.event_log().read(0, 100)]
    (read,) = [one for one in leaves if one.get("action") == "compare-samples"]
    assert (read["found"], read["actor"]["id"]) == (len(samples), "bob")


def drifting(deployment: Deployment, checked: int, drifted: int, *, gate: bool) -> None:
    """Store what a worker found of a route's document, under rules that all agree to."""
    path = deployment.folder / "routes" / "orders.yaml"
    (deployment.folder / "routes" / "openapi").mkdir(exist_ok=True)
    (deployment.folder / "routes" / "openapi" / "shop.yaml").write_bytes(content("shop-3.0.yaml"))
    tree = yaml.safe_load(path.read_text())
    tree["routes"][-1]["comparison"] = {"openapi": "openapi/shop.yaml", "openapi_gate": gate}
    path.write_text(yaml.safe_dump(tree))
    with deployment.stores() as stores:
        desk = stores.comparisons()
        route = desk.route("order-read")
        assert route.api is not None
        made = book(deployment)
        kept = made.drift_of(route.route_id, route.comparison, route.api.digest)
        for number in range(checked):
            fault = [Fault("type", "/lines/*/price")] if number < drifted else []
            kept.add("modern", fault)
            kept.add("legacy", ())
        verdicts = made.of(route.route_id, route.comparison).verdicts
        for _ in range(checked):
            verdicts.add(Comparison(Outcome.EQUAL))
        desk.store.add(made.drain())


@pytest.mark.parametrize(
    ("checked", "drifted", "gate", "verdict", "drift"),
    [
        (4_000, 0, False, "match", "none"),
        (4_000, 0, True, "match", "none"),
        (4_000, 1, False, "match", "modern"),
        (4_000, 1, True, "not-enough-data", "modern"),
        (4_000, 400, False, "match", "modern"),
        (4_000, 400, True, "mismatch", "modern"),
        (100, 0, True, "not-enough-data", "not-enough-data"),
    ],
)
def test_drift_is_a_verdict_of_its_own_unless_it_is_a_gate(
    deployment: Deployment, checked: int, drifted: int, gate: bool, verdict: str, drift: str
) -> None:
    drifting(deployment, checked, drifted, gate=gate)
    told = deployment.call("compare", "show", "order-read", "--json").json()
    assert (told["verdict"], told["drift"]["verdict"]) == (verdict, drift)
    assert told["drift"]["documents"]["modern"] == "openapi/shop.yaml"
    if drifted:
        (finding,) = told["drift"]["findings"]
        assert (finding["where"], finding["place"], finding["modern"]) == (
            "modern", "/lines/*/price", drifted
        )  # fmt: skip
    rows = deployment.call("compare", "status", "--json").json()
    assert [one["drift"] and one["drift"]["verdict"] for one in rows if one["drift"]] == [drift]


def test_drift_is_shown_for_people_and_over_the_api(deployment: Deployment) -> None:
    drifting(deployment, 50, 5, gate=False)
    assert "modern" in deployment.call("compare", "status").out
    shown = deployment.call("compare", "show", "order-read").out
    assert "drift from openapi/shop.yaml: modern" in shown
    assert "/lines/*/price" in shown
    with served(deployment) as api:
        told = api.get("/api/comparisons/order-read").json()
    assert told["drift"]["findings"][0]["rule"] == "type"
    assert deployment.call("compare", "restart", "order-read", *WHY).code == 0
    told = deployment.call("compare", "show", "order-read", "--json").json()
    assert told["drift"]["findings"] == []
