"""The entries of an export: that it was asked for, that it was resumed, that it is done."""

import secrets
from datetime import datetime
from typing import Any

from bridge.eventlog.exporting.order import ExportOrder
from bridge.eventlog.records.action_record import action_draft, log_time
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.warrant import Warrant


def new_entry_id(at: datetime) -> str:
    """Return the id of the entry that says that an export was asked for."""
    return f"export:{log_time(at)}:{secrets.token_hex(8)}"


def start_draft(order: ExportOrder, entry_id: str, at: datetime) -> EntryDraft:
    """Return the entry that comes before anything is read. A filter may name persons, so it stands
    in the payload."""
    return action_draft(
        EntryKind.EXPORT,
        "export-start",
        order.warrant,
        at=at,
        fields={
            "filtered": order.is_filtered,
            "disclose": order.disclose,
            "views": [view.value for view in order.views],
        },
        payload={
            "filter": order.filter_json(),
            "start": order.start,
            "stop": order.stop,
            "entries_max": order.entries_max,
        },
        entry_id=entry_id,
    )


def resume_draft(warrant: Warrant, at: datetime, entry_id: str) -> EntryDraft:
    """Return the entry that an interrupted export goes on."""
    return action_draft(
        EntryKind.EXPORT, "export-resume", warrant, at=at, fields={"started": entry_id}
    )


def end_draft(order: ExportOrder, state: dict[str, Any], at: datetime) -> EntryDraft:
    """Return the entry that a bundle is complete; the same id however often that is recorded."""
    files = state["files"].values()
    return action_draft(
        EntryKind.EXPORT,
        "export",
        order.warrant,
        at=at,
        fields={
            "started": state["entry_id"],
            "range": state["range"],
            "selected": state["entries"]["selected"],
            "files": len(files),
            "bytes": sum(file["bytes"] for file in files),
            "manifest_sha256": state["manifest_sha256"],
        },
        entry_id=f"{state['entry_id']}:done",
    )
