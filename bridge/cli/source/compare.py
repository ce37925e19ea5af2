"""`source diff` and `source repair`: does the log have what the source has, and make it so."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from bridge.capture.snapshot.comparison import TableReport
from bridge.capture.snapshot.ports import RequestAction
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, reader, warrant
from bridge.cli.output import AsJson, console, errors, print_json, print_rows
from bridge.cli.source.snapshot import RateColumn, Source, Tables, await_answer
from bridge.contracts.names import source_urn
from bridge.eventlog.records.access import record_access
from bridge.eventlog.records.attempt import log_tell, refusals_told
from bridge.model.entry import EntryKind
from bridge.model.warrant import Actor as WarrantActor
from bridge.model.warrant import Warrant
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.comparing import compare_source
from bridge.runtime.wiring.reading import open_requests
from bridge.runtime.wiring.stores import Stores

# A terminal is no place for more.
_KEYS_SHOWN_MAX: Final = 1_000

# An entry is bounded; the comparison says of how many tables there were more.
_TABLES_TOLD: Final = 50

ShowKeys = Annotated[
    bool,
    typer.Option(
        "--show-keys", help="Name the rows that differ by their keys, which may be personal data."
    ),
]


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group `source`."""
    group.command()(diff)
    group.command()(repair)


def diff(
    source: Source,
    table: Tables = None,
    show_keys: ShowKeys = False,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compare tables with the log's last state, while both go on; exit code 1 if any differs.

    Needs a running capture. Nothing is written to the source, and to the log only that somebody
    compared.
    """
    reports = _compare(config, source, table or [], reader(actor))
    _show(reports, show_keys, as_json)
    raise typer.Exit(1 if any(report.differs for report in reports) else 0)


def repair(
    source: Source,
    reason: Reason,
    ticket: Ticket,
    table: Tables = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; without, it is only shown what would be done.")
    ] = False,
    show_keys: ShowKeys = False,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compare, then have the running capture tell what differs, and nothing else.

    Rows that are missing or different are read again (`read`), rows that the source has no more
    are told as `deleted`; each entry is marked as a repair in its leaf.
    """
    word = warrant(actor, reason, ticket)
    settings = load_settings(config)
    settings.replicated(source)
    fields = {"source": source_urn(source)}
    with Stores(settings) as stores:
        tell = log_tell(stores.event_log())
        with refusals_told(tell, EntryKind.CONTROL, "repair", word, fields=fields):
            reports = _compare(config, source, table or [], word)
            asked = _ask(config, source, reports, word) if apply else {}
    _show(reports, show_keys, as_json, asked)
    if not as_json and not apply and any(report.differs for report in reports):
        console.print("nothing was changed; give --apply to repair")


def repair_all(config: Path, source: str, word: Warrant) -> list[dict[str, Any]]:
    """Compare all tables and have the running capture repair them; return what `repair` shows."""
    reports = _compare(config, source, [], word)
    asked = _ask(config, source, reports, word)
    return [_told(report, False, asked.get(report.table)) for report in reports]


def _ask(
    config: Path, source: str, reports: list[TableReport], word: Warrant
) -> dict[str, dict[str, str]]:
    """Ask the running capture to read the keys that differ; return what it answered by table."""
    asked = {}
    with closing(open_requests(load_settings(config), source)) as requests:
        for report in reports:
            keys = [found.source_key for found in report.found if found.source_key is not None]
            if keys:
                request_id = requests.ask(
                    RequestAction.REPAIR,
                    word,
                    tables=[report.table],
                    keys=keys,
                )
                state = await_answer(requests, request_id)
                asked[report.table] = {"request": request_id, "state": state}
    return asked


def _compare(
    config: Path, source: str, tables: list[str], who: WarrantActor | Warrant
) -> list[TableReport]:
    settings = load_settings(config)
    settings.replicated(source)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Stores(settings) as stores, Progress(*columns, console=errors) as progress:
        bars: dict[tuple[str, str], TaskID] = {}

        def told(table: str, what: str, done: int, total: int) -> None:
            bar = bars.get((table, what))
            if bar is None:
                bar = bars[table, what] = progress.add_task(f"{table}: {what}", total=None)
            progress.update(bar, completed=done, total=max(total, done) or None)

        reports = list(compare_source(stores, source, tables, told))
        # It reads entries of the log and rows of the source, and may name keys that differ.
        query = {"source": source, "tables": [report.table for report in reports][:_TABLES_TOLD]}
        found = sum(len(report.found) for report in reports)
        record_access(stores.event_log(), who, "diff", found=found, query=query)
    return reports


def _show(
    reports: list[TableReport],
    show_keys: bool,
    as_json: bool,
    asked: dict[str, dict[str, str]] | None = None,
) -> None:
    told = [_told(report, show_keys, (asked or {}).get(report.table)) for report in reports]
    if as_json:
        print_json(told)
        return
    show_compared(told)


def show_compared(told: list[dict[str, Any]]) -> None:
    """Print a comparison as tables."""
    print_rows(
        "Compared",
        ("table", "source", "log", "missing", "different", "extra", "changing", "repair"),
        [
            (
                row["table"], f"{row['source_rows']:,}", f"{row['log_rows']:,}", row["missing"],
                row["different"], row["extra"], row["changing"],
                row["repair"]["state"] if row["repair"] else "",
            )
            for row in told
        ],
    )  # fmt: skip
    for row in told:
        if row["unreadable"]:
            console.print(f"{row['table']}: {row['unreadable']} rows fit no contract")
        if row["unrepairable"]:
            console.print(
                f"{row['table']}: {row['unrepairable']} keys cannot be asked of the source"
            )
        for found in row.get("keys", [])[:_KEYS_SHOWN_MAX]:
            console.print(f"{row['table']} {found['difference']} {found['key']}", markup=False)


def _told(report: TableReport, show_keys: bool, asked: dict[str, str] | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "table": report.table,
        "source_rows": report.source_rows,
        "log_rows": report.log_rows,
        **{difference.value: count for difference, count in report.counts.items()},
        "changing": report.changing,
        "unreadable": report.unreadable,
        "unrepairable": sum(found.source_key is None for found in report.found),
        "repair": asked,
    }
    if show_keys:
        told["keys"] = [
            {"difference": found.difference.value, "key": found.key} for found in report.found
        ]
    return told
