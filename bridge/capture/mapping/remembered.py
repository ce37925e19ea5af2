"""What an entry of the log says about the last values of a row. Pure.

One function reads drafts that are about to be appended and entries that are read back, so that a
projection that followed the log live and one that was rebuilt from it are equal.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bridge.contracts.mapping import TableMapping
from bridge.contracts.names import data_schema_urn
from bridge.model.change import ChangeKind
from bridge.model.payloads import members


class Remembered(NamedTuple):
    """A field's last value, and the rule by which it was mapped."""

    rule: str
    value: bytes
    """JSON, byte for byte as in its event."""


class Effect(NamedTuple):
    """What becomes of the memory of one table."""

    key: str | None
    """JSON text of a row's key; None: the whole table is forgotten."""
    fields: Mapping[str, Remembered | None] | None
    """New values by field, None for a field that is forgotten; None: the row is forgotten."""


FORGET_TABLE = Effect(None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMemory:
    """Which fields of a table are remembered, under each version of its contract."""

    fields: frozenset[str]
    """Fields of the version that publishes now."""
    rules: Mapping[str, Mapping[str, str]]
    """`dataschema` → field → digest of the rule that mapped it."""


def rules_of(mapping: TableMapping) -> dict[str, str]:
    """Return a digest of each field's rule: equal digests mean equal values for equal columns."""
    digests = {}
    for rule in mapping.fields:
        codes = rule.codes and sorted(rule.codes.items())
        text = repr((rule.column, rule.shape, codes, rule.protect))
        digests[rule.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return digests


def schema_of(mapping: TableMapping) -> str:
    """Return the `dataschema` of the mapping's events."""
    return data_schema_urn(mapping.subject, mapping.version)


def effects(payload: bytes, memory: TableMemory, *, key: str | None, parked: bool) -> list[Effect]:
    """Return what an event, published or parked, does to the memory of its table.

    `key` is its partition key, for a parked row whose payload is not of its contract.

    Whatever is not certain is forgotten: a value that is not remembered is merely unavailable.
    """
    try:
        root = members(payload.decode())
        data = members(root["data"])
        if "key" not in data:
            return [Effect(key, None)]  # A row as it came: it says nothing in our words.
        kind = json.loads(root["type"]).split(".")[-2]
        schema = json.loads(root["dataschema"])
        return _effects(kind, schema, data, memory, parked)
    except (ValueError, KeyError, IndexError):
        return [Effect(key, None)]


def _effects(
    kind: str, schema: str, data: Mapping[str, str], memory: TableMemory, parked: bool
) -> list[Effect]:
    if kind == ChangeKind.TRUNCATED.value:
        return [FORGET_TABLE]
    key = data["key"]
    if key == "null":
        return [FORGET_TABLE]  # It changed some row; which one, nobody knows.
    if kind == ChangeKind.DELETED.value or "after" not in data:
        return [Effect(key, None)]
    found: list[Effect] = []
    old_key = _old_key(key, data)
    moved = old_key is not None and old_key != key
    if moved:
        found.append(Effect(old_key, None))
    whole = moved or kind != ChangeKind.UPDATED.value
    found.append(Effect(key, _fields(schema, data, memory, parked, whole)))
    return found


def _fields(
    schema: str, data: Mapping[str, str], memory: TableMemory, parked: bool, whole: bool
) -> dict[str, Remembered | None]:
    """Return what is known of each field now; a field that was not sent is as it was."""
    after = members(data["after"])
    rules = memory.rules.get(schema, {})
    unsent = {*json.loads(data.get("unavailable", "[]"))}
    marked = _marked(data)
    fields: dict[str, Remembered | None] = {}
    for name in memory.fields:
        value = after.get(name)
        if value is None:
            if whole or name not in unsent:
                fields[name] = None
        elif parked or name in marked or name not in rules or value == "null":
            fields[name] = None
        else:
            fields[name] = Remembered(rules[name], value.encode())
    return fields


def _marked(data: Mapping[str, str]) -> set[str]:
    """Return fields whose value does not stand for itself: base64, bounds, raw texts."""
    paths = [*json.loads(data.get("base64", "[]")), *json.loads(data.get("bounds", "{}"))]
    paths += [entry["path"] for entry in json.loads(data.get("decode_error", "[]"))]
    return {path.split("/")[2] for path in paths if path.startswith("/after/")}


def _old_key(key: str, data: Mapping[str, str]) -> str | None:
    if "before" not in data:
        return None
    before = members(data["before"])
    try:
        return "{" + ",".join(f'"{name}":{before[name]}' for name in members(key)) + "}"
    except KeyError:
        return None
