"""Export the log as a bundle that a third party verifies offline, with none of our code.

The bundle's form is `docs/bundle-format.md`. It grows in a draft folder and gets its name by one
rename when it is complete and durable, so a folder under that name is never half an export. A run
that was killed, or whose disk was full, is resumed where it was: state is noted each
`segment_entries`, and after each step.

The order of steps is what makes the log tell the truth about exports: the entry that one was asked
for comes before anything is read, the entry that it is done after the bundle has its name.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.eventlog.exporting.bundle_file import FileFacts
from bridge.eventlog.exporting.disk import explained
from bridge.eventlog.exporting.draft_folder import DraftFolder
from bridge.eventlog.exporting.export_entries import end_draft, new_entry_id, resume_draft
from bridge.eventlog.exporting.means import ExportMeans
from bridge.eventlog.exporting.order import ExportOrder
from bridge.eventlog.exporting.ports import Progress, no_progress
from bridge.eventlog.exporting.steps import STEPS, Work
from bridge.eventlog.records.attempt import refusals_told
from bridge.model.entry import EntryKind, TreeHead
from bridge.model.errors import LogCorrupt
from bridge.model.warrant import Warrant

ACTION = "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote."""

    folder: Path
    head: TreeHead
    start: int
    stop: int
    selected: int
    """How many entries were selected; their payloads are in the bundle."""
    limit_reached: bool
    """The range ends early, as `entries_max` were selected."""
    keys: tuple[str, ...]
    """The keys to verify with; give them to the auditor on another way than the bundle."""
    entry_id: str
    """The entry of the log that records this export."""
    manifest_sha256: str
    size_bytes: int
    files: int
    cosignatures: int
    tokens: int
    missing_contracts: tuple[str, ...]
    """Contracts that selected events name and nobody has."""
    cut_cells: int
    """Cells of the CSV view that show only a part of their text."""
    took_s: float
    """How long this run took; a resumed export has only its last part here."""


def export(
    order: ExportOrder, means: ExportMeans, *, progress: Progress = no_progress
) -> ExportReport:
    """Export as `order` says, in bounded memory.

    The export is first recorded in the log, so none goes unrecorded, however it ends.

    Raises:
        ConfigInvalid: the order cannot be followed; nothing was written.
        LogCorrupt: the log is not what was appended or signed; nothing is left of the draft.
        StorageUnavailable: the log cannot be read, or the folder not written; the draft stays, to
            be resumed.
    """
    with (
        refusals_told(lambda draft: means.log.append([draft]), EntryKind.EXPORT, ACTION,
                      order.warrant) as _,
        explained(order.folder),
        DraftFolder(order.folder, resume=False) as draft,
    ):  # fmt: skip
        state: dict[str, Any] = {
            "order": order.as_json(),
            "entry_id": new_entry_id(means.now()),
            "finished": [],
            "files": {},
        }
        return _run(Work(order, means, draft, state, progress))


def resume_export(
    folder: Path, warrant: Warrant, means: ExportMeans, *, progress: Progress = no_progress
) -> ExportReport:
    """Go on with the export to `folder` that was interrupted; what it exports was said then.

    Raises:
        ConfigInvalid: there is none, or its draft was changed since.
        LogCorrupt, StorageUnavailable: see `export`.
    """
    with (
        refusals_told(lambda draft: means.log.append([draft]), EntryKind.EXPORT, "export-resume",
                      warrant) as _,
        explained(folder),
        DraftFolder(folder, resume=True) as draft,
    ):  # fmt: skip
        state = draft.load()
        means.log.append([resume_draft(warrant, means.now(), state["entry_id"])])
        order = ExportOrder.from_json(folder, state["order"])
        return _run(Work(order, means, draft, state, progress))


def _run(work: Work) -> ExportReport:
    began = time.monotonic()
    with _discarded_when_corrupt(work):
        for step in STEPS:
            if step.__name__ not in work.state["finished"]:
                step(work)
                work.finish(step.__name__)
    report = _report(work, time.monotonic() - began)
    work.means.log.append([end_draft(work.order, work.state, work.means.now())])
    work.progress("recorded", 1, 1)
    work.draft.remove()
    return report


@contextmanager
def _discarded_when_corrupt(work: Work) -> Iterator[None]:
    """Leave no draft of what is refused: resuming it would only be refused again."""
    try:
        yield
    except LogCorrupt:
        if not work.draft.is_published:
            work.draft.remove()
        raise
    except BaseException:
        # Refused before anything of the log was written: there is nothing to resume.
        if "entries" not in work.state and not work.draft.is_published:
            work.draft.remove()
        raise


def _report(work: Work, took_s: float) -> ExportReport:
    state = work.state
    files = {path: FileFacts.from_json(tree) for path, tree in state["files"].items()}
    head = work.head
    return ExportReport(
        folder=work.order.folder,
        head=head,
        start=state["range"]["start"],
        stop=state["range"]["stop"],
        selected=state["entries"]["selected"],
        limit_reached=state["entries"]["reached"],
        keys=tuple(state["keys"]),
        entry_id=state["entry_id"],
        manifest_sha256=state["manifest_sha256"],
        size_bytes=sum(facts.size_bytes for facts in files.values()),
        files=len(files),
        cosignatures=state["cosignatures"],
        tokens=sum(facts.role == "token" for facts in files.values()),
        missing_contracts=tuple(state["missing"]),
        cut_cells=state.get("cut_cells", 0),
        took_s=took_s,
    )
