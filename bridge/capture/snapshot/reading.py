"""Read tables chunk by chunk while the stream goes on.

The capture loop calls `observe` before it appends what it received and `step` after; neither waits.
A chunk is read by a thread of its own in a short transaction. Its rows enter the log at the place
that the stream has reached then, which is at or beyond everything that they contain, but for those
that a transaction changed that is in the log already and not in the chunk's snapshot: their newer
state is in the log. Whatever is left out is therefore in the log, and nothing goes back.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from bridge.capture.appender import Appender
from bridge.capture.cursor import SnapshotMark, TableMark
from bridge.capture.ports import Received, TableShape
from bridge.capture.snapshot.pacing import Pacing, SnapshotLimits
from bridge.capture.snapshot.ports import (
    Chunk,
    ChunkOrder,
    ChunkReader,
    Look,
    RequestAction,
    TableAltered,
)
from bridge.capture.snapshot.sorting import AGAIN_KEYS_MAX, reread, sort_out
from bridge.capture.snapshot.steering import Job, Steering
from bridge.capture.snapshot.window import (
    ChangeWindow,
    Key,
    key_places,
    key_row,
    moved_keys,
)
from bridge.model.change import TransactionPart
from bridge.model.errors import BridgeError, Remedy, SourceUnfit
from bridge.model.observer import Observer

# How many of the keys that a person named go into one chunk.
_KEYS_PER_CHUNK: Final = 500

# Looks at the source while it is waited for: at first often enough not to be felt, as transactions
# are short, then seldom enough to cost it nothing.
_LOOK_INTERVAL_S_MIN: Final = 0.02
_LOOK_INTERVAL_S_MAX: Final = 0.5
_HOLD_INTERVAL_S: Final = 1.0
_RETRY_INTERVAL_S: Final = 1.0

# A wait is told once it is longer than a busy moment, and then from time to time.
_DELAY_TOLD_S: Final = 5.0

POLL_S: Final = 0.02
"""How soon the loop should call `step` again while `busy`."""


class TableReading:
    """Reads what is to be read of one source, over one session with it."""

    def __init__(
        self,
        source_name: str,
        tables: Sequence[TableShape],
        appender: Appender,
        open_reader: Callable[[], ChunkReader],
        steering: Steering,
        *,
        limits: SnapshotLimits,
        observer: Observer,
    ) -> None:
        self._source_name = source_name
        self._tables = {shape.relation.name: shape for shape in tables if shape.key}
        self._appender = appender
        self._open_reader = open_reader
        self._steering = steering
        self._limits = limits
        self._observer = observer
        self._executor = ThreadPoolExecutor(1, "snapshot")
        self._reader: ChunkReader | None = None
        self._window: ChangeWindow | None = None
        # Who was writing when the window began; None until that is known.
        self._unknown: frozenset[int] | None = None
        self._looking: Future[Look] | None = None
        self._reading: tuple[Job, ChunkOrder, Future[Chunk]] | None = None
        self._chunk: tuple[Job, ChunkOrder, Chunk] | None = None
        self._pacing = Pacing(limits)
        self._pacing_of: Job | None = None
        self._next_at = self._look_at = 0.0
        self._waiting_since = 0.0
        self._told_at = -_DELAY_TOLD_S

    @property
    def busy(self) -> bool:
        """Whether something is being read: the loop should come back soon."""
        return self._window is not None

    def observe(self, reads: Sequence[Received]) -> SnapshotMark | None:
        """Learn what is about to be appended; return the mark to store with it, if it moves."""
        mark = self._appender.cursor.snapshot
        if self._window is None and mark.table is None:
            return None
        moved: dict[Key, None] = {}
        for received in reads:
            for part in received.parts:
                if self._window is not None:
                    self._window.observe(part)
                if mark.table is not None:
                    moved.update(dict.fromkeys(self._moved_keys(mark.table.table, part)))
        if self._window is not None and self._window.lost:
            self._observer.note("snapshot_delayed", source=self._source_name, why="many changes")
            self._pacing.shrink()
            self._forget()
        if mark.table is None or not moved:
            return None
        return replace(mark, table=reread(mark.table, tuple(moved)))

    def step(self) -> None:
        """Do what can be done now without waiting."""
        self._steering.take(self._appender)
        job = self._steering.job(self._appender.cursor.snapshot)
        if job is None:
            self._forget()
            return
        if self._window is None:
            self._begin()
        if self._looking is not None:
            self._take_look()
        elif self._reading is not None:
            self._take_chunk()
        elif self._chunk is None and time.monotonic() >= self._next_at:
            self._start(job)
        if self._chunk is not None:
            self._append(*self._chunk)

    def close(self) -> None:
        """End what is being read; nothing of it is in the log."""
        if self._reader is not None:
            self._reader.close()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> None:
        """Remember from here on what changes; what came before is waited for."""
        if self._reader is None:
            self._reader = self._open_reader()
        keys = {name: shape.key for name, shape in self._tables.items()}
        self._window = ChangeWindow(keys)
        self._unknown = None
        self._waiting_since = time.monotonic()

    def _forget(self) -> None:
        """Drop the window and what was read under it."""
        self._window = None
        self._chunk = None
        if self._reading is not None:
            self._reading[2].cancel()
        # What runs still is let run out; its result is thrown away.
        self._reading = None
        self._looking = None

    def _start(self, job: Job) -> None:
        assert self._reader is not None, "it was opened with the window"
        if self._unknown is None or self._unknown or time.monotonic() >= self._look_at:
            self._looking = self._executor.submit(self._reader.look)
            return
        if self._pacing_of != job:
            self._pacing, self._pacing_of = Pacing(self._limits), job
        order = self._order(job, self._appender.cursor.snapshot.table)
        self._reading = (job, order, self._executor.submit(self._reader.read, order))

    def _order(self, job: Job, mark: TableMark | None) -> ChunkOrder:
        shape, request = job.shape, job.request
        named = request is not None and request.key_count is not None
        keys: tuple[Key, ...] = mark.again if mark is not None else ()
        if named:
            offset = mark.offset if mark is not None else 0
            count = min(_KEYS_PER_CHUNK, self._pacing.rows)
            keys += tuple(self._steering.keys(job, offset, count))
        return ChunkOrder(
            relation=shape.relation,
            key=shape.key,
            row_filter=shape.row_filter,
            rows_max=self._pacing.rows,
            after=mark.after if mark is not None else None,
            keys=keys,
            only_keys=named,
            where=request.where if request is not None else None,
        )

    def _take_look(self) -> None:
        assert self._looking is not None, "it was asked for"
        assert self._window is not None, "looks are taken for a window"
        if not self._looking.done():
            return
        future, self._looking = self._looking, None
        look = self._result(future)
        if look is None:
            return
        self._window.forget(look.visibility)
        if self._unknown is None:
            self._unknown = look.open_xids
            self._observer.note(
                "reading_begins", source=self._source_name, open=len(look.open_xids)
            )
        self._unknown = look.visibility.missing(self._unknown)
        now = time.monotonic()
        self._look_at = now + _HOLD_INTERVAL_S
        if self._unknown:
            waited_s = now - self._waiting_since
            if waited_s >= _DELAY_TOLD_S:
                self._tell_delay("open transactions", len(self._unknown))
            self._next_at = now + min(max(waited_s / 4, _LOOK_INTERVAL_S_MIN), _LOOK_INTERVAL_S_MAX)
            return
        lag_bytes = look.position - self._appender.cursor.end_lsn
        if lag_bytes > self._limits.lag_bytes_max:
            self._next_at = self._look_at
            self._tell_delay("lag", lag_bytes)

    def _take_chunk(self) -> None:
        assert self._reading is not None
        job, order, future = self._reading
        if not future.done():
            return
        self._reading = None
        try:
            chunk = self._result(future)
        except SourceUnfit as exc:
            if job.request is None:
                raise
            # What a person asked for cannot be done: that is no reason to stop capturing.
            self._steering.give_up(job, self._appender, str(exc))
            return
        if chunk is None:
            return
        rest_s = self._pacing.learn(chunk.took_ms, full=chunk.full)
        self._next_at = time.monotonic() + rest_s
        self._chunk = (job, order, chunk)

    def _result(self, future: "Future[Any]") -> Any:
        """Return what the thread found, or None when it is to be tried again later."""
        try:
            return future.result()
        except TableAltered:
            raise
        except BridgeError as exc:
            if exc.remedy is not Remedy.RETRY:
                raise
            self._observer.note("snapshot_delayed", source=self._source_name, error=str(exc))
            self._pacing.shrink()
            self._next_at = time.monotonic() + _RETRY_INTERVAL_S
            return None

    def _append(self, job: Job, order: ChunkOrder, chunk: Chunk) -> None:
        """Append the chunk if the stream has passed everything that it contains."""
        cursor = self._appender.cursor
        if cursor.part is not None or cursor.end_lsn < chunk.position:
            return
        self._chunk = None
        begun = cursor.snapshot.table or TableMark(table=job.shape.relation.name, after=None)
        if self._steering.job(cursor.snapshot) != job or begun.after != order.after:
            return  # It was stopped meanwhile, or the table is to be read from its beginning.
        assert self._window is not None, "a chunk is kept only with its window"
        self._window.forget(chunk.visibility)
        touched = self._window.touched(job.shape.relation.name)
        places = key_places(job.shape.relation, job.shape.key)
        assert places is not None, "a table's key is made of its own columns"
        rows, lacking = sort_out(chunk.rows, places, order.keys, touched)
        if len(begun.again) + len(lacking) > AGAIN_KEYS_MAX:
            self._pacing.shrink()
            return  # Read less at once: fewer rows are changed while so few are read.
        gone: list[Key] = []
        if job.request is not None and job.request.action is RequestAction.REPAIR:
            # Who touched it meanwhile has told so.
            gone = [key for key in chunk.absent if key not in touched.keys and not touched.emptied]
        mark = self._mark_after(job, order, chunk, begun, lacking, len(rows) + len(gone))
        # The stream may be further than the chunk; ids sort as the log does.
        taken = chunk._replace(position=max(chunk.position, cursor.end_lsn))
        relation = job.shape.relation
        gone_rows = [key_row(relation, job.shape.key, key) for key in gone]
        self._appender.append_rows(relation, rows, taken, mark, gone=gone_rows, run=job.run)
        self._tell_progress(job, chunk, len(rows), len(gone))
        if mark.table is None:
            self._steering.finished(job, mark)

    def _mark_after(
        self,
        job: Job,
        order: ChunkOrder,
        chunk: Chunk,
        begun: TableMark,
        lacking: list[Key],
        row_count: int,
    ) -> SnapshotMark:
        """Return the mark behind a chunk: the next one begins there."""
        mark = self._appender.cursor.snapshot
        # What was moved here after the order was given is not in the chunk.
        later = [key for key in begun.again if key not in order.keys]
        again = tuple(dict.fromkeys(later + lacking))
        offset = begun.offset + sum(key not in begun.again for key in order.keys)
        key_count = job.request.key_count if job.request is not None else None
        ended = chunk.ended if key_count is None else offset >= key_count
        if ended and not again:
            return self._steering.after(job, mark)
        moved = TableMark(
            table=begun.table,
            after=chunk.after,
            again=again,
            offset=offset,
            row_count=begun.row_count + row_count,
            row_estimate=chunk.row_estimate if key_count is None else key_count,
        )
        return replace(mark, table=moved)

    def _moved_keys(self, table: str, part: TransactionPart) -> list[Key]:
        shape = self._tables.get(table)
        return [] if shape is None else moved_keys(part.changes, table, shape.key)

    def _tell_delay(self, why: str, amount: int) -> None:
        now = time.monotonic()
        if now - self._told_at < _DELAY_TOLD_S:
            return
        self._told_at = now
        self._observer.note(
            "snapshot_delayed",
            source=self._source_name,
            why=why,
            amount=amount,
        )

    def _tell_progress(self, job: Job, chunk: Chunk, row_count: int, gone_count: int) -> None:
        mark = self._appender.cursor.snapshot.table
        self._observer.note(
            "snapshot_progress",
            source=self._source_name,
            table=job.shape.relation.name,
            rows=row_count,
            gone=gone_count,
            left_out=len(chunk.rows) - row_count,
            rows_read=mark.row_count if mark is not None else row_count,
            rows_estimate=chunk.row_estimate,
            query_ms=chunk.took_ms,
        )
