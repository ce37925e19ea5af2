"""The entry of a queued request that has ended: names and states, never data of anybody."""

from datetime import datetime

from bridge.eventlog.records.action_record import action_draft
from bridge.gateway.ingress.ports import Kept, QueueState
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.http import HttpResponse
from bridge.model.warrant import Outcome


def ended_entry(
    kept: Kept, state: QueueState, response: HttpResponse | None, at: datetime
) -> EntryDraft:
    """Return the entry; its id is the same when the end is recorded again."""
    queued = kept.queued
    fields: dict[str, str | int] = {
        "request": queued.request_id[:8],  # Whoever knows the whole could ask for the answer.
        "group": queued.group,
        "route": queued.route,
        "state": state.value,
        "waited_ms": round((at.timestamp() - queued.accepted_at) * 1000),
    }
    if response is not None:
        fields["status"] = response.status
    done = state in (QueueState.DONE, QueueState.CANCELLED)
    return action_draft(
        EntryKind.DUALWRITE,
        "async-cancel" if state is QueueState.CANCELLED else "async-done",
        None,
        at=at,
        outcome=Outcome.DONE if done else Outcome.FAILED,
        fields=fields,
        entry_id=f"async:{queued.request_id[:8]}:{queued.accepted_at:.6f}:{state.value}",
    )
