"""From an event's value back to a text that PostgreSQL reads, by the type that its mapping names.

Works on the payload's own bytes (`members`, `elements`): a JSON reader would lose digits.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from bridge.contracts.pgtext.arrays import format_array
from bridge.contracts.pgtext.composites import format_composite
from bridge.contracts.pgtext.hstores import format_hstore
from bridge.contracts.pgtext.ranges import ParsedRange, format_multirange, format_range
from bridge.model.payloads import elements, members

Bounds = Mapping[str, list[int]]


def to_text(tree: Any, raw: str, path: str, bounds: Bounds) -> str | None:
    """Return the text of the JSON text `raw`; None for null."""
    if isinstance(tree, str):
        tree = {"type": tree}
    name = tree["type"]
    if raw == "null":
        return None
    if name == "json":
        return raw
    if name == "array":
        return _array(tree, raw, path, bounds)
    if name == "range":
        return format_range(_range(tree, raw, path, bounds))
    if name == "multirange":
        ranges = [_range(tree, one, f"{path}/{n}", bounds) for n, one in enumerate(elements(raw))]
        return format_multirange([one for one in ranges if one is not None])
    if name == "object":
        fields = members(raw)
        return format_composite(
            [
                to_text(below, fields[field], f"{path}/{field}", bounds)
                for field, below in tree["fields"].items()
            ]
        )
    value = json.loads(raw)
    return (
        raw.strip() if isinstance(value, int | float) and name != "boolean" else _plain(name, value)
    )


def _array(tree: Any, raw: str, path: str, bounds: Bounds) -> str:
    item = tree["items"]
    of_multiranges = isinstance(item, dict) and item["type"] == "multirange"

    def nested(text: str, place: str) -> Any:
        is_leaf = of_multiranges and text[1:2] in "{]"
        if text[:1] == "[" and not is_leaf:
            return [nested(one, f"{place}/{n}") for n, one in enumerate(elements(text))]
        return to_text(item, text, place, bounds)

    lower = bounds.get(path)
    items = [nested(one, f"{path}/{n}") for n, one in enumerate(elements(raw))]
    return format_array(items, tuple(lower) if lower else None, tree.get("delimiter", ","))


def _range(tree: Any, raw: str, path: str, bounds: Bounds) -> ParsedRange | None:
    parts = members(raw)
    if "empty" in parts:
        return None
    return ParsedRange(
        to_text(tree["items"], parts["lower"], f"{path}/lower", bounds),
        to_text(tree["items"], parts["upper"], f"{path}/upper", bounds),
        parts["lower_inclusive"] == "true",
        parts["upper_inclusive"] == "true",
    )


def _plain(name: str, value: Any) -> str:
    if name == "bytes":
        return "\\x" + base64.b64decode(value).hex()
    if name == "hstore":
        return format_hstore(value)
    if name == "text":
        return str(value["text"])
    if name in ("date", "timestamp", "timestamptz"):
        return _era(value)
    if name == "boolean":
        return "t" if value else "f"
    return str(value)


def _era(text: str) -> str:
    """Return an ISO 8601 date or time with PostgreSQL's years: from 1, with BC before."""
    if text in ("infinity", "-infinity"):
        return text
    sign = text[0] if text[0] in "+-" else ""
    year, rest = text.removeprefix("+").removeprefix("-").split("-", 1)
    number = -int(year) if sign == "-" else int(year)
    if number > 0:
        return f"{number:04d}-{rest}"
    return f"{1 - number:04d}-{rest} BC"
