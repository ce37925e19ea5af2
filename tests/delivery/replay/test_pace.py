"""The rate of a replay."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.replay.pace import Pace


@given(
    st.integers(min_value=1, max_value=50_000),
    st.lists(st.floats(min_value=0, max_value=5, allow_nan=False), max_size=60),
)
def test_no_more_leave_than_the_rate_allows(rate: int, steps: list[float]) -> None:
    now, left = 100.0, 0
    pace = Pace(rate, now)
    for step in steps:
        now += step
        allowed = pace.allowed(now)
        pace.spend(allowed)
        left += allowed
        assert left <= rate * (now - 100.0) + 1 + 1e-6 * left
        assert allowed <= max(rate * 0.1, 1) + 1


@given(st.integers(min_value=1, max_value=50_000))
def test_who_waits_as_told_gets_the_rate(rate: int) -> None:
    now, left = 0.0, 0
    pace = Pace(rate, now)
    while left < 200:
        now += pace.wait_s(now) + 1e-9
        allowed = pace.allowed(now)
        assert allowed >= 1
        pace.spend(allowed)
        left += allowed
    assert now <= left / rate + 1e-3


def test_a_clock_that_stands_or_goes_back_gives_nothing() -> None:
    pace = Pace(10, 50.0)
    pace.spend(pace.allowed(50.0))
    assert pace.allowed(50.0) == 0
    assert pace.allowed(40.0) == 0
    assert pace.allowed(50.11) == 1
