"""A contract with every field type, and rows for it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.contracts import ContractSet, TableMapper
from bridge.model.change import BeforeImage, ChangeKind, Column, Relation, Row, RowChange
from bridge.model.event import ChangeOrigin

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SCHEMA: dict[str, Any] = {
    "$schema": DIALECT,
    "type": "object",
    "required": ["key"],
    "additionalProperties": False,
    "properties": {
        "key": {"type": ["object", "null"]},
        "after": {"$ref": "#/$defs/row"},
        "before": {"type": "object"},
        "unavailable": {"type": "array", "items": {"type": "string"}},
    },
    "$defs": {
        "row": {
            "type": "object",
            "additionalProperties": False,
            "required": ["order_id", "status"],
            "properties": {
                "order_id": {"type": "integer"},
                "status": {"enum": ["open", "paid"]},
                "total": {"type": ["string", "null"], "format": "decimal"},
                "ordered_at": {"type": ["string", "null"], "format": "local-date-time"},
                "closed": {"type": ["boolean", "null"]},
                "note": {"type": ["string", "null"], "maxLength": 40},
                "attributes": {"type": ["object", "null"]},
            },
        }
    },
}

MAPPING = """\
subject: shop.order
version: "1.0"
source: shop
table: public.t_ord_hdr
key: [order_id]
fields:
  order_id:   {column: ord_no, type: integer}
  status:     {column: stat_cd, type: string, codes: {"1": open, "2": paid}}
  total:      {column: tot_amt, type: decimal}
  ordered_at: {column: ord_ts, type: timestamp}
  closed:     {column: cls_flg, type: boolean, codes: {"Y": true, "N": false}}
  note:       {column: note, type: string}
  attributes: {column: attrs, type: json}
drop: [intrnl_memo]
"""

COLUMNS = (
    ("ord_no", 23, -1),
    ("stat_cd", 1042, 8),  # char(4): the server pads what it sends.
    ("tot_amt", 1700, -1),
    ("ord_ts", 1114, -1),
    ("cls_flg", 25, -1),
    ("intrnl_memo", 25, -1),
    ("note", 25, -1),
    ("attrs", 3802, -1),
)

ROW: Row = (
    "42",
    "1   ",
    "129.90",
    "2024-01-02 03:04:05.5",
    "N",
    "never leaves",
    "ring twice",
    '{"size": 1.10, "big": 123456789012345678901}',
)

ORIGIN = ChangeOrigin(
    "shop",
    "shop:000000000000ABCD:00000001",
    "000000000000ABCD:00000001",
    7,
    datetime(2024, 1, 2, 3, 4, 6, tzinfo=UTC),
    "2024-01-02T03:04:07.000000Z",
)


def relation(
    columns: tuple[tuple[str, int, int], ...] = COLUMNS,
    *,
    keys: tuple[str, ...] = ("ord_no",),
    table: str = "t_ord_hdr",
) -> Relation:
    return Relation(
        oid=1,
        schema="public",
        table=table,
        identity="d",
        columns=tuple(
            Column(name=name, type_oid=oid, type_modifier=modifier, is_key=name in keys)
            for name, oid, modifier in columns
        ),
    )


def write_contract(
    directory: Path,
    *,
    subject: str = "shop.order",
    version: str = "1.0",
    schema: Any = SCHEMA,
    mapping: str | None = MAPPING,
) -> Path:
    """Write a sound contract, except for what the caller gives; return its folder."""
    folder = directory / subject / version
    (folder / "examples").mkdir(parents=True)
    (folder / "schema.json").write_text(json.dumps(schema))
    if mapping is not None:
        (folder / "mapping.yaml").write_text(mapping)
    (folder / "examples" / "valid-truncated.json").write_text('{"key": null}')
    (folder / "examples" / "invalid-empty.json").write_text("{}")
    return folder


def mapper(directory: Path, shape: Relation | None = None) -> TableMapper:
    write_contract(directory)
    contracts = ContractSet.load(directory, type_prefix="com.example")
    found = contracts.mapper("shop", shape or relation())
    assert found is not None
    return found


def created(row: Row = ROW, shape: Relation | None = None) -> RowChange:
    return RowChange(ChangeKind.CREATED, shape or relation(), None, BeforeImage.NONE, row)


def with_cell(column: str, cell: Any, row: Row = ROW) -> Row:
    """Return `row` with the cell of `column` replaced."""
    index = [name for name, _, _ in COLUMNS].index(column)
    return (*row[:index], cell, *row[index + 1 :])
