"""Append what was read to the event log, together with our place in the source."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol

from bridge.capture.cursor import CaptureCursor, PartMark, SnapshotMark, format_cursor, parse_cursor
from bridge.capture.drift.shapes import ShapeBook
from bridge.capture.mapping.change_mapper import ChangeMapper, rfc3339
from bridge.capture.ports import CaptureLog, Received
from bridge.capture.shelf import Shelf
from bridge.model.change import Relation, Row, TransactionPart
from bridge.model.entry import CursorMove, EntryDraft, EntryKind, StoredEntry
from bridge.model.errors import LogCorrupt, SourceUnfit, StaleCursor, TableDrifted
from bridge.model.lsn import format_lsn
from bridge.model.observer import Observer

# An idle source's position is a commit of its own here, and lets the source drop WAL there:
# worth doing soon, not at every keepalive.
IDLE_INTERVAL_S_MIN: Final = 1.0

# A person waits for it; while no table is parked it costs nothing.
_ACCEPT_INTERVAL_S: Final = 1.0


class TakenSnapshot(Protocol):
    """What the events of a snapshot say about it."""

    @property
    def position(self) -> int:
        """Commits below it are in the rows."""

    @property
    def taken_at(self) -> datetime:
        """The source's clock when it was taken."""


def utc_now() -> datetime:
    """Return the time for `recordedtime`."""
    return datetime.now(UTC)


