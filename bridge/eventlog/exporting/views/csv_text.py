"""CSV for spreadsheets: RFC 4180, and no cell that a spreadsheet would run as a formula. Pure."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from bridge.eventlog.exporting.views.numbers import Number, json_text

BOM: Final = b"\xef\xbb\xbf"
"""Without it Excel reads UTF-8 as the code page of the country."""

GUARD: Final = "'"
"""Before a text that would be a formula: spreadsheets then show it as text."""

# OWASP, "CSV Injection"; the full-width forms are formulas to a Japanese Excel.
_FORMULA_STARTS: Final = frozenset("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - Full width is meant.
_PLAIN_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
# Most texts: nothing to guard and nothing to quote.
_HARMLESS: Final = re.compile(f'[^",\r\n{re.escape("".join(sorted(_FORMULA_STARTS)))}][^",\r\n]*')
_TO_QUOTE: Final = re.compile(r'[",\r\n]')

CELL_CHARACTERS_MAX: Final = 32_767
"""What a cell of Excel holds; it silently breaks a longer one over several rows."""

ROWS_MAX: Final = 1_000_000
"""Excel shows 1,048,576 rows of a file and drops the others; a longer table has further files."""


def guarded(text: str) -> str:
    """Return `text` so that no spreadsheet takes it for a formula; numbers stay numbers."""
    if text and text[0] in _FORMULA_STARTS and not _PLAIN_NUMBER.fullmatch(text):
        return GUARD + text
    return text


def cell(value: Any) -> str:
    """Return the text of one cell: nothing for null, JSON for what has parts."""
    if value is None:
        return ""
    if type(value) is str and len(value) < CELL_CHARACTERS_MAX and _HARMLESS.fullmatch(value):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Number):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    text = guarded(value if isinstance(value, str) else json_text(value))
    if len(text) > CELL_CHARACTERS_MAX:
        mark = f" [cut: {len(text):,} characters; whole in payloads.jsonl]"
        text = text[: CELL_CHARACTERS_MAX - len(mark)] + mark
    # A text without characters is not the same as none.
    if not text or _TO_QUOTE.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def is_cut(value: Any) -> bool:
    """Return whether `cell` shows only a part of `value`."""
    if value is None or isinstance(value, int | datetime):
        return False
    return len(value if isinstance(value, str) else json_text(value)) >= CELL_CHARACTERS_MAX


def line(values: Iterable[Any]) -> bytes:
    """Return one record with its line end."""
    return (",".join(map(cell, values)) + "\r\n").encode()
