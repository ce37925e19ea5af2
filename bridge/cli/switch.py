"""`switch` and `rollback`: change a group's stage, under traffic, in one action."""

from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json
from bridge.control.names import stage_named
from bridge.control.shown import shown_report
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores
from bridge.switching.switchboard import SwitchReport

Share = Annotated[
    float,
    typer.Option(help="Per cent of the keys whose reads come from modern, with canary; e.g. 0.5."),
]
Group = Annotated[str, typer.Argument(help="Route group.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the main application."""
    app.command()(switch)
    app.command()(rollback)


def switch(
    group: Group,
    to: Annotated[str, typer.Argument(help="Stage: legacy, shadow, dual, canary or modern.")],
    reason: Reason,
    ticket: Ticket,
    share: Share = 0.0,
    actor: Actor = None,
    expected_epoch: Annotated[
        int | None, typer.Option(help="Refuse when somebody switched since this epoch.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Move a route group one stage forward, to another share, or back to any earlier stage."""
    with Stores(load_settings(config)) as stores:
        report = stores.switchboard().switch(
            group,
            stage_named(to),
            warrant(actor, reason, ticket),
            expected_epoch=expected_epoch,
            share_percent=share,
        )
    _show(report, as_json)


def rollback(
    group: Group,
    reason: Reason,
    ticket: Ticket,
    to: Annotated[str, typer.Option(help="Stage to go back to.")] = "legacy",
    share: Share = 0.0,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Take a route group back; works with the modern side and the control role dead."""
    with Stores(load_settings(config)) as stores:
        report = stores.switchboard().rollback(
            group, warrant(actor, reason, ticket), to=stage_named(to), share_percent=share
        )
    _show(report, as_json)


def _show(report: SwitchReport, as_json: bool) -> None:
    facts = shown_report(report)
    if as_json:
        print_json(facts)
        return
    console.print(
        f"[bold]{facts['group']}[/bold]: {report.switch.from_place} → "
        f"[bold]{report.switch.to_place}[/bold], "
        f"epoch {facts['epoch']}, {facts['workers']} workers in {facts['took_ms']} ms"
    )
    if not report.complete:
        console.print(
            f"[yellow]not yet followed by {facts['late']}; their writes are fenced[/yellow]"
        )
