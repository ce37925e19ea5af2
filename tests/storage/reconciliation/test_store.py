"""Every `FindingStore` keeps findings, walks and bypasses alike."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.gateway.reconciliation.findings import (
    Bypass,
    Divergence,
    Finding,
    FindingState,
    Progress,
    RangeDigest,
)
from bridge.gateway.reconciliation.ports import FindingStore, KeyPlace
from bridge.model.stage import Side
from bridge.storage.reconciliation.memory import MemoryFindingStore
from bridge.storage.reconciliation.sqlite import SqliteFindingStore

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
FINDING = Finding(
    group="orders",
    entity="order",
    key="7",
    divergence=Divergence.CHANGED,
    authority=Side.LEGACY,
    digest_authority="aa",
    digest_other="bb",
    fields=("/status", "/total"),
    found_at=NOON,
    seen_at=NOON,
    origin="walk",
)


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FindingStore]:
    made: SqliteFindingStore | MemoryFindingStore
    if request.param == "sqlite":
        made = SqliteFindingStore(tmp_path / "reconciliation.db")
    else:
        made = MemoryFindingStore()
    with closing(made):
        yield made


def test_a_finding_keeps_when_it_was_found_first(store: FindingStore) -> None:
    store.found(FINDING)
    later = NOON + timedelta(hours=1)
    again = replace(FINDING, found_at=later, seen_at=later, digest_other="cc", origin="write")
    store.found(again)
    assert store.finding("orders", "order", "7") == replace(again, found_at=NOON)
    assert store.finding("orders", "order", "8") is None


def test_findings_are_listed_newest_first_and_counted(store: FindingStore) -> None:
    store.found(FINDING)
    store.found(replace(FINDING, key="8", found_at=NOON + timedelta(seconds=1)))
    store.found(replace(FINDING, group="carts"))
    store.mark("orders", "order", "8", FindingState.ACCEPTED, reason="agreed")
    assert [one.key for one in store.findings(group="orders")] == ["8", "7"]
    assert [one.key for one in store.findings(state=FindingState.ACCEPTED)] == ["8"]
    assert len(store.findings(count_max=2)) == 2
    assert not store.findings(entity="customer")
    assert list(store.counts()) == [
        ("carts", "order", FindingState.OPEN, 1),
        ("orders", "order", FindingState.ACCEPTED, 1),
        ("orders", "order", FindingState.OPEN, 1),
    ]


def test_what_no_longer_differs_is_forgotten(store: FindingStore) -> None:
    store.found(FINDING)
    assert store.agrees("orders", "order", "7")
    assert not store.agrees("orders", "order", "7")
    assert not store.findings()


def test_a_repaired_finding_that_still_differs_is_open_again(store: FindingStore) -> None:
    assert not store.mark("orders", "order", "7", FindingState.REPAIRED)
    store.found(FINDING)
    assert store.mark("orders", "order", "7", FindingState.REPAIRED, repair="intent-1")
    (repaired,) = store.findings()
    assert (repaired.state, repaired.repair) == (FindingState.REPAIRED, "intent-1")
    store.found(FINDING)
    assert store.findings()[0].state is FindingState.OPEN


def test_an_accepted_finding_stays_so_while_it_is_the_same(store: FindingStore) -> None:
    missing = replace(FINDING, digest_other=None, divergence=Divergence.MISSING)
    store.found(missing)
    store.mark("orders", "order", "7", FindingState.ACCEPTED, reason="agreed")
    store.found(missing)
    assert store.findings()[0].state is FindingState.ACCEPTED
    store.found(FINDING)
    assert store.findings()[0].state is FindingState.OPEN


def test_walks_and_ranges_are_kept(store: FindingStore) -> None:
    walk = Progress("orders", "order", "ids", 40, 2, 40, 1, 3, NOON, None)
    digest = RangeDigest("orders", "order", "ids", 1, 40, 40, "aa", "bb", NOON)
    store.move(walk, digest)
    store.move(walk._replace(cursor=80), digest._replace(first=41, last=80, at=NOON))
    store.move(walk._replace(cursor=80, moved_at=NOON))
    assert list(store.progress()) == [walk._replace(cursor=80, moved_at=NOON)]
    assert [one.first for one in store.ranges("orders", "order")] == [1, 41]
    store.move(walk, digest._replace(digest_other="aa", at=NOON + timedelta(hours=1)))
    newest = store.ranges("orders", "order", 1)[0]
    assert (newest.first, newest.digest_other) == (1, "aa")


def test_captured_keys_and_bypasses_come_with_the_readers_place(store: FindingStore) -> None:
    bypass = Bypass("orders", "order", "shop.order", NOON, 2, NOON, NOON, "7", 41)
    assert store.cursor("capture") == 0
    store.seen("capture", 50, [("shop.order", "7"), ("shop.order", "9")], [bypass])
    later = NOON + timedelta(minutes=5)
    store.seen(
        "capture",
        60,
        [("shop.order", "7"), ("shop.cart", "1")],
        [bypass._replace(changes=3, first_at=later, last_at=later, key="9", entry=55)],
    )
    assert store.cursor("capture") == 60
    keys = store.captured_keys("shop.order", 0, 10)
    assert [one.key for one in keys] == ["7", "9"]
    assert store.captured_keys("shop.order", keys[0].place, 10) == [KeyPlace(keys[1].place, "9")]
    (found,) = store.bypasses(group="orders")
    assert (found.changes, found.first_at, found.last_at, found.key) == (5, NOON, later, "9")
    assert not store.bypasses(group="carts")
    assert store.prune(NOON + timedelta(days=1)) == 1
    assert not store.bypasses()
