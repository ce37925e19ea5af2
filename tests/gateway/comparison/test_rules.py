"""Rules: what each lets pass, what it does not, and that it says so."""

from typing import Any

import pytest
from pydantic import ValidationError

from bridge.gateway.comparison.comparing import compare
from bridge.gateway.comparison.difference import Outcome
from bridge.gateway.routes.sections.comparison import ComparisonRules
from tests.gateway.comparison.answers import answer, rule, rules

PAIRED = {("customer", "7"): "c-70", ("customer", "8"): "c-80"}


def ids(entity: str, authority_id: str) -> str | None:
    return PAIRED.get((entity, authority_id))


ITEMS = [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}, {"sku": "c", "n": 3}]
TURNED = list(reversed(ITEMS))

CASES: list[tuple[dict[str, Any], object, object, object]] = [
    # rule, the authority's, what passes, what does not
    (rule("ignore", "/a"), {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 2}),
    (rule("ignore", "/a"), {"a": 1}, {}, {"b": 1}),
    (
        rule("ignore", "/**/at"),
        {"x": {"y": {"at": 1}}},
        {"x": {"y": {"at": 2}}},
        {"x": {"y": {}, "z": 1}},
    ),
    (
        rule("ignore", "/l/*/at"),
        {"l": [{"at": 1}, {"at": 2}]},
        {"l": [{"at": 3}, {}]},
        {"l": [{"at": 3}]},
    ),
    (rule("ignore", "/l/0"), {"l": [1, 2]}, {"l": [9, 2]}, {"l": [9, 3]}),
    (rule("tolerance", "/a", absolute=0.01), {"a": 1.10}, {"a": 1.11}, {"a": 1.12}),
    (rule("tolerance", "/a", relative=0.1), {"a": 100}, {"a": "109.99"}, {"a": 111}),
    (rule("round", "/a", digits=2), {"a": 1.005}, {"a": 1.0099}, {"a": 1.02}),
    (
        rule("regex", "/a", pattern="[0-9a-f]{8}"),
        {"a": "0123abcd"},
        {"a": "deadbeef"},
        {"a": "dead"},
    ),
    (rule("regex", "/a", pattern=" +", replace=" "), {"a": "x  y"}, {"a": "x y"}, {"a": "x z"}),
    (rule("unordered", "/l"), {"l": [1, 2, 2]}, {"l": [2, 1, 2]}, {"l": [2, 1, 1]}),
    (rule("unordered", "/l"), {"l": ITEMS}, {"l": TURNED}, {"l": TURNED[:2]}),
    (
        rule("keyed", "/l", by=["sku"]),
        {"l": ITEMS},
        {"l": TURNED},
        {"l": [*TURNED[:2], {"sku": "a", "n": 9}]},
    ),
    (rule("rename", "/order_no", to="orderNo"), {"order_no": 7}, {"orderNo": 7}, {"orderNo": 8}),
    (rule("ids", "/c", entity="customer"), {"c": 7}, {"c": "c-70"}, {"c": "c-80"}),
    (
        rule("time-skew", "/t", seconds=2),
        {"t": "2026-01-01T00:00:00Z"},
        {"t": "2026-01-01T01:00:01+01:00"},
        {"t": "2026-01-01T00:00:03Z"},
    ),
    (
        rule("time-skew", "/t", seconds=2),
        {"t": 1767225600},
        {"t": "2026-01-01T00:00:01Z"},
        {"t": 1767225700},
    ),
    (rule("case", "/a"), {"a": "Ab"}, {"a": " aB "}, {"a": "ac"}),
    (rule("empty", "/a"), {"a": None}, {}, {"a": 0}),
    (rule("empty", "/a"), {"b": 1}, {"a": [], "b": 1}, {"a": [0], "b": 1}),
]


