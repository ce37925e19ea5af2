"""Entries for the event log that the write journal leaves with what they record.

Leaves name writes, groups, routes, states and actors, payloads the reasons; never a body, a header,
a lane or any other id of the systems behind the gateway, because lanes are named after people's
data.
"""

from datetime import datetime
from typing import Final

from bridge.eventlog.records.action_record import action_draft
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.stage import Switch
from bridge.model.warrant import Outcome, Warrant
from bridge.model.write import WriteKind, WriteState
from bridge.switching.stages import is_back

TOLD: Final = frozenset(
    {
        WriteState.DONE,
        WriteState.PARKED,
        WriteState.SKIPPED,
        WriteState.IN_DOUBT,
        WriteState.COMPENSATED,
    }
)
"""States that the event log is told of: it happened on both sides, or needs somebody. What a person
decides is told whatever it leads to."""


def is_told(before: WriteState, after: WriteState, warrant: Warrant | None) -> bool:
    """Return whether the event log hears of this change of a write's state.

    What brings a write out of doubt is always told, with the evidence as its reason.
    """
    return warrant is not None or after in TOLD or before is WriteState.IN_DOUBT


_DECIDED: Final = {
    WriteState.APPLIED: "write-replay",
    WriteState.SKIPPED: "write-skip",
}
"""What a person did to a parked write, by the state that it led to."""

_UNFINISHED: Final = frozenset({WriteState.PARKED, WriteState.IN_DOUBT})

# The gateway's own reasons quote answers by their status: a sentence is enough.
_REASON_CHARACTERS_MAX: Final = 2_000


def switch_entry(switch: Switch, row_hash: bytes) -> EntryDraft:
    """Return the entry of one change of stage, or of a canary's share (in per cent)."""
    fields: dict[str, str | int] = {
        "group": switch.group,
        "epoch": switch.epoch,
        "from": switch.from_stage.value,
        "to": switch.to_stage.value,
        "row_hash": row_hash.hex(),
    }
    for name, share_percent in (
        ("from_share", switch.from_share_percent),
        ("to_share", switch.to_share_percent),
    ):
        if share_percent:
            fields[name] = f"{share_percent:g}"
    return action_draft(
        EntryKind.ROUTE,
        "rollback" if is_back(switch.from_place, switch.to_place) else "switch",
        switch.warrant,
        at=switch.switched_at,
        fields=fields,
        entry_id=f"switch:{switch.group}:{switch.epoch}",
    )


def hold_entry(
    group: str, epoch: int, nudge: int, *, held: bool, warrant: Warrant, at: datetime
) -> EntryDraft:
    """Return the entry of holding or resuming a group's lanes; `nudge` makes its id unique."""
    return action_draft(
        EntryKind.ROUTE,
        "lanes-hold" if held else "lanes-resume",
        warrant,
        at=at,
        fields={"group": group, "epoch": epoch},
        entry_id=f"lanes:{group}:{nudge}",
    )


def import_entry(
    group: str, entity: str, nudge: int, *, count: int, warrant: Warrant, at: datetime
) -> EntryDraft:
    """Return the entry of an import of id pairs; it counts them and names none."""
    return action_draft(
        EntryKind.DUALWRITE,
        "ids-import",
        warrant,
        at=at,
        fields={"group": group, "entity": entity, "count": count},
        entry_id=f"ids:{group}:{entity}:{nudge}",
    )


def write_entry(
    *,
    intent_id: str,
    revision: int,
    group: str,
    route: str,
    epoch: int,
    authority: str,
    before: WriteState,
    after: WriteState,
    status: int | None,
    attempts: int,
    warrant: Warrant | None,
    reason: str | None,
    at: datetime,
    kind: WriteKind = WriteKind.CLIENT,
    compensates: str | None = None,
) -> EntryDraft:
    """Return the entry of one change of a dual write's state; `revision` makes its id unique."""
    fields: dict[str, str | int] = {
        "intent": intent_id,
        "group": group,
        "route": route,
        "epoch": epoch,
        "authority": authority,
        "from": before.value,
        "to": after.value,
        "attempts": attempts,
    }
    if status is not None:
        fields["status"] = status
    if kind is not WriteKind.CLIENT:
        fields["kind"] = kind.value
    if compensates is not None:
        fields["compensates"] = compensates
    if warrant is None:
        action = "write"
        outcome = Outcome.FAILED if after in _UNFINISHED else Outcome.DONE
    else:
        resolved = before is WriteState.IN_DOUBT
        action = "write-resolve" if resolved else _DECIDED[after]
        outcome = Outcome.DONE
    return action_draft(
        EntryKind.DUALWRITE,
        action,
        warrant,
        at=at,
        outcome=outcome,
        fields=fields,
        payload={"reason": reason[:_REASON_CHARACTERS_MAX]} if reason else None,
        entry_id=f"write:{intent_id}:{revision}",
    )
