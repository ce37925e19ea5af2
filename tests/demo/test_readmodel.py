"""The read model equals the legacy database when it saw every event, and says so when not."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.consumer import ReceivedEvent
from bridge.consumer.sqlite_inbox import SqliteInbox
from bridge.demo.legacy.population import FIRST_CUSTOMER_NO, FIRST_ORDER_NO
from bridge.demo.legacy.seed import seed
from bridge.demo.readmodel.compare import compare, row_counts
from bridge.demo.readmodel.handler import GROUP, apply, prepare
from bridge.model.change import ChangeKind
from tests.demo.conftest import SMALL, Named
from tests.demo.events import change, snapshot


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[SqliteInbox]:
    inbox = SqliteInbox(tmp_path / "model.db", prepare=prepare)
    yield inbox
    inbox.close()


@pytest.fixture
def events(database: Named) -> list[ReceivedEvent]:
    seed(database.dsn, sizes=SMALL)
    return snapshot(database.dsn)


def test_it_equals_the_database_and_duplicates_do_nothing(
    database: Named, events: list[ReceivedEvent], inbox: SqliteInbox, tmp_path: Path
) -> None:
    inbox.apply(GROUP, events, apply)
    assert compare(database.dsn, tmp_path / "model.db") == []
    assert inbox.apply(GROUP, events, apply) == 0
    # Even an inbox that has forgotten them all leaves nothing doubled.
    inbox.apply("another", events, apply)
    assert compare(database.dsn, tmp_path / "model.db") == []
    assert sum(row_counts(tmp_path / "model.db").values()) == len(events)


def test_every_kind_of_difference_is_named(
    database: Named, events: list[ReceivedEvent], inbox: SqliteInbox, tmp_path: Path
) -> None:
    inbox.apply(GROUP, events, apply)
    with psycopg.connect(database.dsn) as legacy:
        legacy.execute(
            "UPDATE t_pay SET amt = amt + 0.01 WHERE pay_no = (SELECT max(pay_no) FROM t_pay)"
        )
        legacy.execute("DELETE FROM t_ord_ln WHERE ord_no = %s AND ln_no = 1", (FIRST_ORDER_NO,))
        # A second line like one that is there already: only a multiset tells.
        legacy.execute("INSERT INTO t_stk_mv (SELECT * FROM t_stk_mv LIMIT 1)")
        legacy.execute(
            "UPDATE m_cust SET cust_nm = 'x' WHERE cust_no ="
            " (SELECT cust_no FROM t_ord_hdr WHERE ord_no = %s)",
            (FIRST_ORDER_NO,),
        )
    differences = compare(database.dsn, tmp_path / "model.db")
    told = {difference.partition(":")[0] for difference in differences}
    assert told == {
        "customers",
        "order_lines",
        "stock_movements",
        "payments",
        "order_overview",
        "line amounts",
    }
    assert (
        f"order_lines: 1 rows unexpected, the first with key [({FIRST_ORDER_NO}, 1)]" in differences
    )


def test_later_events_win_whatever_comes_when(
    events: list[ReceivedEvent], inbox: SqliteInbox, tmp_path: Path
) -> None:
    inbox.apply(GROUP, events, apply)
    number = FIRST_ORDER_NO + (100 - FIRST_ORDER_NO % 100)  # One with a long note.
    key = {"order_id": number}
    (original,) = [e for e in events if e.subject == "shop.order" and e.key == key]
    row = {name: value for name, value in original.data["after"].items() if name != "note"}
    newer = change("shop.order", 2, key=key, after={**row, "status": "cancelled"})
    older = change("shop.order", 1, key=key, after={**row, "status": "picked", "note": "old"})
    inbox.apply(GROUP, [newer, older], apply)
    with sqlite3.connect(tmp_path / "model.db") as model:
        held = model.execute("SELECT status, note FROM orders WHERE order_id = ?", (number,))
        status, note = held.fetchone()
    model.close()
    assert status == "cancelled"
    assert note == original.data["after"]["note"]
    assert len(note) > 8_192


def test_keys_change_and_rows_go(
    events: list[ReceivedEvent], inbox: SqliteInbox, tmp_path: Path
) -> None:
    inbox.apply(GROUP, events, apply)
    before = row_counts(tmp_path / "model.db")
    old = {"customer_id": FIRST_CUSTOMER_NO, "address_no": 1}
    new = {**old, "address_no": 9}
    (original,) = [e for e in events if e.subject == "shop.customer-address" and e.key == old]
    moved = change(
        "shop.customer-address", 1, key=new, before=old, after={**original.data["after"], **new}
    )
    gone = change("shop.customer-address", 2, ChangeKind.DELETED, key=new, before=new)
    inbox.apply(GROUP, [moved], apply)
    assert row_counts(tmp_path / "model.db") == before
    inbox.apply(GROUP, [gone], apply)
    assert row_counts(tmp_path / "model.db")["addresses"] == before["addresses"] - 1
    inbox.apply(GROUP, [change("shop.stock", 3, ChangeKind.TRUNCATED)], apply)
    assert row_counts(tmp_path / "model.db")["stock"] == 0
