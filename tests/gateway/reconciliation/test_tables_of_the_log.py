"""A captured row as the event log tells it, by way of its index."""

from pathlib import Path

from bridge.runtime.wiring.reconciling import LogTables
from bridge.runtime.wiring.search import search_desk
from tests.eventlog.history.logs import ORDER, row_event
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
