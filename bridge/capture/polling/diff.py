"""What rows that were read say about rows that are known. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from bridge.capture.polling.plan import Deletes, Strategy
from bridge.capture.polling.ports import KnownRow, PolledRow, PolledTable, RowMarks
from bridge.model.change import UNSENT, BeforeImage, Cell, ChangeKind, Row, RowChange
from bridge.model.errors import SourceUnfit

_DIGEST_BYTES: Final = 16
"""A change goes unnoticed once in 2^64 at the worst, by chance; nobody gains from forcing it."""


@dataclass(slots=True)
class Found:
    """Changes to report, and what to remember when they are."""

    marks: RowMarks
    changes: list[RowChange] = field(default_factory=list)
    rows: list[PolledRow] = field(default_factory=list)
    """The rows behind the changes that are not deletes: they are new to us."""


def row_key(table: PolledTable, cells: Row, copy: int | None = None) -> str:
    """Return the text under which a row is known; `copy` tells rows without a key apart."""
    texts: list[str | int | None] = [_text(cells[place]) for place in table.key_cells]
    if copy is not None:
        texts.append(copy)
    return json.dumps(texts, separators=(",", ":"))


def digest(table: PolledTable, cells: Row) -> bytes:
    """Return what tells two states of a row apart; of an outbox row there is only one."""
    told = () if table.plan.strategy is Strategy.OUTBOX else tuple(map(_text, cells))
    return blake2b(
        json.dumps(told).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES
    ).digest()


def compare(
    table: PolledTable,
    rows: Sequence[PolledRow],
    keys: Sequence[str],
    known: Mapping[str, KnownRow],
    *,
    scan: int,
    first_reading: bool,
) -> Found:
    """Return what is new in `rows`, whose keys are `keys`, against what is `known` of them.

    Raises:
        SourceUnfit: two of them have the same key.
    """
    found = Found(RowMarks(table.name, scan))
    seen: set[str] = set()
    for row, key in zip(rows, keys, strict=True):
        if key in seen:
            raise SourceUnfit(
                f"cannot poll table {table.name!r}: its key {', '.join(table.key)!r} names more "
                "than one row; set 'key' to columns that are unique"
            )
        seen.add(key)
        _compare_row(table, row, key, known.get(key), found, first_reading=first_reading)
    return found


def _compare_row(
    table: PolledTable,
    row: PolledRow,
    key: str,
    known: KnownRow | None,
    found: Found,
    *,
    first_reading: bool,
) -> None:
    relation = table.relation
    if is_deleted(table, row.cells):
        if known is not None:
            found.marks.removed.append(key)
            found.changes.append(
                RowChange(ChangeKind.DELETED, relation, row.cells, BeforeImage.FULL, None)
            )
        return
    now = digest(table, row.cells)
    if known is not None and known.digest == now:
        if known.seen != found.marks.scan or known.missed:
            found.marks.met.append(key)
        return
    if known is not None:
        kind = ChangeKind.UPDATED
    elif first_reading and table.plan.strategy is not Strategy.OUTBOX:
        kind = ChangeKind.READ
    else:
        kind = ChangeKind.CREATED
    found.marks.reported.append((key, now))
    found.changes.append(RowChange(kind, relation, None, BeforeImage.NONE, row.cells))
    found.rows.append(row)


def is_deleted(table: PolledTable, cells: Row) -> bool:
    """Whether the row says of itself that it is deleted."""
    if table.plan.deletes is not Deletes.SOFT or table.deleted_cell is None:
        return False
    cell = cells[table.deleted_cell]
    if table.plan.deleted_value is None:
        return cell is not None
    return cell == table.plan.deleted_value


def gone(table: PolledTable, key: str) -> RowChange:
    """Return the delete of a row of which only the key is known."""
    texts = json.loads(key)
    if not table.key:  # All its columns are its key, then a number.
        return RowChange(
            ChangeKind.DELETED, table.relation, tuple(texts[:-1]), BeforeImage.FULL, None
        )
    cells: list[Cell] = [UNSENT] * len(table.relation.columns)
    for place, text in zip(table.key_cells, texts, strict=True):
        cells[place] = text
    return RowChange(ChangeKind.DELETED, table.relation, tuple(cells), BeforeImage.KEY, None)


def _text(cell: Cell) -> str | None:
    assert cell is None or isinstance(cell, str), "polled cells are texts"
    return cell
