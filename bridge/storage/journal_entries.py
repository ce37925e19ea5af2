"""Entries for the event log that the write journal leaves with what they record.

They name writes, groups, routes, states, actors and reasons; never a body, a header, a lane or any
other id of the systems behind the gateway, because lanes are named after people's data.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.stage import Switch
from bridge.model.write import WriteState

GATEWAY: Final = "gateway"
"""The actor of what no person decided."""

TOLD: Final = frozenset(
    {WriteState.DONE, WriteState.PARKED, WriteState.SKIPPED, WriteState.IN_DOUBT}
)
"""States that the event log is told of: it happened on both sides, or needs somebody. What a person
decides is told whatever it leads to."""

# A leaf has at most 65,535 bytes; a reason is a sentence. One that is too long for the log must not
# block the entries behind it.
_TEXT_CHARACTERS_MAX: Final = 2_000


def switch_entry(switch: Switch, row_hash: bytes) -> EntryDraft:
    """Return the entry of one change of stage."""
    return _draft(
        EntryKind.ROUTE,
        f"switch:{switch.group}:{switch.epoch}",
        {
            "action": "switch",
            "group": switch.group,
            "epoch": switch.epoch,
            "from": switch.from_stage.value,
            "to": switch.to_stage.value,
            "actor": switch.actor,
            "reason": switch.reason,
            "time": switch.switched_at.isoformat(),
            "row_hash": row_hash.hex(),
        },
    )


def hold_entry(
    group: str, epoch: int, nudge: int, *, held: bool, actor: str, reason: str, at: datetime
) -> EntryDraft:
    """Return the entry of holding or resuming a group's lanes; `nudge` makes its id unique."""
    action = "hold_lanes" if held else "resume_lanes"
    return _draft(
        EntryKind.ROUTE,
        f"lanes:{group}:{nudge}",
        {
            "action": action,
            "group": group,
            "epoch": epoch,
            "actor": actor,
            "reason": reason,
            "time": at.isoformat(),
        },
    )


def import_entry(group: str, entity: str, nudge: int, *, count: int, at: datetime) -> EntryDraft:
    """Return the entry of an import of id pairs; it counts them and names none."""
    return _draft(
        EntryKind.DUALWRITE,
        f"ids:{group}:{entity}:{nudge}",
        {
            "action": "import_ids",
            "group": group,
            "entity": entity,
            "count": count,
            "time": at.isoformat(),
        },
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
    actor: str,
    reason: str | None,
    at: datetime,
) -> EntryDraft:
    """Return the entry of one change of a dual write's state; `revision` makes its id unique."""
    return _draft(
        EntryKind.DUALWRITE,
        f"write:{intent_id}:{revision}",
        {
            "action": "write",
            "intent": intent_id,
            "group": group,
            "route": route,
            "epoch": epoch,
            "authority": authority,
            "from": before.value,
            "outcome": after.value,
            "status": status,
            "attempts": attempts,
            "actor": actor,
            "reason": reason,
            "time": at.isoformat(),
        },
    )


def _draft(kind: EntryKind, entry_id: str, fields: Mapping[str, Any]) -> EntryDraft:
    told = {name: value for name, value in fields.items() if value is not None}
    for name in ("actor", "reason"):
        if name in told:
            told[name] = told[name][:_TEXT_CHARACTERS_MAX]
    # Everything is in the leaf: it holds no personal data and stays when payloads are erased.
    return EntryDraft(kind, entry_id, told, b"{}")
