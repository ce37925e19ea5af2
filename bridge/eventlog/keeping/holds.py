"""Legal holds: what they cover is destroyed neither by an erasure nor by age.

A hold blocks from before its entry is in the log until after the entry that lifts it is: whatever
is interrupted, it errs on the side of keeping.
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime

from bridge.eventlog.keeping.ports import DataKey, Hold, SubjectKeyStore
from bridge.eventlog.ports import EventLogWriter
from bridge.eventlog.records.action_record import action_draft, log_time
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, HeldBack
from bridge.model.warrant import Warrant

_ID_BYTES = 6


class Holds:
    """Places and lifts holds."""

    def __init__(
        self, store: SubjectKeyStore, log: EventLogWriter, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._log = log
        self._clock = clock

    def place(self, warrant: Warrant, *, subject: str | None, record_class: str | None) -> Hold:
        """Hold back everything of a person, of a class, or (both None) everything."""
        now = self._clock()
        hold = Hold(f"hold-{secrets.token_hex(_ID_BYTES)}", subject, record_class, log_time(now))
        self._store.place_hold(hold)
        self._tell("hold-place", hold, warrant, now)
        return hold

    def lift(self, hold_id: str, warrant: Warrant) -> Hold:
        """Lift a hold; raises `ConfigInvalid` when there is none of this id."""
        found = [hold for hold in self._store.holds() if hold.hold_id == hold_id]
        if not found:
            raise ConfigInvalid(f"cannot lift hold {hold_id!r}: there is none of this id")
        self._tell("hold-lift", found[0], warrant, self._clock())
        self._store.lift_hold(hold_id)
        return found[0]

    def _tell(self, action: str, hold: Hold, warrant: Warrant, at: datetime) -> None:
        fields = {"hold": hold.hold_id, "scope": scope_of(hold)}
        if hold.subject is not None:
            fields["subject"] = hold.subject
        if hold.record_class is not None:
            fields["class"] = hold.record_class
        entry_id = f"{hold.hold_id}-{action}"
        self._log.append(
            [action_draft(EntryKind.HOLD, action, warrant, at=at, fields=fields, entry_id=entry_id)]
        )


def scope_of(hold: Hold) -> str:
    """Return in words what a hold covers."""
    if hold.subject is None:
        return "all" if hold.record_class is None else "class"
    return "subject" if hold.record_class is None else "subject and class"


def refuse_held(holds: Sequence[Hold], keys: Sequence[DataKey], subject: str) -> None:
    """Raise `HeldBack` if a hold covers the person or one of the keys."""
    classes = {key.record_class for key in keys}
    found = [
        hold
        for hold in holds
        if hold.subject in (None, subject)
        and (hold.record_class is None or hold.record_class in classes)
    ]
    if found:
        named = ", ".join(f"{hold.hold_id} ({scope_of(hold)}, {hold.placed})" for hold in found)
        raise HeldBack(
            f"cannot erase subject {subject}: legal hold {named} covers it; the two duties are in "
            "conflict, and a person has to decide: lift the hold, or answer the request with it"
        )