class Appender:
    """Our end of one source: the durable cursor, and the only writer of its entries."""

    def __init__(
        self,
        source: str,
        log: CaptureLog,
        mapper: ChangeMapper,
        *,
        observer: Observer,
        clock: Callable[[], datetime] = utc_now,
        idle_interval_s: float = IDLE_INTERVAL_S_MIN,
    ) -> None:
        self._source = source
        self._log = log
        self._mapper = mapper
        self._observer = observer
        self._clock = clock
        self._idle_interval_s = idle_interval_s
        stored = log.cursor(source)
        self._version = stored.version if stored else 0
        self._durable = parse_cursor(stored.state) if stored else None
        # Runs ahead of the durable cursor only by positions that no entry belongs to.
        self._ahead = self._durable
        self._stored_at = 0.0
        self.moves = 0
        """How often this object moved the durable cursor."""
        # Set until the transaction that the last run left half appended has come again.
        self._resuming = self._durable.part if self._durable else None
        self._shelf = Shelf(log, source, "shapes")
        mapper.know(self._known_shapes(), log)
        self._accepted_at = 0.0

    @property
    def stored(self) -> CaptureCursor | None:
        """The durable cursor, or None when this source was never captured."""
        return self._durable

    @property
    def version(self) -> int:
        """The version of the durable cursor, 0 before the first."""
        return self._version

    @property
    def durable_lsn(self) -> int:
        """Everything that ended up to here is in the log."""
        assert self._durable is not None, "the first cursor is stored before anything is read"
        return self._durable.end_lsn

    @property
    def cursor(self) -> CaptureCursor:
        """The place up to which everything was taken in."""
        assert self._ahead is not None, "the first cursor is stored before anything is read"
        return self._ahead

    def store(self, cursor: CaptureCursor, drafts: Sequence[EntryDraft] = ()) -> None:
        """Append `drafts` and move to `cursor` in one durable commit."""
        started = time.monotonic()
        try:
            cursor = self._with_shapes(cursor)
            move = CursorMove(self._source, self._version, format_cursor(cursor))
            appended = self._log.append(drafts, cursor=move)
        except StaleCursor as exc:
            raise StaleCursor(
                f"cannot append changes of source {self._source!r}: its cursor was moved by "
                f"another process since version {self._version}; only one capture may run"
            ) from exc
        self._durable = self._ahead = cursor
        self._version += 1
        self.moves += 1
        assert appended.cursor_version == self._version, "the log moved our cursor by one"
        self._stored_at = time.monotonic()
        if drafts:
            self._observer.note(
                "appended",
                source=self._source,
                entries=len(drafts),
                end_lsn=format_lsn(cursor.end_lsn),
                took_ms=(self._stored_at - started) * 1000,
            )
            parked = sum(draft.kind is EntryKind.PARKED for draft in drafts)
            if parked:
                self._observer.note("parked", source=self._source, entries=parked)

    def settle(self) -> None:
        """Make a position of an idle source durable, if there is one and it is time."""
        self._accept()
        due = time.monotonic() >= self._stored_at + self._idle_interval_s
        if due and self._ahead is not None and self._ahead != self._durable:
            self.store(self._ahead)

    def append_received(
        self,
        reads: Sequence[Received],
        *,
        skip_tables: frozenset[str] = frozenset(),
        snapshot: SnapshotMark | None = None,
    ) -> None:
        """Append the parts of `reads` in order, or only note how far an idle source is.

        `snapshot` is the snapshot's mark after them, when they move it.

        Raises:
            TableDrifted: a table's policy is to stop before its first row; what committed before
                that is appended, and the drift is told.
        """
        self._accept()
        recorded_time = self.recorded_time()
        drafts: list[EntryDraft] = []
        mark, end_lsn = self.cursor.part, self.cursor.end_lsn
        for received in reads:
            for part in received.parts:
                try:
                    drafts += self._mapper.part_drafts(
                        part,
                        recorded_time,
                        skip_before=self._skip_before(part),
                        skip_tables=skip_tables,
                    )
                except TableDrifted as stop:
                    self.store(self.cursor.moved(end_lsn=end_lsn, part=mark), drafts)
                    # Without a cursor: the next start tells the same, and it is there already.
                    self._log.append([stop.draft])
                    raise
                if part.end_lsn is None:
                    mark = _marked(mark, part)
                else:
                    mark, end_lsn = None, max(end_lsn, part.end_lsn)
            end_lsn = max(end_lsn, received.position or 0)
        moved = self.cursor.moved(
            end_lsn=end_lsn, part=mark, snapshot=snapshot or self.cursor.snapshot
        )
        if drafts:
            self.store(moved, drafts)
        else:
            self._ahead = moved
            self.settle()

    def append_rows(
        self,
        relation: Relation,
        rows: Sequence[Row],
        snapshot: TakenSnapshot,
        mark: SnapshotMark,
        *,
        gone: Sequence[Row] = (),
        run: str | None = None,
    ) -> None:
        """Append a chunk of a snapshot's rows and move the snapshot's mark to `mark`.

        `gone` are keys of rows that the source has no more, each in a row without other cells;
        `run` is why they were read, unless it was for the first time.
        """
        first_ordinal = self.cursor.snapshot.next_ordinal
        drafts = self._mapper.read_drafts(
            relation,
            rows,
            position=snapshot.position,
            first_ordinal=first_ordinal,
            taken_at=snapshot.taken_at,
            recorded_time=self.recorded_time(),
            gone=gone,
            run=run,
        )
        mark = replace(mark, next_ordinal=first_ordinal + len(rows) + len(gone))
        self.store(self.cursor.moved(snapshot=mark), drafts)

    def append_entries(
        self, drafts: Sequence[EntryDraft], *, states: Mapping[str, str] | None = None
    ) -> None:
        """Append what a watch saw, with the states by which watches remember it.

        Drafts whose id the log has already are passed over.
        """
        states = {**self.cursor.watches, **(states or {})}
        new = [draft for draft in drafts if self._log.find(draft.entry_id) is None]
        if new or states != self.cursor.watches:
            self.store(self.cursor.moved(watches=states), new)

    def entry(self, entry_id: str) -> StoredEntry | None:
        """Return the log's entry with this id."""
        return self._log.find(entry_id)

    def move_snapshot(self, mark: SnapshotMark) -> None:
        """Move the snapshot's mark."""
        self.store(self.cursor.moved(snapshot=mark))

    def reach(self, position: int) -> None:
        """Note that everything that committed before `position` was taken in."""
        cursor = self.cursor
        assert cursor.part is None, "a position is reached between transactions"
        self._ahead = cursor.moved(end_lsn=max(cursor.end_lsn, position))

    def recorded_time(self) -> str:
        """Return the clock's time as events carry it."""
        return rfc3339(self.now())

    def now(self) -> datetime:
        """Return the clock's time."""
        return self._clock()

    def _known_shapes(self) -> ShapeBook:
        digest = self._durable.shapes if self._durable else None
        if digest is None:
            return ShapeBook()
        text = self._shelf.load(digest)
        if text is None:
            raise LogCorrupt(
                f"cannot go on with source {self._source!r}: the shapes of its tables, {digest}, "
                "are not beside its cursor"
            )
        return ShapeBook.parse(text)

    def _with_shapes(self, cursor: CaptureCursor) -> CaptureCursor:
        """Return `cursor` with the shapes as of the drafts that go with it."""
        shapes = self._mapper.shapes
        if not shapes.is_changed:
            return cursor
        cursor = cursor.moved(shapes=self._shelf.store(shapes.text()))
        shapes.is_changed = False
        return cursor

    def _accept(self) -> None:
        """From time to time, look whether a person accepted what drifted."""
        now = time.monotonic()
        if now >= self._accepted_at + _ACCEPT_INTERVAL_S:
            self._accepted_at = now
            self._mapper.accept()

    def _skip_before(self, part: TransactionPart) -> int:
        """Return the ordinal below which the log already has the changes of `part`."""
        mark = self._resuming
        if mark is None:
            return 0
        if part.commit_lsn != mark.commit_lsn:
            raise SourceUnfit(
                f"cannot go on with source {self._source!r}: the transaction at "
                f"{format_lsn(mark.commit_lsn)} is half in the log, the source goes on with "
                f"{format_lsn(part.commit_lsn)}"
            )
        if part.final:
            self._resuming = None
        return mark.next_ordinal


def _marked(mark: PartMark | None, part: TransactionPart) -> PartMark:
    """Return the mark behind `part`; a part that the log already has does not move it back."""
    reached = part.first_ordinal + len(part.changes)
    if mark is not None and mark.commit_lsn == part.commit_lsn:
        reached = max(reached, mark.next_ordinal)
    return PartMark(commit_lsn=part.commit_lsn, next_ordinal=reached)
