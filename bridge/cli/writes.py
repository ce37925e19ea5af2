"""`writes`: dual writes that wait for a person."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, reader, warrant
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.control.decisions import WriteDecisions
from bridge.control.names import write_kind_named, write_named, write_state_named
from bridge.control.shown import shown_age, shown_write
from bridge.eventlog.records.access import record_access
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores

app = typer.Typer(help="Dual writes: in doubt, parked, pending.", no_args_is_help=True)

IntentId = Annotated[str, typer.Argument(help="Intent id, as `writes list` shows it.")]


@app.command("list")
def list_writes(
    group: Annotated[str | None, typer.Option(help="Only this route group.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only this state; without it, what needs a decision.")
    ] = None,
    lane: Annotated[str | None, typer.Option(help="Only this lane.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only client, compensation or repair writes.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show writes that are in doubt or parked, or others that fit; newest first."""
    wanted = write_state_named(state) if state else None
    of_kind = write_kind_named(kind) if kind else None
    with Stores(load_settings(config)) as stores:
        found = stores.desk().list_writes(
            group=group, state=wanted, lane=lane, kind=of_kind, count_max=limit
        )
        # Lanes are named after people's data: that one was asked for is said, not which.
        query = {"state": wanted and wanted.value, "kind": kind, "lane": bool(lane), "limit": limit}
        record_access(
            stores.event_log(), reader(actor), "writes-list", found=len(found), query=query
        )
    if as_json:
        print_json([shown_write(write) for write in found])
        return
    now = datetime.now(UTC)
    print_rows(
        "Writes",
        (
            "intent",
            "state",
            "kind",
            "group",
            "route",
            "lane",
            "authority",
            "age",
            "tries",
            "reason",
        ),
        [
            (
                write.intent.intent_id,
                write.state.value,
                write.intent.kind.value,
                write.intent.group,
                write.intent.route,
                write.intent.lane,
                write.intent.authority.value,
                shown_age((now - write.intent.opened_at).total_seconds()),
                write.attempts,
                write.reason,
            )
            for write in found
        ],
    )


@app.command()
def show(intent_id: IntentId, actor: Actor = None, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show one write as JSON, without bodies and header values."""
    with Stores(load_settings(config)) as stores:
        found = write_named(intent_id, stores.desk())
        query = {"intent": found.intent.intent_id}
        record_access(stores.event_log(), reader(actor), "writes-show", found=1, query=query)
    print_json(shown_write(found))


@app.command()
def resolve(
    intent_id: IntentId,
    outcome: Annotated[str, typer.Argument(help="applied, or failed, on the authority.")],
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    made_id: Annotated[
        list[str] | None,
        typer.Option("--id", help="ENTITY=ID that a create in doubt made on the authority."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Say how a write in doubt ended, after having looked."""
    ids = dict(_pair(text) for text in made_id or [])
    state = write_state_named(outcome)
    with Stores(load_settings(config)) as stores:
        word = warrant(actor, reason, ticket)
        _decisions(stores).resolve(intent_id, state, word, ids=ids)
    console.print(f"write {intent_id} is resolved as {state.value}")


@app.command()
def replay(
    intent_id: IntentId,
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Try a parked write once more."""
    with Stores(load_settings(config)) as stores:
        _decisions(stores).replay(intent_id, warrant(actor, reason, ticket))
    console.print(f"write {intent_id} will be replayed")


@app.command()
def skip(
    intent_id: IntentId,
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Let the other side go on without a parked write."""
    with Stores(load_settings(config)) as stores:
        _decisions(stores).skip(intent_id, warrant(actor, reason, ticket))
    console.print(f"write {intent_id} is skipped")


def _decisions(stores: Stores) -> WriteDecisions:
    desk = stores.desk()
    return WriteDecisions(desk, desk.groups)


def _pair(text: str) -> tuple[str, str]:
    entity, equals, made = text.partition("=")
    if not equals or not entity or not made:
        raise ConfigInvalid(f"cannot read --id {text!r}: expected ENTITY=ID, e.g. order=4711")
    return entity, made


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="writes")
