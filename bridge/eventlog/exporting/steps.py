"""The steps of an export, each of which may be the last before a crash.

A step is repeated from its start, or (entries) from what was noted; what it leaves in the state is
all that later steps know.
"""

import base64
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from hashlib import sha256
from itertools import chain
from typing import Any, Final

from bridge.eventlog.exporting.bundle_file import FileFacts, write_whole
from bridge.eventlog.exporting.draft_folder import DraftFolder
from bridge.eventlog.exporting.entries import EntryFiles
from bridge.eventlog.exporting.entry_lines import selected_entries
from bridge.eventlog.exporting.evidence import (
    checkpoint_sizes,
    head_json,
    stored_note,
    stored_root,
    write_checkpoints,
    write_contracts,
    write_disclosed,
    write_tokens,
)
from bridge.eventlog.exporting.export_entries import start_draft
from bridge.eventlog.exporting.manifest import manifest_bytes, manifest_text, trailer_text
from bridge.eventlog.exporting.means import ExportMeans
from bridge.eventlog.exporting.order import ExportOrder
from bridge.eventlog.exporting.ports import Progress
from bridge.eventlog.exporting.span import resolve_range, since_json
from bridge.eventlog.exporting.views.csv_view import CsvView
from bridge.eventlog.exporting.views.view_files import OpenedValues, view_writer, write_view
from bridge.eventlog.records.action_record import log_time
from bridge.eventlog.signing.note import split_note
from bridge.model.entry import TreeHead
from bridge.model.errors import ConfigInvalid


class Work:
    """An export at work: what was asked, with what, and how far it is."""

    def __init__(
        self,
        order: ExportOrder,
        means: ExportMeans,
        draft: DraftFolder,
        state: dict[str, Any],
        progress: Progress,
    ) -> None:
        self.order, self.means, self.draft, self.state = order, means, draft, state
        self.progress = progress

    @property
    def head(self) -> TreeHead:
        """Return the signed head that everything is proven against."""
        head = self.state["head"]
        return TreeHead(size=head["size"], root=bytes.fromhex(head["root"]))

    @property
    def start(self) -> int:
        """Return the first index of the range."""
        return int(self.state["range"]["start"])

    def add_files(self, files: Iterable[tuple[str, FileFacts]]) -> None:
        """Note files that are complete and durable."""
        self.state["files"].update({path: facts.as_json() for path, facts in files})

    def save(self) -> None:
        """Note how far it is."""
        if not self.draft.is_published:
            self.draft.save(self.state)

    def finish(self, step: str) -> None:
        """Note that a step is done."""
        self.state["finished"].append(step)
        self.save()
        self.progress(step, 1, 1)


def record(work: Work) -> None:
    """Record in the log that the export was asked for; saved first, so that its id is known."""
    at = work.means.now()
    work.state.setdefault("created", log_time(at))
    work.save()
    work.progress("planned", 1, 1)
    work.means.log.append([start_draft(work.order, work.state["entry_id"], at)])


def sign(work: Work) -> None:
    """Sign the head that holds this entry; decide the range and prove the receiver's head."""
    order, log = work.order, work.means.log
    if order.disclose and work.means.opener is None:
        raise ConfigInvalid("cannot disclose sealed fields: this deployment has no keys for them")
    for view in order.views:
        view_writer(view, work.draft.bundle).close()  # Its package may be missing: say it now.
    head, checkpoint = work.means.head_signer.sign()
    signer = work.means.head_signer.signer
    work.state |= {
        "origin": signer.origin,
        "keys": [key.format() for key in signer.keys],
        "head": head_json(head),
        "checkpoint": base64.b64encode(checkpoint).decode(),
        "minimum_index": log.first_index(),
        "range": resolve_range(order, log.first_index(), head.size),
        "since": since_json(order.since, signer.origin, log, head),
    }


def write_entries(work: Work) -> None:
    """Write leaves, hashes, payloads and selection, noting each segment."""
    log, state = work.means.log, work.state
    start, stop = work.start, int(state["range"]["stop"])
    sizes = checkpoint_sizes(log, start, stop)
    roots = {size: stored_root(log, size) for size in sizes}
    files = EntryFiles(
        log, work.draft.bundle, work.order, (start, stop), roots, work.means.selector,
        state.get("entries"),
    )  # fmt: skip
    with closing(files):
        noted = files.position
        state["entries"] = files.state()
        work.save()
        while files.position < files.stop:
            files.write_next()
            work.progress("entries", files.position - start, files.stop - start)
            if files.position - noted >= work.means.segment_entries:
                noted = files.position
                state["entries"] = files.state()
                work.save()
                work.progress("segment", files.position - start, files.stop - start)
        state["entries"] = files.state()
        state["range"]["stop"] = files.stop
        state["proof"] = files.proof(work.head)
        state["checkpoints"] = [size for size in sizes if size <= files.stop]
    state["files"].update(state["entries"]["files"])


def copy_contracts(work: Work) -> None:
    """Write the contracts that selected events name."""
    missing: list[str] = []
    urns = work.state["entries"]["contracts"]
    work.add_files(write_contracts(work.means.contracts, work.draft.bundle, urns, missing))
    work.state["missing"] = missing


