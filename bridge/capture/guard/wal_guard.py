"""How much WAL our slot makes the source keep, and how long that can go on. Pure.

A slot that is not read makes the server keep its WAL: until the disk is full, or until
`max_slot_wal_keep_size` is reached and the server gives the slot up, which is a gap for us.
Readings go in, an assessment comes out: three levels, raised only when it lasts and lowered only
when it is clearly better, so that an alarm does not flap.
"""

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from typing import Final

# Retained WAL is a sawtooth: it grows with each write and falls at each checkpoint, when the server
# looks how far the slot has come. The rate is taken over several of its 15 s steps.
GROWTH_WINDOW_S: Final = 300.0

# Below this, a rate says more about one checkpoint than about the trend.
_GROWTH_SPAN_S_MIN: Final = 30.0

# A level is raised when so many readings in a row say so; a slot in danger raises it at once.
_RAISE_READINGS: Final = 2

# It is lowered when the worst of so many readings is below it by this factor.
_LOWER_READINGS: Final = 3
_LOWER_FACTOR: Final = 0.8

_READINGS_MAX: Final = 1_000


class GuardLevel(IntEnum):
    """How the slot's WAL stands; a higher one is worse."""

    OK = 0  # Nothing to do.
    WARNING = 1  # Set at `warning_bytes` or `warning_left_s`, and when the stream stands still.
    CRITICAL = 2  # Set at `critical_bytes` or `critical_left_s`, and when the slot is in danger.

    @property
    def word(self) -> str:
        """The level as events and tables show it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """Where the levels begin."""

    warning_bytes: int = 1 << 30
    critical_bytes: int = 5 << 30
    warning_left_s: float = 6 * 3600.0
    critical_left_s: float = 3600.0
    stall_s: float = 60.0
    """How long the server may have WAL for us and send nothing."""
    drop_slot_bytes: int | None = None
    """Retained bytes at which the slot is given up: only an operator can set this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReading:
    """What the server said about our slot at one moment."""

    at_s: float
    """The server's clock."""
    position: int
    """Where its WAL ends (on a standby: what it has replayed)."""
    restart_lsn: int | None
    """The server keeps all WAL from here; None when the slot is gone or was given up."""
    confirmed: int | None
    wal_status: str | None
    safe_bytes: int | None
    """`safe_wal_size`: what may be written until the slot is in danger; None without a limit."""
    active: bool
    sent: int | None = None
    """How far the server has sent to us; None when nobody reads."""
    wait_event: str | None = None
    """What the sending process waits for."""
    invalidation: str | None = None
    exists: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What a reading means."""

    level: GuardLevel
    reasons: tuple[str, ...]
    """Why it is not `OK`, in words for an operator, the worst first."""
    retained_bytes: int
    unconfirmed_bytes: int
    """Written by the source and not yet durable in our log."""
    headroom_bytes: float
    """What may still be written until the server may give the slot up; infinite without a limit."""
    growth_bytes_per_s: float
    """How fast the retained bytes grow; negative when they shrink."""
    left_s: float
    """Seconds until the headroom is used up at this rate; infinite when it is not being used."""
    stalled: bool
    give_up: bool
    """The limit is reached at which an operator authorised to drop the slot."""


class WalGuard:
    """Remembers the last readings of one slot, and the level that was told."""

    def __init__(self, limits: GuardLimits, level: GuardLevel = GuardLevel.OK) -> None:
        self._limits = limits
        self.level = level
        """The level that stands."""
        self._readings: deque[SlotReading] = deque(maxlen=_READINGS_MAX)
        self._recent: deque[GuardLevel] = deque(maxlen=_LOWER_READINGS)
        self._sent = -1
        self._sent_at_s = 0.0

    def feed(self, reading: SlotReading) -> Assessment:
        """Take a reading and return what stands now."""
        self._keep(reading)
        retained = _retained(reading)
        headroom = inf if reading.safe_bytes is None else float(max(reading.safe_bytes, 0))
        growth = self._growth()
        left_s = headroom / growth if growth > 0 else inf
        stalled = self._is_stalled(reading)
        now, reasons = self._measure(reading, retained, left_s, 1.0, stalled=stalled)
        self._raise_or_lower(now, reading, retained, left_s, stalled=stalled)
        limit = self._limits.drop_slot_bytes
        return Assessment(
            level=self.level,
            reasons=tuple(reasons),
            retained_bytes=retained,
            unconfirmed_bytes=max(reading.position - (reading.confirmed or reading.position), 0),
            headroom_bytes=headroom,
            growth_bytes_per_s=growth,
            left_s=left_s,
            stalled=stalled,
            give_up=limit is not None and reading.exists and retained >= limit,
        )

    def _keep(self, reading: SlotReading) -> None:
        last = self._readings[-1] if self._readings else None
        if last is not None and (reading.at_s <= last.at_s or reading.position < last.position):
            self._readings.clear()  # The clock was set, or another server answers: begin again.
        self._readings.append(reading)
        while reading.at_s - self._readings[0].at_s > GROWTH_WINDOW_S:
            self._readings.popleft()

    def _growth(self) -> float:
        first, last = self._readings[0], self._readings[-1]
        span_s = last.at_s - first.at_s
        if span_s < _GROWTH_SPAN_S_MIN:
            return 0.0
        return (_retained(last) - _retained(first)) / span_s

    def _is_stalled(self, reading: SlotReading) -> bool:
        """Whether the server has had something for us for long, and has sent nothing."""
        sent = reading.sent
        if sent is None or sent != self._sent or reading.position <= sent:
            self._sent, self._sent_at_s = -1 if sent is None else sent, reading.at_s
            return False
        return reading.at_s - self._sent_at_s >= self._limits.stall_s

    def _raise_or_lower(
        self,
        now: GuardLevel,
        reading: SlotReading,
        retained: int,
        left_s: float,
        *,
        stalled: bool,
    ) -> None:
        # Who stands close below a limit counts as above it while the level is to be lowered.
        near, _ = self._measure(reading, retained, left_s, _LOWER_FACTOR, stalled=stalled)
        self._recent.append(near)
        if now > self.level:
            lasting = min([now, *list(self._recent)[-_RAISE_READINGS:]])
            if _in_danger(reading) is not None:
                self.level = now
            elif len(self._recent) >= _RAISE_READINGS and lasting > self.level:
                self.level = lasting
        elif len(self._recent) == _LOWER_READINGS:
            self.level = min(self.level, max(self._recent))

    def _measure(
        self,
        reading: SlotReading,
        retained: int,
        left_s: float,
        factor: float,
        *,
        stalled: bool,
    ) -> tuple[GuardLevel, list[str]]:
        limits = self._limits
        found: list[tuple[GuardLevel, str]] = []
        danger = _in_danger(reading)
        if danger is not None:
            found.append((GuardLevel.CRITICAL, danger))
        for level, limit in (
            (GuardLevel.CRITICAL, limits.critical_bytes),
            (GuardLevel.WARNING, limits.warning_bytes),
        ):
            if retained >= limit * factor:
                why = f"the slot holds {retained:,} bytes of WAL, the limit is {limit:,}"
                found.append((level, why))
                break
        for level, limit_s in (
            (GuardLevel.CRITICAL, limits.critical_left_s),
            (GuardLevel.WARNING, limits.warning_left_s),
        ):
            if left_s * factor <= limit_s:
                why = f"the slot is given up in about {left_s:.0f} s at the present rate"
                found.append((level, why))
                break
        if stalled:
            found.append((GuardLevel.WARNING, _stall(reading)))
        found.sort(key=lambda one: -one[0])
        return max((level for level, _ in found), default=GuardLevel.OK), [why for _, why in found]


def _retained(reading: SlotReading) -> int:
    return 0 if reading.restart_lsn is None else max(reading.position - reading.restart_lsn, 0)


def _in_danger(reading: SlotReading) -> str | None:
    """Return why the slot is lost, or about to be at the next checkpoint."""
    if not reading.exists:
        return "the slot is gone"
    if reading.wal_status == "lost" or reading.invalidation is not None:
        return f"the slot was given up by the server ({reading.invalidation or 'WAL removed'})"
    if reading.wal_status == "unreserved" or (
        reading.safe_bytes is not None and reading.safe_bytes <= 0
    ):
        return "the slot is beyond max_slot_wal_keep_size and is given up at the next checkpoint"
    return None


def _stall(reading: SlotReading) -> str:
    if reading.wait_event == "WaitForStandbyConfirmation":
        return (
            "the server sends nothing: it waits for a standby that synchronized_standby_slots "
            "names; bring that standby back, or take its slot out of the setting"
        )
    waits = f"; it waits for {reading.wait_event}" if reading.wait_event else ""
    return f"the server has WAL for us and sends nothing{waits}"
