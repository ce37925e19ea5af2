"""Pace, bucket, budget and counts by themselves."""

import pytest

from bridge.gateway.shadow.copied_request import is_marked
from bridge.gateway.shadow.counts import RouteCounts
from bridge.gateway.shadow.limits import Budget, BudgetCopy
from bridge.gateway.shadow.pace import Pace


def test_the_pace_falls_quickly_and_comes_back_slowly() -> None:
    pace = Pace(64)
    now, falls = 0.0, 0
    while pace.limit > 1:
        now += 1
        pace.failed(now - 0.5, now)
        falls += 1
    assert falls < 15
    rounds = 0
    while pace.limit < 64:
        for _ in range(pace.limit):
            pace.answered(0.01, now, now)
        rounds += 1
    assert 50 < rounds < 90


def test_one_bad_moment_is_one_decrease() -> None:
    pace = Pace(64)
    for _ in range(64):  # All of them began before the first of them failed.
        pace.failed(1.0, 2.0)
    assert pace.limit == 44


@pytest.mark.parametrize(
    ("authority_s", "copy_s", "lowered"),
    [(0.001, 0.2, False), (0.001, 0.3, True), (0.4, 0.9, False), (0.4, 1.5, True)],
)
def test_slow_is_relative_to_the_authority_and_not_only(
    authority_s: float, copy_s: float, lowered: bool
) -> None:
    pace = Pace(8)
    for _ in range(200):
        pace.authority_took(authority_s)
    pace.answered(copy_s, 1.0, 1.0 + copy_s)
    assert pace.lowered is lowered


def test_a_copy_over_a_bound_holds_nothing() -> None:
    budget = Budget(10)
    first, second = BudgetCopy(8, budget), BudgetCopy(8, budget)
    assert first.add(b"12345")
    assert second.add(b"1234")
    assert not second.add(b"12")
    assert budget.held == 5
    assert not first.add(b"1234")
    assert budget.held == 0
    assert first.body == second.body == b""


def test_marks_are_found_whatever_proxy_wrote_them() -> None:
    assert is_marked(b"Host: a\r\nLegacy-Bridge-Shadow: copy\r\n")
    assert is_marked(b"legacy-bridge-shadow: probe\r\nHost: a\r\n")
    assert not is_marked(b"Host: a\r\nX: Legacy-Bridge-Shadow\r\n")


def test_latencies_keep_their_quantiles() -> None:
    counts = RouteCounts()
    for milliseconds in (0.01, 0.8, 15.0, 15.0, 1e9):
        counts.took("legacy", "all", milliseconds)
    times = counts.latencies["legacy", "all"]
    found = [took for took, count in times.each() for _ in range(count)]
    assert found[1:4] == pytest.approx([0.8, 15.0, 15.0], rel=0.06)
    assert dict(times.coarse()) == {"1": 2, "20": 2, "more": 1}
