"""What counts come to, and that its bounds hold however often one looks."""

import random

import pytest

from bridge.gateway.comparison.difference import Comparison, Difference, DifferenceKind, Outcome
from bridge.gateway.comparison.evidence import (
    discoveries,
    log_capital_above,
    lower_bound,
    upper_bound,
)
from bridge.gateway.comparison.judgement import Agreement, FieldState, wrong_fields
from bridge.gateway.comparison.latency import bucket_of, quantile_ms
from bridge.gateway.comparison.tally import FIELDS_COUNT_MAX, OTHER_FIELDS, Tally
from bridge.gateway.comparison.verdicts import Finding, Verdicts
from bridge.model.stage import Side
from tests.gateway.comparison.answers import rules

SAME = Comparison(Outcome.IDENTICAL)
ALPHA = 0.05


def differs(*fields: str) -> Comparison:
    found = tuple(Difference(field, DifferenceKind.VALUE, field, 1, 2) for field in fields)
    return Comparison(Outcome.MISMATCH, found)


def test_no_bound_is_fooled_by_looking_all_the_time() -> None:
    """Under the hypothesis, fewer than alpha of the runs ever cross: at 3,000 looks each."""
    runs, looks, share = 400, 3_000, 0.02
    chance = random.Random(20)
    crossed = 0
    for _ in range(runs):
        hits = 0
        for n in range(1, looks + 1):
            if chance.random() < share:
                hits += 1
                # The capital grows at hits alone: between them there is nothing to look at.
                if log_capital_above({1.0: hits, 0.0: n - hits}, share, -2.0) >= 2.9957:
                    crossed += 1
                    break
    assert crossed <= ALPHA * runs


@pytest.mark.parametrize("seed", range(10))
def test_bounds_hold_the_share_between_them(seed: int) -> None:
    chance = random.Random(seed)
    hits = sum(chance.random() < 0.03 for _ in range(4_000))
    seen = {1.0: hits, 0.0: 4_000 - hits}
    assert lower_bound(seen, ALPHA, -1.0) < 0.03 < upper_bound(seen, ALPHA)
    assert upper_bound(seen, ALPHA) - lower_bound(seen, ALPHA, -1.0) < 0.03


def test_three_thousand_and_a_half_without_a_mismatch_are_a_match() -> None:
    verdicts = Verdicts(rules())
    for _ in range(2_999):
        verdicts.add(SAME)
    assert verdicts.verdict().agreement is Agreement.OPEN, "below the minimum"
    for _ in range(800):
        verdicts.add(SAME)
    verdict = verdicts.verdict()
    assert verdict.agreement is Agreement.MATCH
    assert verdict.at_most <= 0.001


def test_without_comparisons_nothing_is_said() -> None:
    verdict = Verdicts(rules()).verdict()
    assert (verdict.agreement, verdict.at_least, verdict.at_most) == (Agreement.OPEN, 0.0, 1.0)
    assert verdict.sampled is None


def test_what_nobody_looked_at_again_counts_against_a_match_alone() -> None:
    verdicts = Verdicts(rules())
    for _ in range(5_000):
        assert verdicts.add(SAME) is Finding.EQUAL
    for _ in range(50):
        assert verdicts.add(differs("/a")) is Finding.UNCONFIRMED
    verdict = verdicts.verdict()
    assert (verdict.agreement, verdict.unconfirmed) == (Agreement.OPEN, 50)
    assert verdict.at_most > 0.005
    assert verdict.at_least == 0.0
    assert not verdict.wrong


def test_a_difference_that_a_second_look_does_not_find_is_flapping() -> None:
    verdicts = Verdicts(rules())
    assert verdicts.add(differs("/a"), again=SAME, second=SAME) is Finding.FLAPPING
    assert verdicts.add(differs("/a"), again=SAME, second=differs("/a")) is Finding.MISMATCH
    assert verdicts.add(differs("/a"), again=differs("/a")) is Finding.NOISE
    verdict = verdicts.verdict()
    assert (verdict.flapping, verdict.noise, verdict.fields[0].confirmed) == (1, 1, 1)


def test_known_noise_needs_no_second_look() -> None:
    verdicts = Verdicts(rules())
    assert verdicts.needs_second_look(differs("/id"))
    assert not verdicts.needs_second_look(SAME)
    for _ in range(200):
        verdicts.add(differs("/id"), again=differs("/id"), by_chance=True)
        verdicts.needs_second_look(differs("/id"))
    assert not verdicts.needs_second_look(differs("/id"))
    assert verdicts.needs_second_look(differs("/id", "/total"))
    assert verdicts.add(differs("/id")) is Finding.NOISE
    assert verdicts.verdict().fields[0].state is FieldState.NOISE


