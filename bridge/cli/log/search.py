"""`log search` and `log index`: find entries, and see to the index by which they are found."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, reader
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.cli.times import moment
from bridge.eventlog.history.asked import conditions, entity_asked, kinds_named
from bridge.eventlog.history.desk import SearchDesk
from bridge.eventlog.history.query import LIMIT_DEFAULT, LIMIT_MAX, LogQuery
from bridge.eventlog.history.search import SearchPage
from bridge.eventlog.history.shown import hits_csv, page_json
from bridge.eventlog.history.told import Hit
from bridge.eventlog.records.access import record_access
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.search import (
    index_follower,
    open_log_index,
    search_desk,
)
from bridge.runtime.wiring.stores import Stores

# A person waits at the shell: ten seconds of looking, then what was found so far.
_EFFORT_MAX = 10_000_000.0

# A file for a spreadsheet; more is an export.
_CSV_ROWS_MAX = 100_000

Wait = Annotated[
    bool, typer.Option("--wait", help="First wait until the index has all that is in the log.")
]
Date = Annotated[
    str | None, typer.Option(help="Business date: 2026-01-31, or FROM..TO, either may miss.")
]
Amount = Annotated[str | None, typer.Option(help="Amount: 1250.50, or MIN..MAX.")]
Counterparty = Annotated[str | None, typer.Option(help="With whom: the whole name or number.")]
Where = Annotated[
    list[str] | None,
    typer.Option(help="A declared field: 'total>=1000', 'paid_at=2026-01-01..2026-01-31'."),
]
TimeFrom = Annotated[
    str | None, typer.Option("--from", help="Happened at or after (UTC unless it says).")
]
TimeTo = Annotated[str | None, typer.Option("--to", help="Happened before.")]
RecordedFrom = Annotated[str | None, typer.Option(help="Taken in at or after.")]
RecordedTo = Annotated[str | None, typer.Option(help="Taken in before.")]
Kinds = Annotated[list[str] | None, typer.Option(help="Kind of entry: event, route, …")]
Subjects = Annotated[list[str] | None, typer.Option(help="Contract, as shop.order.")]
Types = Annotated[
    list[str] | None, typer.Option("--type", help="Event type; * stands for anything.")
]
Key = Annotated[str | None, typer.Option(help="Key of an entity of --subject.")]
By = Annotated[str | None, typer.Option("--by", help="Who did it: the actor's id.")]
Correlation = Annotated[str | None, typer.Option(help="Correlation id.")]
OfTicket = Annotated[str | None, typer.Option(help="Ticket that an action was done for.")]
Page = Annotated[str | None, typer.Option(help="Token of the next page.")]
AsCsv = Annotated[
    Path | None, typer.Option("--csv", help="Write a file for a spreadsheet; - for a pipe.")
]


class Order(StrEnum):
    """Which entries come first."""

    NEWEST = "newest"
    OLDEST = "oldest"


def add_to(app: typer.Typer) -> None:
    """Add the commands to `log`."""
    app.command("search")(search)
    app.command("index")(index)


def search(
    date: Date = None,
    amount: Amount = None,
    counterparty: Counterparty = None,
    where: Where = None,
    time_from: TimeFrom = None,
    time_to: TimeTo = None,
    recorded_from: RecordedFrom = None,
    recorded_to: RecordedTo = None,
    kind: Kinds = None,
    subject: Subjects = None,
    event_type: Types = None,
    key: Key = None,
    by: By = None,
    correlation: Correlation = None,
    ticket: OfTicket = None,
    order: Annotated[Order, typer.Option(help="Which come first.")] = Order.NEWEST,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = LIMIT_DEFAULT,
    page: Page = None,
    wait: Wait = False,
    as_csv: AsCsv = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Find entries; all given conditions have to hold. Each search is recorded."""
    with Stores(load_settings(config)) as stores:
        desk = search_desk(stores)
        query = LogQuery(
            time_from=moment(time_from),
            time_to=moment(time_to),
            recorded_from=moment(recorded_from),
            recorded_to=moment(recorded_to),
            kinds=kinds_named(kind or []),
            subjects=frozenset(subject or []),
            types=frozenset(event_type or []),
            entity=entity_asked(desk, subject or [], key),
            actor=by,
            correlation=correlation,
            ticket=ticket,
            fields=conditions(where or [], date=date, amount=amount, counterparty=counterparty),
            newest_first=order is Order.NEWEST,
            limit=min(limit, LIMIT_MAX),
            page=page,
        )
        _check_limit(limit, to_file=as_csv is not None)
        if wait:
            desk.wait()
        pages = list(_pages(desk, query, limit))
        found = sum(len(each.hits) for each in pages)
        asked = {**desk.recorded(query), "limit": limit}
        record_access(stores.event_log(), reader(actor), "search", found=found, query=asked)
        names = desk.field_names()
    last = pages[-1]
    if as_csv is not None:
        _write_csv(as_csv, [each.hits for each in pages], names)
    elif as_json:
        hits = [hit for each in pages for hit in page_json(each)["hits"]]
        print_json({**page_json(last), "hits": hits})
        return
    else:
        _print([hit for each in pages for hit in each.hits])
    for line in told(last):
        typer.echo(line, err=as_csv is not None)


