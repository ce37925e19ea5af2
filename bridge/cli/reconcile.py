"""`reconcile`: entities that differ between the two sides, and their repair."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.progress import Progress as Bar

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, reader, warrant
from bridge.cli.output import AsJson, console, errors, print_json, print_rows
from bridge.cli.reconcile_rows import COLUMNS, coloured, finding_row, planned_row
from bridge.control.shown_reconciliation import (
    shown_bypass,
    shown_finding,
    shown_plan,
    shown_progress,
)
from bridge.eventlog.records.access import record_access
from bridge.eventlog.records.attempt import recorded
from bridge.gateway.comparison.redaction import Redactor
from bridge.gateway.reconciliation.checking import Checked
from bridge.gateway.reconciliation.findings import FindingState
from bridge.gateway.reconciliation.repairing import check_people
from bridge.gateway.reconciliation.rules import EntityRule, entity_named
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, NotKnown
from bridge.model.observer import SilentObserver
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.reconciling import (
    Reconciliation,
    known_entities,
    open_upstreams,
    reconciliation,
)
from bridge.runtime.wiring.stores import Stores
from bridge.storage.reconciliation.sqlite import SqliteFindingStore

app = typer.Typer(help="Entities that differ between the sides.", no_args_is_help=True)

T = TypeVar("T")
Group = Annotated[str, typer.Argument(help="Route group.")]
Entity = Annotated[
    str | None, typer.Option(help="What kind of thing; needed where a group has several.")
]

# One call of a person; more are the patrol's.
_KEYS_MAX = 1_000


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show where the walks stand and how many findings there are."""
    with _open(config) as (_, findings):
        walks, counts = findings.progress(), findings.counts()
    told = {
        "walks": [shown_progress(walk) for walk in walks],
        "findings": [
            {"group": group, "entity": entity, "state": state.value, "count": count}
            for group, entity, state, count in counts
        ],
    }
    if as_json:
        print_json(told)
        return
    print_rows(
        "Walks",
        ("group", "entity", "keys of", "rounds", "looked at", "differing", "passed over", "moved"),
        [
            (w.group, w.entity, w.origin, w.rounds, w.looked, w.differing, w.busy, w.moved_at)
            for w in walks
        ],
    )
    print_rows(
        "Findings",
        ("group", "entity", "state", "count"),
        [(group, entity, coloured(state), count) for group, entity, state, count in counts],
    )


