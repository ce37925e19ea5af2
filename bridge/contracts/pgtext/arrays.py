"""Arrays: `{1,NULL,"a,b"}`, `{{1,2},{3,4}}`, `[0:1]={7,8}` (PostgreSQL documentation, 8.15.6)."""

import re
from functools import cache
from typing import Any, Final, NamedTuple

DIMENSIONS_MAX: Final = 6
"""The server's own limit (MAXDIM)."""

_BOUNDS = re.compile(r"((?:\[[+-]?[0-9]{1,10}:[+-]?[0-9]{1,10}\]){1,6})=")
_BOUND = re.compile(r"\[([+-]?[0-9]+):[+-]?[0-9]+\]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_UNSAFE = re.compile(r'["\\]')


class ParsedArray(NamedTuple):
    """An array's elements as texts, and where its subscripts begin when that is not 1."""

    items: list[Any]
    """Texts, None for NULL, or lists of these for more dimensions."""
    lower_bounds: tuple[int, ...] | None
    """One for each dimension; None when all are 1, as nearly always."""


@cache
def _token(delimiter: str) -> re.Pattern[str]:
    d = re.escape(delimiter)
    return re.compile(
        rf'(?P<open>\{{)|(?P<close>\}})|(?P<next>{d})|"(?P<quoted>(?:[^"\\]|\\.)*)"'
        rf'|(?P<plain>[^{{}}"\\{d}]+)',
        re.DOTALL,
    )


def parse_array(text: str, delimiter: str = ",") -> ParsedArray:
    """Return the elements of `text`.

    Raises:
        ValueError: it is not an array, has more than `DIMENSIONS_MAX` dimensions, or its
            dimensions are ragged.
    """
    start, bounds = 0, None
    prefix = _BOUNDS.match(text)
    if prefix is not None:
        start = prefix.end()
        bounds = tuple(int(bound) for bound in _BOUND.findall(prefix[1]))
    items, depth = _nested(text, start, _token(delimiter))
    if bounds is not None and len(bounds) != depth:
        raise ValueError
    return ParsedArray(items, bounds if bounds and any(b != 1 for b in bounds) else None)


def _nested(text: str, start: int, token: re.Pattern[str]) -> tuple[list[Any], int]:
    """Return the nested lists in `text` from `start` on, and how deep they are."""
    stack: list[list[Any]] = []
    depth = 0
    wanted = "open"  # What must come next: an opening brace, a value, or what follows a value.
    at, end = start, len(text)
    while at < end:
        match = token.match(text, at)
        if match is None:
            raise ValueError
        at = match.end()
        kind = match.lastgroup
        if kind == "open" and wanted in ("open", "value", "first"):
            if len(stack) == DIMENSIONS_MAX:
                raise ValueError
            fresh: list[Any] = []
            if stack:
                stack[-1].append(fresh)
            stack.append(fresh)
            depth = max(depth, len(stack))
            wanted = "first"
        elif kind == "close" and wanted in ("first", "more"):
            done = stack.pop()
            if not stack:
                if at != end or (depth > 1 and not _is_even(done, depth)):
                    raise ValueError
                return done, depth
            wanted = "more"
        elif kind == "next" and wanted == "more":
            wanted = "value"
        elif kind in ("quoted", "plain") and wanted in ("value", "first"):
            stack[-1].append(_element(match[kind], kind))
            wanted = "more"
        else:
            raise ValueError
    raise ValueError


def _element(text: str, kind: str) -> str | None:
    if kind == "quoted":
        return _ESCAPED.sub(r"\1", text) if "\\" in text else text
    return None if text == "NULL" else text


def _is_even(items: list[Any], depth: int) -> bool:
    """Whether all elements stand at `depth` and all lists of a level are equally long."""
    if depth == 1:
        return not any(isinstance(item, list) for item in items)
    if not items or not all(isinstance(item, list) for item in items):
        return False
    return len({len(item) for item in items}) == 1 and all(
        _is_even(item, depth - 1) for item in items
    )


def format_array(
    items: list[Any], lower_bounds: tuple[int, ...] | None = None, delimiter: str = ","
) -> str:
    """Return the text of an array of texts, None and lists of these."""
    body = _format(items, delimiter)
    if lower_bounds is None:
        return body
    lengths = []
    level: Any = items
    for _ in lower_bounds:
        lengths.append(len(level))
        level = level[0]
    bounds = zip(lower_bounds, lengths, strict=True)
    return "".join(f"[{low}:{low + length - 1}]" for low, length in bounds) + f"={body}"


def _format(item: Any, delimiter: str) -> str:
    if isinstance(item, list):
        return "{" + delimiter.join(_format(below, delimiter) for below in item) + "}"
    if item is None:
        return "NULL"
    escaped = _UNSAFE.sub(r"\\\g<0>", item)
    return f'"{escaped}"'
