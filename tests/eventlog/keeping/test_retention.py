"""Keys go by class and age, never below a floor, never under a hold; entries stay."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.eventlog.keeping.reapplying import reapply
from bridge.eventlog.keeping.retention import FLOORS, ClassRule, Retention, due_before
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.runtime.wiring.erasing import KeepingService, holds
from bridge.runtime.wiring.stores import Stores
from tests.eventlog.keeping.shop import Capture, change, settings
from tests.eventlog.keeping.test_erasing import ANA, readable
from tests.waiting import RecordingObserver

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULES = {"customer-data": ClassRule(keep_days=365)}


def capture_years(stores: Stores) -> None:
    """Capture customers 1 to 4, each in a year of its own from 2023 on."""
    capture = Capture(stores)
    for number in (1, 2, 3, 4):
        capture.append([change(number)], datetime(2022 + number, 12, 31, 23, 59, tzinfo=UTC))


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 36_525))
def test_nothing_is_due_before_its_time(today: date, keep_days: int) -> None:
    before = due_before(today, keep_days)
    assert (today - date(before, 1, 1)).days >= keep_days
    assert (today - date(before + 1, 1, 1)).days < keep_days


def test_old_keys_go_and_the_person_lives_on(stores: Stores) -> None:
    capture_years(stores)
    capture = Capture(stores)
    capture.append([change(1)], NOW)  # Customer 1 again, this year.
    before = stores.event_log().read(0, 10)
    retention = Retention(stores.keeping().store(), stores.event_log(), RULES, lambda: NOW)
    assert retention.run() == {"customer-data": 2}
    assert readable(stores) == {1, 3, 4}
    assert retention.run() == {"customer-data": 0}
    *same, entry = stores.event_log().read(0, 10)
    assert same == before
    told = json.loads(entry.leaf)["fields"]
    assert (entry.kind, told["class"], told["periods"], len(told["keys"])) == (
        EntryKind.RETENTION, "customer-data", [2023, 2024], 2,
    )  # fmt: skip


def test_a_class_without_a_rule_is_kept(stores: Stores) -> None:
    capture_years(stores)
    rules = {"another": ClassRule(keep_days=1)}
    retention = Retention(stores.keeping().store(), stores.event_log(), rules, lambda: NOW)
    assert retention.run() == {"another": 0}
    assert readable(stores) == {1, 2, 3, 4}


def test_a_hold_keeps_what_is_due_until_it_is_lifted(stores: Stores) -> None:
    capture_years(stores)
    person = stores.keeping().pseudonyms.person("customer", "1")
    hold = holds(stores).place(ANA, subject=person, record_class=None)
    retention = Retention(stores.keeping().store(), stores.event_log(), RULES, lambda: NOW)
    assert retention.run() == {"customer-data": 1}
    assert retention.run() == {"customer-data": 0}
    entries = [e for e in stores.event_log().read(0, 99) if e.kind is EntryKind.RETENTION]
    told = [json.loads(entry.leaf)["fields"] for entry in entries]
    # The conflict is told once, not daily.
    assert [(one["outcome"], one["held"]) for one in told] == [("refused", 1), ("done", 1)]
    assert readable(stores) == {1, 3, 4}
    holds(stores).lift(hold.hold_id, ANA)
    assert retention.run() == {"customer-data": 1}
    assert readable(stores) == {3, 4}


def test_a_run_that_died_behind_its_entry_is_completed(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture_years(stores)
    store = stores.keeping().store()

    def dies(key_ids: object, ended_by: str) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store, "destroy", dies)
        with pytest.raises(KeyboardInterrupt):
            Retention(store, stores.event_log(), RULES, lambda: NOW).run()
    assert readable(stores) == {1, 2, 3, 4}
    assert reapply(store, stores.event_log()) == 2
    assert readable(stores) == {3, 4}


def test_the_log_role_retains(tmp_path: Path) -> None:
    rules = {"customer-data": {"keep_days": 365}}
    with Stores(settings(tmp_path, retention=rules)) as stores:
        capture_years(stores)
        KeepingService(stores, observer=RecordingObserver(), clock=lambda: NOW).step()
        assert readable(stores) == {3, 4}


def test_settings_below_a_floor_name_both_numbers(tmp_path: Path) -> None:
    floor = FLOORS["jp-electronic-books"]
    below = {"c": {"keep_days": floor.days - 1, "floors": ["jp-electronic-books"]}}
    with pytest.raises(ConfigInvalid, match=rf"for {floor.days - 1} days.*at least {floor.days} "):
        settings(tmp_path, retention=below)
    at = {"c": {"keep_days": floor.days, "floors": ["jp-electronic-books"]}}
    settings(tmp_path, retention=at)
    with pytest.raises(ConfigInvalid, match="known are"):
        settings(tmp_path, retention={"c": {"keep_days": 9, "floors": ["no-such-floor"]}})
    own = {"ours": {"days": 10, "source": "contract 7"}}
    with pytest.raises(ConfigInvalid, match="contract 7"):
        settings(tmp_path, floors=own, retention={"c": {"keep_days": 9, "floors": ["ours"]}})