@app.command("list")
def list_findings(
    group: Annotated[str | None, typer.Option(help="Only this route group.")] = None,
    state: Annotated[str | None, typer.Option(help="open, repaired or accepted.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show entities that differ, newest first."""
    wanted = None if state is None else _state_named(state)
    with _open(config) as (stores, findings):
        found = findings.findings(group=group, state=wanted, count_max=limit)
        query = {"state": state, "limit": limit}
        record_access(
            stores.event_log(), reader(actor), "reconcile-list", found=len(found), query=query
        )
    if as_json:
        print_json([shown_finding(one) for one in found])
        return
    print_rows("Findings", COLUMNS, [finding_row(one) for one in found])


@app.command()
def show(
    group: Group,
    key: str,
    entity: Entity = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show one finding as JSON."""
    with _open(config) as (stores, findings):
        rule = entity_named(known_entities(stores), group, entity)
        found = findings.finding(group, rule.entity, key)
        record_access(
            stores.event_log(),
            reader(actor),
            "reconcile-show",
            found=int(found is not None),
            query={"group": group},
        )
    if found is None:
        raise NotKnown(f"cannot find {rule.entity!r} among the findings of group {group!r}")
    print_json(shown_finding(found))


@app.command()
def bypasses(
    group: Annotated[str | None, typer.Option(help="Only this route group.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show captured changes for which no write went through the gateway, by table and hour."""
    with _open(config) as (stores, findings):
        found = findings.bypasses(group=group, count_max=limit)
        record_access(
            stores.event_log(),
            reader(actor),
            "reconcile-bypasses",
            found=len(found),
            query={"limit": limit},
        )
    if as_json:
        print_json([shown_bypass(one) for one in found])
        return
    print_rows(
        "Written past the gateway",
        ("group", "table's contract", "hour", "changes", "last", "a key", "entry"),
        [
            (
                one.group, one.subject, f"{one.hour:%Y-%m-%d %H}", one.changes,
                f"{one.last_at:%H:%M:%S}", one.key, one.entry,
            )
            for one in found
        ],
    )  # fmt: skip


@app.command()
def run(
    group: Group,
    entity: Entity = None,
    keys: Annotated[int, typer.Option(min=1, help="Stop after this many keys.")] = 10_000,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Walk over the keys of an entity now, from where the walk stands to the end of its round."""
    with _open(config) as (stores, findings):
        rule = entity_named(known_entities(stores), group, entity)
        record_access(
            stores.event_log(), reader(actor), "reconcile-run", found=1, query={"group": group}
        )

        async def walk(parts: Reconciliation) -> list[dict[str, Any]]:
            with Bar(console=errors, transient=True) as bar:
                for origin in parts.scrubber.origins(rule):
                    task = bar.add_task(f"{rule.entity} ({origin})", total=None)
                    done = 0
                    while done < keys and (count := await parts.scrubber.step(rule, origin)):
                        done += count
                        bar.advance(task, count)
                        await asyncio.sleep(count / rule.route.reconcile.keys_per_s)
            return [
                shown_progress(parts.scrubber.standing(rule, origin))
                for origin in parts.scrubber.origins(rule)
            ]

        told = asyncio.run(_with_sides(stores, findings, walk))
    if as_json:
        print_json(told)
        return
    for one in told:
        console.print(
            f"{one['looked']} of {one['entity']!r} by {one['origin']}: {one['differing']} differ, "
            f"{one['busy']} passed over"
        )


@app.command()
def repair(
    group: Group,
    keys: Annotated[list[str], typer.Argument(help="Keys of entities, as clients know them.")],
    reason: Reason,
    ticket: Ticket,
    entity: Entity = None,
    apply: Annotated[
        bool, typer.Option("--apply/--dry-run", help="Do it; without it the plan is shown.")
    ] = False,
    approver: Annotated[
        str | None, typer.Option(help="Who else agrees: more than one key needs two people.")
    ] = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give the other side what the authority has, as a write of the journal."""
    word = warrant(actor, reason, ticket)
    fields: dict[str, Any] = {"group": group, "keys": len(keys), "applied": apply}
    if approver is not None:
        fields["approver"] = approver
    with _open(config) as (stores, findings):
        tell = stores.desk().tell
        with recorded(tell, EntryKind.DUALWRITE, "reconcile-repair", word, fields=fields) as deed:
            rule = entity_named(known_entities(stores), group, entity)
            if len(keys) > _KEYS_MAX:
                raise ConfigInvalid(
                    f"cannot repair {len(keys)} entities at once: at most {_KEYS_MAX}"
                )
            if apply:
                check_people(len(keys), word, approver)
            planned = asyncio.run(
                _with_sides(stores, findings, lambda parts: _repair(parts, rule, keys, apply))
            )
            deed.fields |= {
                "entity": rule.entity,
                "repairs": sum("intent" in one for one in planned),
                "planned": sum("route" in one for one in planned),
            }
            deed.payload["intents"] = [one["intent"] for one in planned if "intent" in one]
    if as_json:
        print_json(planned)
        return
    print_rows(
        "Repairs" if apply else "Repairs (dry run: nothing was changed)",
        ("key", "how", "towards", "request", "where", "outcome"),
        [planned_row(one) for one in planned],
    )


@app.command()
def accept(
    group: Group,
    key: str,
    reason: Reason,
    ticket: Ticket,
    entity: Entity = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Leave a difference as it is, until it becomes another one."""
    word = warrant(actor, reason, ticket)
    with _open(config) as (stores, findings):
        tell, fields = stores.desk().tell, {"group": group}
        with recorded(tell, EntryKind.CONTROL, "reconcile-accept", word, fields=fields):
            rule = entity_named(known_entities(stores), group, entity)
            if not findings.mark(group, rule.entity, key, FindingState.ACCEPTED, reason=reason):
                raise NotKnown(
                    f"cannot accept: the findings of group {group!r} have no such {rule.entity!r}"
                )
    console.print("accepted")


async def _repair(
    parts: Reconciliation, rule: EntityRule, keys: list[str], apply: bool
) -> list[dict[str, Any]]:
    redactor = Redactor(rule.route.comparison, secrets.token_bytes(32))
    told = []
    for key in dict.fromkeys(keys):
        plan = await parts.repairer.plan(rule, key)
        if isinstance(plan, Checked):
            told.append({"key": key, "nothing": plan.verdict.value})
            continue
        shown = shown_plan(plan, redactor)
        if apply:
            shown["intent"] = await parts.repairer.apply(plan)
        told.append(shown)
    return told


async def _with_sides(
    stores: Stores,
    findings: SqliteFindingStore,
    use: Callable[[Reconciliation], Awaitable[T]],
) -> T:
    with ExitStack() as stack:
        observer = SilentObserver()
        upstreams = open_upstreams(stores, observer, stack)
        owner = f"reconcile-{os.getpid()}-{secrets.token_hex(4)}"
        stack.enter_context(closing(stores.replicas().take(owner)))
        return await use(reconciliation(stores, findings, upstreams, observer, owner))


@contextmanager
def _open(config: Path) -> Iterator[tuple[Stores, SqliteFindingStore]]:
    with Stores(load_settings(config)) as stores:
        yield stores, stores.findings()


def _state_named(text: str) -> FindingState:
    try:
        return FindingState(text)
    except ValueError as exc:
        known = ", ".join(state.value for state in FindingState)
        raise ConfigInvalid(f"no state of findings is called {text!r}; known: {known}") from exc


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="reconcile")
