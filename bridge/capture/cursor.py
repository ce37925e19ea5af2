"""Capture's place in its source, kept as JSON in the event log beside the entries before it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bridge.model.errors import LogCorrupt
from bridge.model.lsn import format_lsn, parse_lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class PartMark:
    """A large transaction of which only the first changes are in the log."""

    commit_lsn: int
    next_ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMark:
    """The table that the snapshot is reading, and the key of its last row in the log."""

    table: str
    after: tuple[str, ...] | None
    """None before the first row."""
    again: tuple[tuple[str, ...], ...] = ()
    """Keys up to there whose rows are still to be read: their changes lacked a value."""
    offset: int = 0
    """How many of the keys that were asked for are dealt with, when keys were."""
    row_count: int = 0
    """How many rows were read so far."""
    row_estimate: int = 0
    """How many there are, as the source's statistics said; 0 when they said nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolMark:
    """A table without a key whose rows lie in a spool file, and how many are in the log."""

    table: str
    position: int
    """Commits below it are in the rows; the stream goes on from here after the last row."""
    taken_at: datetime
    offset: int
    """Bytes of the spool file that are in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMark:
    """A reading that a person asked for."""

    request: str
    """Id of the request, which has the rest: condition, keys, actor, reason."""
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMark:
    """How far the reading of the tables has come."""

    done: tuple[str, ...] = ()
    next_ordinal: int = 0
    """Numbers read rows over all runs, so that no run can repeat an id."""
    table: TableMark | None = None
    spool: SpoolMark | None = None
    queue: tuple[ReadMark, ...] = ()
    """What was asked for, in order, after the first reading of every table."""
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotMark:
    """The slot that we read: its name alone would not tell it from one created later."""

    consistent_lsn: int
    """Where it began."""
    epoch: int
    """How many slots this source had before; one more with each gap that was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapMark:
    """A gap behind `end_lsn` that stops the reader until it is accepted."""

    cause: str
    """`slot-missing`, `slot-lost` or `slot-moved`."""
    end_lsn: int | None
    """Where the source can go on, if that was known when it was found."""
    accepted: bool = False
    """Set by an operator, or by configuration: go on behind it."""
    reread: bool = True
    """Whether all tables are read again behind it; False: they are compared instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureCursor:
    """Everything before this place is in the log, once."""

    system_id: str
    timeline: int
    end_lsn: int
    """The stream starts here again: the end of the last whole transaction in the log."""
    part: PartMark | None = None
    snapshot: SnapshotMark = SnapshotMark()
    watches: Mapping[str, str] = field(default_factory=dict)
    """What each watch beside the stream remembers, by its name."""
    slot: SlotMark | None = None
    """None for a cursor that was stored before slots were remembered."""
    gap: GapMark | None = None
    shapes: str | None = None
    """Digest of the tables' last shapes, which lie on their shelf; None before the first."""

    def moved(self, **changes: Any) -> "CaptureCursor":
        """Return this cursor with `changes`; it never goes back."""
        moved = replace(self, **changes)
        assert moved.end_lsn >= self.end_lsn, (
            f"cursor went back from {format_lsn(self.end_lsn)} to {format_lsn(moved.end_lsn)}"
        )
        return moved


def format_cursor(cursor: CaptureCursor) -> bytes:
    """Return the stored form of `cursor`."""
    mark = cursor.snapshot
    document = {
        "system_id": cursor.system_id,
        "timeline": cursor.timeline,
        "end_lsn": format_lsn(cursor.end_lsn),
        "part": cursor.part
        and {
            "commit_lsn": format_lsn(cursor.part.commit_lsn),
            "ordinal": cursor.part.next_ordinal,
        },
        "snapshot": {
            "done": mark.done,
            "ordinal": mark.next_ordinal,
            "table": mark.table
            and {
                "name": mark.table.table,
                "after": mark.table.after,
                "again": mark.table.again,
                "offset": mark.table.offset,
                "rows": mark.table.row_count,
                "estimate": mark.table.row_estimate,
            },
            "queue": [{"request": read.request, "table": read.table} for read in mark.queue],
            "paused": mark.paused,
            "spool": mark.spool
            and {
                "name": mark.spool.table,
                "position": format_lsn(mark.spool.position),
                "taken_at": mark.spool.taken_at.isoformat(),
                "offset": mark.spool.offset,
            },
        },
        "watches": dict(cursor.watches),
        "slot": cursor.slot
        and {"consistent": format_lsn(cursor.slot.consistent_lsn), "epoch": cursor.slot.epoch},
        "gap": cursor.gap and _gap_document(cursor.gap),
        "shapes": cursor.shapes,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def parse_cursor(state: bytes) -> CaptureCursor:
    """Return the cursor in its stored form; raises `LogCorrupt` when it cannot be one."""
    try:
        document = json.loads(state)
        part, snapshot = document["part"], document["snapshot"]
        table, spool = snapshot["table"], snapshot["spool"]
        return CaptureCursor(
            system_id=document["system_id"],
            timeline=document["timeline"],
            end_lsn=parse_lsn(document["end_lsn"]),
            part=part
            and PartMark(commit_lsn=parse_lsn(part["commit_lsn"]), next_ordinal=part["ordinal"]),
            snapshot=SnapshotMark(
                done=tuple(snapshot["done"]),
                next_ordinal=snapshot["ordinal"],
                table=table and _table_mark(table),
                queue=tuple(
                    ReadMark(request=read["request"], table=read["table"])
                    for read in snapshot.get("queue", ())
                ),
                paused=snapshot.get("paused", False),
                spool=spool
                and SpoolMark(
                    table=spool["name"],
                    position=parse_lsn(spool["position"]),
                    taken_at=datetime.fromisoformat(spool["taken_at"]),
                    offset=spool["offset"],
                ),
            ),
            watches=document.get("watches", {}),
            slot=_slot_mark(document.get("slot")),
            gap=_gap_mark(document.get("gap")),
            shapes=document.get("shapes"),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise LogCorrupt(
            f"cannot read a source's cursor: {type(exc).__name__} in {len(state)} bytes"
        ) from exc


def _table_mark(document: Any) -> TableMark:
    return TableMark(
        table=document["name"],
        after=None if document["after"] is None else tuple(document["after"]),
        again=tuple(map(tuple, document.get("again", ()))),
        offset=document.get("offset", 0),
        row_count=document.get("rows", 0),
        row_estimate=document.get("estimate", 0),
    )


def _gap_document(gap: GapMark) -> dict[str, Any]:
    end_lsn = None if gap.end_lsn is None else format_lsn(gap.end_lsn)
    return {"cause": gap.cause, "end_lsn": end_lsn, "accepted": gap.accepted, "reread": gap.reread}


def _gap_mark(document: Any) -> GapMark | None:
    if document is None:
        return None
    return GapMark(
        cause=document["cause"],
        end_lsn=document["end_lsn"] and parse_lsn(document["end_lsn"]),
        accepted=document["accepted"],
        reread=document["reread"],
    )


def _slot_mark(document: Any) -> SlotMark | None:
    if document is None:
        return None
    return SlotMark(consistent_lsn=parse_lsn(document["consistent"]), epoch=document["epoch"])
