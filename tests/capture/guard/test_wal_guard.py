"""The guard's rules: levels, hysteresis, time left, stalls; readings in, assessments out."""

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from bridge.capture.guard.wal_guard import (
    Assessment,
    GuardLevel,
    GuardLimits,
    SlotReading,
    WalGuard,
)

MB = 1 << 20
LIMITS = GuardLimits(
    warning_bytes=100 * MB,
    critical_bytes=200 * MB,
    warning_left_s=600,
    critical_left_s=60,
    stall_s=30,
)
OK, WARNING, CRITICAL = GuardLevel.OK, GuardLevel.WARNING, GuardLevel.CRITICAL


class Source:
    """A server whose slot stands still while it writes."""

    def __init__(self, guard: WalGuard, safe_bytes: int | None = None) -> None:
        self.guard = guard
        self.reading = SlotReading(
            at_s=0.0,
            position=0,
            restart_lsn=0,
            confirmed=0,
            wal_status="reserved",
            safe_bytes=safe_bytes,
            active=True,
            sent=0,
        )

    def at(self, retained: int, *, after_s: float = 10.0, **changes: Any) -> Assessment:
        """Feed a reading `after_s` later with so much WAL retained."""
        before = self.reading
        safe = before.safe_bytes
        self.reading = replace(
            before,
            at_s=before.at_s + after_s,
            position=max(before.position, retained),
            restart_lsn=max(before.position, retained) - retained,
            safe_bytes=None if safe is None else safe - (retained - _retained(before)),
            sent=max(before.position, retained),
            **changes,
        )
        return self.guard.feed(self.reading)


def _retained(reading: SlotReading) -> int:
    return reading.position - (reading.restart_lsn or 0)


def test_bytes_raise_the_level_when_they_last() -> None:
    source = Source(WalGuard(LIMITS))
    levels = [source.at(n * MB).level for n in (10, 120, 130, 210, 220, 230)]
    assert levels == [OK, OK, WARNING, WARNING, CRITICAL, CRITICAL]


def test_one_peak_between_two_checkpoints_is_no_alarm() -> None:
    source = Source(WalGuard(LIMITS))
    levels = [source.at(n * MB).level for n in (10, 120, 10, 120, 10, 120, 10)]
    assert set(levels) == {OK}


def test_a_level_does_not_flap_around_its_limit() -> None:
    source = Source(WalGuard(LIMITS, WARNING))
    levels = [source.at(n * MB).level for n in (99, 101, 95, 101, 90, 99, 85, 101)]
    assert set(levels) == {WARNING}
    levels = [source.at(n * MB).level for n in (79, 70, 60, 50)]
    assert levels == [WARNING, WARNING, OK, OK]


def test_critical_goes_down_by_steps() -> None:
    source = Source(WalGuard(LIMITS, CRITICAL))
    levels = [source.at(n * MB).level for n in (150, 150, 150, 10, 10, 10)]
    assert levels == [CRITICAL, CRITICAL, WARNING, WARNING, WARNING, OK]


def test_the_time_left_follows_the_rate() -> None:
    source = Source(WalGuard(LIMITS), safe_bytes=60 * MB)
    found = [source.at(n * MB) for n in range(1, 60)]  # 1 MB each 10 s
    assert found[0].left_s == inf  # One reading has no rate.
    at_20 = found[19]
    assert at_20.growth_bytes_per_s == pytest.approx(MB / 10, rel=0.05)
    assert at_20.left_s == pytest.approx(400, rel=0.1)
    assert at_20.level is WARNING
    assert "given up in about" in at_20.reasons[0]
    levels = [one.level for one in found]
    assert levels.index(WARNING) < levels.index(CRITICAL)
    assert found[levels.index(CRITICAL)].left_s <= 60


def test_wal_that_shrinks_leaves_all_time() -> None:
    source = Source(WalGuard(LIMITS), safe_bytes=60 * MB)
    found = [source.at(n * MB) for n in range(50, 10, -1)]
    assert found[-1].growth_bytes_per_s < 0
    assert found[-1].left_s == inf


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"wal_status": "lost"}, "was given up by the server"),
        ({"wal_status": "unreserved"}, "beyond max_slot_wal_keep_size"),
        ({"invalidation": "idle_timeout"}, r"given up by the server (idle_timeout)"),
        ({"exists": False}, "the slot is gone"),
    ],
)
def test_a_slot_in_danger_is_critical_at_once(changes: dict[str, Any], why: str) -> None:
    found = Source(WalGuard(LIMITS)).at(1 * MB, **changes)
    assert found.level is CRITICAL
    assert why in found.reasons[0]


def test_no_headroom_is_critical_at_once() -> None:
    found = Source(WalGuard(LIMITS), safe_bytes=0).at(1 * MB)
    assert found.level is CRITICAL
    assert found.headroom_bytes == 0


def test_a_sender_that_sends_nothing_is_a_stall() -> None:
    guard = WalGuard(LIMITS)
    reading = replace(Source(guard).reading, sent=5, wait_event="WaitForStandbyConfirmation")
    found = [
        guard.feed(replace(reading, at_s=10.0 * n, position=100 + n, restart_lsn=100))
        for n in range(7)
    ]
    assert [one.stalled for one in found] == [False, False, False, True, True, True, True]
    assert found[4].level is WARNING
    assert "synchronized_standby_slots" in found[4].reasons[0]
    caught_up = guard.feed(replace(reading, at_s=80.0, position=107, sent=107, restart_lsn=100))
    assert not caught_up.stalled


def test_an_idle_source_is_no_stall() -> None:
    guard = WalGuard(LIMITS)
    reading = Source(guard).reading
    for n in range(20):
        assert not guard.feed(replace(reading, at_s=10.0 * n, position=7, sent=7)).stalled


def test_giving_up_needs_a_limit_and_is_above_it() -> None:
    assert not Source(WalGuard(LIMITS)).at(10_000 * MB).give_up
    allowed = Source(WalGuard(replace(LIMITS, drop_slot_bytes=300 * MB)))
    assert not allowed.at(299 * MB).give_up
    assert allowed.at(300 * MB).give_up
    assert not allowed.at(300 * MB, exists=False).give_up


def test_another_server_begins_a_new_rate() -> None:
    source = Source(WalGuard(LIMITS), safe_bytes=100 * MB)
    for n in range(1, 10):
        source.at(n * MB)
    source.reading = replace(source.reading, position=0, restart_lsn=0)
    assert source.at(0).growth_bytes_per_s == 0
