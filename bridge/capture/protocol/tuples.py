"""Decode the tuples in pgoutput messages: a row's cells, in text mode.

A tuple is a column count (2 bytes) and for each column a kind: `n` null, `u` unchanged TOAST that
was not sent, or `t` with a length (4 bytes) and the value's text. Text that is not UTF-8 (a
SQL_ASCII database holds anything) becomes `bytes`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

from bridge.model.change import UNSENT, Cell, Row

RowDecoder: TypeAlias = Callable[[bytes, int], tuple[Row, int]]
"""From frame and offset of a tuple to its cells and the offset after it."""


class Malformed(Exception):
    """Where and why bytes stop making sense; becomes a `DecodeError` with tag and LSN."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset
        self.why = why


def short(frame: bytes, offset: int, what: str, needed: int) -> Malformed:
    """Return the error for a frame that ends before `what` does."""
    left = max(len(frame) - offset, 0)
    return Malformed(offset, f"{left} bytes left, {what} needs {needed}")


_ROW_HEAD = """\
def decode_row(frame, at):
    if frame[at:at + 2] != COUNTED:
        raise wrong_count(frame, at, COUNT)
    first = at = at + 2
    try:
"""
_ROW_CELL = """
        kind = frame[at]
        if kind == TEXT:
            start = at + 5
            # A length cut short reads as a smaller number, but `at` still passes the end.
            at = start + from_bytes(frame[at + 1:start])
            c{n} = frame[start:at].decode()
        elif kind == NULL:
            c{n} = None
            at += 1
        elif kind == UNCHANGED:
            c{n} = UNSENT
            at += 1
        else:
            raise wrong_cell(frame, at)
"""
_ROW_TAIL = """
    except IndexError:
        raise cut_off(frame) from None
    except UnicodeDecodeError:
        return decode_any(frame, first, COUNT)
    if at > len(frame):
        raise cut_off(frame)
    return ({cells}), at
"""


@cache
def row_decoder(column_count: int) -> RowDecoder:
    """Return a decoder for tuples of `column_count` columns.

    It is generated with the loop over columns written out, which takes a quarter off the time
    of the longest step per row. The text depends on nothing but the number of columns.
    """
    cells = "".join(f"c{n}, " for n in range(column_count))
    body = "".join(_ROW_CELL.format(n=n) for n in range(column_count)) or "        pass"
    namespace: dict[str, Any] = {
        "COUNT": column_count,
        "COUNTED": column_count.to_bytes(2),
        "TEXT": ord("t"),
        "NULL": ord("n"),
        "UNCHANGED": ord("u"),
        "UNSENT": UNSENT,
        "from_bytes": int.from_bytes,
        "wrong_count": _wrong_count,
        "wrong_cell": _wrong_cell,
        "cut_off": _cut_off,
        "decode_any": _decode_any,
    }
    exec(_ROW_HEAD + body + _ROW_TAIL.format(cells=cells), namespace)  # noqa: S102  our own text
    decode_row: RowDecoder = namespace["decode_row"]
    return decode_row


def _wrong_count(frame: bytes, offset: int, column_count: int) -> Malformed:
    if len(frame) < offset + 2:
        return short(frame, offset, "column count", 2)
    found = int.from_bytes(frame[offset : offset + 2])
    return Malformed(offset, f"{found} columns, the relation has {column_count}")


def _wrong_cell(frame: bytes, offset: int) -> Malformed:
    return Malformed(offset, f"unknown cell kind {chr(frame[offset])!r}")


def _cut_off(frame: bytes) -> Malformed:
    return Malformed(len(frame), "the row goes on beyond the end of the message")


def _decode_any(frame: bytes, at: int, column_count: int) -> tuple[Row, int]:
    """Decode a row in which some text is not UTF-8; checks all again, as rows like it are rare."""
    cells: list[Cell] = []
    for _ in range(column_count):
        kind = frame[at : at + 1]
        if kind == b"t":
            start = at + 5
            at = start + int.from_bytes(frame[at + 1 : start])
            cells.append(_text_or_bytes(frame[start:at]))
        elif kind in (b"n", b"u"):
            cells.append(None if kind == b"n" else UNSENT)
            at += 1
        elif kind:
            raise _wrong_cell(frame, at)
        else:
            raise _cut_off(frame)
    if at > len(frame):
        raise _cut_off(frame)
    return tuple(cells), at


def _text_or_bytes(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
