"""Ranges and multiranges: `[1,5)`, `empty`, `{[1,3),[5,)}` (PostgreSQL documentation, 8.17.5)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from bridge.contracts.pgtext.composites import quoted, unquoted

_BOUND = r'(?:"((?:[^"\\]|""|\\\\)*)"|([^",()\[\]\\]*))'
_RANGE = re.compile(rf"([\[(]){_BOUND},{_BOUND}([\])])", re.DOTALL)


class ParsedRange(NamedTuple):
    """A range that is not empty; a bound is a text, or None where there is no bound."""

    lower: str | None
    upper: str | None
    lower_inclusive: bool
    upper_inclusive: bool


def parse_range(text: str) -> ParsedRange | None:
    """Return the range, None for the empty one; raises `ValueError` when `text` is no range."""
    if text == "empty":
        return None
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError
    return _parsed(match)


def parse_multirange(text: str) -> list[ParsedRange]:
    """Return the ranges in order; raises `ValueError` when `text` is no multirange."""
    if text[:1] != "{" or text[-1:] != "}":
        raise ValueError
    ranges: list[ParsedRange] = []
    at, end = 1, len(text) - 1
    while at < end:
        match = _RANGE.match(text, at)
        if match is None:
            raise ValueError
        ranges.append(_parsed(match))
        at = match.end()
        if at < end:
            if text[at] != "," or at + 1 == end:
                raise ValueError
            at += 1
    if at != end:
        raise ValueError
    return ranges


def _parsed(match: re.Match[str]) -> ParsedRange:
    opening, lower_quoted, lower, upper_quoted, upper, closing = match.groups()
    return ParsedRange(
        (lower or None) if lower_quoted is None else unquoted(lower_quoted),
        (upper or None) if upper_quoted is None else unquoted(upper_quoted),
        opening == "[",
        closing == "]",
    )


def format_range(parsed: ParsedRange | None) -> str:
    """Return the text of a range."""
    if parsed is None:
        return "empty"
    lower = "" if parsed.lower is None else quoted(parsed.lower)
    upper = "" if parsed.upper is None else quoted(parsed.upper)
    opening = "[" if parsed.lower_inclusive else "("
    closing = "]" if parsed.upper_inclusive else ")"
    return f"{opening}{lower},{upper}{closing}"


def format_multirange(ranges: Sequence[ParsedRange]) -> str:
    """Return the text of a multirange."""
    return "{" + ",".join(format_range(parsed) for parsed in ranges) + "}"
