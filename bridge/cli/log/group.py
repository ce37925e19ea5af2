"""`log` and `parked`: read, export and verify the event log."""

import json
from typing import Annotated, Any

import typer

from bridge.cli.log import export as log_export
from bridge.cli.log import history as log_history
from bridge.cli.log import key as log_key
from bridge.cli.log import proof as log_proof
from bridge.cli.log import replay as log_replay
from bridge.cli.log import search as log_search
from bridge.cli.log import storage as log_storage
from bridge.cli.log import timestamp as log_timestamp
from bridge.cli.log import verify as log_verify
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, reader
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.eventlog.records.access import record_access
from bridge.model.entry import EntryKind, StoredEntry
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores

app = typer.Typer(help="The tamper-evident event log.", no_args_is_help=True)
parked_app = typer.Typer(help="Events that broke their contract.", no_args_is_help=True)

# One read of the log at a time, so that a listing of a long log stays small in memory.
READ_BATCH = 1_000
# What the stores can count to.
INDEX_MAX = 2**63 - 1

log_export.add_to(app)
log_key.add_to(app)
log_proof.add_to(app)
log_search.add_to(app)
log_history.add_to(app)
log_storage.add_to(app)
log_timestamp.add_to(app)
log_verify.add_to(app)
log_replay.add_to(app)


@app.command()
def head(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show size, root hash and newest checkpoint."""
    with Stores(load_settings(config)) as stores:
        log = stores.event_log()
        tree = log.head()
        checkpoint = log.latest_checkpoint()
    if as_json:
        print_json(
            {
                "size": tree.size,
                "root": tree.root.hex(),
                "checkpoint_size": checkpoint[0] if checkpoint else None,
                "checkpoint": checkpoint[1].decode() if checkpoint else None,
            }
        )
        return
    console.print(f"{tree.size:,} entries, root {tree.root.hex()}")
    if checkpoint:
        console.print(checkpoint[1].decode(), markup=False, highlight=False)


@app.command("list")
def list_entries(
    start: Annotated[
        int | None,
        typer.Option(min=0, max=INDEX_MAX, help="First index; newest by default."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=READ_BATCH)] = 20,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show entries by their leaves (never a payload)."""
    with Stores(load_settings(config)) as stores:
        log = stores.event_log()
        first = max(0, log.head().size - count) if start is None else start
        entries = log.read(first, count)
        query = {"start": first, "count": count}
        record_access(log, reader(actor), "list", found=len(entries), query=query)
    if as_json:
        print_json([json.loads(entry.leaf) for entry in entries])
        return
    print_rows(
        "Entries",
        ("index", "kind", "id", "type", "time"),
        [
            (entry.leaf_index, entry.kind.value, entry.entry_id, said.get("type"), said.get("time"))
            for entry, said in ((entry, _fields(entry)) for entry in entries)
        ],
    )


@parked_app.command("list")
def list_parked(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show events that broke their contract, with the reason; oldest first."""
    with Stores(load_settings(config)) as stores:
        found = [_parked(entry) for entry in _of_kind(stores, EntryKind.PARKED, limit)]
        query = {"kinds": [EntryKind.PARKED.value], "limit": limit}
        record_access(
            stores.event_log(), reader(actor), "parked-list", found=len(found), query=query
        )
    if as_json:
        print_json(found)
        return
    print_rows(
        "Parked events",
        ("entry", "id", "contract", "reason"),
        [(item["index"], item["id"], item["dataschema"], item["reason"]) for item in found],
    )


def _of_kind(stores: Stores, kind: EntryKind, count_max: int) -> list[StoredEntry]:
    log = stores.event_log()
    found: list[StoredEntry] = []
    start = 0
    while len(found) < count_max:
        batch = log.read(start, READ_BATCH)
        if not batch:
            break
        found += [entry for entry in batch if entry.kind is kind]
        start += len(batch)
    return found[:count_max]


def _parked(entry: StoredEntry) -> dict[str, Any]:
    said = _fields(entry)
    return {
        "index": entry.leaf_index,
        "id": entry.entry_id,
        "dataschema": said.get("dataschema"),
        "reason": said.get("reason"),
        "time": said.get("time"),
    }


def _fields(entry: StoredEntry) -> dict[str, Any]:
    """Return what the leaf says beside kind, id, index and payload hash."""
    found = json.loads(entry.leaf)["fields"]
    assert isinstance(found, dict), "a leaf's fields are an object"
    return found


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="log")
    main.add_typer(parked_app, name="parked")
