"""Which captured change belongs to which write: hits, near misses, reordering, equal values."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from bridge.gateway.reconciliation.correlation import (
    Echo,
    RowChange,
    declared_values,
    echo_of,
    evidence_of,
)
from bridge.gateway.routes.route import IdRules
from bridge.gateway.routes.sections.dual import DualRules
from bridge.gateway.routes.sections.reconciliation import ReconciliationRules
from bridge.model.stage import Side
from bridge.model.write import JournalledWrite, WriteIntent, WriteState
from tests.gateway.dual.rig import GROUP, ROUTES, a_request

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUIET = timedelta(seconds=5)
PAID: Mapping[str, Any] = {"state": "paid"}
PUT = ROUTES["order-status"]
TABLE = ReconciliationRules.model_validate(
    {"entity": "order", "subject": "shop.order", "fields": {"/status": "state", "/sum": "total"}}
)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_write(
    intent_id: str = "w1",
    *,
    at: float = 0,
    settled: float | None = 1,
    state: WriteState = WriteState.IN_DOUBT,
    authority: Side = Side.LEGACY,
    method: str = "PUT",
    body: Any = None,
) -> JournalledWrite:
    return JournalledWrite(
        intent=WriteIntent(
            intent_id=intent_id,
            group=GROUP,
            route="order-status",
            epoch=1,
            authority=authority,
            lane="order:7",
            idempotency_key=intent_id,
            request=a_request(method, "/orders/7/status", body or {"status": "paid"}),
            owner="worker",
            opened_at=after(at),
        ),
        state=state,
        sequence=1,
        response=None,
        attempts=0,
        reason=None,
        settled_at=None if settled is None else after(settled),
    )


def a_change(entry: int = 9, op: str = "updated", at: float = 0.5, **more: Any) -> RowChange:
    row: dict[str, Any] = {
        "transaction": f"t{entry}",
        "after": {} if op == "deleted" else {"state": "paid", "total": "12.50"},
        "changed": frozenset({"state"}),
    }
    return RowChange(entry, op, after(at), **{**row, **more})


@pytest.mark.parametrize(
    "changes",
    [
        [a_change()],
        [a_change(op="created", changed=frozenset())],
        [a_change(at=-1.9)],  # The database's clock is behind ours.
        # One transaction wrote the row twice.
        [
            a_change(8, after={"state": "new"}, transaction="t", changed=frozenset()),
            a_change(9, transaction="t"),
        ],
    ],
)
def test_one_change_that_brought_what_was_asked_shows_that_it_happened(
    changes: list[RowChange],
) -> None:
    found = evidence_of(a_write(), changes, [a_write()], PAID, now=after(60), quiet=QUIET)
    assert found == changes[-1]


@pytest.mark.parametrize(
    ("changes", "others"),
    [
        ([], []),
        ([a_change(after={"state": "sent"})], []),  # Another value.
        ([a_change(after={"total": "1"})], []),  # The field was not sent.
        ([a_change(changed=frozenset({"total"}))], []),  # It held the value before.
        ([a_change(op="deleted")], []),
        ([a_change(op="truncated")], []),
        ([a_change(at=-3)], []),  # Before it was opened: not of its time.
        ([a_change(at=9)], []),  # After the authority was quiet: somebody else's.
        ([a_change(8), a_change(9)], []),  # Two candidates.
        ([a_change(8, after={"state": "sent"}), a_change(9)], []),  # Somebody else writes too.
        ([a_change(8, transaction=""), a_change(9, transaction="")], []),
        ([a_change()._replace(at=None)], []),
        # The write before it wrote the same, so shortly before that clocks cannot tell.
        ([a_change()], [a_write("w0", at=-2, settled=-1, state=WriteState.DONE)]),
        ([a_change()], [a_write("w0", at=-90, settled=None, state=WriteState.APPLIED)]),
    ],
)
def test_what_leaves_it_open_is_no_evidence(
    changes: list[RowChange], others: list[JournalledWrite]
) -> None:
    assert evidence_of(a_write(), changes, others, PAID, now=after(60), quiet=QUIET) is None


def test_other_writes_of_the_key_matter_only_while_they_were_under_way() -> None:
    others = [
        a_write("w0", at=-90, settled=-60, state=WriteState.DONE),
        a_write("w2", at=0, settled=1, state=WriteState.REJECTED),
    ]
    assert evidence_of(a_write(), [a_change()], others, PAID, now=after(60), quiet=QUIET)


def test_a_delete_is_shown_by_the_row_that_is_gone() -> None:
    write = a_write(method="DELETE")
    for op, shown in (("deleted", True), ("updated", False)):
        found = evidence_of(write, [a_change(op=op)], [], None, now=after(60), quiet=QUIET)
        assert (found is not None) is shown


def _values(dual: dict[str, Any], body: Any, **ids: str) -> Mapping[str, Any] | None:
    rules = DualRules.model_validate(dual)
    route = replace(PUT, dual=rules, ids=IdRules(request={f"/{k}": v for k, v in ids.items()}))
    return declared_values(route, TABLE, a_request("PUT", "/orders/7/status", body))


def test_values_are_those_that_the_route_pairs_with_the_row() -> None:
    read = {"target": "/orders/{order_id}", "compare": {"/status": "/to", "/sum": "/amount"}}
    assert _values({"read": read}, {"to": "paid", "amount": 12.5}) == {
        "state": "paid",
        "total": 12.5,
    }
    assert _values({"read": read}, {"to": "paid"}) is None, "a declared pair has no value"
    unmapped = {**read, "compare": {"/status": "/to", "/colour": "/colour"}}
    assert _values({"read": unmapped}, {"to": "paid", "colour": 1}) is None
    assert _values({}, {"status": "paid", "other": 1}) == {"state": "paid"}
    assert _values({}, {"status": "7"}, status="order") is None, "ids differ between the sides"
    assert _values({}, {"other": 1}) is None


@pytest.mark.parametrize(
    ("held", "wanted", "equal"),
    [
        ("12.50", 12.5, True),
        ("12.50", 12, False),
        (1, True, False),
        ("x", 1, False),
        (None, "", False),
    ],
)
def test_values_are_compared_as_json_and_exact_numbers_as_numbers(
    held: Any, wanted: Any, equal: bool
) -> None:
    change = a_change(after={"total": held}, changed=frozenset({"total"}))
    values = {"total": wanted}
    found = evidence_of(a_write(), [change], [], values, now=after(60), quiet=QUIET)
    assert (found is not None) is equal


def a_replay(intent_id: str = "r1", **more: Any) -> JournalledWrite:
    return a_write(intent_id, **{"authority": Side.MODERN, "state": WriteState.DONE, **more})


@pytest.mark.parametrize(
    ("change", "mark", "echo"),
    [
        (a_change(), None, Echo.SAME),
        (a_change(at=2.9), None, Echo.SAME),
        (a_change(at=3.1), None, Echo.NONE),  # Past its window.
        (a_change(at=-2.1), None, Echo.NONE),
        (a_change(after={"state": "sent"}), None, Echo.POSSIBLE),  # The application may derive it.
        (a_change(op="read"), None, Echo.NONE),
        (a_change(after={"state": "x", "by": "r1"}), "by", Echo.MARKED),
        (
            a_change(after={"state": "paid", "by": None}),
            "by",
            Echo.NONE,
        ),  # The same value, unmarked.
        (a_change(after={"state": "paid", "by": "r0"}), "by", Echo.NONE),  # An older replay's mark.
        (a_change(at=60, after={"state": "paid", "by": "r1"}), "by", Echo.NONE),  # Left behind.
        (a_change(op="deleted"), "by", Echo.POSSIBLE),  # A row that is gone carries no mark.
    ],
)
def test_an_echo_is_known_by_its_mark_else_by_key_values_and_time(
    change: RowChange, mark: str | None, echo: Echo
) -> None:
    heard = echo_of(change, Side.LEGACY, [(a_replay(), PAID)], now=after(99), mark=mark)
    assert heard.echo is echo
    assert heard.intent_id == (None if echo is Echo.NONE else "r1")


def test_only_replays_to_the_side_of_the_change_have_an_echo_there() -> None:
    own = [(a_replay(authority=Side.LEGACY), PAID)]
    assert echo_of(a_change(), Side.LEGACY, own, now=after(99)).echo is Echo.NONE
    assert echo_of(a_change(), Side.MODERN, own, now=after(99)).echo is Echo.SAME
    refused = [(a_replay(state=WriteState.REJECTED), PAID)]
    assert echo_of(a_change(), Side.LEGACY, refused, now=after(99)).echo is Echo.NONE


def test_a_replay_that_is_still_to_come_has_its_echo_until_then() -> None:
    waiting = [(a_replay(state=WriteState.PARKED), PAID)]
    assert echo_of(a_change(at=50), Side.LEGACY, waiting, now=after(49)).echo is Echo.SAME
    assert echo_of(a_change(at=50), Side.LEGACY, waiting, now=after(40)).echo is Echo.NONE


def test_the_order_of_changes_and_writes_does_not_matter() -> None:
    sent: Mapping[str, Any] = {"state": "sent"}
    writes = [(a_replay("r1"), PAID), (a_replay("r2", at=1, settled=2), sent)]
    changes = [a_change(1), a_change(2, at=1.5, after={"state": "sent"})]
    for some in permutations(writes):
        for order in permutations(changes):
            heard = {one.entry: echo_of(one, Side.LEGACY, some, now=after(99)) for one in order}
            assert {entry: one.intent_id for entry, one in heard.items()} == {1: "r1", 2: "r2"}
            assert {one.echo for one in heard.values()} == {Echo.SAME}


def test_the_same_value_at_the_same_time_cannot_be_told_apart_without_a_mark() -> None:
    echo, other = a_change(1), a_change(2, at=0.7)
    for change in (echo, other):
        assert echo_of(change, Side.LEGACY, [(a_replay(), PAID)], now=after(9)).echo is Echo.SAME
    marked = echo._replace(after={**echo.after, "by": "r1"})
    unmarked = other._replace(after={**other.after, "by": None})
    heard = [
        echo_of(change, Side.LEGACY, [(a_replay(), PAID)], now=after(9), mark="by").echo
        for change in (marked, unmarked)
    ]
    assert heard == [Echo.MARKED, Echo.NONE]
