"""Every endpoint says who, when and why, or is named here with the reason why it does not."""

import json
from typing import Any
from unittest.mock import Mock

import pytest

from bridge.control.app import ControlParts, create_app
from bridge.eventlog.records.access_book import AccessBook
from bridge.eventlog.sequencer import Sequencer
from bridge.model.write import WriteState
from bridge.storage.event_log.memory import MemoryEventLog
from tests.cli.journalled import journalled
from tests.control.served import Api

Endpoint = tuple[str, str]

S = WriteState
WHY = {"actor": "ana", "reason": "swept", "ticket": "SWEEP-1"}

# What changes something: the state of the write that it is about, the body beside who and why, and
# how it ends.
ACTS: dict[Endpoint, tuple[WriteState | None, dict[str, Any], str]] = {
    ("POST", "/api/groups/{group}/switch"): (None, {"to": "dual"}, "done"),
    ("POST", "/api/groups/{group}/rollback"): (None, {}, "refused"),
    ("POST", "/api/groups/{group}/lanes"): (None, {"held": True}, "done"),
    ("POST", "/api/groups/{group}/ids"): (None, {"entity": "o", "pairs": [["1", "a"]]}, "done"),
    ("POST", "/api/drills"): (
        None,
        {"group": "orders", "fault": "refuse", "lasts": "5s", "keys": ["7"]},
        "done",
    ),
    ("POST", "/api/drills/{drill_id}/stop"): (None, {}, "refused"),
    ("POST", "/api/writes/{intent_id}/resolve"): (S.IN_DOUBT, {"outcome": "failed"}, "done"),
    ("POST", "/api/writes/{intent_id}/replay"): (S.PARKED, {}, "done"),
    ("POST", "/api/writes/{intent_id}/skip"): (S.DONE, {}, "refused"),
}

# What shows entries or journalled writes. Those of the log are asked in the tests of their rooms.
READS: dict[Endpoint, str] = {
    ("GET", "/api/writes"): "writes-list",
    ("GET", "/api/writes/{intent_id}"): "writes-show",
}
READS_ELSEWHERE = {
    ("GET", "/api/reconciliation/findings"),
    ("GET", "/api/reconciliation/bypasses"),
    ("GET", "/api/comparisons/{route}/samples"),
    ("GET", "/api/log/search"),
    ("GET", "/api/log/entities/{subject}/{key}/history"),
    ("GET", "/api/log/entities/{subject}/{key}/as-of"),
    ("GET", "/api/log/entries/{index}/proof"),
    ("GET", "/log/tile/{path}"),
}

NEITHER: dict[Endpoint, str] = {
    ("GET", "/health"): "says that the process answers",
    ("GET", "/metrics"): "counts",
    ("GET", "/api/status"): "counts",
    ("GET", "/api/groups"): "stages and epochs",
    ("GET", "/api/drills"): "counts, and who asked for what",
    ("GET", "/api/drills/{drill_id}"): "counts",
    ("GET", "/api/comparisons"): "counts",
    ("GET", "/api/reconciliation"): "counts",
    ("GET", "/api/comparisons/{route}"): "counts, and rules as the files have them",
    ("GET", "/api/log/index"): "counts",
    ("GET", "/log/checkpoint"): "published: size, root and signatures",
    ("GET", "/log/minimum-index"): "published: a number",
}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    """The API with all its parts."""
    parts = ControlParts(
        status=dict,
        metrics=lambda: b"",
        switchboard=Mock(),
        desk=Mock(),
        book=AccessBook(MemoryEventLog),
        log=Mock(),
        search=Mock(),
        comparisons=Mock(),
        findings=Mock(),
        drills=Mock(),
    )
    return create_app(parts).openapi()


def _endpoints(spec: dict[str, Any]) -> set[Endpoint]:
    return {(verb.upper(), path) for path, verbs in spec["paths"].items() for verb in verbs}


def test_every_endpoint_is_swept(spec: dict[str, Any]) -> None:
    known = {*ACTS, *READS, *READS_ELSEWHERE, *NEITHER}
    assert _endpoints(spec) == known, "an endpoint is in none of the tables, or is gone"
    for verb, path in _endpoints(spec) - {*ACTS}:
        assert verb == "GET", f"{verb} {path} may change something: who, and why?"


@pytest.mark.parametrize("endpoint", ACTS, ids=" ".join)
def test_what_changes_something_demands_reason_and_ticket(
    spec: dict[str, Any], endpoint: Endpoint
) -> None:
    verb, path = endpoint
    body = spec["paths"][path][verb.lower()]["requestBody"]
    assert body["required"]
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert {"reason", "ticket"} <= set(spec["components"]["schemas"][name]["required"])


def leaves(api: Api) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    with api.deployment.stores() as stores:
        log = stores.event_log()
        while Sequencer(stores.desk(), log).step():
            pass
        return [
            (json.loads(entry.leaf)["fields"], json.loads(entry.payload))
            for entry in log.read(0, 1_000)
        ]


@pytest.mark.parametrize("endpoint", ACTS, ids=" ".join)
def test_what_changes_something_is_an_entry(api: Api, endpoint: Endpoint) -> None:
    verb, path = endpoint
    state, body, outcome = ACTS[endpoint]
    intent = "" if state is None else journalled(api.deployment, state)[0]
    url = path.format(group="orders", intent_id=intent, drill_id="none")
    for missing in ("reason", "ticket"):
        why = {name: value for name, value in WHY.items() if name != missing}
        assert api.send(verb, url, json={**body, **why}).status_code == 422
    answer = api.send(verb, url, json={**body, **WHY})
    assert (answer.status_code == 200) is (outcome == "done"), answer.text
    ((fields, payload),) = [one for one in leaves(api) if one[0].get("ticket") == "SWEEP-1"]
    assert fields["actor"] == {"id": "ana", "known": "declared", "type": "person"}
    assert (fields["outcome"], "error" in fields) == (outcome, outcome != "done")
    assert fields["time"].endswith("Z")
    assert fields["recordedtime"].endswith("Z")
    assert payload["reason"] == "swept"


@pytest.mark.parametrize("endpoint", READS, ids=" ".join)
def test_what_shows_something_is_an_entry(api: Api, endpoint: Endpoint) -> None:
    verb, path = endpoint
    (intent,) = journalled(api.deployment, S.PARKED)
    before = len(leaves(api))
    answer = api.send(verb, path.format(intent_id=intent), headers={"Legacy-Bridge-Actor": "bob"})
    assert answer.status_code == 200
    ((fields, _),) = leaves(api)[before:]
    assert (fields["action"], fields["found"]) == (READS[endpoint], 1)
    assert fields["actor"]["id"] == "bob"
