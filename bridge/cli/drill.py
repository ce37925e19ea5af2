"""`drill`: rehearse a failure of one side on the live traffic of a test cohort."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.control.drills import DrillDesk, DrillOrder
from bridge.control.shown_drill import lines_of
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.drilling import drill_desk
from bridge.runtime.wiring.stores import Stores

app = typer.Typer(
    help="Faults for a test cohort, for a bounded time: rehearsals.", no_args_is_help=True
)


@app.command()
def start(
    group: Annotated[str, typer.Argument(help="Route group.")],
    fault: Annotated[str, typer.Option(help="delay:800ms, status:503, cut or refuse.")],
    lasts: Annotated[str, typer.Option("--for", help="How long, e.g. 5m; up to an hour.")],
    reason: Reason,
    ticket: Ticket,
    side: Annotated[str, typer.Option(help="The side that seems broken.")] = "modern",
    route: Annotated[str | None, typer.Option(help="Only this route of the group.")] = None,
    keys: Annotated[str, typer.Option(help="Keys of the cohort, with commas between.")] = "",
    header: Annotated[
        str | None, typer.Option(help="A field of the cohort's requests: 'X-Drill: yes'.")
    ] = None,
    share: Annotated[float, typer.Option(help="Per cent of the keys; up to 50.")] = 0.0,
    reads: Annotated[bool, typer.Option(help="Touch reads.")] = True,
    replays: Annotated[bool, typer.Option(help="Touch replays to the side.")] = True,
    writes: Annotated[
        bool, typer.Option("--writes", help="Touch writes too; with refuse or status:503 alone.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Allow a share above 50 %.")] = False,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Begin a drill; it ends by itself."""
    order = DrillOrder(
        group=group,
        fault=fault,
        lasts=lasts,
        side=side,
        route=route,
        keys=tuple(key for key in keys.split(",") if key),
        header=header,
        share_percent=share,
        reads=reads,
        replays=replays,
        writes=writes,
        force=force,
    )
    with _desk(config) as desk:
        drill = desk.start(order, warrant(actor, reason, ticket))
    if as_json:
        print_json({"drill": drill.drill_id, "ends_at": drill.ends_at})
        return
    console.print(
        f"drill [bold]{drill.drill_id}[/bold] is on for {drill.seconds:g} s: "
        f"{drill.fault} at {drill.side.value} of {drill.group!r}"
    )


@app.command()
def stop(
    reason: Reason,
    ticket: Ticket,
    drill: Annotated[
        str | None, typer.Argument(help="A drill's id; every drill when absent.")
    ] = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """End a drill now."""
    with _desk(config) as desk:
        stopped = desk.stop(drill, warrant(actor, reason, ticket))
    for each in stopped:
        console.print(f"drill {each.drill_id} is stopped")


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the drills that are on, and the latest before them."""
    with _desk(config) as desk:
        found = desk.list_drills()
    if as_json:
        print_json(found)
        return
    print_rows(
        "Drills",
        ("drill", "state", "group", "side", "fault", "touches", "cohort", "by", "ticket"),
        [
            (
                each["drill"],
                Text(f"on, {each['left_s']:.0f} s left", "bold red") if each["on"] else "over",
                each["group"] if each["route"] is None else f"{each['group']}/{each['route']}",
                each["side"],
                each["fault"],
                ", ".join(each["touches"]),
                cohort_text(each),
                each["actor"],
                each["ticket"],
            )
            for each in found
        ],
    )


@app.command()
def report(
    drill: Annotated[str | None, typer.Argument(help="A drill's id; the latest.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Tell what the cohort saw, whether the breaker opened, and what became of writes."""
    with _desk(config) as desk:
        found = desk.report(drill)
    if as_json:
        print_json(found)
        return
    for line in lines_of(found):
        console.print(line, markup=False, highlight=False)


def cohort_text(shown: dict[str, Any]) -> str:
    """Return who is touched, without a value."""
    parts = [f"{shown['keys']} keys"] if shown["keys"] else []
    parts += [f"field {shown['header']}"] if shown["header"] else []
    parts += [f"{shown['share_percent']:g} % of the keys"] if shown["share_percent"] else []
    return ", ".join(parts)


@contextmanager
def _desk(config: Path) -> Iterator[DrillDesk]:
    with Stores(load_settings(config)) as stores:
        yield drill_desk(stores)


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="drill")
