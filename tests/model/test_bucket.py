"""One bucket of tokens: the rate of replays, and of copies to a shadow."""

import random

from hypothesis import given
from hypothesis import strategies as st

from bridge.model.bucket import Bucket


@given(
    st.integers(min_value=1, max_value=50_000),
    st.lists(st.floats(min_value=0, max_value=5, allow_nan=False), max_size=60),
)
def test_no_more_leave_than_the_rate_allows(rate: int, steps: list[float]) -> None:
    now, left = 100.0, 0
    pace = Bucket(rate, full=rate * 0.1, level=1.0, now=now)
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
    pace = Bucket(rate, full=rate * 0.1, level=1.0, now=now)
    while left < 200:
        now += pace.wait_s(now) + 1e-9
        allowed = pace.allowed(now)
        assert allowed >= 1
        pace.spend(allowed)
        left += allowed
    assert now <= left / rate + 1e-3


def test_a_clock_that_stands_or_goes_back_gives_nothing() -> None:
    pace = Bucket(10, full=1.0, level=1.0, now=50.0)
    pace.spend(pace.allowed(50.0))
    assert pace.allowed(50.0) == 0
    assert pace.allowed(40.0) == 0
    assert pace.allowed(50.11) == 1


def test_it_gives_its_rate_and_holds_one_second() -> None:
    chance, now, taken = random.Random(1), 0.0, 0
    bucket = Bucket.of_a_second(50, now)
    while now < 100:
        now += chance.random() * 0.01
        taken += bucket.take(now)
    assert 5_000 <= taken <= 5_051
    assert sum(bucket.take(now + 3_600) for _ in range(1_000)) == 50


def test_less_than_one_a_second_is_one_now_and_then() -> None:
    bucket = Bucket.of_a_second(0.5, 0.0)
    assert [bucket.take(now) for now in (0.0, 1.0, 2.0, 3.0, 4.0, 100.0, 100.0)] == [
        True, False, True, False, True, True, False,
    ]  # fmt: skip
