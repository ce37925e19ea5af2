"""Where polling stands in each table, kept as JSON in the event log beside the entries. Pure."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from bridge.capture.polling.horizon import Mark, Moment
from bridge.capture.polling.scalars import Scalar, format_scalar, parse_scalar
from bridge.model.errors import LogCorrupt

_FORM = "poll-1"

SCANS_KEPT: Final = 2
"""A row is deleted somewhere between the last scan that met it and the first that did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMark:
    """A run over a table that has begun: after a crash it goes on, under what it began with."""

    moment: Moment
    after: tuple[Scalar, ...] | None = None
    """Order column and key of the last row that is dealt with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePosition:
    """Our place in one table."""

    read: bool = False
    """Whether all rows were read once: before that, a row is reported as read, not as created."""
    lower: Scalar | None = None
    """The next run reads rows at or above it."""
    looked_at: datetime | None = None
    """The database's clock when the last whole run began to read."""
    marks: tuple[Mark, ...] = ()
    run: RunMark | None = None
    scan_began: datetime | None = None
    """The database's clock when the scan over all rows began that is under way."""
    scans: tuple[datetime, ...] = ()
    """When the last two whole scans began, the older one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollCursor:
    """All tables' places, and the settled time for transactions that a restart finds open."""

    settled: datetime | None
    tables: dict[str, TablePosition]

    def placed(self, table: str, position: TablePosition) -> "PollCursor":
        """Return this cursor with `table` at `position`."""
        return replace(self, tables={**self.tables, table: position})


def format_poll_cursor(cursor: PollCursor) -> bytes:
    """Return the stored form of `cursor`."""
    document = {
        "form": _FORM,
        "settled": _text(cursor.settled),
        "tables": {name: _position(one) for name, one in sorted(cursor.tables.items())},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def parse_poll_cursor(state: bytes) -> PollCursor:
    """Return the cursor in its stored form; raises `LogCorrupt` when it cannot be one."""
    try:
        document = json.loads(state)
        if document["form"] != _FORM:
            raise ValueError
        return PollCursor(
            settled=_time(document["settled"]),
            tables={name: _parse_position(one) for name, one in document["tables"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise LogCorrupt(
            f"cannot read a polled source's cursor: {type(exc).__name__} in {len(state)} bytes; "
            "was this name used for a source of another kind?"
        ) from exc


def _position(one: TablePosition) -> dict[str, Any]:
    return {
        "read": one.read,
        "lower": _maybe(one.lower),
        "looked_at": _text(one.looked_at),
        "marks": [[mark.clock.isoformat(), format_scalar(mark.value)] for mark in one.marks],
        "scan_began": _text(one.scan_began),
        "scans": [scan.isoformat() for scan in one.scans],
        "run": one.run
        and {
            "clock": one.run.moment.clock.isoformat(),
            "settled": _text(one.run.moment.settled),
            "exact": one.run.moment.exact,
            "value": _maybe(one.run.moment.value),
            "after": one.run.after and [format_scalar(value) for value in one.run.after],
        },
    }


def _parse_position(form: dict[str, Any]) -> TablePosition:
    run = form["run"]
    return TablePosition(
        read=bool(form["read"]),
        lower=_scalar(form["lower"]),
        looked_at=_time(form["looked_at"]),
        marks=tuple(
            Mark(datetime.fromisoformat(clock), parse_scalar(value))
            for clock, value in form["marks"]
        ),
        scan_began=_time(form["scan_began"]),
        scans=tuple(map(datetime.fromisoformat, form["scans"])),
        run=run
        and RunMark(
            moment=Moment(
                datetime.fromisoformat(run["clock"]),
                _time(run["settled"]),
                bool(run["exact"]),
                _scalar(run["value"]),
            ),
            after=run["after"] and tuple(parse_scalar(value) for value in run["after"]),
        ),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _maybe(value: Scalar | None) -> Any:
    return None if value is None else format_scalar(value)


def _scalar(form: Any) -> Scalar | None:
    return None if form is None else parse_scalar(form)
