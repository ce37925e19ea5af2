"""What an entry of the log says about a row, as a digest per field. Pure.

The same function reads entries of the log and events that are made of the source's rows now, so
that equal digests mean that a consumer of the log has what the source has.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from bridge.model.change import ChangeKind
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.lsn import parse_lsn
from bridge.model.payloads import members

_DIGEST_BYTES: Final = 8
"""Two values that differ have equal digests once in 10^19 times; a comparison looks at far less."""


class RowTold(NamedTuple):
    """A row as an event tells it."""

    key: str
    """The key as the contract spells it: JSON text."""
    fields: Mapping[str, str] | None
    """Digest by field, of those that were sent; None: the row is gone."""
    whole: bool
    """Whether the fields that are not there are not there; else they are as they were."""


class EntryTold(NamedTuple):
    """What an entry says about rows of a table."""

    rows: tuple[RowTold, ...]
    emptied: bool
    xid: int
    """Its transaction; 0 for a row that was read."""
    position: int
    """Its commit, or the place where it was read."""


def entry_told(entry: StoredEntry, source_urn: str, table: str) -> EntryTold | None:
    """Return what `entry` says about `table`, or None when it is about something else."""
    if entry.kind not in (EntryKind.EVENT, EntryKind.PARKED):
        return None
    # Most entries are of other tables: looked at before anything is parsed.
    if json.dumps(table, ensure_ascii=False).encode() not in entry.leaf:
        return None
    fields = json.loads(entry.leaf)["fields"]
    legacy = fields.get("legacy", {})
    if fields.get("source") != source_urn or legacy.get("table") != table or "xid" not in legacy:
        return None
    try:
        rows, emptied = payload_told(entry.payload)
    except (ValueError, KeyError, IndexError):
        return None  # Kept aside as it came: it says nothing in our words.
    return EntryTold(rows, emptied, legacy["xid"], parse_lsn(legacy["lsn"]))


def payload_told(payload: bytes) -> tuple[tuple[RowTold, ...], bool]:
    """Return the rows that an event tells, and whether it empties the table.

    Raises `ValueError`, `KeyError` or `IndexError` for what is no event of a row.
    """
    root = members(payload.decode())
    data = members(root["data"])
    kind = json.loads(root["type"]).split(".")[-2]
    if kind == ChangeKind.TRUNCATED.value:
        return (), True
    key = data["key"]
    if key == "null":
        raise ValueError("a row without a key cannot be compared")
    if kind == ChangeKind.DELETED.value or "after" not in data:
        return (RowTold(key, None, True),), False
    rows = []
    old_key = _old_key(key, data)
    if old_key is not None and old_key != key:
        rows.append(RowTold(old_key, None, True))
    fields = {name: _digest(value) for name, value in members(data["after"]).items()}
    rows.append(RowTold(key, fields, "unavailable" not in data))
    return tuple(rows), False


def _old_key(key: str, data: Mapping[str, str]) -> str | None:
    if "before" not in data:
        return None
    before = members(data["before"])
    try:
        return "{" + ",".join(f'"{name}":{before[name]}' for name in members(key)) + "}"
    except KeyError:
        return None


def _digest(value: str) -> str:
    return blake2b(value.encode(), digest_size=_DIGEST_BYTES).hexdigest()