@pytest.mark.parametrize(
    ("given", "mine", "passes", "differs"),
    CASES,
    ids=[f"{n}-{c[0]['kind']}" for n, c in enumerate(CASES)],
)
def test_a_rule_hides_what_it_is_for_and_nothing_else(
    given: dict[str, Any], mine: object, passes: object, differs: object
) -> None:
    known = rules(given)
    assert not compare(answer(mine), answer(passes), rules(), ids=ids).equal, "a rule is needed"
    same = compare(answer(mine), answer(passes), known, ids=ids)
    assert same.equal, same
    if given["kind"] not in ("rename", "ids"):  # They translate; nothing differs afterwards.
        assert same.outcome is Outcome.BY_RULES
        assert dict(same.hidden) == {given["name"]: 1} or given["at"] == ["/l/*/at"]
    assert not compare(answer(mine), answer(differs), known, ids=ids).equal


def test_the_nearest_item_of_a_set_is_the_one_that_differs() -> None:
    wrong = [{"sku": "b", "n": 2}, {"sku": "c", "n": 3}, {"sku": "a", "n": 9}]
    found = compare(answer({"l": ITEMS}), answer({"l": wrong}), rules(rule("unordered", "/l")))
    assert [(one.kind.value, one.field) for one in found.differences] == [("value", "/l/*/n")]


def test_items_of_a_set_may_differ_as_rules_allow() -> None:
    given = rules(
        rule("unordered", "/l"),
        rule("ignore", "/l/*/at"),
        rule("tolerance", "/l/*/p", absolute=0.1),
    )
    mine = {"l": [{"k": 1, "p": 1.0, "at": 1}, {"k": 2, "p": 2.0, "at": 2}]}
    theirs = {"l": [{"k": 2, "p": 2.05, "at": 7}, {"k": 1, "p": 1.0, "at": 8}]}
    assert compare(answer(mine), answer(theirs), given).equal
    theirs["l"][0]["p"] = 3.0
    found = compare(answer(mine), answer(theirs), given)
    assert found.fields == {"/l/*/p"}


def test_keyed_items_whose_ids_differ_are_paired_by_the_map() -> None:
    given = rules(rule("keyed", "/l", by=["id"]), rule("ids", "/l/*/id", entity="customer"))
    mine = {"l": [{"id": 7, "n": 1}, {"id": 8, "n": 2}]}
    assert compare(
        answer(mine),
        answer({"l": [{"id": "c-80", "n": 2}, {"id": "c-70", "n": 1}]}),
        given,
        ids=ids,
    ).equal
    found = compare(
        answer(mine),
        answer({"l": [{"id": "c-80", "n": 2}, {"id": "c-70", "n": 9}]}),
        given,
        ids=ids,
    )
    assert found.fields == {"/l/*/n"}


def test_items_without_a_key_cannot_be_told_apart() -> None:
    twice = {"l": [{"sku": "a"}, {"sku": "a"}]}
    found = compare(
        answer(twice), answer({"l": [{"sku": "a"}, {}]}), rules(rule("keyed", "/l", by=["sku"]))
    )
    assert [(one.kind.value, one.field) for one in found.differences] == [("key", "/l")]


def test_equal_ids_of_different_entities_are_a_difference() -> None:
    found = compare(
        answer({"c": "7"}), answer({"c": "7"}), rules(rule("ids", "/c", entity="customer")), ids=ids
    )
    assert [(one.kind.value, one.place) for one in found.differences] == [("id", "/c")]


def test_error_against_success_is_a_mismatch_unless_declared() -> None:
    mine, theirs = answer({"e": "gone"}, status=404), answer({"e": "none"}, status=410)
    found = compare(mine, theirs, rules())
    assert [(one.kind.value, one.place) for one in found.differences] == [("status", "status")]
    assert compare(mine, theirs, rules(rule("statuses", equal=[404, 410]))).equal
    both = rules(rule("statuses", equal=[404, 410], bodies=True))
    assert compare(mine, theirs, both).fields == {"/e"}
    assert not compare(mine, answer({"e": "gone"}), rules(rule("statuses", equal=[404, 410]))).equal


