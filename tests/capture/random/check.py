"""Compare the log with the truth: same ids, same order, same values, no gap, no repeat."""

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson

from bridge.model.entry import EntryKind, StoredEntry
from tests.capture.oracle import event_id
from tests.capture.random.second_decoder import Change, Transaction


@dataclass
class Verdict:
    """What was compared; `faults` is empty when the log is right."""

    changes: int = 0
    rows_read: int = 0
    faults: list[str] = field(default_factory=list)


def changes_of(entries: list[StoredEntry]) -> list[tuple[str, dict[str, Any]]]:
    """Return id and payload of every entry that stands for a row or a message of the source."""
    return [
        (entry.entry_id, orjson.loads(entry.payload))
        for entry in entries
        if entry.kind is EntryKind.EVENT and not _is_about_capture(entry)
    ]


def compare(
    entries: list[StoredEntry],
    logged: list[tuple[str, dict[str, Any]]],
    truth: list[Transaction],
    keyless: frozenset[str],
    prefixes: tuple[str, ...],
) -> Verdict:
    """Compare every change that was `logged` with the change that it must be.

    `prefixes`: of the messages that are events; all others only take a number.
    `keyless`: tables whose changes before their first reading are part of that reading.
    """
    verdict = Verdict()
    expected = {
        event_id(transaction, ordinal): change
        for transaction in truth
        for ordinal, change in enumerate(transaction.changes)
        if change.kind != "message" or change.prefix in prefixes
    }
    counts = Counter(entry.entry_id for entry in entries)
    verdict.faults += [f"{name} is in the log twice" for name in counts if counts[name] > 1]
    changes: list[str] = []
    for entry_id, document in logged:
        if document.get("kind") == "read":
            verdict.rows_read += 1
            continue
        changes.append(entry_id)
        verdict.changes += 1
        if entry_id not in expected:
            verdict.faults.append(f"{entry_id} was never committed: {_shown(document)}")
        elif difference := _difference(document, expected[entry_id]):
            verdict.faults.append(f"{entry_id} differs: {difference}")
    verdict.faults += _order_faults(changes, list(expected))
    verdict.faults += _gaps(expected, set(changes), keyless)
    return verdict


def _is_about_capture(entry: StoredEntry) -> bool:
    """Drift and the like: the log's own entries, which no source committed."""
    routing_key = entry.routing_key or ""
    return routing_key.startswith("bridge.") and ".message." not in routing_key


def _order_faults(changes: list[str], expected: list[str]) -> list[str]:
    place = {entry_id: number for number, entry_id in enumerate(expected)}
    known = [entry_id for entry_id in changes if entry_id in place]
    return [
        f"{after} stands behind {before}, the source committed it earlier"
        for before, after in pairwise(known)
        if place[after] <= place[before]
    ]


def _gaps(
    expected: dict[str, Change],
    seen: set[str],
    keyless: frozenset[str],
) -> list[str]:
    """Return what is missing, but for what the reading of a table without a key stands for."""
    first_seen = {
        table: next((i for i in expected if i in seen and expected[i].table == table), None)
        for table in keyless
    }
    faults = []
    for entry_id, change in expected.items():
        if entry_id in seen:
            continue
        beginning = first_seen.get(change.table)
        if change.table in keyless and (beginning is None or entry_id < beginning):
            continue
        faults.append(f"{entry_id} is missing: {change.kind} of {change.table}")
    return faults


def _difference(document: dict[str, Any], change: Change) -> str:
    """Return what is different, by the names of columns and never in silence."""
    if change.kind == "message":
        return _message_difference(document, change)
    wanted = {
        "table": change.table,
        "kind": change.kind,
        "image": change.image,
        "before": change.before,
        "after": change.after,
    }
    return "; ".join(
        f"{name}: expected {wanted[name]!r}, found {document.get(name)!r}"
        for name in wanted
        if document.get(name) != wanted[name]
    )


def _message_difference(document: dict[str, Any], change: Change) -> str:
    data = document["data"]
    content = data["content"]
    if data["encoding"] == "json":
        content, wanted = json.dumps(content), json.dumps(json.loads(change.content))
    else:
        wanted = change.content.decode()
    found = (data["prefix"], data["transactional"], content)
    expected = (change.prefix, change.transactional, wanted)
    return "" if found == expected else f"expected {expected!r}, found {found!r}"


def _shown(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False)[:300]


def replayed(
    logged: list[tuple[str, dict[str, Any]]], table: str, key: tuple[str, ...]
) -> Counter[str]:
    """Replay a table's events as a consumer would; return the `id` of each row that is left."""
    rows: dict[str, str | None] = {}
    for entry_id, event in logged:
        if event.get("table") != table:
            continue
        if event["kind"] == "truncated":
            rows.clear()
            continue
        before, after = event["before"], event["after"]
        if before is not None:
            rows.pop(_key(before, key, entry_id), None)
        if after is not None:
            rows[_key(after, key, entry_id)] = after["id"]
    return Counter(map(str, rows.values()))


def _key(row: dict[str, Any], key: tuple[str, ...], entry_id: str) -> str:
    # Without a key rows are only ever added: the event itself tells one from the other.
    return json.dumps([row[name] for name in key]) if key else entry_id
