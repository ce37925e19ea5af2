"""`source snapshot`: read tables again, steer the reading, and watch it."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bridge.capture.snapshot.ports import RequestAction
from bridge.capture.snapshot.window import Key
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, errors, print_json, print_rows
from bridge.model.errors import ConfigInvalid, StepForbidden
from bridge.model.warrant import Warrant
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.reading import ReadingStatus, open_requests, stored_status
from bridge.runtime.wiring.stores import Stores
from bridge.storage.sqlite_snapshot_requests import WAITING, SqliteSnapshotRequests

# The capture process looks twice a second; who waits longer than this is told to go on alone.
ANSWER_S_MAX: Final = 3.0

_POLL_S: Final = 0.1
_FOLLOW_S: Final = 0.5
_SHOWN_MAX: Final = 10

Source = Annotated[str, typer.Argument(help="Name of the source in the settings.")]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", help="schema.table; may be repeated. All when absent."),
]

app = typer.Typer(
    no_args_is_help=True, help="Read tables while the stream goes on; the capture process does it."
)


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group `source`."""
    group.add_typer(app, name="snapshot")


@app.command()
def start(
    source: Source,
    reason: Reason,
    ticket: Ticket,
    table: Tables = None,
    where: Annotated[
        str | None,
        typer.Option(help="SQL condition on the table's columns, evaluated by the source."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", "-k", help="Read this key only: 5, or '[\"eu\", 5]'; repeatable."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="File of keys, one a line, written as for --key.")
    ] = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Read tables (again): each row that is there becomes a `read` event.

    Rows that changed since stay as they are in the log. Use `source diff` and `source repair` to
    bring over only what differs.
    """
    named = read_keys(key or [], keys)
    if named is not None and (len(table or ()) != 1 or where is not None):
        raise ConfigInvalid("cannot read keys: name exactly one --table, and no --where")
    if where is not None and not table:
        raise ConfigInvalid("cannot read by --where: name the --table that it is about")
    _ask(
        config, source, RequestAction.START, warrant(actor, reason, ticket), as_json,
        tables=table or (), where=where, keys=named,
    )  # fmt: skip


@app.command()
def pause(
    source: Source,
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Read no further rows until `resume`; the stream goes on."""
    _ask(config, source, RequestAction.PAUSE, warrant(actor, reason, ticket), as_json)


@app.command()
def resume(
    source: Source,
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Go on reading where it was paused."""
    _ask(config, source, RequestAction.RESUME, warrant(actor, reason, ticket), as_json)


@app.command()
def stop(
    source: Source,
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give up every reading that was asked for; a table's first reading can only be paused."""
    _ask(config, source, RequestAction.STOP, warrant(actor, reason, ticket), as_json)


@app.command()
def status(
    source: Source,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show a progress bar until nothing is left.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show how far the reading is and what was asked for last."""
    settings = load_settings(config)
    settings.replicated(source)
    with Stores(settings) as stores:
        log = stores.event_log()
        captured = tuple(contract_set(settings).tables(source))

        def now() -> ReadingStatus:
            stored = log.cursor(source)
            return stored_status(source, stored.state if stored else None)

        if follow:
            follow_reading(now, captured)
        latest = stores.snapshot_requests(source).latest(_SHOWN_MAX)
        shown = now()
    requests = [
        {
            "request": asked.request.request_id,
            "action": asked.request.action.value,
            "tables": list(asked.request.tables),
            "keys": asked.request.key_count,
            "filtered": asked.request.where is not None,
            "actor": asked.request.warrant.actor.id,
            "reason": asked.request.warrant.reason,
            "ticket": asked.request.warrant.ticket,
            "state": asked.state,
        }
        for asked in latest
    ]
    pending = [name for name in captured if name not in shown.done]
    if as_json:
        print_json({**shown.as_json(), "pending": pending, "requests": requests})
        return
    _print_status(shown, pending, requests)


def follow_reading(now: Any, captured: Sequence[str]) -> None:
    """Show bars with rate and time left until nothing is to be read."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors) as progress:
        bars: dict[str, Any] = {}
        while True:
            shown: ReadingStatus = now()
            left = sum(name not in shown.done for name in captured) + shown.queued
            for name in list(bars):
                if name != shown.table:
                    progress.update(bars.pop(name), completed=1, total=1)
            if shown.table is not None:
                if shown.table not in bars:
                    bars[shown.table] = progress.add_task(shown.table, total=None)
                total = max(shown.row_estimate, shown.row_count) or None
                progress.update(bars[shown.table], completed=shown.row_count, total=total)
            if left == 0:
                return
            time.sleep(_FOLLOW_S)


class RateColumn(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} rows/s")


def read_keys(given: Sequence[str], file: Path | None) -> list[Key] | None:
    """Return the keys that a command names, or None when it names none.

    A key is a JSON array of its columns' values in key order, or one value; what is no JSON is
    taken as it is. Raises `ConfigInvalid` for a file that cannot be read or a key with a null.
    """
    lines = list(given)
    if file is not None:
        try:
            lines += file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigInvalid(f"cannot read keys from {str(file)!r}: {exc}") from exc
    elif not lines:
        return None
    return [_key(line) for line in lines if line.strip()]


def _key(text: str) -> Key:
    try:
        # Numbers stay as they are written: a key has more digits than a float.
        value = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        value = text.strip()
    cells = value if isinstance(value, list) else [value]
    if not cells or not all(isinstance(cell, str | bool) for cell in cells):
        raise ConfigInvalid(
            "cannot read a key: expected a value such as 5, or an array of the key columns' values "
            'such as ["eu", 5]'
        )
    return tuple(str(cell).lower() if isinstance(cell, bool) else cell for cell in cells)


def _ask(
    config: Path,
    source: str,
    action: RequestAction,
    word: Warrant,
    as_json: bool,
    **wish: Any,
) -> None:
    requests = open_requests(load_settings(config), source)
    try:
        request_id = requests.ask(action, word, **wish)
        state = await_answer(requests, request_id)
    finally:
        requests.close()
    if state.startswith("refused"):
        raise StepForbidden(f"cannot {action.value} the reading of source {source!r}: {state}")
    if as_json:
        print_json({"source": source, "request": request_id, "state": state})
    elif state == WAITING:
        console.print(
            f"request {request_id} waits: the capture of {source!r} does not run, or is busy; it "
            "takes it as soon as it can"
        )
    else:
        console.print(f"request {request_id}: {state}")


def await_answer(requests: SqliteSnapshotRequests, request_id: str) -> str:
    """Return what became of a request, or `waiting` when nobody has taken it in time."""
    deadline = time.monotonic() + ANSWER_S_MAX
    while (state := requests.state(request_id)) == WAITING and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return state


def _print_status(
    shown: ReadingStatus, pending: Sequence[str], requests: Sequence[dict[str, Any]]
) -> None:
    state = "paused" if shown.paused else "reading" if pending or shown.queued else "nothing to do"
    console.print(f"[bold]{shown.source}[/bold]: {state}; {len(shown.done)} tables read")
    if shown.table is not None:
        of = f" of about {shown.row_estimate:,}" if shown.row_estimate else ""
        console.print(f"now {shown.table}: {shown.row_count:,}{of} rows")
    if pending:
        console.print(f"not read yet: {', '.join(pending)}")
    print_rows(
        "Requests",
        ("request", "action", "tables", "keys", "actor", "reason", "ticket", "state"),
        [
            (
                told["request"],
                told["action"],
                ", ".join(told["tables"]) or "all",
                told["keys"],
                told["actor"],
                told["reason"],
                told["ticket"],
                told["state"],
            )
            for told in requests
        ],
    )
