"""The checker finds each kind of broken promise, and nothing in a run that broke none."""

import random

import pytest

from tests.gateway.dual.killing.checker import Broken, check
from tests.gateway.dual.killing.history import (
    Evidence,
    Execution,
    Kind,
    Operation,
    Record,
    Told,
)
from tests.gateway.dual.killing.register import NEVER, Step, brute_force, faults


def _write(value: str, at: float, told: Told = Told.DONE, key: str = "1") -> Operation:
    return Operation(0, Kind.WRITE, key, value, at, at + 1, told, f"i-{value}")


def _read(value: str, at: float) -> Operation:
    return Operation(1, Kind.READ, "1", value, at, at + 1, Told.DONE)


def _did(*values: str, key: str = "1") -> tuple[Execution, ...]:
    return tuple(Execution(key, value, f"k-{value}") for value in values)


SOUND = Evidence(
    operations=(
        _write("a", 0),
        _read("a", 2),
        _write("b", 4, Told.DOUBT),
        _write("c", 6),
        _write("d", 8, Told.REFUSED),
        _write("e", 10, Told.NOTHING),
        _read("c", 12),
    ),
    legacy=_did("a", "b", "c"),
    modern=_did("a", "b", "c", key="m-1"),
    pairs={"1": "m-1"},
    journal=(
        Record("i-a", "a", "done"),
        Record("i-b", "b", "done"),
        Record("i-c", "c", "done"),
        Record("i-e", "e", "failed"),
    ),
    listed=frozenset({"i-b", "i-e"}),
    initial={"1": "new"},
)


def test_a_sound_run_breaks_nothing() -> None:
    assert check(SOUND) == []


@pytest.mark.parametrize(
    ("broken", "evidence"),
    [
        (Broken.LOST, SOUND._replace(modern=_did("a", "b", key="m-1"))),
        (Broken.LOST, SOUND._replace(legacy=_did("a", "b"))),
        (Broken.ORDER, SOUND._replace(modern=_did("a", "c", "b", key="m-1"))),
        (Broken.ORDER, SOUND._replace(modern=_did("a", "b", "c", "b", key="m-1"))),
        (Broken.UNSEEN, SOUND._replace(legacy=_did("a", "b", "c", "x"))),
        (Broken.UNSEEN, SOUND._replace(modern=_did("a", "b", "c", "e", key="m-1"))),
        (Broken.UNSEEN, SOUND._replace(pairs={})),
        (Broken.UNSEEN, SOUND._replace(pairs={"1": "m-2"})),
        (
            Broken.UNLISTED,
            SOUND._replace(listed=frozenset({"i-e"}), journal=SOUND.journal[:1]),
        ),
        (Broken.TWICE, SOUND._replace(modern=_did("a", "b", "b", "c", key="m-1"))),
        (Broken.REFUSED, SOUND._replace(legacy=_did("a", "b", "c", "d"))),
        (Broken.HISTORY, SOUND._replace(operations=(*SOUND.operations, _read("a", 14)))),
        (Broken.HISTORY, SOUND._replace(operations=(*SOUND.operations, _read("z", 14)))),
        (Broken.UNFINISHED, SOUND._replace(journal=(*SOUND.journal, Record("i", "x", "parked")))),
        (Broken.UNFINISHED, SOUND._replace(journal=(Record("i", "x", "in_doubt"),))),
    ],
)
def test_each_kind_of_broken_promise_is_found(broken: Broken, evidence: Evidence) -> None:
    assert broken in {violation.broken for violation in check(evidence)}


def test_a_register_is_judged_as_a_search_through_all_orders_judges_it() -> None:
    chance = random.Random(7)
    verdicts = []
    for _ in range(3_000):
        steps = []
        for number in range(chance.randrange(1, 7)):
            begin = chance.randrange(12)
            end = NEVER if chance.random() < 0.15 else begin + chance.randrange(1, 6)
            if chance.random() < 0.5:
                steps.append(Step(True, f"v{number}", begin, end))
            else:
                value = chance.choice(["new", *(f"v{n}" for n in range(6))])
                steps.append(Step(False, value, begin, end))
        # Times of real clocks do not meet; those of this draw must not either.
        steps = [
            step._replace(invoked=step.invoked + n / 100, returned=step.returned + n / 100 + 0.005)
            for n, step in enumerate(steps)
        ]
        expected = brute_force(steps, "new")
        assert (faults(steps, "new") == []) is expected, steps
        verdicts.append(expected)
    assert 300 < sum(verdicts) < 2_700
