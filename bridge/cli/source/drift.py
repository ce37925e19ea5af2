"""`legacy-bridge source drift`: tables whose shape left their contract."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from bridge.capture.drift.acceptance import DriftedTable, accept_drift, drifted_tables
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.contracts.names import source_urn
from bridge.eventlog.records.attempt import log_tell, refusals_told
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.stores import Stores

drift_app = typer.Typer(
    no_args_is_help=True, help="Tables whose shape left their contract: see them, accept one."
)

Source = Annotated[str, typer.Argument(help="Name of the source in the settings.")]


def add_to(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(drift_app, name="drift")


@drift_app.command("list")
def list_drifted(
    source: Source, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Show the tables whose rows are parked, or flow without columns that no contract maps."""
    found = _drifted(load_settings(config), source)
    if as_json:
        print_json([table.as_json() for table in found])
        return
    print_rows(
        f"Tables of {source} that left their contract",
        ("table", "state", "since", "why", "next"),
        [
            (
                table.relation.name,
                table.state,
                table.drift_id,
                table.reason,
                _next_step(table),
            )
            for table in found
        ],
    )


@drift_app.command("accept")
def accept(
    source: Source,
    table: Annotated[str, typer.Argument(help="schema.table")],
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Let a table's rows flow again, once a contract fits its new shape; recorded in the log."""
    settings = load_settings(config)
    word = warrant(actor, reason, ticket)
    settings.source(source)
    fields = {"source": source_urn(source)}
    with Stores(settings) as stores:
        log = stores.event_log()
        with refusals_told(log_tell(log), EntryKind.CONTROL, "drift-accept", word, fields=fields):
            drifted = _drifted_table(_drifted(settings, source), source, table)
            entry_id = accept_drift(log, source, drifted, word, at=datetime.now(UTC))
    if as_json:
        print_json({"entry": entry_id, "table": table, "outcome": "accepted"})
        return
    console.print(
        f"accepted: {table} flows again as soon as capture has seen entry {entry_id}",
        markup=False,
    )


def _drifted_table(found: list[DriftedTable], source: str, table: str) -> DriftedTable:
    for drifted in found:
        if drifted.relation.name == table:
            return drifted
    raise ConfigInvalid(
        f"cannot accept table {table!r} of source {source!r}: it has not left its contract; "
        f"see legacy-bridge source drift list {source}"
    )


def _drifted(settings: Settings, source: str) -> list[DriftedTable]:
    settings.replicated(source)  # Only a stream tells of shapes.
    with Stores(settings) as stores:
        return drifted_tables(stores.event_log(), source, contract_set(settings))


def _next_step(table: DriftedTable) -> str:
    if table.is_accepted:
        return "accepted; capture has not met it yet"
    if table.can_be_accepted:
        return "a contract fits: accept"
    return "add a contract version that fits"
