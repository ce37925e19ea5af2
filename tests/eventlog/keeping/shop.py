"""A data folder with customers whose contract names them, filled without a source database."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.capture.mapping.change_mapper import ChangeMapper
from bridge.contracts.contract_set import ContractSet
from bridge.eventlog.keeping.sealer import KeyedLog
from bridge.model.change import (
    BeforeImage,
    ChangeKind,
    Column,
    Relation,
    RowChange,
    TransactionPart,
)
from bridge.model.entry import Appended, EntryDraft, StoredEntry
from bridge.runtime.configuration.settings import ContractsSettings, EventLogSettings, Settings
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.stores import Stores

MAPPING = """\
subject: shop.customer
version: "1.0"
source: shop
table: public.cust
key: [customer_id]
fields:
  customer_id: {column: cust_no, type: integer}
  name:        {column: nm, type: string}
  email:       {column: eml, type: string}
  limit:       {column: lim, type: decimal, as: number}
  vip:         {column: vip, type: boolean, codes: {"Y": true, "N": false}}
subjects:
  - {kind: customer, id: customer_id, fields: [name, email, limit], class: customer-data}
"""

ROW: dict[str, Any] = {
    "customer_id": {"type": "integer"},
    "name": {"type": "string", "maxLength": 40},
    "email": {"type": ["string", "null"]},
    "limit": {"type": ["number", "null"]},
    "vip": {"type": "boolean"},
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["key"],
    "properties": {
        "key": {"type": ["object", "null"]},
        "after": {"$ref": "#/$defs/row"},
        "before": {"type": "object", "properties": ROW, "additionalProperties": False},
    },
    "$defs": {
        "row": {
            "type": "object",
            "properties": ROW,
            "required": ["customer_id", "name", "email", "limit", "vip"],
            "additionalProperties": False,
        }
    },
}

COLUMNS = ("cust_no", "nm", "eml", "lim", "vip")
TYPES = (23, 25, 25, 1700, 1042)
RELATION = Relation(
    oid=1,
    schema="public",
    table="cust",
    identity="d",
    columns=tuple(
        Column(name=name, type_oid=oid, type_modifier=-1, is_key=name == "cust_no")
        for name, oid in zip(COLUMNS, TYPES, strict=True)
    ),
)

LIMIT = "12345678901234567890.123400"
"""More digits than a double has: whoever parses it loses some."""


def write_contracts(folder: Path, mapping: str = MAPPING) -> Path:
    """Write the contract of customers below `folder`."""
    place = folder / "shop.customer" / "1.0"
    (place / "examples").mkdir(parents=True)
    (place / "schema.json").write_text(json.dumps(SCHEMA))
    (place / "mapping.yaml").write_text(mapping)
    row = {"customer_id": 1, "name": "A", "email": None, "limit": 1, "vip": True}
    valid = {"key": {"customer_id": 1}, "after": row}
    (place / "examples" / "valid-a.json").write_text(json.dumps(valid))
    (place / "examples" / "invalid-a.json").write_text("{}")
    return folder


def settings(folder: Path, **event_log: Any) -> Settings:
    """Return the settings of a data folder in `folder`, with its contracts."""
    if not (folder / "contracts").exists():
        write_contracts(folder / "contracts")
    return Settings(
        data_dir=folder / "data",
        contracts=ContractsSettings(dir=folder / "contracts"),
        event_log=EventLogSettings(origin="keeping.example/log", **event_log),
    )


def name_of(number: int) -> str:
    """Return a customer's name: what must not be found after an erasure."""
    return f"Canary Name {number:06d} Q"


def email_of(number: int) -> str:
    """Return a customer's address."""
    return f"canary{number:06d}q@example.org"


def change(number: int, kind: ChangeKind = ChangeKind.CREATED, vip: str = "Y") -> RowChange:
    """Return a change of customer `number`."""
    row = (str(number), name_of(number), email_of(number), LIMIT, vip)
    return RowChange(kind, RELATION, None, BeforeImage.NONE, row)


class Capture:
    """Maps and appends changes as the capture role does."""

    def __init__(self, stores: Stores, *, contracts: ContractSet | None = None) -> None:
        self.keeping = stores.keeping()
        self.log = KeyedLog(stores.event_log(), self.keeping.opened_keyring)
        loaded = contracts or contract_set(
            stores.settings, None, self.keeping.pseudonyms, self.keeping.sealer
        )
        self.mapper = ChangeMapper("shop", loaded)
        self._lsn = 1_000 + stores.event_log().head().size

    def drafts(self, changes: Iterable[RowChange], at: datetime | None = None) -> list[EntryDraft]:
        """Return what one transaction becomes."""
        self._lsn += 1
        time = at or datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
        part = TransactionPart(7, self._lsn, time, 0, tuple(changes), True, self._lsn)
        return self.mapper.part_drafts(part, "2026-11-21T12:00:00Z")

    def append(self, changes: Iterable[RowChange], at: datetime | None = None) -> Appended:
        """Capture one transaction."""
        return self.log.append(self.drafts(changes, at))


def fill(stores: Stores, count: int, start: int = 1) -> None:
    """Capture `count` new customers in transactions of 1,000."""
    capture = Capture(stores)
    for first in range(start, start + count, 1_000):
        last = min(first + 1_000, start + count)
        capture.append([change(number) for number in range(first, last)])


def data_of(entry: StoredEntry) -> dict[str, Any]:
    """Return an event's data."""
    found: dict[str, Any] = json.loads(entry.payload)["data"]
    return found
