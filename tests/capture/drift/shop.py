"""A table with a contract on disk that tests change, captured by the real service."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bridge.capture.mapping.change_mapper import MappingOptions
from bridge.capture.ports import CaptureLog
from bridge.capture.service import CaptureService
from bridge.capture.watches import Watch
from bridge.contracts.contract_set import ContractSet
from bridge.contracts.contract_shelf import ContractShelf
from bridge.contracts.product_schemas import product_schema, product_subjects
from bridge.model.entry import EntryKind, StoredEntry
from tests.capture.running import SOURCE, Running, make_source
from tests.conftest import Database
from tests.waiting import RecordingObserver

Follow = Callable[..., None]
"""Runs statements while capture follows; options go to the service."""

_JSON_TYPES = {"integer": ["integer", "null"], "string": ["string", "null"]}


def write_contract(
    folder: Path,
    fields: dict[str, str],
    *,
    version: str = "1.0",
    table: str = "public.t",
    subject: str = "shop.thing",
    drop: Sequence[str] = (),
) -> None:
    """Write a version that maps each column to a field of its name; `id` is the key."""
    place = folder / subject / version
    (place / "examples").mkdir(parents=True, exist_ok=True)
    row = {
        "type": "object",
        "properties": {name: {"type": _JSON_TYPES[kind]} for name, kind in fields.items()},
        "additionalProperties": False,
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "key": {"type": ["object", "null"]},
            "after": row,
            "before": row,
            "unavailable": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["key"],
        "additionalProperties": False,
    }
    mapping = {
        "subject": subject,
        "version": version,
        "source": SOURCE,
        "table": table,
        "key": ["id"],
        "fields": {name: {"column": name, "type": kind} for name, kind in fields.items()},
        "drop": list(drop),
    }
    (place / "schema.json").write_text(json.dumps(schema))
    (place / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    (place / "examples" / "valid-one.json").write_text('{"key": {"id": 1}}')
    (place / "examples" / "invalid-one.json").write_text("{}")


def start_shop(
    database: Database,
    log: CaptureLog,
    folder: Path,
    contracts: Path,
    *,
    options: MappingOptions | None = None,
    watches: Sequence[Watch] = (),
    **more: Any,
) -> Running:
    """Start capture of what the contracts map; the caller ends it."""
    observer = RecordingObserver()
    shelf = ContractShelf(lambda: ContractSet.load(contracts, type_prefix="com.example"), observer)
    service = CaptureService(
        SOURCE,
        make_source(database.dsn, database.name, *shelf.tables(SOURCE)),
        log,
        shelf,
        spool_folder=folder,
        observer=observer,
        mapping=options,
        watches=watches,
        **more,
    )
    return Running(service, observer)


@contextmanager
def shop(
    database: Database, log: CaptureLog, folder: Path, contracts: Path, **options: Any
) -> Iterator[Running]:
    """Capture for the duration of the block; what ended it early is raised after it."""
    running = start_shop(database, log, folder, contracts, **options)
    try:
        yield running
    finally:
        running.stop.set()
    running.end()


def entries_of(log: CaptureLog) -> list[StoredEntry]:
    """Return all entries, in log order."""
    return log.read(0, log.head().size)


def told(entry: StoredEntry) -> dict[str, Any]:
    """Return the leaf's fields."""
    fields: dict[str, Any] = json.loads(entry.leaf)["fields"]
    return fields


def data_of(entry: StoredEntry) -> dict[str, Any]:
    """Return the data of the event in an entry."""
    data: dict[str, Any] = json.loads(entry.payload)["data"]
    return data


def story(log: CaptureLog) -> list[str]:
    """Return the log in short: `created 1`, `parked 2`, `drift parked`, …"""
    lines = []
    for entry in entries_of(log):
        fields, data = told(entry), json.loads(entry.payload).get("data", {})
        if entry.entry_id.endswith("-drift"):
            lines.append(f"drift {fields['state']}")
        elif entry.kind is EntryKind.CONTROL:
            lines.append(f"control {fields['action']}")
        elif "after" in data or "before" in data:
            row = data.get("after") or data["before"]
            kind = "parked" if entry.kind is EntryKind.PARKED else fields["legacy"]["op"]
            lines.append(f"{kind} {row['id']}")
        else:
            lines.append(f"{entry.kind.value} {fields.get('type', '')}")
    return lines


def check_own_events(log: CaptureLog) -> None:
    """Every event of ours fits the contract that comes with the product."""
    for entry in entries_of(log):
        subject = told(entry).get("dataschema", "").rpartition(":")[0].rpartition(":")[2]
        if subject in product_subjects():
            assert product_schema(subject).reason(data_of(entry)) is None, data_of(entry)


def drifts_of(log: CaptureLog) -> list[dict[str, Any]]:
    """Return the data of all drift events of the stream."""
    return [data_of(entry) for entry in entries_of(log) if entry.entry_id.endswith("-drift")]
