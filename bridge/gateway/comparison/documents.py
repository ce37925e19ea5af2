"""A body as a value that can be compared place by place: JSON, form, XML, CSV or text."""

import csv
import io
import json
import math
import re
from decimal import Decimal
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

import orjson

from bridge.gateway.comparison.contents import Content
from bridge.gateway.comparison.xml_tree import NotXml, xml_value
from bridge.gateway.routes.sections.comparison import BodyKind

# orjson reads numbers as doubles and 64 bit integers, which keep 15 digits: with more, two amounts
# that differ would be read as one. Such texts are read with all their digits, ten times slower.
_DIGITS: Final = bytes(ord("0") if chr(byte) in "0123456789." else 32 for byte in range(256))
_LONG_NUMBER: Final = b"0" * 16
_SORTED: Final = orjson.OPT_SORT_KEYS
# Integers of up to 64 bits are exact in either reader.
_INEXACT: Final = re.compile(rb"[0-9]{19}|(?<![0-9.])(?=[0-9.]{17})[0-9]+\.[0-9]")
# A table above it is text.
_CSV_CELLS_MAX: Final = 200_000
_FORM_FIELDS_MAX: Final = 10_000

_FORM: Final = "application/x-www-form-urlencoded"


class Document(NamedTuple):
    """A body that was read."""

    kind: BodyKind
    value: object
    problem: str = ""
    """Why it is not what it says it is; it is then of kind `binary`."""


def document_of(content: Content, wanted: BodyKind) -> Document:
    """Return the body as `wanted`, or by its media type for `auto`."""
    if content.problem:
        return Document("binary", content.body, content.problem)
    kind = _kind_of(content.media_type, content.body) if wanted == "auto" else wanted
    if not content.body or kind == "binary":
        return Document("binary", content.body)
    if kind == "json":
        return _json(content.body)
    text = _text(content)
    if text is None:
        return Document("binary", content.body, f"is not text in {content.charset or 'UTF-8'}")
    if kind == "form":
        return _form(text, content.body)
    if kind == "xml":
        try:
            # The parser reads the encoding in the declaration itself; a charset goes before it.
            return Document("xml", xml_value(content.body, content.charset or None))
        except NotXml as exc:
            return Document("binary", content.body, str(exc))
    if kind == "csv":
        return _csv(text, content.body)
    return Document("text", text.splitlines())


def is_read_slowly(content: Content, wanted: BodyKind) -> bool:
    """Return whether Python code reads the body, part by part; else it is C alone."""
    kind = _kind_of(content.media_type, content.body) if wanted == "auto" else wanted
    if kind == "json":
        return _has_long_numbers(content.body)
    return kind not in ("binary", "text")


def is_json(media_type: str) -> bool:
    """Return whether bodies of this type, in lower case, are JSON."""
    return media_type.endswith("+json") or media_type in ("application/json", "text/json")


def same_json(mine: bytes, theirs: bytes) -> bool:
    """Return True for two texts of one JSON value; False says that it has to be looked at."""
    # Both at once: a number that seems to reach over the seam costs the longer way, nothing else.
    if (mine + theirs).translate(_DIGITS).find(_LONG_NUMBER) >= 0:
        return False
    try:
        return orjson.dumps(orjson.loads(mine), option=_SORTED) == orjson.dumps(
            orjson.loads(theirs), option=_SORTED
        )
    except (ValueError, TypeError, RecursionError):
        return False  # No JSON, or too deep to be written.


def _kind_of(media_type: str, body: bytes) -> BodyKind:
    if is_json(media_type):
        return "json"
    if media_type.endswith("+xml") or media_type in ("application/xml", "text/xml"):
        return "xml"
    if media_type == _FORM:
        return "form"
    if media_type == "text/csv":
        return "csv"
    if media_type.startswith("text/"):
        return "text"
    # Old systems leave the type away, or say text for everything.
    if not media_type and body.lstrip()[:1] in (b"{", b"["):
        return "json"
    return "binary"


def _json(body: bytes) -> Document:
    try:
        if _has_long_numbers(body):
            return Document("json", _exact_json(body))
        return Document("json", orjson.loads(body))
    except (ValueError, RecursionError):
        return Document("binary", body, "is not JSON")


def _has_long_numbers(body: bytes) -> bool:
    return body.translate(_DIGITS).find(_LONG_NUMBER) >= 0 and _INEXACT.search(body) is not None


def _exact_json(body: bytes) -> object:
    return json.loads(body, parse_float=_number, parse_int=_integer, parse_constant=_no_number)


def _number(text: str) -> float | Decimal:
    exact = Decimal(text)
    short = float(text)
    return short if math.isfinite(short) and Decimal(repr(short)) == exact else exact


def _integer(text: str) -> int | Decimal:
    # Converting very long digits costs the square of their count, and Python refuses it.
    return int(text) if len(text) <= 4_000 else Decimal(text)


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is not JSON")


def _text(content: Content) -> str | None:
    for charset in (content.charset or "utf-8", "latin-1" if not content.charset else ""):
        if not charset:
            return None
        try:
            return content.body.decode(charset)
        except LookupError:
            return None
        except UnicodeDecodeError:
            continue
    return None


def _form(text: str, body: bytes) -> Document:
    try:
        pairs = parse_qsl(
            text.strip(),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_FORM_FIELDS_MAX,
        )
    except ValueError:
        return Document("binary", body, "is not a form")
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return Document("form", {k: v[0] if len(v) == 1 else v for k, v in fields.items()})


def _csv(text: str, body: bytes) -> Document:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return Document("binary", body, "is not CSV")
    rows = [row for row in rows if row]
    if not rows or sum(map(len, rows)) > _CSV_CELLS_MAX or len(set(rows[0])) != len(rows[0]):
        return Document("text", text.splitlines())
    head = rows[0]
    table = []
    for row in rows[1:]:
        cells: dict[str, object] = dict(zip(head, row, strict=False))
        if len(row) != len(head):
            cells["(cells)"] = len(row)
        table.append(cells)
    return Document("csv", {"head": head, "rows": table})
