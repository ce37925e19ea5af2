"""Search, history and as-of of the control API."""

import json
from collections.abc import Iterator

import pytest

from bridge.control.app import ControlParts
from bridge.eventlog.records.access_book import AccessBook
from bridge.model.entry import EntryKind
from bridge.runtime.wiring.search import search_desk
from tests.control.served import Api, problem, served
from tests.eventlog.history.logs import ORDER
from tests.eventlog.history.shop import shop


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    deployment = shop(tmp_path_factory.mktemp("shop"))
    with deployment.stores() as stores:
        parts = ControlParts(
            status=dict,
            metrics=bytes,
            switchboard=None,
            desk=None,
            book=AccessBook(stores.event_log),
            search=search_desk(stores),
        )
        with served(deployment, parts=parts) as api:
            yield api


def test_a_search_combines_conditions_and_pages(api: Api) -> None:
    asked = {"amount": "1000..", "counterparty": "42", "limit": 1}
    first = api.get("/api/log/search", **asked).json()
    assert ([hit["index"] for hit in first["hits"]], first["more"]) == ([3], True)
    second = api.get("/api/log/search", **asked, page=first["next_page"]).json()
    assert ([hit["index"] for hit in second["hits"]], second["more"]) == ([0], False)
    assert first["indexed"] == 5
    assert first["hits"][0]["values"]["total"] == "1200.00"


def test_several_values_of_one_condition(api: Api) -> None:
    found = api.get("/api/log/search", subject=["shop.payment", "shop.order"], where=["amount=90"])
    assert [hit["index"] for hit in found.json()["hits"]] == [1]


def test_a_history_and_a_state(api: Api) -> None:
    steps = api.get(f"/api/log/entities/{ORDER}/7/history").json()["steps"]
    assert [step["index"] for step in steps] == [0, 3]
    state = api.get(f"/api/log/entities/{ORDER}/7/as-of", time="2026-01-01T00:00:02Z").json()
    assert state["fields"]["status"] == "open"
    assert api.get("/api/log/index").json()["log_size"] >= 5


def test_each_read_is_an_entry(api: Api) -> None:
    with api.deployment.stores() as stores:
        before = stores.event_log().head().size
    api.get("/api/log/search", amount="91")
    api.get(f"/api/log/entities/{ORDER}/77/history")
    api.get(f"/api/log/entities/{ORDER}/7/as-of", recorded="2026-01-01T00:00:02Z")
    with api.deployment.stores() as stores:
        entries = stores.event_log().read(before, 10)
    assert [entry.kind for entry in entries] == [EntryKind.ACCESS] * 3
    told = [json.loads(entry.leaf)["fields"] for entry in entries]
    assert [fields["action"] for fields in told] == ["search", "history", "as-of"]
    assert "order_id" not in str(told)


def test_what_cannot_be_answered_is_a_problem(api: Api) -> None:
    said = problem(api.get("/api/log/search", where="colour=red"), 400, "operator")
    assert "no contract declares it" in said
    problem(api.get("/api/log/search", time_from="2026-01-01T00:00:00"), 400, "operator")
    problem(api.get("/api/log/search", limit=5_000), 400, "operator")
    problem(api.get("/api/log/entities/shop.nothing/7/history"), 400, "operator")
    problem(api.get(f"/api/log/entities/{ORDER}/7/as-of"), 400, "operator")
