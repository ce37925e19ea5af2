"""`log search`, `log history`, `log as-of` and `log index`, as a person uses them."""

import csv
import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.model.entry import EntryKind
from bridge.runtime.roles.log import run_log
from tests.cli.deployment import Deployment
from tests.eventlog.history.logs import ORDER, row_event
from tests.eventlog.history.shop import ORDERED, shop
from tests.waiting import RecordingObserver, wait_until


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return shop(tmp_path)


@pytest.fixture(scope="module")
def only_read(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """One for all tests that leave nothing but their reads behind, which nobody indexes."""
    return shop(tmp_path_factory.mktemp("shop"))


def search(deployment: Deployment, *arguments: str) -> Any:
    said = deployment.call("log", "search", *arguments, "--json")
    assert said.code == 0, said.err
    return said.json()


def indices(deployment: Deployment, *arguments: str) -> list[int]:
    return [hit["index"] for hit in search(deployment, *arguments)["hits"]]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("--amount", "1000..1500"), [3, 2, 0]),
        (("--amount", "1200", "--date", "2026-01-11"), [2]),
        (("--amount", "..100", "--counterparty", "42"), [1]),
        (
            ("--date", "2026-01-01..2026-01-10", "--counterparty", "42", "--amount", "1000.."),
            [3, 0],
        ),
        (("--where", "total>90", "--where", "client_ref=＝WEB-7"), [3, 0]),  # noqa: RUF001 - Full width is meant.
        (("--subject", ORDER, "--key", "8"), [4, 1]),
        (("--type", "*.deleted.*"), [4]),
        (("--by", "u-9"), [3]),
        (("--ticket", "T-9", "--kind", "event"), [3]),
        (("--from", "2026-01-01T00:00:01Z", "--to", "2026-01-01T09:00:03+09:00"), [2, 1]),
        (("--kind", "route"), []),
    ],
)
def test_each_condition_finds_what_it_says(
    only_read: Deployment, asked: tuple[str, ...], found: list[int]
) -> None:
    assert indices(only_read, *asked) == found


def test_pages_follow_on_each_other(only_read: Deployment) -> None:
    first = search(only_read, "--kind", "event", "--order", "oldest", "--limit", "3")
    assert [hit["index"] for hit in first["hits"]] == [0, 1, 2]
    assert first["more"]
    asked = ("--kind", "event", "--order", "oldest", "--limit", "3", "--page", first["next_page"])
    assert indices(only_read, *asked) == [3, 4]


def test_an_answer_is_never_silently_stale(deployment: Deployment) -> None:
    with deployment.stores() as stores:
        stores.event_log().append([row_event(5, "created", {"order_id": 9}, ORDERED)])
    found = search(deployment)
    assert (found["indexed"], found["behind"]) == (5, 1)
    assert (
        "NOT CURRENT: the index lacks the newest 2 of 7 entries"
        in deployment.call("log", "search").out
    )


def test_the_log_role_keeps_the_index_and_waiting_waits_for_it(deployment: Deployment) -> None:
    stop = threading.Event()
    with deployment.stores() as stores:
        thread = threading.Thread(target=run_log, args=(stores, RecordingObserver(), stop))
        thread.start()
        try:
            with deployment.stores() as other:
                other.event_log().append([row_event(5, "created", {"order_id": 9}, ORDERED)])
            assert indices(deployment, "--subject", ORDER, "--key", "9", "--wait") == [5]
            wait_until(
                lambda: deployment.call("log", "index", "--json").json()["behind"] == 0,
                what="the index",
            )
        finally:
            stop.set()
            thread.join(30)
    assert not thread.is_alive()


def test_a_search_is_recorded_without_the_values_that_were_asked_for(
    deployment: Deployment,
) -> None:
    asked = ("--amount", "1000..1500", "--counterparty", "42", "--subject", ORDER, "--key", "7")
    search(deployment, *asked, "--actor", "ana")
    with deployment.stores() as stores:
        log = stores.event_log()
        [entry] = log.read(log.head().size - 1, 1)
        pseudonym = stores.pseudonyms().entity(ORDER, '{"order_id":7}')
    assert entry.kind is EntryKind.ACCESS
    fields = json.loads(entry.leaf)["fields"]
    assert (fields["action"], fields["actor"]["id"], fields["found"]) == ("search", "ana", 2)
    assert fields["query"] == {
        "subjects": [ORDER],
        "entity": pseudonym,
        "fields": ["amount ..", "counterparty ="],
        "limit": 100,
    }
    assert b"1500" not in entry.leaf + entry.payload
    # It is an entry as any other: once it is indexed, it is found by its kind.
    deployment.call("log", "index", "--update")
    assert indices(deployment, "--kind", "access", "--by", "ana") == [entry.leaf_index]


