"""A captured row as the event log tells it, by way of its index."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from bridge.model.entry import EntryKind
from bridge.runtime.wiring.reconciling import LogTables
from bridge.runtime.wiring.search import search_desk
from bridge.runtime.wiring.seen_changes import LoggedRows, captured_seen
from tests.eventlog.history.logs import ORDER, PAYMENT, START, event, row_event
from tests.eventlog.history.shop import ORDERED, shop


def test_a_row_is_told_as_of_now_and_uncertain_while_the_index_is_behind(tmp_path: Path) -> None:
    deployment = shop(tmp_path)
    with deployment.stores() as stores:
        tables = LogTables(search_desk(stores))
        row = tables.row(ORDER, "7")
        assert row.certain
        assert row.fields is not None
        assert (row.fields["status"], row.fields["total"]) == ("paid", "1200.00")
        gone = tables.row(ORDER, "8")
        assert (gone.certain, gone.fields) == (True, None)
        never = tables.row(ORDER, "4711")
        assert not (never.certain and never.fields)
        stores.event_log().append([row_event(9, "updated", {"order_id": 7}, ORDERED)])
        assert not tables.row(ORDER, "7").certain, "nobody takes in the newest entry"


def test_changes_of_a_row_are_told_while_all_of_them_are_known(tmp_path: Path) -> None:
    deployment = shop(tmp_path)
    early, late = START, START + timedelta(seconds=2)
    with deployment.stores() as stores:
        log = stores.event_log()
        rows = LoggedRows(search_desk(stores), log)
        found = rows.since(ORDER, "7", early)
        assert found is not None
        created, paid = found
        assert (created.entry, created.operation, paid.entry) == (0, "created", 3)
        assert (sorted(paid.changed), paid.after["status"]) == (["status"], "paid")
        assert rows.since(ORDER, "7", late) == [paid]
        assert rows.since(ORDER, "4711", early) == []
        assert rows.since(ORDER, "no number", early) is None
        assert rows.is_past(ORDER, START + timedelta(seconds=4))
        assert not rows.is_past(ORDER, START + timedelta(seconds=5))

        other: dict[str, Any] = {"source": "urn:legacy-bridge:elsewhere", "second": 60}
        log.append([row_event(9, "updated", {"payment_id": 9}, {}, subject=PAYMENT, **other)])
        assert rows.since(ORDER, "7", early) is None, "the index is behind"
        deployment.call("log", "index", "--update")
        assert not rows.is_past(ORDER, START + timedelta(seconds=5)), "another source's"
        log.append([row_event(10, "read", {"order_id": 9}, ORDERED, second=60)])
        deployment.call("log", "index", "--update")
        assert not rows.is_past(ORDER, START + timedelta(seconds=5)), "a snapshot's own time"

        kept = {"key": {"order_id": 7}, "after": ORDERED}
        log.append([event(11, ORDER, "updated", kept, kind=EntryKind.PARKED)])
        deployment.call("log", "index", "--update")
        assert rows.since(ORDER, "7", early) is None, "a change was kept aside"
        assert len(rows.since(ORDER, "8", early) or ()) == 2
        log.append([event(12, ORDER, "gap", {}, kind=EntryKind.GAP)])
        deployment.call("log", "index", "--update")
        assert rows.since(ORDER, "8", early) is None, "changes were lost"


def test_only_a_deployment_that_captures_can_have_seen_anything(tmp_path: Path) -> None:
    with shop(tmp_path).stores() as stores:
        assert (captured_seen(stores) is not None) is bool(stores.settings.sources)
