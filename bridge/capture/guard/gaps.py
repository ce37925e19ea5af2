"""A stretch of the source that cannot be read any more: recorded, decided about, closed.

1. `record`: one commit holds the entry, the event for consumers and the mark in our cursor that
   stops the reader. Nothing is read from the source until the gap is accepted.
2. `accept`: an operator (or the setting `on_gap: resnapshot`) accepts it; that is an entry too.
3. `close`: with a slot that begins behind the gap, one commit holds the second entry with the exact
   range and the cursor there. Then the tables are compared with the log and differences repaired,
   or (`reread`) every table with a key is read again: that does not find what was deleted.

A crash between any two of these repeats nothing: each moves the cursor that it was decided by.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any, Final

from bridge.capture.appender import Appender
from bridge.capture.cursor import CaptureCursor, GapMark, SlotMark
from bridge.capture.mapping.change_mapper import rfc3339
from bridge.capture.mapping.own_events import Envelope, OwnEvents
from bridge.capture.ports import CaptureLog, Preparation
from bridge.capture.watches import GiveUp
from bridge.contracts.names import source_urn
from bridge.eventlog.records.action_record import action_draft
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import (
    ConfigInvalid,
    SourceGap,
    SourceUnavailable,
    SourceUnfit,
    StaleCursor,
)
from bridge.model.lsn import format_lsn
from bridge.model.observer import Observer
from bridge.model.warrant import Warrant

# How soon a decision is followed; the look is one read of our own store.
_DECISION_INTERVAL_S: Final = 0.5


class OnGap(Enum):
    """What happens when a gap is found; set in the settings."""

    STOP = "stop"  # Wait for an operator.
    RESNAPSHOT = "resnapshot"  # Accept it at once, and read the tables again.


class SlotGivenUp(Exception):
    """The slot is to be dropped now: its gap is in the log."""

    def __init__(self, release: Callable[[], None]) -> None:
        super().__init__()
        self.release = release


class Gaps:
    """The gaps of one source."""

    def __init__(
        self,
        source: str,
        log: CaptureLog,
        *,
        observer: Observer,
        type_prefix: str,
        on_gap: OnGap = OnGap.STOP,
    ) -> None:
        self._source = source
        self._log = log
        self._observer = observer
        self._events = OwnEvents(source, type_prefix)
        self._on_gap = on_gap

    def record(self, appender: Appender, gap: SourceGap) -> None:
        """Append that changes behind our place are lost; the cursor then stops the reader."""
        cursor = appender.cursor
        facts = {
            **_range(cursor, gap.end_lsn),
            "cause": gap.cause,
            "outcome": "found",
            "on_gap": self._on_gap.value,
            "why": str(gap),
            "slot_began_at": cursor.slot and format_lsn(cursor.slot.consistent_lsn),
            # A large transaction of which only the first changes are in the log.
            "broken_off_transaction": cursor.part and format_lsn(cursor.part.commit_lsn),
        }
        accepted = self._on_gap is OnGap.RESNAPSHOT
        mark = GapMark(cause=gap.cause, end_lsn=gap.end_lsn, accepted=accepted)
        try:
            appender.store(cursor.moved(gap=mark), self._drafts(appender, "found", facts))
        except StaleCursor as exc:
            # Whoever moved the cursor also moved the slot: we judged it by an old place.
            raise SourceUnavailable(
                f"cannot judge source {self._source!r}: another capture moved its cursor "
                "meanwhile; it is judged again"
            ) from exc
        self._observer.note("gap_found", source=self._source, cause=gap.cause, error=str(gap))

    def give_up(self, appender: Appender, given_up: GiveUp) -> None:
        """Record that our slot is to be dropped; always raises, so that the stream ends first.

        Raises:
            SlotGivenUp: the gap is in the log; whoever catches it drops the slot.
        """
        if appender.cursor.gap is None:
            self.record(appender, given_up.gap)
        raise SlotGivenUp(given_up.release)

    def await_decision(
        self, appender: Appender, stop: threading.Event, tend: Callable[[], None]
    ) -> None:
        """Return when somebody moved the cursor, or at `stop`; calls `tend` meanwhile."""
        while not stop.wait(_DECISION_INTERVAL_S):
            try:
                tend()
            except StaleCursor:
                return
            stored = self._log.cursor(self._source)
            if stored is None or stored.version != appender.version:
                return

    def close(self, appender: Appender, prepared: Preparation) -> None:
        """Move the cursor behind an accepted gap, or only end it when the slot has none.

        The session ends with it: the next one is judged and begins at the new place.
        """
        cursor = appender.cursor
        assert cursor.gap is not None, "only a gap that was found can be closed"
        if prepared.system_id != cursor.system_id:
            raise SourceUnfit(
                f"cannot close the gap of source {self._source!r}: the server is cluster "
                f"{prepared.system_id}, the log follows cluster {cursor.system_id}"
            )
        if prepared.start_lsn <= cursor.end_lsn:
            # The slot is as it was, given back or never dropped: the ordinary judgement decides.
            slot = cursor.slot or SlotMark(consistent_lsn=prepared.start_lsn, epoch=0)
            slot = SlotMark(consistent_lsn=slot.consistent_lsn, epoch=slot.epoch + 1)
            appender.store(
                cursor.moved(gap=None, slot=slot),
                self._drafts(
                    appender,
                    "none",
                    {
                        **_range(cursor, cursor.end_lsn),
                        "cause": cursor.gap.cause,
                        "outcome": "none",
                    },
                ),
            )
            return
        # Rows that cannot be told apart would be in the log twice.
        keyless = {table.relation.name for table in prepared.tables if not table.key}
        reread = cursor.gap.reread
        left_out = tuple(name for name in cursor.snapshot.done if not reread or name in keyless)
        facts = {
            **_range(cursor, prepared.start_lsn),
            "cause": cursor.gap.cause,
            "outcome": "closed",
            "not_read_again": left_out,
        }
        slot = SlotMark(consistent_lsn=prepared.start_lsn, epoch=_epoch(cursor) + 1)
        moved = cursor.moved(
            timeline=prepared.timeline,
            end_lsn=prepared.start_lsn,
            part=None,
            snapshot=(
                replace(cursor.snapshot, done=left_out, table=None) if reread else cursor.snapshot
            ),
            slot=slot,
            gap=None,
        )
        appender.store(moved, self._drafts(appender, "closed", facts))
        self._observer.note("gap_closed", source=self._source)

    def _drafts(
        self, appender: Appender, outcome: str, facts: Mapping[str, Any]
    ) -> list[EntryDraft]:
        number = _epoch(appender.cursor)
        now = appender.now()
        recorded = rfc3339(now)
        entry_id = f"{self._source}:gap:{number:08X}:{outcome}"
        fields = {
            name: facts[name] for name in ("cause", "from_lsn", "to_lsn", "system_id", "timeline")
        }
        return [
            action_draft(
                EntryKind.GAP,
                "gap",
                None,
                at=now,
                fields={"source": source_urn(self._source), "state": outcome, **fields},
                payload=facts,
                entry_id=entry_id,
            ),
            self._events.event(
                "gap",
                Envelope(f"{entry_id}:event", None, recorded, recorded),
                {name: facts[name] for name in ("cause", "outcome", "from_lsn", "to_lsn")},
                fields={"cause": facts["cause"], "state": outcome},
            ),
        ]


def accept(
    source: str,
    cursor: CaptureCursor,
    warrant: Warrant,
    *,
    now: datetime,
    reread: bool = True,
) -> tuple[CaptureCursor, EntryDraft]:
    """Return the cursor with its gap accepted, and the entry that says who did it and why.

    `reread`: all tables are then read again; otherwise the caller compares them.

    Raises:
        ConfigInvalid: there is no gap, or it is accepted already.
    """
    if cursor.gap is None:
        raise ConfigInvalid(f"cannot resume source {source!r}: it has no open gap")
    if cursor.gap.accepted:
        raise ConfigInvalid(
            f"cannot accept the gap of source {source!r}: it is accepted already; capture closes "
            "it when it runs and reaches the source"
        )
    number = _epoch(cursor)
    draft = action_draft(
        EntryKind.CONTROL,
        "gap-accept",
        warrant,
        at=now,
        fields={"source": source_urn(source), "cause": cursor.gap.cause, "reread": reread},
        payload=_range(cursor, cursor.gap.end_lsn),
        entry_id=f"{source}:gap:{number:08X}:accepted",
    )
    mark = replace(cursor.gap, accepted=True, reread=reread)
    return cursor.moved(gap=mark), draft


def _range(cursor: CaptureCursor, end_lsn: int | None) -> dict[str, Any]:
    return {
        "from_lsn": format_lsn(cursor.end_lsn),
        # None: where the source can go on is known once a new slot is there.
        "to_lsn": None if end_lsn is None else format_lsn(end_lsn),
        "system_id": cursor.system_id,
        "timeline": cursor.timeline,
    }


def _epoch(cursor: CaptureCursor) -> int:
    return cursor.slot.epoch if cursor.slot else 0