def test_probes_alone_teach_noise_too() -> None:
    verdicts = Verdicts(rules())
    for _ in range(100):
        verdicts.add_noise(differs("/id"))
        verdicts.add_noise(SAME)
    verdict = verdicts.verdict()
    assert (verdict.probes, verdict.fields[0].noisy) == (200, 100)
    assert verdict.fields[0].state is FieldState.NOISE
    assert verdict.compared == 0


def test_many_fields_do_not_make_a_false_one() -> None:
    """Fifty fields that differ by themselves once in twenty answers, looked at all the time."""
    chance = random.Random(5)
    given = rules()
    verdicts = Verdicts(given)
    fields = [f"/f{number}" for number in range(50)]

    def noise() -> Comparison:
        return differs(*(field for field in fields if chance.random() < 0.05))

    for number in range(1_500):
        by_chance = chance.random() < given.noise_fraction
        verdicts.add(noise(), again=noise(), by_chance=by_chance)
        if number % 100 == 0:
            assert not wrong_fields(verdicts.counts, given)


def test_discoveries_are_fewer_among_more_hypotheses() -> None:
    capitals = [9.0, 6.0, 1.0]
    assert discoveries(capitals, ALPHA, 3) == {0, 1}
    assert discoveries(capitals, ALPHA, 100) == {0}
    assert discoveries(capitals, ALPHA, 1_000) == set()


def test_fields_are_bounded() -> None:
    verdicts = Verdicts(rules())
    for number in range(3 * FIELDS_COUNT_MAX):
        verdicts.add(differs(f"/f{number}"))
    verdict = verdicts.verdict()
    assert len(verdict.fields) == FIELDS_COUNT_MAX
    assert OTHER_FIELDS in {one.field for one in verdict.fields}


def test_counts_of_workers_are_judged_together() -> None:
    together, workers = Tally(), [Verdicts(rules()) for _ in range(4)]
    for number in range(2_000):
        worker = workers[number % 4]
        worker.add(differs("/a") if number % 10 == 0 else SAME, again=SAME)
        if number % 100 == 0:
            together.update(worker.drain())
    for worker in workers:
        together.update(worker.drain())
        assert not worker.drain()
    verdict = Verdicts(rules(), together).verdict()
    assert (verdict.compared, verdict.agreement) == (2_000, Agreement.MISMATCH)
    assert verdict.wrong == ("/a",)
    assert verdict.fields[0].kinds == (("value", 200),)


def test_what_was_not_compared_and_which_rule_hid_how_much_is_shown() -> None:
    verdicts = Verdicts(rules())
    verdicts.add_requests(100)
    verdicts.add_shed("too many copies", 7)
    verdicts.add_order("after", 3, same=True)
    verdicts.add_order("after", same=False)
    verdicts.add_skew("after", 10.0, 4)
    verdicts.add_latency(Side.MODERN, 5.0, 2)
    verdicts.add_latency(Side.MODERN, 50.0, cohort="in")
    for number in range(10):
        hidden = (("clock", 2),) if number == 0 else ()
        verdicts.add(Comparison(Outcome.BY_RULES if hidden else Outcome.EQUAL, hidden=hidden))
    verdict = verdicts.verdict()
    assert (verdict.sampled, verdict.shed) == (0.1, (("too many copies", 7),))
    (order,) = verdict.orders
    assert (order.order, order.same, order.different) == ("after", 3, 1)
    assert order.skew_p50_ms == pytest.approx(10, rel=0.06)
    everybody, cohort = verdict.latencies
    assert (everybody.cohort, everybody.count, cohort.cohort, cohort.count) == ("all", 3, "in", 1)
    assert cohort.p50_ms == pytest.approx(50, rel=0.06)
    (use,) = verdict.rules
    assert (use.name, use.answers, use.differences, use.warned) == ("clock", 1, 2, True)
    for _ in range(30):
        verdicts.add(SAME)
    assert not verdicts.verdict().rules[0].warned


def test_latencies_are_told_per_side() -> None:
    verdicts = Verdicts(rules())
    for took_ms in range(1, 101):
        verdicts.add_latency(Side.LEGACY, took_ms)
        verdicts.add_latency(Side.MODERN, took_ms * 10)
    legacy, modern = verdicts.verdict().latencies
    assert legacy.p50_ms == pytest.approx(50, rel=0.06)
    assert modern.p99_ms == pytest.approx(990, rel=0.06)
    assert quantile_ms({}, 0.5) is None
    assert bucket_of(0.0) == 0
    assert bucket_of(1e9) == bucket_of(1e12)
