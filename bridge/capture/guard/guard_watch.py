"""The WAL guard as a watch: reads the slot, tells a change of level, gives up if authorised."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isinf
from typing import Any, Final, Protocol

from bridge.capture.guard.wal_guard import (
    Assessment,
    GuardLevel,
    GuardLimits,
    SlotReading,
    WalGuard,
)
from bridge.capture.mapping.change_mapper import rfc3339
from bridge.capture.mapping.own_events import Envelope, OwnEvents
from bridge.capture.watches import GiveUp, Sighting
from bridge.model.errors import SourceGap
from bridge.model.lsn import format_lsn
from bridge.model.observer import Observer

# A look is one query of a millisecond; the headroom of a busy server lasts for minutes at least.
INTERVAL_S_DEFAULT: Final = 10.0


class SlotReader(Protocol):
    """Reads our slot, on a connection of its own."""

    def read(self) -> SlotReading:
        """Return what the server says now; writes nothing.

        Raises:
            SourceUnavailable: it does not answer.
        """

    def drop(self) -> None:
        """Drop the slot; returns when it is gone.

        Raises:
            SourceUnavailable: somebody still reads it.
        """

    def close(self) -> None:
        """Close the connection."""


class AlarmBell(Protocol):
    """Tells somebody outside; at least once, in the background."""

    def ring(self, alarm: Mapping[str, Any]) -> None:
        """Queue `alarm` (JSON values) and return at once; never raises."""

    def close(self) -> None:
        """Wait a little for what is queued, then give up."""


class GuardWatch:
    """Implements `Watch`. Its state is the number of the last level change and its level."""

    name = "wal-guard"

    def __init__(
        self,
        source: str,
        reader: SlotReader,
        *,
        limits: GuardLimits,
        events: OwnEvents,
        observer: Observer,
        bell: AlarmBell | None = None,
        interval_s: float = INTERVAL_S_DEFAULT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.interval_s = interval_s
        self._source = source
        self._reader = reader
        self._limits = limits
        self._events = events
        self._observer = observer
        self._bell = bell
        self._clock = clock
        self._guard: WalGuard | None = None

    def look(self, state: str | None) -> Sighting:
        """Read the slot; say when its level changed, or when it is to be given up."""
        told = json.loads(state) if state else {"number": 0, "level": int(GuardLevel.OK)}
        if self._guard is None:
            self._guard = WalGuard(self._limits, GuardLevel(told["level"]))
        reading = self._reader.read()
        found = self._guard.feed(reading)
        self._note(found, reading)
        if found.give_up:
            return self._give_up(found)
        if found.level == told["level"]:
            return Sighting()
        return self._change(found, reading, told)

    def close(self) -> None:
        """Close the connection and stop ringing."""
        self._reader.close()
        if self._bell is not None:
            self._bell.close()

    def _note(self, found: Assessment, reading: SlotReading) -> None:
        self._observer.note(
            "wal_guard",
            source=self._source,
            level=int(found.level),
            retained_bytes=found.retained_bytes,
            unconfirmed_bytes=found.unconfirmed_bytes,
            headroom_bytes=found.headroom_bytes,
            growth_bytes_per_s=found.growth_bytes_per_s,
            left_s=found.left_s,
            stalled=int(found.stalled),
            slot_active=int(reading.active),
        )

    def _change(self, found: Assessment, reading: SlotReading, told: Mapping[str, Any]) -> Sighting:
        number = told["number"] + 1
        now = rfc3339(self._clock())
        before = GuardLevel(told["level"])
        data = {
            "level": found.level.word,
            "previous_level": before.word,
            "reasons": list(found.reasons),
            **facts(found),
            "restart_lsn": reading.restart_lsn and format_lsn(reading.restart_lsn),
            "confirmed_lsn": reading.confirmed and format_lsn(reading.confirmed),
            "source_lsn": format_lsn(reading.position),
            "wal_status": reading.wal_status,
            "slot_active": reading.active,
        }
        event_id = f"{self._source}:wal-guard:{number:08X}"
        draft = self._events.event(
            "wal-guard",
            Envelope(event_id, None, now, now),
            data,
            fields={"level": found.level.word, "reason": "; ".join(found.reasons)},
        )
        worse = found.level > before
        self._observer.note(
            "wal_guard_raised" if worse else "wal_guard_lowered",
            source=self._source,
            to_level=found.level.word,
            why="; ".join(found.reasons),
        )
        if self._bell is not None:
            self._bell.ring({"alarm": "wal-guard", "id": event_id, "source": self._source, **data})
        return Sighting([draft], json.dumps({"number": number, "level": int(found.level)}))

    def _give_up(self, found: Assessment) -> Sighting:
        limit = self._limits.drop_slot_bytes
        gap = SourceGap(
            f"cannot keep the slot of source {self._source!r}: it holds {found.retained_bytes:,} "
            f"bytes of WAL and guard.drop_slot_bytes authorises to drop it at {limit:,}; changes "
            "in between may be lost",
            cause="slot-given-up",
            end_lsn=None,
        )
        return Sighting(give_up=GiveUp(gap, self._reader.drop))


def facts(found: Assessment) -> dict[str, Any]:
    """Return the numbers of an assessment as JSON has them: None for what is without end."""
    return {
        "retained_bytes": found.retained_bytes,
        "unconfirmed_bytes": found.unconfirmed_bytes,
        "headroom_bytes": _finite(found.headroom_bytes),
        "growth_bytes_per_s": round(found.growth_bytes_per_s),
        "left_s": _finite(found.left_s),
        "stalled": found.stalled,
    }


def _finite(value: float) -> int | None:
    return None if isinf(value) else round(value)
