"""What is decided without a clock or a socket: buckets, limits, breakers, lines, budgets."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.protection.adaptive_limit import AdaptiveLimit
from bridge.gateway.protection.breaker import Breaker, BreakerState
from bridge.gateway.protection.retry_budget import BURST, RetryBudget
from bridge.gateway.protection.shared_spending import SharedSpending
from bridge.gateway.protection.token_bucket import TokenBuckets
from bridge.gateway.protection.waiting_line import WaitingLine
from bridge.gateway.routes.sections.protection import ClientPlace, Priority, RateLimit


@given(
    st.integers(1, 20),
    st.floats(0.5, 50),
    st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(
    burst: int, rate: float, pauses: list[float]
) -> None:
    buckets = TokenBuckets(rate, burst)
    now = given_out = 0.0
    for pause in pauses:
        now += pause
        given_out += buckets.take("a", now).ok
        assert given_out <= burst + rate * now + 1e-6


def test_a_bucket_tells_how_long_to_wait_and_clients_have_their_own() -> None:
    buckets = TokenBuckets(2.0, 1)
    assert buckets.take("a", 10.0) == (True, 0, 0.0)
    refused = buckets.take("a", 10.1)
    assert not refused.ok
    assert refused.wait_s == pytest.approx(0.4)
    assert buckets.take("b", 10.1).ok
    assert buckets.take("a", 10.1 + refused.wait_s).ok


def test_the_bucket_used_longest_ago_makes_room() -> None:
    buckets = TokenBuckets(0.001, 1, buckets_max=2)
    for key in ("a", "b", "a", "c"):
        buckets.take(key, 1.0)
    assert len(buckets) == 2
    assert not buckets.take("a", 1.0).ok
    assert buckets.take("b", 1.0).ok


def test_workers_share_a_rate_without_a_lock(tmp_path: Path) -> None:
    slots = [SharedSpending(tmp_path / "spending", slot, 3) for slot in range(3)]
    workers = [TokenBuckets(10.0, 5, spending=each, salt="route") for each in slots]
    for worker in workers:
        worker.take("a", 0.0)
    passed = 0
    for tick in range(1, 1_001):
        passed += sum(worker.take("a", tick / 100).ok for worker in workers)
    # 100 in ten seconds, and the burst that each worker gives before it has heard of the others.
    assert 100 <= passed <= 100 + 3 * 5
    other = TokenBuckets(10.0, 5, spending=slots[0], salt="another route")
    assert other.take("a", 10.0).ok
    for each in slots:
        each.close()


def test_a_restarted_worker_goes_on_in_its_slot(tmp_path: Path) -> None:
    first, second = (SharedSpending(tmp_path / "spending", slot, 2) for slot in range(2))
    first.note(7)
    first.close()
    again = SharedSpending(tmp_path / "spending", 0, 2)
    again.note(7)
    assert second.others(7) == 2
    assert again.others(7) == 0
    again.close()
    second.close()


def test_the_limit_shrinks_as_answers_slow_down_and_recovers() -> None:
    limit = AdaptiveLimit(most=200)
    for _ in range(200):
        limit.answered("a", 0.01, limit.limit)
    grown = limit.limit
    assert grown > 100
    for _ in range(100):
        limit.answered("a", 0.2, limit.limit)
    assert limit.limit < grown / 2
    shrunk = limit.limit
    for _ in range(400):
        limit.answered("a", 0.01, limit.limit)
    assert limit.limit > shrunk
    for _ in range(200):
        limit.failed()
    assert limit.limit == 1


def test_the_limit_learns_nothing_while_it_holds_nobody_back() -> None:
    limit = AdaptiveLimit(most=200)
    before = limit.limit
    for _ in range(500):
        limit.answered("a", 0.01, 1)
    assert limit.limit == before
    fixed = AdaptiveLimit(most=7, adaptive=False)
    fixed.failed()
    assert fixed.limit == 7


def test_a_route_that_always_takes_long_is_no_overload() -> None:
    limit = AdaptiveLimit(most=200)
    for _ in range(300):
        limit.answered("quick", 0.001, limit.limit)
        limit.answered("report", 1.0, limit.limit)
    assert limit.limit > 100


def test_an_upstream_that_became_slower_for_good_is_learnt_at_the_bottom() -> None:
    limit = AdaptiveLimit(most=50)
    for _ in range(100):
        limit.answered("a", 0.01, limit.limit)
    seen = []
    for _ in range(1_000):
        limit.answered("a", 0.1, limit.limit)
        seen.append(limit.limit)
    assert min(seen) <= 3
    assert limit.limit > 3 * min(seen)


def breaker() -> Breaker:
    return Breaker(share=0.5, count_min=4, window_s=10, rest_s=5)


def opened() -> Breaker:
    found = breaker()
    for _ in range(4):
        found.ended(1.0, found.epoch, failed=True)
    assert found.state is BreakerState.OPEN
    return found


def test_a_breaker_opens_at_its_share_and_not_before_its_count() -> None:
    found = breaker()
    for failed in (True, True, True):
        assert not found.ended(1.0, found.epoch, failed=failed)
    assert found.let_through(1.0)
    found = breaker()
    for failed in (False, False, False, True, False, True, False, True):
        assert not found.ended(1.0, found.epoch, failed=failed)
    assert found.state is BreakerState.CLOSED
    assert not found.ended(12.5, found.epoch, failed=True)  # The others are out of the window.


def test_a_breaker_takes_in_what_was_added_up_as_well() -> None:
    found = breaker()
    found.well += 6  # As many as that went well since it was looked at.
    for _ in range(5):
        assert not found.ended(1.0, found.epoch, failed=True)
    assert found.ended(1.0, found.epoch, failed=True)  # 6 of 12.
    found = breaker()
    found.well += 6
    found.look(1.0)
    assert found.well == 0
    for _ in range(3):
        assert not found.ended(12.0, found.epoch, failed=True)
    assert found.ended(12.0, found.epoch, failed=True)  # They are out of the window.
    found.well += 6
    assert found.let_through(17.0)
    assert found.well == 0, "what was sent before the rest tells nothing of now"


def test_a_breaker_lets_one_probe_through() -> None:
    found = opened()
    assert not found.let_through(5.9)
    assert found.let_through(6.0)
    assert not found.let_through(6.1)
    old = found.epoch - 1
    assert not found.ended(6.2, old, failed=False)  # Sent before the rest: it tells nothing.
    assert found.ended(6.3, found.epoch, failed=True)
    assert not found.let_through(6.3 + 9.9)
    assert found.let_through(6.3 + 10)
    found.withdraw(found.epoch)
    assert found.let_through(6.3 + 10.1)
    assert found.ended(17, found.epoch, failed=False)
    assert found.let_through(17.0)


def test_a_line_sheds_the_lowest_priority_first() -> None:
    line: WaitingLine[str] = WaitingLine(3)
    assert line.join("low", Priority.LOW, 1) is None
    assert line.join("normal", Priority.NORMAL, 2) is None
    assert line.join("low 2", Priority.LOW, 3) is None
    assert line.join("low 3", Priority.LOW, 3) == "low 3"
    assert line.join("high", Priority.HIGH, 4) == "low 2"
    assert line.join("normal 2", Priority.NORMAL, 5) == "low"
    assert line.join("normal 3", Priority.NORMAL, 5) == "normal 3"
    assert len(line) == 3
    assert line.leave("normal 2")
    assert not line.leave("normal 2")
    assert line.late(3) == ["normal"]
    assert [line.next(), line.next()] == ["high", None]
    assert len(line) == 0


def test_repeats_are_a_fifth_of_the_calls(tmp_path: Path) -> None:
    slots = [SharedSpending(tmp_path / "spending", slot, 2) for slot in range(2)]
    one, two = (RetryBudget("legacy", each) for each in slots)
    spent = 0
    for _ in range(1_000):
        one.earn()
        spent += one.spend(0.0) + two.spend(0.0)
    # Both count the calls and repeats of both; each begins with a burst.
    assert 200 <= spent <= 200 + 2 * BURST
    for each in slots:
        each.close()


def test_a_limit_s_rate_and_place_are_checked() -> None:
    assert RateLimit(requests=30, per_s=60).rate == 0.5
    with pytest.raises(ValueError, match="one of header"):
        ClientPlace()
    with pytest.raises(ValueError, match="one of header"):
        ClientPlace(header="X-Api-Key", address=True)
