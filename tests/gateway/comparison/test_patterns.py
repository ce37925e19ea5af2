"""Patterns of rules take time that grows with the text alone, or are refused."""

import pytest
from pydantic import ValidationError

from bridge.gateway.routes.sections.linear_pattern import linear_pattern
from tests.gateway.comparison.answers import rule, rules


@pytest.mark.parametrize(
    "pattern",
    [r"(a)\1", "(?P<n>a)(?P=n)", "(?=a)b", "(?<!a)b", "a++b", "(?>a)b", "(", "a{2000}", "*"],
)
def test_what_the_engine_does_not_know_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="is no regular expression of RE2"):
        rules(rule("regex", "/a", pattern=pattern))


@pytest.mark.parametrize("pattern", ["(a|a)+b", "(a+)+b", "a*" * 12 + "b", "(.*)-(.*)-(.*)-(.*)x"])
def test_what_keeps_other_engines_busy_for_years_ends_here(pattern: str) -> None:
    rules(rule("regex", "/a", pattern=pattern))
    assert linear_pattern(pattern).fullmatch("a-" * 2_000) is None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "0b5c2f0e-7f55-4b0a-8a53-0d6a5d8b9f10"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(\.\d+)?", "2026-11-21T10:00:00.5"),
        (r"(?i:req)-\d+", "REQ-7"),
        (r"[(|)*+]+", "(|)"),
        ("\u6ce8\u6587-.+", "\u6ce8\u6587-\u4e00"),
    ],
)
def test_what_is_usual_is_taken(pattern: str, text: str) -> None:
    rules(rule("regex", "/a", pattern=pattern))
    assert linear_pattern(pattern).fullmatch(text)
    assert not linear_pattern(pattern).fullmatch(text + "\n")


def test_groups_may_be_used_in_what_replaces_them() -> None:
    pattern = linear_pattern(r"(?P<year>\d{4})-(\d+)")
    assert pattern.sub(r"\2/\g<year>", "\u00e9 2024-11, 2025-1") == "\u00e9 11/2024, 1/2025"