def test_classes_of_statuses_are_equal_where_that_is_declared() -> None:
    failures = rules(rule("statuses", equal=["5XX"]))
    assert compare(answer({}, status=500), answer({}, status=503), failures).equal
    assert not compare(answer({}, status=500), answer({}, status=404), failures).equal
    assert not compare(answer({}, status=200), answer({}, status=500), failures).equal
    mixed = rules(rule("statuses", equal=["4XX", 500]))
    assert compare(answer({}, status=500), answer({}, status=404), mixed).equal
    for wrong in ([404], ["1XX"], []):
        with pytest.raises(ValidationError):
            rules(rule("statuses", equal=wrong))


def test_header_rules() -> None:
    mine = answer({}, headers=((b"Location", b"/o/7"), (b"Date", b"x"), (b"vary", b"a, B")))
    theirs = answer({}, headers=((b"LOCATION", b"/o/8"), (b"Date", b"y"), (b"Vary", b"b,a")))
    found = compare(mine, theirs, rules())
    assert [(one.kind.value, one.place) for one in found.differences] == [
        ("value", "header:location")
    ]
    digits = rule("regex", "header:Location", pattern="/o/[0-9]+")
    assert compare(mine, theirs, rules(digits)).equal
    assert compare(mine, theirs, rules(headers=["content-type"])).equal
    typed = answer({}, media_type=b'Application/JSON; charset="UTF-8"')
    assert compare(answer({}), typed, rules()).equal


def test_cookies_are_compared_by_name_and_attributes() -> None:
    mine = answer({}, headers=((b"Set-Cookie", b"sid=secret1; Path=/; HttpOnly; Max-Age=9"),))
    theirs = answer({}, headers=((b"Set-Cookie", b"sid=secret2; path=/; httponly; Expires=x"),))
    assert compare(mine, theirs, rules()).equal
    bare = answer({}, headers=((b"Set-Cookie", b"sid=s; Path=/"), (b"Set-Cookie", b"x=1")))
    found = compare(mine, bare, rules())
    assert [(one.kind.value, one.place) for one in found.differences] == [
        ("value", "cookie:sid"),
        ("extra", "cookie:x"),
    ]
    assert compare(mine, bare, rules(rule("ignore", "cookie:sid", "cookie:x"))).equal


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({**rule("ignore", "/a"), "reason": ""}, "reason"),
        ({k: v for k, v in rule("ignore", "/a").items() if k != "reason"}, "reason"),
        ({k: v for k, v in rule("ignore", "/a").items() if k != "reviewed_by"}, "reviewed_by"),
        ({k: v for k, v in rule("ignore", "/a").items() if k != "reviewed_on"}, "reviewed_on"),
        (rule("ignore", "a.b"), "no place"),
        (rule("regex", "/a", pattern="("), "no regular expression"),
        (rule("whatever", "/a"), "kind"),
        (rule("ignore"), "at"),
    ],
)
def test_a_rule_that_says_too_little_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        rules(wrong)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two rules with the name 'ignore'"):
        rules(rule("ignore", "/a"), rule("ignore", "/b"))


def test_which_rule_hid_how_many_is_told() -> None:
    given = rules(rule("ignore", "/l/*/at"), {**rule("case", "/a"), "name": "names"})
    mine = {"a": "X", "l": [{"at": 1}, {"at": 2}]}
    theirs = {"a": "x", "l": [{"at": 3}, {"at": 4}]}
    assert dict(compare(answer(mine), answer(theirs), given).hidden) == {"ignore": 2, "names": 1}


def test_rules_are_values() -> None:
    assert ComparisonRules() == ComparisonRules()
    assert hash(rules(rule("ignore", "/a"))) == hash(rules(rule("ignore", "/a")))
