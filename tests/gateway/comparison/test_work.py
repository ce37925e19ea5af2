"""What a comparison may cost: two answers that differ throughout are given up, not gone through."""

import time
from random import Random

import pytest

from bridge.gateway.comparison.comparing import Comparer
from bridge.gateway.comparison.work import WORK_MAX, TooMuchWork
from bridge.model.http import HttpResponse
from tests.gateway.comparison.answers import answer, rule, rules

UNORDERED = rules(rule("unordered", "/items"))
KEYED = rules(rule("keyed", "/items", by=["id"]))


def _items(count: int, members: int = 1, seed: int = 0) -> HttpResponse:
    chance = Random(seed)
    names = [f"r{number}" for number in range(members)]
    items = [
        {"id": number, **{name: chance.randrange(10**9) for name in names}}
        for number in range(count)
    ]
    return answer({"items": items})


@pytest.mark.parametrize(
    ("given", "mine", "theirs"),
    [
        (UNORDERED, _items(60, 300), _items(60, 300, seed=1)),
        (KEYED, _items(5_000, 5), _items(5_000, 5, seed=1)),
        (rules(), _items(8_000, 3), _items(8_000, 3, seed=1)),
        (rules(), answer({"a": list(range(99_000))}), answer({"a": list(range(1, 99_000))})),
        (
            rules(rule("unordered", "/**"), rule("ignore", "/items/*/x")),
            _items(3_000, 4),
            _items(3_000, 4, seed=1),
        ),
        (
            rules(),
            answer(b"<a>" + b"<b>1</b>" * 40_000 + b"</a>", media_type=b"text/xml"),
            answer(b"<a>" + b"<b>2</b>" * 40_000 + b"</a>", media_type=b"text/xml"),
        ),
        (
            rules(),
            answer(b"a,b\n" + b"1,2\n" * 40_000, media_type=b"text/csv"),
            answer(b"a,b\n" + b"1,2\n" * 39_999 + b"1,3\n", media_type=b"text/csv"),
        ),
        (
            rules(),
            answer({"a": [0.12345678901234567] * 20_000}),
            answer({"a": [0.12345678901234567] * 20_000 + [1]}),
        ),
        (
            rules(),
            answer(b"\n".join(b"%d" % n for n in range(99_000)), media_type=b"text/plain"),
            answer(b"\n".join(b"%d" % n for n in range(1, 99_000)), media_type=b"text/plain"),
        ),
    ],
)
def test_a_comparison_has_a_bound(given: object, mine: HttpResponse, theirs: HttpResponse) -> None:
    comparer = Comparer(given)  # type: ignore[arg-type]  # Rules, as above.
    with pytest.raises(TooMuchWork):
        comparer.compare(mine, theirs, steps_max=WORK_MAX)


def test_long_sets_without_anything_in_common_are_not_tried_against_each_other() -> None:
    """3,000 items took 1.8 s; each was tried against 24."""
    mine, theirs = _items(3_000), _items(3_000, seed=1)
    began = time.process_time()
    found = Comparer(UNORDERED).compare(mine, theirs, steps_max=WORK_MAX)
    assert time.process_time() - began < 0.5
    assert len(found.differences) + found.more == 6_000
    kinds = {difference.kind.value for difference in found.differences}
    assert kinds <= {"missing", "extra"}


def test_few_items_without_partner_are_still_told_by_what_is_nearest() -> None:
    mine = answer({"items": [{"id": 1, "a": 1, "b": 2}, {"id": 2, "a": 5, "b": 6}]})
    theirs = answer({"items": [{"id": 2, "a": 5, "b": 7}, {"id": 1, "a": 1, "b": 2}]})
    found = Comparer(UNORDERED).compare(mine, theirs, steps_max=WORK_MAX)
    assert [difference.field for difference in found.differences] == ["/items/*/b"]


def test_equal_answers_cost_nothing_of_it() -> None:
    mine = _items(10_000, 3)
    spaced = answer(mine.body.replace(b",", b", "))
    assert Comparer(rules()).compare(mine, spaced, steps_max=WORK_MAX).equal
