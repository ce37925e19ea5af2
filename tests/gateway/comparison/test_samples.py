"""Which differences become samples: each of a class with the same chance, and a few of each."""

import itertools
import random
from collections import Counter

from bridge.gateway.comparison.comparing import compare
from bridge.gateway.comparison.redaction import Redactor
from bridge.gateway.comparison.samples import Sampler
from bridge.gateway.comparison.verdicts import Finding
from bridge.gateway.openapi.checking import Fault
from tests.gateway.comparison.answers import answer, rules

RULES = rules(samples_count_max=10)


def sampler(seed: int) -> Sampler:
    numbers = itertools.count()
    return Sampler(
        "r", RULES, Redactor(RULES, b"k"), chance=random.Random(seed).random,
        new_id=lambda: f"s{next(numbers)}",
    )  # fmt: skip


def test_each_difference_of_a_class_is_offered_with_the_same_chance() -> None:
    """The k-th of a class is kept with 10/k, and so survives to the end like any other."""
    kept: Counter[int] = Counter()
    mine, theirs = answer({"a": 1}), answer({"a": 2})
    found = compare(mine, theirs, RULES)
    for seed in range(25):
        made = sampler(seed)
        for number in range(400):
            if made.sample(found, Finding.MISMATCH, mine, theirs, 0.0) is not None:
                kept[number // 100] += 1
    # 10/k summed up: 52 of the first hundred, 7 of the second, 4 and 3 of the others.
    expected = [sum(min(1, 10 / k) for k in range(lo + 1, lo + 101)) for lo in (0, 100, 200, 300)]
    for part, share in enumerate(expected):
        assert abs(kept[part] / 25 - share) < 0.2 * share + 1.5, (part, kept, expected)


def test_a_rare_class_is_kept_beside_a_frequent_one() -> None:
    made = sampler(1)
    mine = answer({"a": 1})
    classes: Counter[str] = Counter()
    for number in range(500):
        faults = [Fault("type", "/a")]
        if number % 100 == 99:
            faults.append(Fault("required", "/b"))
        sample = made.drift_sample({"legacy": (), "modern": faults}, mine, mine, 0.0)
        if sample is not None:
            classes[sample.difference] += 1
    assert classes["drift modern required /b"] == 5
    assert 10 <= classes["drift modern type /a"] < 120
