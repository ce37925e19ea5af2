"""`source setup` and `source teardown`: create what capture needs, and remove it again."""

import json
import os
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bridge.capture.findings import Leave, SetupStep
from bridge.cli.doctor import print_script
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, actor_or_login
from bridge.cli.output import AsJson, console, print_json
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.runtime.exit_codes import SOFTWARE
from bridge.runtime.settings_file import load_settings
from bridge.runtime.source_wiring import source_inspection, source_setup
from bridge.runtime.wiring import Stores, contract_set

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


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `source`."""
    app.command()(setup)
    app.command()(teardown)


def setup(
    source: Source,
    reason: WhyNot = None,
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
    said = _said(reason)
    # Looked up before anything is done, so that what is done can be recorded.
    with Stores(settings) as stores:
        log = stores.event_log()
        steps = source_setup(settings, source, contracts, dsn=dsn).set_up()
        log.append([_record(source, "setup", actor_or_login(actor), said, _sql(steps))])
    _tell(steps, as_json=as_json)


def teardown(
    source: Source,
    reason: WhyNot = None,
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
    said = _said(reason)
    with Stores(settings) as stores:
        log = stores.event_log()
        leave = leaver.take_down(force=force)
        facts = {
            **_sql(list(leave.removed)),
            "looked_at": leave.looked_at,
            "left": leave.left,
            "force": force,
        }
        log.append([_record(source, "teardown", actor_or_login(actor), said, facts)])
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


def _said(reason: str | None) -> str:
    if reason is None or not reason.strip():
        raise ConfigInvalid("cannot do this without a reason: give --reason; it is recorded")
    return reason


def _dsn(variable: str | None) -> str | None:
    if variable is None:
        return None
    dsn = os.environ.get(variable)
    if not dsn:
        raise ConfigInvalid(f"cannot log in as an owner: environment variable {variable} is empty")
    return dsn


def _sql(steps: list[SetupStep]) -> dict[str, Any]:
    return {"sql": [step.sql for step in steps]}


def _record(source: str, action: str, actor: str, reason: str, facts: dict[str, Any]) -> EntryDraft:
    """Return the entry that records what a person did; free text stays out of the leaf."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    payload = {
        "source": source, "action": action, "actor": actor, "reason": reason, "time": time, **facts
    }  # fmt: skip
    return EntryDraft(
        kind=EntryKind.CONTROL,
        entry_id=f"{source}:{action}:{time}:{secrets.token_hex(4)}",
        fields={"source": source, "time": time, "action": action},
        payload=json.dumps(payload, sort_keys=True, separators=(",", ":")).encode(),
    )
