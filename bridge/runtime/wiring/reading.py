"""How far the reading of a source's tables is, and where people ask for more."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bridge.capture.cursor import CaptureCursor, parse_cursor
from bridge.capture.snapshot.pacing import SnapshotLimits
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings import Settings
from bridge.storage.sqlite_snapshot_requests import SqliteSnapshotRequests


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingStatus:
    """The durable place of the reading: what a restart would go on from."""

    source: str
    paused: bool
    done: tuple[str, ...]
    """Tables whose first reading is in the log."""
    table: str | None
    """The one that is being read."""
    row_count: int
    row_estimate: int
    """By the source's statistics, or the number of keys that were named; 0 when unknown."""
    queued: int
    """Readings that were asked for and are not done."""

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def reading_status(source: str, cursor: CaptureCursor | None) -> ReadingStatus:
    """Return what `cursor` says of the reading of `source`."""
    mark = cursor.snapshot if cursor is not None else None
    table = mark.table if mark is not None else None
    return ReadingStatus(
        source=source,
        paused=mark is not None and mark.paused,
        done=mark.done if mark is not None else (),
        table=table.table if table is not None else None,
        row_count=table.row_count if table is not None else 0,
        row_estimate=table.row_estimate if table is not None else 0,
        queued=len(mark.queue) if mark is not None else 0,
    )


def stored_status(source: str, state: bytes | None) -> ReadingStatus:
    """Return the same from a cursor in its stored form."""
    return reading_status(source, parse_cursor(state) if state is not None else None)


def open_requests(settings: Settings, name: str) -> SqliteSnapshotRequests:
    """Open the file of requests of replicated source `name`; its owner closes it."""
    settings.replicated(name)
    folder: Path = settings.data_dir / "spool" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigInvalid(f"cannot use data_dir {str(folder)!r}: {exc.strerror}") from exc
    return SqliteSnapshotRequests(folder / "requests.db")


def snapshot_limits(settings: Settings, name: str) -> SnapshotLimits:
    """Return what the reading of source `name` may cost it."""
    return SnapshotLimits(**settings.replicated(name).snapshot.model_dump())
