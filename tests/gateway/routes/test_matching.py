"""Header fields that tell routes apart: what fits, which route comes first, what is refused."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.route_file import RouteEntry
from bridge.gateway.routes.sections.matching import HeaderCondition, HeaderTest
from bridge.gateway.routes.table import Refusal, RoutingTable
from bridge.model.errors import ConfigInvalid
from tests.gateway.routes.test_table import route


def with_headers(name: str, **conditions: object) -> Route:
    """Return a route `/x` that asks for header fields."""
    given_conditions = {
        header.replace("_", "-"): HeaderCondition.model_validate(each)
        for header, each in conditions.items()
    }
    test = HeaderTest.of(given_conditions) if conditions else None
    return replace(route("/x/{id}", b"GET"), route_id=name, header_test=test)


def chosen(routes: list[Route], *lines: bytes, method: bytes = b"GET") -> str | int:
    """Return the route of a request, or the status of its refusal."""
    decided = RoutingTable.build(routes, (), 1).decide(method, None, b"/x/7", lines)
    return decided.route.route_id if isinstance(decided, Decision) else decided.status


@pytest.mark.parametrize(
    ("condition", "value", "fits"),
    [
        ("2", "2", True),
        ("2", "3", False),
        ("2", None, False),
        ({"one_of": ["a", "b"]}, "b", True),
        ({"one_of": ["a", "b"]}, "c", False),
        ({"present": True}, "", True),
        ({"present": True}, None, False),
        ({"present": False}, None, True),
        ({"present": False}, "x", False),
        ({"like": "application/*json*"}, "application/hal+json; q=1", True),
        ({"like": "application/*json*"}, "text/json", False),
        ({"like": "a*a"}, "a", False),
        ({"like": "a*a"}, "aa", True),
        ({"like": "*"}, "", True),
        ({"like": "x"}, "x", True),
        ({"like": "a*b*c"}, "a-b-b-c", True),
        ({"like": "a*b*c"}, "a-c-b", False),
    ],
)
def test_what_a_condition_takes(condition: object, value: str | None, fits: bool) -> None:
    assert HeaderCondition.model_validate(condition).fits(value) is fits


def test_more_asked_for_comes_first_and_nothing_asked_for_last() -> None:
    routes = [
        with_headers("plain"),
        with_headers("v2", X_Version="2"),
        with_headers("v2-beta", X_Version="2", X_Beta={"present": True}),
        with_headers("v3", X_Version="3"),
    ]
    for order in (routes, routes[::-1]):
        assert chosen(order) == "plain"
        assert chosen(order, b"x-version: 2") == "v2"
        assert chosen(order, b"X-VERSION:3\t") == "v3"
        assert chosen(order, b"X-Version: 2", b"X-Beta:") == "v2-beta"
        assert chosen(order, b"X-Version: 4", b"X-Beta: 1") == "plain"
        assert chosen(order, b"X-Version: 2", method=b"HEAD") == "v2", "HEAD goes by GET's routes"


def test_repeated_lines_are_one_list_and_fit_no_single_value() -> None:
    """RFC 9110 5.3: two lines of one name mean their values, joined."""
    routes = [with_headers("v2", X_Version="2"), with_headers("both", X_Version="2, 3")]
    assert chosen(routes, b"X-Version: 2", b"X-Version: 3") == "both"


def test_without_a_fitting_route_the_path_is_not_there() -> None:
    assert chosen([with_headers("v2", X_Version="2")], b"X-Version: 1") == 404
    wide = replace(route("/{rest...}", b"GET"), route_id="wide")
    assert chosen([with_headers("v2", X_Version="2"), wide]) == "wide"
    post = replace(route("/x/{id}", b"POST"), route_id="post")
    refused = RoutingTable.build([with_headers("v2", X_Version="2"), post], (), 1).decide(
        b"GET", None, b"/x/7"
    )
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.allow) == (405, (b"POST",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"X_A": "1"}, {"X_B": "1"}),
        ({"X_A": "1"}, {"X_A": "1"}),
        ({"X_A": {"one_of": ["1", "2"]}}, {"X_A": "2"}),
        ({"X_A": {"like": "a*"}}, {"X_A": {"like": "*b"}}),
        ({"X_A": {"like": "a*"}}, {"X_A": "ab"}),
        ({"X_A": {"present": True}}, {"X_A": "1"}),
        ({}, {}),
    ],
)
def test_what_one_request_could_fit_both_of_is_refused(
    one: dict[str, object], other: dict[str, object]
) -> None:
    with pytest.raises(ConfigInvalid, match=r"'one' and 'other' both take GET '/x/\{id\}'"):
        RoutingTable.build([with_headers("one", **one), with_headers("other", **other)], (), 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"X_A": "1"}, {"X_A": "2"}),
        ({"X_A": {"like": "a*"}}, {"X_A": "b"}),
        ({"X_A": {"present": True}}, {"X_A": {"present": False}}),
        ({"X_A": "1"}, {"X_A": {"present": False}}),
        ({"X_A": "1", "X_C": "x"}, {"X_A": "2", "X_B": "x"}),
        ({"X_A": "1"}, {"X_A": "1", "X_B": "1"}),
    ],
)
def test_what_excludes_each_other_is_taken(
    one: dict[str, object], other: dict[str, object]
) -> None:
    RoutingTable.build([with_headers("one", **one), with_headers("other", **other)], (), 1)


VALUES = st.text(st.sampled_from("ab*"), min_size=1, max_size=4)
CONDITIONS = st.one_of(
    VALUES.map(lambda text: {"equals": text}),
    VALUES.map(lambda text: {"like": text}),
    st.lists(VALUES, min_size=1, max_size=2).map(lambda texts: {"one_of": texts}),
    st.booleans().map(lambda there: {"present": there}),
).map(HeaderCondition.model_validate)


@given(
    one=CONDITIONS, other=CONDITIONS, value=st.none() | st.text(st.sampled_from("ab*"), max_size=5)
)
def test_what_is_said_to_exclude_does(
    one: HeaderCondition, other: HeaderCondition, value: str | None
) -> None:
    assert one.excludes(other) is other.excludes(one)
    if one.excludes(other):
        assert not (one.fits(value) and other.fits(value))


@given(pattern=VALUES, value=st.text(st.sampled_from("ab*"), max_size=8))
def test_a_star_means_any_text(pattern: str, value: str) -> None:
    form = ".*".join(re.escape(part) for part in pattern.split("*"))
    wanted = re.fullmatch(form, value, re.DOTALL) is not None
    assert HeaderCondition(like=pattern).fits(value) is wanted


def test_no_value_makes_a_match_slow() -> None:
    """Where a backtracking expression would take for ever, this is one look at each part."""
    assert not HeaderCondition(like="*a" * 90 + "*b").fits("a" * 60_000 + "c")


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-For", "Connection", "a b"])
def test_fields_of_the_connection_tell_no_routes_apart(name: str) -> None:
    with pytest.raises(ValidationError):
        RouteEntry.model_validate({"id": "r", "path": "/x", "headers": {name: "1"}})
