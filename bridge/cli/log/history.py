"""`log history` and `log as-of`: what the log tells of one entity."""

from typing import Annotated

import typer

from bridge.cli.log.search import Wait
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, reader
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.cli.times import moment
from bridge.eventlog.history.entity_reader import STEPS_MAX, AsOf, EntityHistory
from bridge.eventlog.history.entity_state import Status
from bridge.eventlog.history.shown import as_of_json, change_text, history_json
from bridge.eventlog.records.access import record_access
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.search import search_desk
from bridge.runtime.wiring.stores import Stores

Subject = Annotated[str, typer.Argument(help="Contract, as shop.order.")]
Key = Annotated[
    str, typer.Argument(help="Key: its value, FIELD=VALUE,FIELD=VALUE, or a JSON object.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `log`."""
    app.command("history")(history)
    app.command("as-of")(as_of)


def history(
    subject: Subject,
    key: Key,
    limit: Annotated[int, typer.Option(min=1, max=STEPS_MAX, help="The newest so many.")] = 100,
    wait: Wait = False,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show each change of one entity: fields before and after, who, when, why."""
    with Stores(load_settings(config)) as stores:
        desk = search_desk(stores)
        entity = desk.entity(subject, key)
        if wait:
            desk.wait()
        found = desk.history(entity, steps_max=limit)
        query = {"entity": desk.pseudonym(entity), "subject": subject}
        record_access(
            stores.event_log(), reader(actor), "history", found=len(found.steps), query=query
        )
    if as_json:
        print_json(history_json(found))
        return
    print_rows(
        f"History of {subject} {entity.key}",
        ("index", "time", "what", "who", "why", "changes"),
        [
            (
                step.index,
                step.time,
                step.operation or step.kind,
                f"{step.actor} ({step.known})" if step.actor and step.known else step.actor,
                " ".join(filter(None, (step.reason, step.ticket and f"[{step.ticket}]"))),
                "\n".join(
                    [
                        *map(change_text, step.changes),
                        *([step.note] if step.note else []),
                        *([f"{step.sealed} sealed parts"] if step.sealed else []),
                    ]
                ),
            )
            for step in found.steps
        ],
    )
    if found.omitted:
        console.print(f"{found.omitted} older steps are not shown; --limit shows more")
    _say_currency(found)


def as_of(
    subject: Subject,
    key: Key,
    time: Annotated[
        str | None, typer.Argument(help="When (UTC unless it says); left out with --recorded.")
    ] = None,
    recorded: Annotated[
        str | None, typer.Option(help="Count only what had been taken in by then.")
    ] = None,
    wait: Wait = False,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show one entity as it was at a time, or as it was known at one."""
    at, known_at = moment(time), moment(recorded)
    with Stores(load_settings(config)) as stores:
        desk = search_desk(stores)
        entity = desk.entity(subject, key)
        if wait:
            desk.wait()
        found = desk.as_of(entity, time=at, recorded=known_at)
        query = {
            "entity": desk.pseudonym(entity),
            "subject": subject,
            "time": at and at.isoformat(),
            "recorded": known_at and known_at.isoformat(),
        }
        record_access(
            stores.event_log(),
            reader(actor),
            "as-of",
            found=int(found.step is not None),
            query=query,
        )
    if as_json:
        print_json(as_of_json(found))
        return
    _print_state(subject, entity.key, found)
    _say_currency(found)


def _print_state(subject: str, key: str, found: AsOf) -> None:
    state = found.state
    told = f", told by entry {found.step.index} of {found.step.time}" if found.step else ""
    why = f": {state.why}" if state.why and state.status is not Status.PRESENT else ""
    console.print(f"{subject} {key}: {state.status.value}{told}{why}", markup=False)
    if state.fields or state.untold:
        rows = [*state.fields.items(), *((name, "(never told)") for name in sorted(state.untold))]
        title = "Fields" if state.is_certain else "Told last; not certain"
        print_rows(title, ("field", "value"), rows)
    if found.next_step is not None:
        until = found.next_step
        console.print(f"until entry {until.index} of {until.time}", markup=False)
    for caveat in found.caveats:
        console.print(f"CAVEAT: {caveat}", markup=False)


def _say_currency(found: AsOf | EntityHistory) -> None:
    if found.behind:
        console.print(
            f"NOT CURRENT: the index lacks the newest {found.behind} of {found.log_size} entries; "
            "--wait waits for them"
        )
