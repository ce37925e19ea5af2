"""`source setup` and `source teardown`: create what capture needs, and remove it again."""

import os
from contextlib import AbstractContextManager
from typing import Annotated, Any

import typer

from bridge.capture.findings import Leave, SetupStep
from bridge.cli.doctor import print_script
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, warrant
from bridge.cli.output import AsJson, console, print_json
from bridge.contracts.names import source_urn
from bridge.eventlog.records.attempt import Deed, log_tell, recorded
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.model.warrant import Warrant
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.exit_codes import SOFTWARE
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.sources import source_inspection, source_setup
from bridge.runtime.wiring.stores import Stores

Source = Annotated[str, typer.Argument(help="Source, as the settings name it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the SQL, and run nothing.")]
DsnVariable = Annotated[
    str | None,
    typer.Option(
        "--dsn-env",
        help="Environment variable with the login of an owner, when capture's own role may not.",
    ),
]
WhyNot = Annotated[
    str | None, typer.Option("--reason", "-r", help="Why; it is recorded in the event log.")
]


TicketOrDry = Annotated[
    str | None,
    typer.Option(
        "--ticket", "-t", envvar="LEGACY_BRIDGE_TICKET",
        help="Where the decision can be looked up (ticket, change number); it is recorded.",
    ),
]  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `source`."""
    app.command()(setup)
    app.command()(teardown)


def setup(
    source: Source,
    reason: WhyNot = None,
    ticket: TicketOrDry = None,
    dry_run: DryRun = False,
    dsn_env: DsnVariable = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Create publications and slot, and nothing else; from then on the slot keeps WAL."""
    settings = load_settings(config)
    dsn = _dsn(dsn_env)
    contracts = contract_set(settings)
    if dry_run:
        steps = source_inspection(settings, source, contracts, dsn=dsn).setup_steps()
        _tell(steps, as_json=as_json)
        return
    word = _word(actor, reason, ticket)
    with Stores(settings) as stores, _recorded(stores, source, "source-setup", word) as deed:
        steps = source_setup(settings, source, contracts, dsn=dsn).set_up()
        deed.payload |= _sql(steps)
    _tell(steps, as_json=as_json)


def teardown(
    source: Source,
    reason: WhyNot = None,
    ticket: TicketOrDry = None,
    dry_run: DryRun = False,
    force: Annotated[
        bool, typer.Option("--force", help="End our own capture if it still reads the slot.")
    ] = False,
    dsn_env: DsnVariable = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Remove slot and publications, then prove in the catalogs that nothing of ours is left.

    Exit code 0: nothing is left; 70: something is, and the list says what.
    """
    settings = load_settings(config)
    leaver = source_setup(settings, source, contract_set(settings), dsn=_dsn(dsn_env))
    if dry_run:
        _tell(leaver.teardown_steps(), as_json=as_json)
        return
    word = _word(actor, reason, ticket)
    with Stores(settings) as stores, _recorded(stores, source, "source-teardown", word) as deed:
        leave = leaver.take_down(force=force)
        deed.fields["left"] = len(leave.left)
        deed.payload |= {
            **_sql(list(leave.removed)),
            "looked_at": leave.looked_at,
            "left": leave.left,
            "force": force,
        }
    _tell_leave(source, leave, as_json=as_json)
    raise typer.Exit(SOFTWARE if leave.left else 0)


def _tell(steps: list[SetupStep], *, as_json: bool) -> None:
    if as_json:
        print_json([{"sql": step.sql, "why": step.why} for step in steps])
    else:
        print_script(steps)


def _tell_leave(source: str, leave: Leave, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "removed": [{"sql": step.sql, "why": step.why} for step in leave.removed],
                "looked_at": leave.looked_at,
                "left": leave.left,
            }
        )
        return
    print_script(leave.removed)
    for line in leave.looked_at:
        console.print(f"looked at {line}", markup=False, highlight=False)
    for line in leave.left:
        console.print(f"left: {line}", markup=False, highlight=False, style="red")
    if not leave.left:
        console.print(f"nothing of ours is left in source {source!r}")


def _word(actor: str | None, reason: str | None, ticket: str | None) -> Warrant:
    # Only a dry run does without.
    for option, text in (("--reason", reason), ("--ticket", ticket)):
        if text is None or not text.strip():
            raise ConfigInvalid(f"cannot do this without {option}: it is recorded")
    return warrant(actor, reason or "", ticket or "")


def _recorded(
    stores: Stores, source: str, action: str, word: Warrant
) -> AbstractContextManager[Deed]:
    # The log is opened before anything is done, so that what is done can be recorded.
    log = stores.event_log()
    fields = {"source": source_urn(source)}
    return recorded(log_tell(log), EntryKind.CONTROL, action, word, fields=fields)


def _dsn(variable: str | None) -> str | None:
    if variable is None:
        return None
    dsn = os.environ.get(variable)
    if not dsn:
        raise ConfigInvalid(f"cannot log in as an owner: environment variable {variable} is empty")
    return dsn


def _sql(steps: list[SetupStep]) -> dict[str, Any]:
    return {"sql": [step.sql for step in steps]}
