"""`lanes` and `ids`: the replay to the other side, and which id is which."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.control.decisions import WriteDecisions
from bridge.control.shown import shown_age
from bridge.gateway.dual.lane_ages import age_alarm, ages_of
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores

app = typer.Typer(help="Replay of journalled writes to the other side.", no_args_is_help=True)
ids_app = typer.Typer(help="Which id on one side is which on the other.", no_args_is_help=True)

# One transaction per batch: large enough to be quick, small enough not to hold up a live write.
IMPORT_BATCH = 5_000


@app.command("list")
def list_lanes(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show what still has to be replayed, per group and direction."""
    with Stores(load_settings(config)) as stores:
        counts = stores.desk().lane_counts()
        limits = ages_of(stores.routes())
    alarms = [age_alarm(limits.get(count.group), count.oldest_age_s) for count in counts]
    if as_json:
        print_json(
            [
                {**count._asdict(), "towards": count.towards.value, "age": alarm}
                for count, alarm in zip(counts, alarms, strict=True)
            ]
        )
        return
    print_rows(
        "Lanes",
        ("group", "towards", "lanes", "writes", "parked", "oldest", "age"),
        [
            (c.group, c.towards.value, c.lanes, c.writes, c.parked, shown_age(c.oldest_age_s), a)
            for c, a in zip(counts, alarms, strict=True)
        ],
    )


@app.command()
def hold(
    group: str,
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Journal writes, but replay none until `resume` (for example while a backfill runs)."""
    with Stores(load_settings(config)) as stores:
        stores.switchboard().hold_lanes(group, warrant(actor, reason, ticket))
    console.print(f"lanes of {group!r} are held")


@app.command()
def resume(
    group: str,
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Go on replaying."""
    with Stores(load_settings(config)) as stores:
        stores.switchboard().resume_lanes(group, warrant(actor, reason, ticket))
    console.print(f"lanes of {group!r} are replayed again")


@ids_app.command("import")
def import_ids(
    group: str,
    entity: str,
    file: Annotated[Path, typer.Argument(help='Lines of JSON: ["LEGACY_ID", "MODERN_ID"].')],
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Record known pairs of ids, for example those of a backfill."""
    new, sent = 0, False
    with Stores(load_settings(config)) as stores:
        word = warrant(actor, reason, ticket)
        decisions = WriteDecisions(stores.desk(), stores.desk().groups)
        batch: list[tuple[str, str]] = []
        for pair in _pairs(file):
            batch.append(pair)
            if len(batch) == IMPORT_BATCH:
                sent = True
                new += decisions.import_ids(group, entity, batch, word)
                batch = []
        if batch or not sent:
            new += decisions.import_ids(group, entity, batch, word)
    console.print(f"{new} new pairs of {entity!r} in group {group!r}")


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                pair = _pair(line)
                if pair is None:
                    raise ConfigInvalid(
                        f"cannot import ids from {str(file)!r}: line {number} is not a pair like "
                        '["4711", "ord_7x"]'
                    )
                yield pair
    except OSError as exc:
        raise ConfigInvalid(f"cannot import ids from {str(file)!r}: {exc.strerror}") from exc


def _pair(line: bytes) -> tuple[str, str] | None:
    """Return the ids of a line; a number counts as its digits, anything else as a mistake."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or len(found) != 2:
        return None
    legacy_id, modern_id = ("" if isinstance(id_, bool) else id_ for id_ in found)
    if not isinstance(legacy_id, str | int) or not isinstance(modern_id, str | int):
        return None
    return (str(legacy_id), str(modern_id)) if legacy_id != "" and modern_id != "" else None


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="lanes")
    main.add_typer(ids_app, name="ids")
