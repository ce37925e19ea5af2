"""`subject`: what is held of a person, erase it, hold it back, and the keys behind it."""

from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, reader, warrant
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.eventlog.keeping.holds import scope_of
from bridge.eventlog.keeping.ports import Hold
from bridge.eventlog.keeping.reapplying import reapply
from bridge.eventlog.keeping.rewrapping import rewrap
from bridge.eventlog.keeping.touched import touched
from bridge.eventlog.records.access import record_access
from bridge.eventlog.records.attempt import log_tell, recorded, refusals_told
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.keeping_settings import all_floors
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.erasing import certificate_path, erasures, holds, keeping_lock
from bridge.runtime.wiring.stores import Stores

app = typer.Typer(help="Persons' data in the event log.", no_args_is_help=True)
hold_app = typer.Typer(help="Legal holds.", no_args_is_help=True)
app.add_typer(hold_app, name="hold")

Kind = Annotated[str, typer.Argument(help="Kind of person, as contracts name it.")]
Value = Annotated[str, typer.Argument(help="What names the person: the value of the id field.")]


@app.command()
def show(
    kind: Kind,
    value: Value,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what is held of a person: keys, events and holds by number, never a value."""
    with Stores(load_settings(config)) as stores:
        keeping = stores.keeping()
        subject = keeping.pseudonyms.person(kind, value)
        store = keeping.store()
        keys = store.of_subject(subject)
        alive = [key for key in keys if key.wrapped is not None]
        start = min((key.since for key in keys), default=0)
        events = touched(stores.event_log(), [k.key_id for k in keys], start).events if keys else 0
        readable = touched(stores.event_log(), [k.key_id for k in alive], start).events
        classes = {key.record_class for key in keys}
        found = [
            hold
            for hold in store.holds()
            if hold.subject in (None, subject) and hold.record_class in (None, *classes)
        ]
        waiting = [one.erasure_id for one in store.open_erasures() if one.subject == subject]
        query = {"kind": kind, "subject": subject}
        record_access(stores.event_log(), reader(actor), "subject", found=events, query=query)
    told = {
        "kind": kind,
        "subject": subject,
        "keys": len(keys),
        "keys_destroyed": len(keys) - len(alive),
        "events": events,
        "events_readable": readable if alive else 0,
        "classes": sorted(classes),
        "holds": [hold.hold_id for hold in found],
        "open_erasures": waiting,
        "erased_by": sorted({key.ended_by for key in keys if key.ended_by}),
    }
    if as_json:
        print_json(told)
        return
    print_rows("Person", ("what", "held"), [(name, _shown(held)) for name, held in told.items()])


@app.command()
def erase(
    kind: Kind,
    value: Value,
    reason: Reason,
    ticket: Ticket,
    legal_basis: Annotated[
        str, typer.Option("--legal-basis", help="By which law or contract, e.g. 'GDPR art. 17'.")
    ],
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a person's fields unreadable for ever, tell consumers, and write the certificate."""
    who = warrant(actor, reason, ticket)
    with Stores(load_settings(config)) as stores:
        _refuse_without_keys(stores)
        subject = stores.keeping().pseudonyms.person(kind, value)
        log = stores.event_log()
        with (
            keeping_lock(stores),
            refusals_told(
                log_tell(log), EntryKind.ERASURE, "erase", who,
                fields={"kind": kind, "subject": subject},
            ),
            Progress(
                TextColumn("counting events"), BarColumn(), TimeRemainingColumn(),
                console=console, disable=as_json, transient=True,
            ) as bar,
        ):  # fmt: skip
            task = bar.add_task("count", total=None)
            reapply(stores.keeping().store(), log)
            entry = erasures(stores).erase(
                kind,
                value,
                who,
                legal_basis,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        path = certificate_path(stores, entry.entry_id)
    if as_json:
        told = {"erasure": entry.entry_id, "index": entry.leaf_index, "subject": subject}
        print_json({**told, "certificate": str(path)})
        return
    console.print(f"erased; entry {entry.leaf_index}, certificate {path}", markup=False)


@app.command()
def retention(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show how long which class stays readable, and which floors there are."""
    settings = load_settings(config).event_log
    rules = [
        {"class": name, "keep_days": rule.keep_days, "floors": list(rule.floors)}
        for name, rule in sorted(settings.retention.items())
    ]
    floors = [
        {"floor": name, "days": floor.days, "source": floor.source}
        for name, floor in sorted(all_floors(settings.floors).items())
    ]
    if as_json:
        print_json({"rules": rules, "floors": floors})
        return
    print_rows("Retention (other classes: for ever)", ("class", "days", "floors"), _rows(rules))
    print_rows("Floors", ("floor", "days", "source"), _rows(floors))


@app.command("rotate-master")
def rotate_master(
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    retire: Annotated[
        bool,
        typer.Option("--retire", help="Take old master keys away, after a first rotation."),
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Wrap all data keys by a new master key; with --retire, forget the old ones."""
    who = warrant(actor, reason, ticket)
    with Stores(load_settings(config)) as stores:
        _refuse_without_keys(stores)
        keeping = stores.keeping()
        action = "master-retire" if retire else "master-rotate"
        with (
            keeping_lock(stores),
            recorded(log_tell(stores.event_log()), EntryKind.KEY, action, who) as deed,
        ):
            if not retire:
                deed.fields["master"] = keeping.master().add()
            deed.fields["keys"] = rewrap(keeping.store(), keeping.master())
            if retire:
                deed.fields["retired"] = keeping.master().retire()
        console.print(f"{deed.fields['keys']:,} data keys wrapped anew", markup=False)


@hold_app.command("place")
def hold_place(
    reason: Reason,
    ticket: Ticket,
    kind: Annotated[str | None, typer.Option(help="Kind of the person to hold.")] = None,
    value: Annotated[str | None, typer.Option(help="What names the person.")] = None,
    record_class: Annotated[
        str | None, typer.Option("--class", help="Class of records to hold.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Hold everything.")] = False,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Hold back a person, a class, or everything, from erasure and retention."""
    if (kind is None) != (value is None) or everything == (kind is not None or bool(record_class)):
        raise ConfigInvalid(
            "cannot place a hold: give --kind with --value, --class, both, or --all alone"
        )
    with Stores(load_settings(config)) as stores, keeping_lock(stores):
        subject = None
        if kind is not None and value is not None:
            subject = stores.keeping().pseudonyms.person(kind, value)
        placed = holds(stores).place(
            warrant(actor, reason, ticket), subject=subject, record_class=record_class
        )
    if as_json:
        print_json(_hold(placed))
    else:
        console.print(f"placed {placed.hold_id}", markup=False)


@hold_app.command("lift")
def hold_lift(
    hold_id: Annotated[str, typer.Argument(help="Id of the hold.")],
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Lift a hold; what it held back is destroyed when it is due."""
    who = warrant(actor, reason, ticket)
    with Stores(load_settings(config)) as stores, keeping_lock(stores):
        tell = log_tell(stores.event_log())
        with refusals_told(tell, EntryKind.HOLD, "hold-lift", who, fields={"hold": hold_id}):
            holds(stores).lift(hold_id, who)
    console.print(f"lifted {hold_id}", markup=False)


@hold_app.command("list")
def hold_list(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List holds; why each was placed stands in its entry."""
    with Stores(load_settings(config)) as stores:
        found = [_hold(hold) for hold in stores.keeping().store().holds()]
    if as_json:
        print_json(found)
        return
    print_rows("Holds", ("hold", "scope", "subject", "class", "placed"), _rows(found))


def _refuse_without_keys(stores: Stores) -> None:
    if not stores.keeping().exists:
        raise ConfigInvalid(
            f"cannot do this: nothing was ever sealed in {str(stores.settings.data_dir)!r}; is it "
            "the data folder of the capture, and has a contract 'subjects'?"
        )


def _hold(hold: Hold) -> dict[str, Any]:
    return {
        "hold": hold.hold_id,
        "scope": scope_of(hold),
        "subject": hold.subject,
        "class": hold.record_class,
        "placed": hold.placed,
    }


def _rows(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(map(_shown, one.values())) for one in found]


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="subject")
