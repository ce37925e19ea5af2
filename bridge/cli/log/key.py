"""`log key`: the keys that sign the log."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.eventlog.records.action_record import log_time
from bridge.eventlog.signing.keyring import LogKey
from bridge.eventlog.signing.rotation import OVERLAP_DAYS_DEFAULT, OVERLAP_DAYS_MAX, rotate_key
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores

key_app = typer.Typer(help="The keys that sign the log.", invoke_without_command=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands to `log`."""
    app.add_typer(key_app, name="key")


@key_app.callback()
def show(context: typer.Context, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Print the public verifier keys that sign now, the newest first.

    Give them to auditors by another way than the bundle.
    """
    if context.invoked_subcommand is not None:
        return
    with Stores(load_settings(config)) as stores:
        for key in stores.signer().keys:
            typer.echo(key.format())


@key_app.command("list")
def list_keys(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show every key that the log ever had, oldest first; a retired one still opens old notes."""
    with Stores(load_settings(config)) as stores:
        found = [_shown(each) for each in stores.signer().ring.keys]
    if as_json:
        print_json(found)
        return
    print_rows(
        "Keys",
        ("vkey", "state", "since", "until"),
        [(each["vkey"], each["state"], each["since"], each["until"]) for each in found],
    )


@key_app.command()
def rotate(
    reason: Reason,
    ticket: Ticket,
    overlap_days: Annotated[
        int,
        typer.Option(
            min=0,
            max=OVERLAP_DAYS_MAX,
            help="How long the present keys sign beside the new one; 0 ends them at once.",
        ),
    ] = OVERLAP_DAYS_DEFAULT,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a new signing key; the present ones end after an overlap. Both are recorded."""
    with Stores(load_settings(config)) as stores:
        signer = stores.signer()
        new = rotate_key(
            signer,
            stores.event_log(),
            warrant(actor, reason, ticket),
            overlap_days=overlap_days,
            now=datetime.now(UTC),
        )
        others = [_shown(each) for each in signer.ring.signing[1:]]
    if as_json:
        print_json({"key": _shown(new), "beside": others})
        return
    console.print(f"new key: {new.key.format()}", markup=False, soft_wrap=True)
    for each in others:
        console.print(f"signs until {each['until']}: {each['vkey']}", markup=False, soft_wrap=True)
    console.print("give the new key to auditors, partners and witnesses before the old one ends")


def _shown(key: LogKey) -> dict[str, Any]:
    return {
        "vkey": key.key.format(),
        "state": key.state.value,
        "since": log_time(key.since),
        "until": None if key.until is None else log_time(key.until),
    }
