"""Bodies of every kind, by what they mean."""

import dataclasses
import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.gateway.comparison.comparing import Comparer, compare
from bridge.gateway.comparison.difference import Comparison, DifferenceKind, Outcome
from bridge.gateway.routes.sections.comparison import ComparisonRules
from tests.gateway.comparison.answers import answer, rule, rules

PLAIN = ComparisonRules()
K = DifferenceKind


def found(comparison: Comparison) -> list[tuple[str, str]]:
    """Return kind and place of every difference."""
    return [(one.kind.value, one.place) for one in comparison.differences]


def test_bytes_decide_first() -> None:
    assert compare(answer(b"\xff\x00"), answer(b"\xff\x00"), PLAIN).outcome is Outcome.IDENTICAL


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (b'{"a":1,"b":[1,2]}', b'{ "b" : [1, 2.0], "a": 1 }'),
        (b'"\\u00e9"', '"é"'.encode()),
        (b'{"a":1e2}', b'{"a":100}'),
        (b'{"n":12345678901234567890123}', b'{"n": 12345678901234567890123}'),
    ],
)
def test_other_bytes_with_the_same_meaning_are_equal(mine: bytes, theirs: bytes) -> None:
    assert compare(answer(mine), answer(theirs), PLAIN).outcome is Outcome.EQUAL


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ({"a": 1}, {"a": True}, [("type", "/a")]),
        ({"a": 1}, {"a": 2}, [("value", "/a")]),
        ({"a": "1"}, {"a": 1}, [("type", "/a")]),
        ({"a": None}, {}, [("missing", "/a")]),
        ({}, {"a/b": 1}, [("extra", "/a~1b")]),
        ({"l": [1, 2]}, {"l": [2, 1]}, [("order", "/l")]),
        ({"l": [1, 2, 3]}, {"l": [1, 3]}, [("length", "/l")]),
        ({"l": [1, {"x": 1}]}, {"l": [1, {"x": 2}]}, [("value", "/l/1/x")]),
        ([], {}, [("type", "/")]),
        ({"a": {"b": 1}}, {"a": [1]}, [("type", "/a")]),
    ],
)
def test_json_differences_are_told_by_their_place(
    mine: object, theirs: object, expected: list[tuple[str, str]]
) -> None:
    assert found(compare(answer(mine), answer(theirs), PLAIN)) == expected


def test_no_digit_of_an_amount_is_lost() -> None:
    mine, theirs = b'{"sum":10000000000000000.01}', b'{"sum":10000000000000000.02}'
    assert found(compare(answer(mine), answer(theirs), PLAIN)) == [("value", "/sum")]
    mine, theirs = b'{"id":123456789012345678901}', b'{"id":123456789012345678902}'
    assert found(compare(answer(mine), answer(theirs), PLAIN)) == [("value", "/id")]


def test_members_named_after_ids_are_one_field() -> None:
    mine = {"orders": {"1001": {"x": 1}, "2f1b8c1e-0000-4000-8000-000000000000": {"x": 1}}}
    theirs = {"orders": {"1001": {"x": 2}, "2f1b8c1e-0000-4000-8000-000000000000": {"x": 2}}}
    comparison = compare(answer(mine), answer(theirs), PLAIN)
    assert comparison.fields == {"/orders/*/x"}
    assert len(comparison.differences) == 2


def test_differences_are_bounded() -> None:
    mine, theirs = {f"f{n}": n for n in range(50)}, {f"f{n}": n + 1 for n in range(50)}
    comparison = compare(answer(mine), answer(theirs), rules(differences_count_max=10))
    assert (len(comparison.differences), comparison.more) == (10, 40)


def test_deep_documents_neither_crash_nor_pass() -> None:
    mine, theirs = (b"[" * 600 + inner + b"]" * 600 for inner in (b"1", b"2"))
    assert not compare(answer(mine), answer(theirs), PLAIN).equal
    mine, theirs = (b"[" * 90_000 + inner for inner in (b"1", b"2"))
    assert not compare(answer(mine), answer(theirs), PLAIN).equal


@pytest.mark.parametrize(
    ("media_type", "mine", "theirs", "expected"),
    [
        ("application/x-www-form-urlencoded", b"a=1&b=x+y", b"b=x%20y&a=1", []),
        ("application/x-www-form-urlencoded", b"a=1", b"a=2", [("value", "/a")]),
        (
            "text/xml",
            b"<o id='7'><!-- c --><a>1</a><b/></o>",
            b'<o id="7"><b></b> <a>1</a></o>',
            [],
        ),
        (
            "application/xml",
            b'<n:o xmlns:n="u"><n:a>1</n:a></n:o>',
            b'<o xmlns="u"><a>1</a></o>',
            [],
        ),
        ("application/xml", b"<o><a>1</a></o>", b"<o><a>2</a></o>", [("value", "/o/0/a/0/#")]),
        ("text/csv", b"id,sum\n1,5\n2,6\n", b'"id","sum"\r\n1,5\r\n2,6\r\n', []),
        ("text/csv", b"id,sum\n1,5\n2,6\n", b"id,sum\n1,5\n2,7\n", [("value", "/rows/1/sum")]),
        ("text/plain", b"a\nb\n", b"a\r\nb", []),
        ("text/plain", b"a\nb\n", b"a\nc\n", [("value", "/1")]),
        ("image/png", b"\x89PNG1", b"\x89PNG2", [("bytes", "/")]),
        ("application/json", b'{"a":1}', b"<html>", [("form", "/")]),
    ],
)
def test_other_kinds_of_body(
    media_type: str, mine: bytes, theirs: bytes, expected: list[tuple[str, str]]
) -> None:
    kind = media_type.encode()
    comparison = compare(answer(mine, media_type=kind), answer(theirs, media_type=kind), PLAIN)
    assert found(comparison) == expected