def test_a_spreadsheet_opens_what_was_found(only_read: Deployment) -> None:
    path = only_read.folder / "found.csv"
    said = only_read.call("log", "search", "--amount", "1000..", "--csv", str(path))
    assert said.code == 0, said.err
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert [row["index"] for row in rows] == ["3", "2", "0"]
    assert (rows[0]["total"], rows[0]["client_ref"]) == ("1200.00", "'=web-7")
    assert "File exists" in only_read.refused("log", "search", "--csv", str(path))


def test_a_history_tells_fields_before_and_after(only_read: Deployment) -> None:
    steps = only_read.call("log", "history", ORDER, "7", "--json").json()["steps"]
    assert [(step["index"], step["operation"]) for step in steps] == [
        (0, "created"),
        (3, "updated"),
    ]
    assert steps[1]["changes"] == [{"field": "status", "before": "open", "after": "paid"}]
    assert (steps[1]["actor"], steps[1]["ticket"]) == ("u-9", "T-9")
    said = only_read.call("log", "history", ORDER, "order_id=7").out
    assert 'status: "open" → "paid"' in said


def test_a_state_as_of_a_time(only_read: Deployment) -> None:
    found = only_read.call(
        "log", "as-of", ORDER, '{"order_id": 7}', "2026-01-01T00:00:02Z", "--json"
    ).json()
    assert (found["status"], found["fields"]["status"]) == ("present", "open")
    assert (found["told_by"]["index"], found["until"]["index"]) == (0, 3)
    gone = only_read.call("log", "as-of", ORDER, "8", "2026-02-01").out
    assert f'{ORDER} {{"order_id":8}}: deleted, told by entry 4' in gone
    before = only_read.call("log", "as-of", ORDER, "8", "2025-12-31").out
    assert "absent: entry 1 tells how it was created, later" in before
    never = only_read.call("log", "as-of", ORDER, "99", "2026-02-01").out
    assert "unknown: the log has no entry of it" in never


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "--key", "7"), "name the one subject whose key it is"),
        (("search", "--where", "colour=red"), "no contract declares it under 'search'"),
        (("search", "--from", "yesterday"), "cannot read the time 'yesterday'"),
        (("search", "--limit", "1001"), "at most 1000; --csv writes up to 100000"),
        (("search", "--kind", "events"), "no kind of entry is called 'events'"),
        (("history", "shop.nothing", "7"), "no contract has this subject"),
        (("history", "shop.stock", "7"), "its key has the form warehouse=…,sku=…"),
        (("history", ORDER, "seven"), "key field 'order_id' is of type 'integer'"),
        (("as-of", ORDER, "7"), "give a time"),
    ],
)
def test_what_cannot_be_answered_says_why(
    only_read: Deployment, arguments: tuple[str, ...], said: str
) -> None:
    assert said in only_read.refused("log", *arguments)


def test_the_index_can_be_made_again_and_compared(deployment: Deployment) -> None:
    said = deployment.call("log", "index", "--rebuild", "--verify", "--json").json()
    assert (said["behind"], said["wrong"]) == (0, None)
    assert said["indexed"] == 5
    assert deployment.call("log", "index").out.startswith("5 of 5 entries indexed, 0 behind")


def test_contracts_with_problems_keep_the_index_waiting_and_nothing_else(
    deployment: Deployment,
) -> None:
    contracts = deployment.folder / "contracts"
    deployment.settings["contracts"] = {"dir": str(contracts)}
    deployment.write()
    (contracts / "Wrong").mkdir(parents=True)
    observer, stop = RecordingObserver(), threading.Event()
    with deployment.stores() as stores:
        thread = threading.Thread(target=run_log, args=(stores, observer, stop))
        thread.start()
        try:
            told = observer.await_note("index_delayed")
            wait_until(stores.event_log().latest_checkpoint, what="a checkpoint")
        finally:
            stop.set()
            thread.join(30)
    assert "a subject has the form" in str(told["error"])
