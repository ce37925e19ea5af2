"""The API's acts over real HTTP and real stores: groups, switches, lanes, ids, writes."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.model.stage import Stage
from bridge.model.write import WriteState
from tests.cli.journalled import CANARIES, journalled
from tests.control.served import Api, problem
from tests.warrants import by

S = WriteState
WHO = {"actor": "ana", "reason": "x", "ticket": "T-1"}


def stage(api: Api) -> tuple[Stage, int]:
    with api.deployment.stores() as stores:
        state = stores.desk().group("orders")
    assert state is not None
    return state.stage, state.epoch


def test_groups(api: Api) -> None:
    assert api.get("/api/groups").json() == [
        {
            "group": name,
            "stage": "legacy",
            "share_percent": None,
            "epoch": 0,
            "lanes_held": False,
            "forced_until": None,
        }
        for name in ("catalog", "orders")
    ]


def test_status_is_what_the_command_prints(api: Api) -> None:
    found = api.get("/api/status").json()
    assert found == api.deployment.call("status", "--json").json()
    assert found["healthy"] is False


def test_a_switch_and_its_way_back(api: Api) -> None:
    forward = api.post("/api/groups/orders/switch", to="dual", expected_epoch=0)
    assert forward.status_code == 200
    assert forward.json() | {"took_ms": 0} == {
        "group": "orders",
        "from": "legacy",
        "to": "dual",
        "from_share_percent": 0.0,
        "to_share_percent": 0.0,
        "epoch": 1,
        "took_ms": 0,
        "workers": 0,
        "late": [],
    }
    assert api.post("/api/groups/orders/switch", to="modern").json()["epoch"] == 2
    back = api.post("/api/groups/orders/rollback", reason="prices differ")
    assert back.json()["to"] == "legacy"
    assert stage(api) == (Stage.LEGACY, 3)
    with api.deployment.stores() as stores:
        history = [record.switch for record in stores.desk().history()]
    assert [switch.to_stage.value for switch in history] == ["dual", "modern", "legacy"]
    assert history[-1].warrant == by("ana", "prices differ")


def test_a_replica_that_does_not_follow_is_named(api: Api) -> None:
    with api.deployment.stores() as stores:
        slot = stores.generation().claim_slot("worker-a")
        report = api.post("/api/groups/orders/switch", to="dual").json()
        stores.generation().release_slot(slot)
    assert report["late"] == ["worker-a"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("orders/switch", {"to": "modern"}, "next step is shadow or dual"),
        ("orders/switch", {"to": "canary"}, "needs a share of the keys"),
        ("orders/switch", {"to": "handover"}, "not built yet"),
        ("orders/switch", {"to": "legacy"}, "already there"),
        ("orders/rollback", {}, "which is not later"),
        ("catalog/switch", {"to": "dual"}, "no modern side"),
    ],
)
def test_a_step_that_is_not_legal(api: Api, path: str, body: dict[str, str], words: str) -> None:
    assert words in problem(api.post(f"/api/groups/{path}", **body), 422, "operator")
    assert stage(api) == (Stage.LEGACY, 0)


def test_a_ramp_by_the_api(api: Api) -> None:
    api.post("/api/groups/orders/switch", to="dual")
    for share in (1, 5.5):
        report = api.post("/api/groups/orders/switch", to="canary", share_percent=share).json()
        assert (report["to"], report["to_share_percent"]) == ("canary", share)
    (orders,) = (each for each in api.get("/api/groups").json() if each["group"] == "orders")
    assert (orders["stage"], orders["share_percent"], orders["epoch"]) == ("canary", 5.5, 3)
    assert api.get("/api/status").json()["groups"][1]["share_percent"] == 5.5
    back = api.post("/api/groups/orders/rollback", to="canary", share_percent=1)
    assert (back.json()["from_share_percent"], back.json()["to_share_percent"]) == (5.5, 1)


def test_a_stale_epoch(api: Api) -> None:
    api.post("/api/groups/orders/switch", to="dual")
    answer = api.post("/api/groups/orders/switch", to="modern", expected_epoch=0)
    assert "expected epoch 0, found 1" in problem(answer, 409, "reread")
    assert stage(api) == (Stage.DUAL, 1)


def test_of_many_that_switch_at_once_one_wins(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: api.post("/api/groups/orders/switch", to="dual", expected_epoch=0),
                range(8),
            )
        )
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    assert stage(api) == (Stage.DUAL, 1)


@pytest.mark.parametrize("act", ["switch", "rollback", "lanes", "ids"])
def test_an_unknown_group(api: Api, act: str) -> None:
    bodies: dict[str, dict[str, object]] = {
        "switch": {"to": "dual"},
        "rollback": {},
        "lanes": {"held": True},
        "ids": {"entity": "order", "pairs": [["1", "2"]]},
    }
    answer = api.send("POST", f"/api/groups/order/{act}", json={**WHO, **bodies[act]})
    assert "known groups are catalog, orders" in problem(answer, 404, "operator")


def test_an_unknown_stage(api: Api) -> None:
    answer = api.post("/api/groups/orders/switch", to="dull")
    assert "known: legacy, shadow, dual" in problem(answer, 400, "operator")


def test_lanes_are_held_and_resumed(api: Api) -> None:
    for held in (True, False):
        answer = api.post("/api/groups/orders/lanes", held=held)
        assert answer.json() == {"group": "orders", "lanes_held": held}
        assert api.get("/api/groups").json()[1]["lanes_held"] is held


def test_ids_are_imported_once(api: Api) -> None:
    body = {**WHO, "entity": "order", "pairs": [["4711", "ord_a"], ["4712", "ord_b"]]}
    for new in (2, 0):
        assert api.send("POST", "/api/groups/orders/ids", json=body).json() == {"new": new}
    with api.deployment.stores() as stores:
        pair = stores.journal().pair("orders", "order", "ord_b")
    assert pair is not None
    assert pair.legacy_id == "4712"


def test_ids_that_contradict_what_is_known(api: Api) -> None:
    body = {**WHO, "entity": "order", "pairs": [["1", "ord_a"], ["1", "ord_b"]]}
    said = problem(api.send("POST", "/api/groups/orders/ids", json=body), 409, "operator")
    assert "contradicts" in said
    assert "ord_b" not in said


def test_writes_are_listed_and_shown(api: Api) -> None:
    ids = journalled(api.deployment, S.PARKED, S.IN_DOUBT, S.APPLIED, S.DONE)
    to_decide = api.get("/api/writes").json()
    assert [write["intent_id"] for write in to_decide] == [ids[1], ids[0]]
    (done,) = api.get("/api/writes", state="done", group="orders", limit=5).json()
    assert done == api.get(f"/api/writes/{ids[3]}").json()
    assert (done["state"], done["status"], done["attempts"]) == ("done", 200, 1)
    assert api.get("/api/writes", group="catalog").json() == []
    assert len(api.get("/api/writes", limit=1).json()) == 1


@pytest.mark.parametrize("limit", [0, -5, 10**12])
def test_a_limit_out_of_bounds_is_bounded(api: Api, limit: int) -> None:
    journalled(api.deployment, S.PARKED)
    assert len(api.get("/api/writes", limit=limit).json()) == 1


def test_writes_are_decided(api: Api) -> None:
    happened, lost, again, without = journalled(
        api.deployment, S.IN_DOUBT, S.IN_DOUBT, S.PARKED, S.PARKED
    )
    for intent_id, act, body, state in (
        (happened, "resolve", {"outcome": "applied"}, "applied"),
        (lost, "resolve", {"outcome": "failed"}, "failed"),
        (again, "replay", {}, "applied"),
        (without, "skip", {}, "skipped"),
    ):
        answer = api.post(f"/api/writes/{intent_id}/{act}", **body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["intent_id"] == intent_id
        assert api.get(f"/api/writes/{intent_id}").json()["state"] == state


@pytest.mark.parametrize("act", ["", "/resolve", "/replay", "/skip"])
@pytest.mark.parametrize("intent_id", ["nobody", "%2e%2e%2fgroups", "%ff%00", "x" * 5_000])
def test_an_unknown_write(api: Api, act: str, intent_id: str) -> None:
    path = f"/api/writes/{intent_id}{act}"
    if act:
        body = {"outcome": "applied"} if act == "/resolve" else {}
        answer = api.post(path, **body)
    else:
        answer = api.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_decisions_that_do_not_fit_the_state(api: Api) -> None:
    parked, done, sent = journalled(api.deployment, S.PARKED, S.DONE, S.INTENT)
    for path, body, words in (
        (f"{sent}/resolve", {"outcome": "failed"}, "it is intent, not in doubt"),
        (f"{parked}/resolve", {"outcome": "applied"}, "it is parked"),
        (f"{parked}/resolve", {"outcome": "done"}, "it is applied or failed"),
        (f"{done}/replay", {}, "it is done"),
        (f"{done}/skip", {}, "it is done"),
    ):
        answer = api.post(f"/api/writes/{path}", **body)
        assert words in problem(answer, 409, "reread")
    assert api.get(f"/api/writes/{done}").json()["state"] == "done"


def test_an_unknown_write_state(api: Api) -> None:
    assert "known: intent" in problem(api.get("/api/writes", state="lost"), 400, "operator")


def test_no_body_and_no_header_value_is_in_any_answer(api: Api) -> None:
    ids = journalled(api.deployment, S.PARKED, S.IN_DOUBT, S.APPLIED, S.DONE)
    for intent_id in ids:
        api.get(f"/api/writes/{intent_id}")
        for act, body in (("resolve", {"outcome": "applied"}), ("replay", {}), ("skip", {})):
            api.post(f"/api/writes/{intent_id}/{act}", **body)
    for state in WriteState:
        api.get("/api/writes", state=state.value)
    for path in ("/api/writes", "/api/groups", "/api/status", "/metrics", "/openapi.json"):
        api.get(path)
    assert len(api.answers) > 25
    for answer in api.answers:
        said = f"{answer.headers}{answer.text}"
        assert not [canary for canary in CANARIES if canary in said], answer.url
