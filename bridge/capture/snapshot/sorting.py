"""Which rows of a chunk are appended, and which must be read again. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bridge.capture.cursor import TableMark
from bridge.capture.snapshot.window import Key, Touch, Touched, key_of
from bridge.model.change import Row

# The cursor is rewritten with each commit, so it stays small. Beyond it the table is read from its
# beginning again.
AGAIN_KEYS_MAX: Final = 1_000


def sort_out(
    rows: Sequence[Row], places: tuple[int, ...], asked: Sequence[Key], touched: Touched
) -> tuple[list[Row], list[Key]]:
    """Return the rows of which the log has nothing newer, and the keys to be read again.

    The log's change of those lacks a value, and the row that has it was left out, was `asked` for
    in vain, or may have come from beyond to where was read already.
    """
    if touched.emptied:
        return [], []  # A truncation that the snapshot does not contain removed them all.
    if not touched.keys:
        return list(rows), []
    lacking = [key for key, touch in touched.keys.items() if touch is Touch.MOVED]
    lacking += [key for key in asked if touched.keys.get(key, Touch.WHOLE)]
    kept = []
    for row in rows:
        touch = touched.keys.get(key := key_of(row, places))
        if touch is None:
            kept.append(row)
        elif touch:
            lacking.append(key)
    return kept, lacking


def reread(mark: TableMark, keys: Sequence[Key]) -> TableMark:
    """Return `mark` with `keys` to be read again; with too many, all is read again."""
    again = tuple(dict.fromkeys((*mark.again, *keys)))
    if len(again) <= AGAIN_KEYS_MAX:
        return replace(mark, again=again)
    return TableMark(table=mark.table, after=None)