def disclose(work: Work) -> None:
    """Write what sealed fields hide, when that was asked for."""
    opener = work.means.opener
    if not work.order.disclose:
        return
    if opener is None:
        raise ConfigInvalid("cannot disclose sealed fields: this deployment has no keys for them")
    entries = selected_entries(work.draft.bundle, work.start)
    facts = write_disclosed(opener, work.draft.bundle, entries, _heard(work, "disclosing"))
    work.add_files([("disclosed.jsonl", facts)])


def write_views(work: Work) -> None:
    """Write the views; one that is complete is not written again."""
    bundle, state = work.draft.bundle, work.state
    for view in work.order.views:
        step = f"view:{view.value}"
        if step in state["finished"]:
            continue
        disclosed = bundle / "disclosed.jsonl"
        with disclosed.open("rb") if disclosed.exists() else nullcontext(()) as opened:
            writer = view_writer(view, bundle)
            try:
                entries = selected_entries(bundle, work.start)
                values = OpenedValues(opened)
                files = write_view(
                    writer, bundle, entries, values, work.means.zone, _heard(work, step)
                )
            finally:
                writer.close()
        if isinstance(writer, CsvView):
            state["cut_cells"] = writer.cut_cells
        work.add_files(files.items())
        work.finish(step)


def write_evidence(work: Work) -> None:
    """Write checkpoints with the signatures and time-stamps that others gave meanwhile."""
    log, state, bundle = work.means.log, work.state, work.draft.bundle
    size = work.head.size
    signed = base64.b64decode(state["checkpoint"])
    stored = stored_note(log, size)
    if stored is None or split_note(stored)[0] != split_note(signed)[0]:
        stored = signed
    if work.means.cosign is not None:
        stored = work.means.cosign(size, stored)
    state["cosignatures"] = len(split_note(stored)[1]) - len(split_note(signed)[1])
    known = [key.format() for key in work.means.head_signer.signer.ring.known]
    keys = "".join(f"{key}\n" for key in known).encode()
    work.add_files(
        [
            ("checkpoint.txt", write_whole(bundle / "checkpoint.txt", "checkpoint", [stored], 1)),
            ("key.txt", write_whole(bundle / "key.txt", "key", [keys], len(known))),
        ]
    )
    earlier = [each for each in state["checkpoints"] if each != size]
    work.add_files(
        chain(
            write_checkpoints(log, bundle, earlier),
            write_tokens(log, bundle, [*earlier, size]),
        )
    )


def seal(work: Work) -> None:
    """Write manifest and notes, the trailer last."""
    state, order, bundle = work.state, work.order, work.draft.bundle
    files = {path: FileFacts.from_json(tree) for path, tree in sorted(state["files"].items())}
    _assert_complete(work, files)
    manifest = manifest_bytes(
        {
            "origin": state["origin"],
            "created": state["created"],
            "actor": order.warrant.actor.as_json(),
            "reason": order.warrant.reason,
            "ticket": order.warrant.ticket,
            "entry_id": state["entry_id"],
            "range": state["range"],
            "head": state["head"],
            "proof": state["proof"],
            "since": state["since"],
            "minimum_index": state["minimum_index"],
            "filter": order.filter_json(),
            "selection": {
                "count": state["entries"]["selected"],
                "provable": not order.conditions,
            },
            "limits": {
                "entries_max": order.entries_max,
                "reached": state["entries"]["reached"],
            },
        },
        files,
    )
    signer = work.means.head_signer.signer
    write_whole(bundle / "manifest.json", "manifest", [manifest], 1)
    work.progress("manifest", 1, 1)
    write_whole(bundle / "manifest.note", "note", [signer.sign(manifest_text(manifest))], 1)
    work.progress("manifest-note", 1, 1)
    trailer = signer.sign(trailer_text(manifest, files))
    write_whole(bundle / "trailer.note", "note", [trailer], 1)
    state["manifest_sha256"] = sha256(manifest).hexdigest()


def publish(work: Work) -> None:
    """Give the bundle its name."""
    if not work.draft.is_published:
        work.draft.publish()


STEPS: Final[tuple[Callable[[Work], None], ...]] = (
    record,
    sign,
    write_entries,
    copy_contracts,
    disclose,
    write_views,
    write_evidence,
    seal,
    publish,
)


def _heard(work: Work, step: str) -> Callable[[int], None]:
    total = work.state["entries"]["selected"]
    return lambda done: work.progress(step, done, total)


def _assert_complete(work: Work, files: dict[str, FileFacts]) -> None:
    """Refuse to sign a manifest that does not list exactly what is there."""
    notes = ("manifest.json", "manifest.note", "trailer.note")  # From a run that was cut here.
    found = {
        path.relative_to(work.draft.bundle).as_posix(): path.stat().st_size
        for path in work.draft.bundle.rglob("*")
        if path.is_file() and path.name not in notes
    }
    listed = {path: facts.size_bytes for path, facts in files.items()}
    assert found == listed, f"files differ from what was noted: {found.items() ^ listed.items()}"
