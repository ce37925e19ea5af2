"""Patterns of rules: those that could stall the worker are refused when routes are checked."""

import time

import pytest
from pydantic import ValidationError

from bridge.gateway.routes.sections.safe_pattern import refuse_slow
from tests.gateway.comparison.answers import rule, rules


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|a)+b", "(a+)+b", "(a*)*b", "((a+))+", "(?:a|b)*c", "(a{1,9}){2}", "(?P<n>a+)*",
        "(?i:a+)+", "(a?){20}", "(a|a){20}b", r"(a)\1", "(?P<n>a)(?P=n)", "(a)?(?(1)b|c)",
        "(?x)(a+)+ # (", "a?" * 25 + "a" * 25, "((?:x|y)z)+", r"([^)]+\))+", "(?>(a|a)+b)",
        "(a+?)+", "(?=(a+)+b)c",
    ],
)  # fmt: skip
def test_what_could_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        rules(rule("regex", "/a", pattern=pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(\.\d+)?",
        r"(Z|[+-]\d\d:?\d\d)?", r"req-\d+", r"\s+", r"v\d+\.\d+", r"(?:ab)+", r"(a++)+b",
        r"(?>a+b)*",
        r"[(|)*+]+", r"\(a\|b\)+", r"[]()]+x", r"(?i:ab)+", r"(a|b)++c", "", r"{a}", r"x{,}",
    ],
)  # fmt: skip
def test_what_is_usual_is_taken(pattern: str) -> None:
    refuse_slow(pattern)
    rules(rule("regex", "/a", pattern=pattern))


def test_the_error_names_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"'\(a\+\)\+b'.*'\+'.*possessive \(`a\+\+`"):
        refuse_slow("(a+)+b")
    began = time.process_time()
    refuse_slow("(?>(?:a++)++)b" * 50)
    assert time.process_time() - began < 1