def _check_limit(limit: int, *, to_file: bool) -> None:
    most = _CSV_ROWS_MAX if to_file else LIMIT_MAX
    if limit > most:
        instead = "take an export" if to_file else f"--csv writes up to {_CSV_ROWS_MAX}"
        raise ConfigInvalid(f"cannot show {limit} entries at once: at most {most}; {instead}")


def _pages(desk: SearchDesk, query: LogQuery, limit: int) -> Iterator[SearchPage]:
    """Yield pages until there are `limit` hits."""
    found = 0
    while True:
        query = replace(query, limit=min(LIMIT_MAX, limit - found))
        page = desk.search(query, effort_max=_EFFORT_MAX)
        yield page
        found += len(page.hits)
        if page.next_page is None or page.cut or found >= limit:
            return
        query = replace(query, page=page.next_page)


def told(page: SearchPage) -> list[str]:
    """Return what has to be said beside the hits: what is missing, and how to go on."""
    lines = []
    if page.cut:
        lines.append(
            f"looked at everything up to entry {page.searched} and stopped there; "
            f"go on with --page {page.next_page}"
        )
    elif page.next_page is not None:
        lines.append(f"there are more; go on with --page {page.next_page}")
    if page.behind:
        lines.append(
            f"NOT CURRENT: the index lacks the newest {page.behind} of {page.log_size} entries; "
            "--wait waits for them"
        )
    else:
        lines.append(f"current up to entry {page.indexed - 1}, the last of the log")
    if page.first_index:
        lines.append(f"the log was pruned: entries below {page.first_index} cannot be found")
    return lines


def _print(hits: list[Hit]) -> None:
    print_rows(
        "Entries",
        ("index", "time", "what", "key", "who", "ticket", "values"),
        [
            (
                hit.index,
                hit.time,
                f"{hit.subject or hit.kind} {hit.operation or hit.action or hit.kind}",
                hit.key,
                hit.actor,
                hit.ticket,
                ", ".join(f"{name} {value}" for name, value in hit.values.items()),
            )
            for hit in hits
        ],
    )


def _write_csv(path: Path, pages: list[tuple[Hit, ...]], names: Iterable[str]) -> None:
    lines = hits_csv(pages, names)
    if str(path) == "-":
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return
    try:
        with path.open("xb") as file:
            file.writelines(lines)
    except OSError as exc:
        raise ConfigInvalid(f"cannot write {str(path)!r}: {exc.strerror}") from exc


def index(
    update: Annotated[
        bool, typer.Option("--update", help="Take in what is new here and now.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make it again from the log, here and now.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare each of its rows with the log.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show how far the index is. The log role keeps it; it may be made again at any time."""
    with Stores(load_settings(config)) as stores:
        wrong = None
        if update or rebuild or verify:
            opened = open_log_index(stores.settings)
            try:
                follower = index_follower(stores, opened)
                if rebuild:
                    follower.make_again()
                with _bar(as_json) as bar:
                    task = bar.add_task("index", total=None)

                    def progress(done: int, total: int) -> None:
                        bar.update(task, completed=done, total=total)

                    if update or rebuild:
                        follower.catch_up(progress=progress)
                    if verify:
                        wrong = follower.verify(progress=progress)
            finally:
                opened.close()
        status = search_desk(stores).status()
    if as_json:
        facts = {"indexed": status.indexed, "log_size": status.log_size, "behind": status.behind}
        print_json({**facts, "bytes": status.bytes, **({"wrong": wrong} if verify else {})})
    else:
        console.print(
            f"{status.indexed:,} of {status.log_size:,} entries indexed, {status.behind:,} behind; "
            f"{status.bytes:,} bytes"
        )
        if verify:
            console.print("every row is as the log says" if wrong is None else wrong, markup=False)
    if wrong is not None:
        raise typer.Exit(1)


def _bar(quiet: bool) -> Progress:
    return Progress(
        TextColumn("indexing"),
        BarColumn(),
        TextColumn("{task.completed:,} entries"),
        TimeRemainingColumn(),
        console=console,
        disable=quiet,
        transient=True,
    )
