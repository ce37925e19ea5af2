"""`log export`: a bundle for a third party, with tables for people."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, errors, print_json
from bridge.eventlog.exporting.archive import pack
from bridge.eventlog.exporting.export import ExportReport, export, resume_export
from bridge.eventlog.exporting.leaf_filter import LeafFilter, six_digits
from bridge.eventlog.exporting.order import ExportOrder, View
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.exports import entity_pseudonym, export_means
from bridge.runtime.wiring.stores import Stores

# A checkpoint is three lines and a signature or two.
_CHECKPOINT_BYTES_MAX = 100_000

Folder = Annotated[Path, typer.Argument(help="New folder for the bundle.")]
Views = Annotated[
    list[View] | None, typer.Option(help="A view for people: csv, jsonl, parquet; repeat it.")
]
Kinds = Annotated[
    list[EntryKind] | None,
    typer.Option(help="Only entries of this kind; repeat for more.", metavar="KIND"),
]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only events of this type.")]
Entities = Annotated[
    list[str] | None,
    typer.Option(help="""Only this entity: SUBJECT=KEY, as shop.order='{"order_id":1}'."""),
]
Actors = Annotated[
    list[str] | None, typer.Option("--by", help="Only what this actor did; repeat for more.")
]
Correlations = Annotated[list[str] | None, typer.Option(help="Only this correlation id.")]
TimeFrom = Annotated[
    str | None, typer.Option("--from", help="Only from this moment on (UTC, ends with Z).")
]
TimeTo = Annotated[
    str | None, typer.Option("--to", help="Only before this moment (UTC, ends with Z).")
]
FromIndex = Annotated[int | None, typer.Option(min=0, help="First entry of the range.")]
ToIndex = Annotated[int | None, typer.Option(min=1, help="First entry after the range.")]
Where = Annotated[
    list[str] | None,
    typer.Option(help="Only with this business value, by the index; not provable by leaves."),
]
EntriesMax = Annotated[
    int | None, typer.Option(min=1, help="At most so many entries; the range then ends early.")
]
Since = Annotated[
    Path | None,
    typer.Option(help="Checkpoint that the receiver has: prove that nothing changed since."),
]
Disclose = Annotated[
    bool, typer.Option("--disclose", help="Open sealed fields of persons for the receiver.")
]
Tar = Annotated[Path | None, typer.Option(help="Pack the bundle into this file, too.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted export to this folder.")
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("export")(export_bundle)


def export_bundle(
    folder: Folder,
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    view: Views = None,
    kind: Kinds = None,
    type_: Types = None,
    entity: Entities = None,
    by: Actors = None,
    correlation: Correlations = None,
    time_from: TimeFrom = None,
    time_to: TimeTo = None,
    from_index: FromIndex = None,
    to_index: ToIndex = None,
    where: Where = None,
    entries_max: EntriesMax = None,
    since: Since = None,
    disclose: Disclose = False,
    tar: Tar = None,
    resume: Resume = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Write a bundle that an auditor verifies offline; the export itself becomes an entry."""
    word = warrant(actor, reason, ticket)
    asked = (view, kind, type_, entity, by, correlation, time_from, time_to, from_index, to_index,
             where, entries_max, since)  # fmt: skip
    if resume and (disclose or any(each is not None for each in asked)):
        raise ConfigInvalid(
            f"cannot resume the export to {str(folder)!r} with other options: what it exports was "
            "said when it began; give --resume, --reason, --ticket and --tar only"
        )
    _refuse_existing(tar)
    with Stores(load_settings(config)) as stores, _Bar(hidden=as_json) as bar:
        means = export_means(stores)
        if resume:
            report = resume_export(folder, word, means, progress=bar.heard)
        else:
            order = ExportOrder(
                folder=folder,
                warrant=word,
                start=from_index,
                stop=to_index,
                filter=LeafFilter(
                    kinds=tuple(each.value for each in kind or ()),
                    types=tuple(type_ or ()),
                    entities=tuple(entity_pseudonym(stores, text) for text in entity or ()),
                    actors=tuple(by or ()),
                    correlations=tuple(correlation or ()),
                    time_from=_moment("--from", time_from),
                    time_to=_moment("--to", time_to),
                ),
                conditions=tuple(where or ()),
                entries_max=entries_max,
                since=None if since is None else _checkpoint(since),
                views=tuple(dict.fromkeys(view or ())),
                disclose=disclose,
            )
            report = export(order, means, progress=bar.heard)
        if tar is not None:
            pack(folder, tar)
    _tell(report, tar, as_json=as_json)