def test_a_document_type_is_not_followed() -> None:
    bomb = b'<!DOCTYPE o [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><o>&b;</o>'
    other = b"<o>aaaaaaaa</o>"
    comparison = compare(
        answer(bomb, media_type=b"text/xml"), answer(other, media_type=b"text/xml"), PLAIN
    )
    assert found(comparison) == [("form", "/")]


def test_charsets_are_read_as_declared() -> None:
    mine = answer("Müller".encode("latin-1"), media_type=b"text/plain; charset=ISO-8859-1")
    theirs = answer("Müller".encode(), media_type=b"text/plain; charset=utf-8")
    comparison = compare(mine, theirs, rules(headers=[]))
    assert comparison.outcome is Outcome.EQUAL


@pytest.mark.parametrize(
    ("coding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)]
)
def test_content_codings_are_decoded_on_a_copy(coding: bytes, pack: Any) -> None:
    body = b'{"a": 1, "b": "' + b"x" * 2_000 + b'"}'
    packed = answer(pack(body), headers=((b"Content-Encoding", coding),))
    before = packed.body
    assert compare(packed, answer(body.replace(b" ", b"")), PLAIN).outcome is Outcome.EQUAL
    assert packed.body is before
    differs = compare(packed, answer(body.replace(b"1", b"2")), PLAIN)
    assert found(differs) == [("value", "/a")]


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 50_000_000, 1)
    packed = answer(bomb, headers=((b"Content-Encoding", b"gzip"),))
    comparison = compare(packed, answer(b'{"a":1}'), PLAIN)
    assert found(comparison) == [("form", "/")]


def test_a_coding_that_nobody_knows_is_compared_as_bytes() -> None:
    compress = (b"Content-Encoding", b"compress")
    comparison = compare(
        answer(b"\x0b\x02", headers=(compress,)), answer(b"\x0b\x03", headers=(compress,)), PLAIN
    )
    assert found(comparison) == [("bytes", "/")]


def test_large_bodies_are_compared_by_bytes_alone() -> None:
    mine, theirs = answer(b'{"a":"' + b"x" * 100 + b'"}'), answer(b'{"a": "' + b"x" * 100 + b'"}')
    assert found(compare(mine, theirs, rules(body_bytes_max=50))) == [("bytes", "/")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(VALUES, VALUES)
def test_values_are_equal_exactly_when_json_says_so(mine: object, theirs: object) -> None:
    spaced = answer(b" " + answer(mine).body + b"\n")
    assert compare(spaced, answer(mine), PLAIN).equal
    strict = answer(mine).body == answer(theirs).body or _strictly_equal(mine, theirs)
    assert compare(answer(mine), answer(theirs), PLAIN).equal is strict


def _strictly_equal(mine: object, theirs: object) -> bool:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(
            _strictly_equal(value, theirs[name]) for name, value in mine.items()
        )
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(_strictly_equal, mine, theirs))
    return type(mine) is type(theirs) and mine == theirs


def test_numbers_written_as_texts_may_count_as_numbers() -> None:
    mine, theirs = answer({"a": "12.50"}), answer({"a": 12.5})
    assert not compare(mine, theirs, PLAIN).equal
    assert compare(mine, theirs, rules(numbers_as_text=True)).equal
    assert not compare(mine, answer({"a": 12.6}), rules(rule("case", "/b"))).equal


BODIES = [
    b'{"a":1,"b":[true,null]}', b'{"b":[true,null],"a":1}', b'{"a":true,"b":[1,null]}',
    b'{"a":1.0,"b":[true,null]}', b'{"a":"1","b":[true,null]}', b'{"a":2,"a":1,"b":[true,null]}',
    b'{"a":0.1}', b'{"a":0.10000000000000000001}', b'{"a":12345678901234567890123}',
    b'{"a":12345678901234567890124}', b'{"a":9007199254740993}', b'{"a":9007199254740992}',
    b'{"a":"\\u00e9"}', '{"a":"é"}'.encode(), b'{"a":-0.0}', b'{"a":0}', b"[1,2]", b"[2,1]",
    b"", b"{", b"null", b'"\xff"', b"[" * 60 + b"]" * 60, b"[" * 300 + b"]" * 300,
    b"[ " + b"[" * 299 + b"]" * 300,
]  # fmt: skip


@pytest.mark.parametrize("more", [{}, {"body": "json"}, {"numbers_as_text": True}])
def test_answers_whose_head_is_known_are_judged_as_those_whose_head_is_new(more: Any) -> None:
    known = Comparer(rules(**more))
    head = answer(b"{}")
    known.compare(head, dataclasses.replace(head, body=b"[]"))
    for mine in BODIES:
        for theirs in BODIES:
            pair = [dataclasses.replace(head, body=body) for body in (mine, theirs)]
            new = Comparer(rules(**more)).compare(*pair)
            assert known.compare(*pair) == new
            headers = (pair[0].headers, pair[1].headers)
            at_once = known.alike(*headers, mine, theirs)
            assert at_once is None or at_once == new
