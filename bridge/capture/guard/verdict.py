"""Whether a source still goes on where the log ends: the ruling at each start of a stream.

A server answers a request for old changes without a word when it has lost them: it moves the start
up to what the slot has confirmed. So the comparison is ours. Pure: facts in, verdict out.
"""

from dataclasses import dataclass
from enum import Enum

from bridge.model.errors import SourceGap, SourceUnavailable, SourceUnfit
from bridge.model.lsn import format_lsn


class Ruling(Enum):
    """What follows from the facts."""

    GO_ON = "go-on"  # Set when the slot still has everything beyond our place.
    FAILED_OVER = "failed-over"  # Set when a standby took over, behind our place: as good.
    HELD = "held"  # Set when somebody else reads the slot now and has moved it: look again later.
    OTHER_CLUSTER = "other-cluster"  # Set when it is another server: nothing fits.
    REWOUND = "rewound"  # Set when the server lost changes that the log has.
    SLOT_MISSING = "slot-missing"  # Set when the slot is gone: a gap.
    SLOT_LOST = "slot-lost"  # Set when the server gave the slot's WAL up: a gap.
    SLOT_MOVED = "slot-moved"  # Set when the slot begins beyond our place: a gap.


GAPS = frozenset({Ruling.SLOT_MISSING, Ruling.SLOT_LOST, Ruling.SLOT_MOVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFacts:
    """What the server says about our slot."""

    confirmed: int | None
    """`confirmed_flush_lsn`: the server sends nothing that ended before."""
    active_pid: int | None = None
    wal_status: str | None = None
    """`reserved`, `extended`, `unreserved` or `lost`."""
    invalidation: str | None = None
    """Why the server gave it up, where it says so (`conflicting` on 16, a reason from 17 on)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the log ends in the source: from our cursor."""

    system_id: str
    timeline: int
    end_lsn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlace:
    """Which server answers, and where it ends."""

    system_id: str
    timeline: int
    flushed: int
    left_ours_at: int | None = None
    """With a timeline above ours: where the server's history left ours; None when it never was on
    it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A ruling and why, in words for an operator."""

    ruling: Ruling
    why: str = ""
    end_lsn: int | None = None
    """Of a gap: where it ends, if that is known already."""

    def enforce(self, source_name: str, ours: int) -> None:
        """Return when the stream may go on at `ours`.

        Raises:
            SourceGap: changes beyond `ours` cannot be had any more.
            SourceUnfit: the server is not the one that the log follows, or has gone back.
            SourceUnavailable: somebody else reads the slot now.
        """
        if self.ruling in (Ruling.GO_ON, Ruling.FAILED_OVER):
            return
        text = f"cannot go on capturing {source_name} at {format_lsn(ours)}: {self.why}"
        if self.ruling in GAPS:
            raise SourceGap(text, cause=self.ruling.value, end_lsn=self.end_lsn)
        raise (SourceUnavailable if self.ruling is Ruling.HELD else SourceUnfit)(text)


def judge(ours: Place, server: ServerPlace, slot: SlotFacts | None, *, name: str) -> Verdict:
    """Return whether every change after `ours` is still to be had from slot `name`."""
    return _judge_server(ours, server) or _judge_slot(ours, server, slot, name)


def _judge_server(ours: Place, server: ServerPlace) -> Verdict | None:
    if server.system_id != ours.system_id:
        return Verdict(
            ruling=Ruling.OTHER_CLUSTER,
            why=f"the server is cluster {server.system_id}, the log follows cluster "
            f"{ours.system_id}; correct the DSN, or name a new source",
        )
    advice = (
        "so the log has changes that the server lost; compare with `legacy-bridge source diff`, "
        "then name a new source to read it afresh"
    )
    if server.timeline < ours.timeline:
        return Verdict(
            ruling=Ruling.REWOUND,
            why=f"the server is on timeline {server.timeline}, the log followed timeline "
            f"{ours.timeline}: it was set back (an old primary, or a restore), {advice}",
        )
    if server.timeline > ours.timeline:
        left = server.left_ours_at
        if left is None or left < ours.end_lsn:
            where = "never was on ours" if left is None else f"left ours at {format_lsn(left)}"
            return Verdict(
                ruling=Ruling.REWOUND,
                why=f"the server is on timeline {server.timeline} and {where} (timeline "
                f"{ours.timeline}): it was set back (restore to a point in time, or a failover "
                f"that lost the end), {advice}",
            )
    if server.flushed < ours.end_lsn:
        return Verdict(
            ruling=Ruling.REWOUND,
            why=f"the server ends at {format_lsn(server.flushed)}, so it was set back (restore or "
            f"failover), {advice}",
        )
    return None


def _judge_slot(ours: Place, server: ServerPlace, slot: SlotFacts | None, name: str) -> Verdict:
    lost = (
        "changes in between may be lost; the gap is recorded, and `legacy-bridge source resume "
        "SOURCE --accept-gap` goes on behind it"
    )
    if slot is None or slot.confirmed is None:
        return Verdict(ruling=Ruling.SLOT_MISSING, why=f"slot {name!r} is gone; {lost}")
    if slot.wal_status == "lost" or slot.invalidation is not None:
        reason = f" ({slot.invalidation})" if slot.invalidation else ""
        return Verdict(
            ruling=Ruling.SLOT_LOST,
            why=f"slot {name!r} was invalidated{reason}, its WAL is removed; {lost}",
        )
    if slot.confirmed > ours.end_lsn:
        if slot.active_pid is not None:
            return Verdict(
                ruling=Ruling.HELD,
                why=f"slot {name!r} is active for PID {slot.active_pid}, which moved it to "
                f"{format_lsn(slot.confirmed)}",
            )
        return Verdict(
            ruling=Ruling.SLOT_MOVED,
            why=f"slot {name!r} was moved to {format_lsn(slot.confirmed)} by somebody else; {lost}",
            end_lsn=slot.confirmed,
        )
    if server.timeline > ours.timeline:
        return Verdict(
            ruling=Ruling.FAILED_OVER,
            why=f"timeline {server.timeline} follows ours, {ours.timeline}",
        )
    return Verdict(ruling=Ruling.GO_ON)


def parse_history(content: str) -> dict[int, int]:
    """Return where each earlier timeline was left, from a timeline history file.

    Its lines are `parent TLI, switch point, reason`, tab-separated; others are comments. Raises
    `ValueError` when a line is none of these.
    """
    left: dict[int, int] = {}
    for line in content.splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        timeline, at, *_ = text.split(None, 2)
        high, _, low = at.partition("/")
        left[int(timeline)] = (int(high, 16) << 32) | int(low, 16)
    return left