def _refuse_existing(tar: Path | None) -> None:
    if tar is not None and tar.exists():
        raise ConfigInvalid(f"cannot pack the bundle into {str(tar)!r}: it exists")


def _moment(option: str, text: str | None) -> str | None:
    if text is None:
        return None
    exact = six_digits(text)
    if exact is None:
        raise ConfigInvalid(
            f"cannot use {option} {text!r}: expected a moment in UTC such as 2026-04-01T00:00:00Z"
        )
    return exact


def _checkpoint(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_CHECKPOINT_BYTES_MAX)
    except OSError as exc:
        raise ConfigInvalid(f"cannot read checkpoint {str(path)!r}: {exc.strerror}") from exc


class _Bar:
    """A progress bar with one line for each step that takes its time."""

    def __init__(self, *, hidden: bool) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(show_speed=False),
            TextColumn("{task.completed:,}/{task.total:,}"),
            TimeRemainingColumn(),
            console=console,
            disable=hidden,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}

    def heard(self, step: str, done: int, total: int) -> None:
        """Show how far a step is; those that are one thing have no bar."""
        if total <= 1 or step == "segment":
            return
        if step not in self._tasks:
            self._tasks[step] = self._bar.add_task(step, total=total)
        self._bar.update(self._tasks[step], completed=done, total=total)

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _tell(report: ExportReport, tar: Path | None, *, as_json: bool) -> None:
    entries = report.stop - report.start
    rate = entries / report.took_s if report.took_s else 0.0
    if as_json:
        print_json(
            {
                "folder": str(report.folder),
                "entries": entries,
                "selected": report.selected,
                "range": {"start": report.start, "stop": report.stop},
                "size": report.head.size,
                "root": report.head.root.hex(),
                "vkey": report.keys[0],
                "vkeys": list(report.keys),
                "bytes": report.size_bytes,
                "files": report.files,
                "entry_id": report.entry_id,
                "manifest_sha256": report.manifest_sha256,
                "limit_reached": report.limit_reached,
                "cosignatures": report.cosignatures,
                "tokens": report.tokens,
                "missing_contracts": list(report.missing_contracts),
                "cut_cells": report.cut_cells,
                "took_s": round(report.took_s, 3),
                "entries_per_s": round(rate),
                "tar": None if tar is None else str(tar),
            }
        )
        _warn(report)
        return
    console.print(
        f"{entries:,} entries ({report.start} to {report.stop - 1}), {report.selected:,} selected, "
        f"{report.size_bytes:,} bytes in {report.folder}; "
        f"{report.took_s:.1f} s, {rate:,.0f} entries/s",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"{report.cosignatures} cosignatures on its checkpoint, {report.tokens} time-stamp tokens",
        markup=False,
        highlight=False,
    )
    keys = " ".join(f"--key '{key}'" for key in report.keys)
    console.print(
        f"verify with: legacy-bridge log verify {report.folder} {keys}",
        markup=False,
        soft_wrap=True,
    )
    _warn(report)


def _warn(report: ExportReport) -> None:
    """Say on standard error what the bundle lacks: nothing is left out in silence."""
    said = []
    if report.limit_reached:
        said.append(
            f"LIMIT REACHED: --entries-max {report.selected:,} ended the range before entry "
            f"{report.stop}; later entries are NOT in this bundle: export again with --from-index "
            f"{report.stop}"
        )
    if report.selected == 0:
        said.append("no entry was selected: such a bundle cannot be verified as anything")
    if report.missing_contracts:
        said.append(f"contracts that nobody has: {', '.join(report.missing_contracts)}")
    if report.cut_cells:
        said.append(
            f"{report.cut_cells:,} cells of the CSV view were cut at what a spreadsheet holds; "
            "payloads.jsonl has them whole"
        )
    for text in said:
        errors.print(Text(text, style="bold red"), soft_wrap=True)
