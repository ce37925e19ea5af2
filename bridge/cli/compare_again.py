"""`compare again`: the request of a sample, sent to both sides once more."""

import asyncio
import os
from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.control.shown_comparison import shown_repeated
from bridge.eventlog.records.attempt import recorded
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.model.http import Headers
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.repeating import repeat_sample
from bridge.runtime.wiring.stores import Stores


def again(
    sample_id: Annotated[str, typer.Argument(help="As `compare samples` shows it.")],
    reason: Reason,
    ticket: Ticket,
    header_env: Annotated[
        list[str] | None,
        typer.Option(
            help="Environment variable that holds 'Name: value', for sides that ask who calls;"
            " may be repeated."
        ),
    ] = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send a sample's request to both sides once more, and show what differs now."""
    word = warrant(actor, reason, ticket)
    with Stores(load_settings(config)) as stores:
        tell, fields = stores.desk().tell, {"sample": sample_id}
        with recorded(tell, EntryKind.CONTROL, "compare-again", word, fields=fields) as deed:
            credentials = _fields(header_env or [])
            desk = stores.comparisons()
            sample = desk.sample(sample_id)
            route = desk.route(sample.route)
            deed.fields |= {"route": route.route_id}
            done = asyncio.run(repeat_sample(stores, route, sample, credentials))
            told = shown_repeated(
                sample, done.authority, done.statuses, done.comparison, done.faults, done.redactor
            )
            deed.fields |= {"answers": told["outcome"]}
    if as_json:
        print_json(told)
        return
    statuses = ", ".join(
        f"{side} {status or 'no answer'}" for side, status in told["status"].items()
    )
    console.print(f"{told['route']}: {told['outcome']} now ({statuses})")
    print_rows(
        "Differences now",
        ("place", "how", "authority", "other"),
        [
            (one["place"], one["kind"], one["authority"], one["other"])
            for one in told["differences"]
        ],
    )
    if told["faults"]:
        print_rows(
            "Not as declared",
            ("who", "rule", "place"),
            [(one["who"], one["rule"], one["place"]) for one in told["faults"]],
        )


def _fields(names: list[str]) -> Headers:
    found: list[tuple[bytes, bytes]] = []
    for name in names:
        text = os.environ.get(name, "")
        field, colon, value = text.partition(":")
        if not colon or not field.strip().isascii() or "\n" in text or "\r" in text:
            raise ConfigInvalid(
                f"cannot use environment variable {name!r}: it does not hold 'Name: value'"
            )
        found.append((field.strip().encode("ascii"), value.strip().encode("latin-1", "replace")))
    return tuple(found)


def add_to(group: typer.Typer) -> None:
    """Add the command to its group."""
    group.command()(again)
