"""`writes`: dual writes that wait for a person."""

from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, actor_or_login
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.control.names import write_named, write_state_named
from bridge.control.shown import shown_write
from bridge.model.errors import ConfigInvalid
from bridge.runtime.settings_file import load_settings
from bridge.runtime.wiring import Stores

app = typer.Typer(help="Dual writes: in doubt, parked, pending.", no_args_is_help=True)

IntentId = Annotated[str, typer.Argument(help="Intent id, as `writes list` shows it.")]


@app.command("list")
def list_writes(
    group: Annotated[str | None, typer.Option(help="Only this route group.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only this state; without it, what needs a decision.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show writes that are in doubt or parked, or those in another state; newest first."""
    wanted = write_state_named(state) if state else None
    with Stores(load_settings(config)) as stores:
        found = stores.desk().list_writes(group=group, state=wanted, count_max=limit)
    if as_json:
        print_json([shown_write(write) for write in found])
        return
    print_rows(
        "Writes",
        ("intent", "state", "group", "route", "lane", "authority", "opened", "tries", "reason"),
        [
            (
                write.intent.intent_id,
                write.state.value,
                write.intent.group,
                write.intent.route,
                write.intent.lane,
                write.intent.authority.value,
                f"{write.intent.opened_at:%Y-%m-%d %H:%M:%S}",
                write.attempts,
                write.reason,
            )
            for write in found
        ],
    )


@app.command()
def show(intent_id: IntentId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show one write as JSON, without bodies and header values."""
    with Stores(load_settings(config)) as stores:
        print_json(shown_write(write_named(intent_id, stores.desk())))


@app.command()
def resolve(
    intent_id: IntentId,
    outcome: Annotated[str, typer.Argument(help="applied, or failed, on the authority.")],
    reason: Reason,
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
        desk = stores.desk()
        write_named(intent_id, desk)
        desk.resolve(intent_id, state, actor=actor_or_login(actor), reason=reason, ids=ids)
    console.print(f"write {intent_id} is resolved as {state.value}")


@app.command()
def replay(
    intent_id: IntentId, reason: Reason, actor: Actor = None, config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """Try a parked write once more."""
    with Stores(load_settings(config)) as stores:
        desk = stores.desk()
        write_named(intent_id, desk)
        desk.replay(intent_id, actor=actor_or_login(actor), reason=reason)
    console.print(f"write {intent_id} will be replayed")


@app.command()
def skip(
    intent_id: IntentId, reason: Reason, actor: Actor = None, config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """Let the other side go on without a parked write."""
    with Stores(load_settings(config)) as stores:
        desk = stores.desk()
        write_named(intent_id, desk)
        desk.skip(intent_id, actor=actor_or_login(actor), reason=reason)
    console.print(f"write {intent_id} is skipped")


def _pair(text: str) -> tuple[str, str]:
    entity, equals, made = text.partition("=")
    if not equals or not entity or not made:
        raise ConfigInvalid(f"cannot read --id {text!r}: expected ENTITY=ID, e.g. order=4711")
    return entity, made
