"""What a person sees of comparisons, at the shell and over the API."""

import json

import pytest
import yaml

from bridge.eventlog.sequencer import Sequencer
from bridge.gateway.comparison.book import ComparisonBook, RouteBook
from tests.cli.deployment import Deployment
from tests.control.served import served
from tests.gateway.comparison.answers import answer, rule

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
