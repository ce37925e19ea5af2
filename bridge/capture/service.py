"""Capture one source: everything it commits goes into the event log, once, in commit order.

Two threads share the work: a reader keeps the source answered whatever the log does, and the
thread that calls `run` maps and appends. The source is acknowledged only after an append returned,
at the end of a whole transaction, so a crash at any moment costs nothing: the next run starts at
the cursor that the log keeps beside the entries.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bridge.capture.appender import IDLE_INTERVAL_S_MIN, Appender, utc_now
from bridge.capture.cursor import CaptureCursor, SlotMark
from bridge.capture.guard.gaps import Gaps, OnGap, SlotGivenUp
from bridge.capture.mapping.change_mapper import ChangeMapper, MappingOptions
from bridge.capture.mapping.last_values import LastValues
from bridge.capture.meter import StreamMeter
from bridge.capture.ports import (
    CaptureLog,
    ChangeSource,
    Preparation,
    Received,
    TableContracts,
)
from bridge.capture.reader import READS_AHEAD_MAX_DEFAULT, StreamReader
from bridge.capture.snapshot.keyless import KeylessReading
from bridge.capture.snapshot.pacing import SnapshotLimits
from bridge.capture.snapshot.ports import NoRequests, SnapshotRequests
from bridge.capture.snapshot.reading import POLL_S, TableReading
from bridge.capture.snapshot.steering import Steering
from bridge.capture.watches import Watch, Watches
from bridge.model.errors import BridgeError, Remedy, SourceGap
from bridge.model.observer import Observer, SilentObserver

# One commit of the log costs one disk flush; at 1,000 entries it is a small part of the whole.
BATCH_CHANGES_MAX_DEFAULT: Final = 1_000

# The first retry is quick, because a server that restarts is back in a second; the longest still
# finds a repaired database within ten. Half of each is random: sources do not retry in step.
_BACKOFF_S_MIN: Final = 0.2
_BACKOFF_S_MAX: Final = 10.0

_TAKE_TIMEOUT_S: Final = 0.2

# A consumer notices neither of the two; the log's commits are fewer by far.
_FAR_BEHIND: Final = timedelta(milliseconds=250)
_FILL_S: Final = 0.01


class CaptureService:
    """Follows one source until stopped."""

    def __init__(
        self,
        source_name: str,
        source: ChangeSource,
        log: CaptureLog,
        contracts: TableContracts,
        *,
        spool_folder: Path,
        observer: Observer | None = None,
        clock: Callable[[], datetime] = utc_now,
        batch_changes_max: int = BATCH_CHANGES_MAX_DEFAULT,
        reads_ahead_max: int = READS_AHEAD_MAX_DEFAULT,
        snapshot_rows_max: int | None = None,
        snapshot_limits: SnapshotLimits | None = None,
        snapshot_requests: SnapshotRequests | None = None,
        idle_interval_s: float = IDLE_INTERVAL_S_MIN,
        watches: Sequence[Watch] = (),
        on_gap: OnGap = OnGap.STOP,
        mapping: MappingOptions | None = None,
        last_values: LastValues | None = None,
    ) -> None:
        if last_values is not None:
            log = last_values.over(log)
        self._name = source_name
        self._source = source
        self._log = log
        self._last_values = last_values
        self._contracts = contracts
        self._mapping = mapping or MappingOptions()
        self._spool_folder = spool_folder
        self._observer = observer or SilentObserver()
        self._clock = clock
        self._batch_changes_max = batch_changes_max
        self._reads_ahead_max = reads_ahead_max
        limits = snapshot_limits or SnapshotLimits()
        self._snapshot_limits = replace(limits, chunk_rows=snapshot_rows_max or limits.chunk_rows)
        self._snapshot_requests = snapshot_requests or NoRequests()
        self._idle_interval_s = idle_interval_s
        self._watches = Watches(source_name, watches, observer=self._observer)
        self._gaps = Gaps(
            source_name,
            log,
            observer=self._observer,
            type_prefix=self._mapping.type_prefix,
            on_gap=on_gap,
        )
        self._meter = StreamMeter(source_name, self._observer, clock)
        self._moves = 0

    def check(self) -> None:
        """Prepare the source and check its contracts once, so that a start can fail at once.

        A gap is no reason to fail: `run` records it and waits for a decision. Raises `SourceUnfit`,
        `SourceUnavailable`, `ConfigInvalid` or `StorageUnavailable`.
        """
        with suppress(SourceGap):
            mapper = self._mapper()
            self._prepare(self._appender(mapper), mapper)

    def run(self, stop: threading.Event) -> None:
        """Capture until `stop` is set; what may pass by itself is tried again, without end.

        Raises:
            BridgeError: going on needs a person or would do harm (`remedy` is not `RETRY`).
        """
        try:
            self._run(stop)
        finally:
            self._watches.close()

    def _run(self, stop: threading.Event) -> None:
        attempt = 0
        while not stop.is_set():
            moves = self._moves
            try:
                self._session(stop)
            except BridgeError as exc:
                if exc.remedy is not Remedy.RETRY:
                    raise
                if self._moves > moves:
                    attempt = 0  # It worked for a while: this is a new failure.
                pause_s = backoff_s(attempt, random.random())
                attempt += 1
                self._observer.note(
                    "capture_interrupted",
                    source=self._name,
                    error=str(exc),
                    attempt=attempt,
                    retry_ms=pause_s * 1000,
                )
                stop.wait(pause_s)

    def _session(self, stop: threading.Event) -> None:
        """Follow the source from the durable cursor until something breaks or `stop` is set."""
        if self._last_values is not None:
            self._last_values.resume()
        mapper = self._mapper()
        appender = self._appender(mapper)
        try:
            self._capture(appender, mapper, stop)
        except SlotGivenUp as given_up:
            given_up.release()  # The stream is closed and the gap is in the log.
        finally:
            self._moves += appender.moves

    def _capture(self, appender: Appender, mapper: ChangeMapper, stop: threading.Event) -> None:
        if appender.stored is not None:
            # A source that cannot be prepared needs its watches all the more.
            self._watches.start(appender.stored.watches)
        prepared = self._ready(appender, mapper, stop)
        if prepared is None:
            return
        self._adopt(appender, prepared)
        self._watches.start(appender.cursor.watches)
        reading = self._reading(prepared, appender)
        keyless = KeylessReading(
            self._name,
            self._source,
            prepared.tables,
            appender,
            spool_folder=self._spool_folder,
            observer=self._observer,
            observe=reading.observe,
            table_rows_max=self._snapshot_limits.keyless_rows_max,
            rows_max=self._snapshot_limits.chunk_rows,
        )
        keyless.finish_spool(stop)
        reader = StreamReader(
            self._source.stream(appender.durable_lsn), reads_ahead_max=self._reads_ahead_max
        )
        try:
            self._observer.note("streaming", source=self._name)
            held = keyless.run(reader, stop)
            self._follow(reader, appender, reading, held, stop)
        finally:
            reading.close()
            reader.close()

    def _reading(self, prepared: Preparation, appender: Appender) -> TableReading:
        return TableReading(
            self._name,
            prepared.tables,
            appender,
            self._source.chunks,
            Steering(self._name, prepared.tables, self._snapshot_requests, self._observer),
            limits=self._snapshot_limits,
            observer=self._observer,
        )

    def _follow(
        self,
        reader: StreamReader,
        appender: Appender,
        reading: TableReading,
        held: Received | None,
        stop: threading.Event,
    ) -> None:
        while not stop.is_set():
            received = held or reader.take(POLL_S if reading.busy else _TAKE_TIMEOUT_S)
            held = None
            if received is None:
                appender.settle()
            else:
                reads = self._batch(received, reader)
                appender.append_received(reads, snapshot=reading.observe(reads))
                self._meter.note(reads)
            self._append_sightings(appender)
            reader.confirm(appender.durable_lsn)
            reading.step()

    def _append_sightings(self, appender: Appender) -> None:
        """Append what the watches saw; called between two batches of the stream."""
        for seen in self._watches.waiting():
            states = {} if seen.sighting.state is None else {seen.watch: seen.sighting.state}
            appender.append_entries(seen.sighting.drafts, states=states)
            self._watches.appended(1)
            if seen.sighting.give_up is not None:
                self._gaps.give_up(appender, seen.sighting.give_up)

    def _batch(self, first: Received, reader: StreamReader) -> list[Received]:
        """Return `first` and what else is there already.

        Waits for a fuller batch, and shortly, only while far behind: full batches catch up sooner.
        """
        reads = [first]
        count = _changes(first)
        give_up = time.monotonic() + _FILL_S if self._is_far_behind(first) else 0.0
        while count < self._batch_changes_max:
            received = reader.take_waiting()
            if received is None and give_up:
                received = reader.take(max(give_up - time.monotonic(), 0))
            if received is None:
                break
            reads.append(received)
            count += _changes(received)
        return reads

    def _is_far_behind(self, first: Received) -> bool:
        if not first.parts:
            return False
        return self._clock() - first.parts[-1].commit_time > _FAR_BEHIND

    def _ready(
        self, appender: Appender, mapper: ChangeMapper, stop: threading.Event
    ) -> Preparation | None:
        """Return the prepared source; None when a gap was decided about: begin again.

        A gap is recorded and waits for its decision here; an accepted one is closed.
        """
        stored = appender.stored
        if stored is None or stored.gap is None:
            try:
                return self._prepare(appender, mapper)
            except SourceGap as gap:
                self._gaps.record(appender, gap)
        gap_mark = appender.cursor.gap
        assert gap_mark is not None, "it was there, or it was just recorded"
        if not gap_mark.accepted:
            self._observer.note("gap_waits", source=self._name, cause=gap_mark.cause)
            self._gaps.await_decision(appender, stop, lambda: self._append_sightings(appender))
            return None
        prepared = self._source.prepare(None, check=lambda table: mapper.check(table.relation))
        self._gaps.close(appender, prepared)
        return None  # Whatever this session knew of the place before the gap is past.

    def _prepare(self, appender: Appender, mapper: ChangeMapper) -> Preparation:
        return self._source.prepare(
            appender.stored, check=lambda table: mapper.check(table.relation)
        )

    def _adopt(self, appender: Appender, prepared: Preparation) -> None:
        """Store the first cursor, or the timeline that the server is on now."""
        if appender.stored is None:
            appender.store(
                CaptureCursor(
                    system_id=prepared.system_id,
                    timeline=prepared.timeline,
                    end_lsn=prepared.start_lsn,
                    slot=SlotMark(consistent_lsn=prepared.start_lsn, epoch=0),
                )
            )
        elif appender.stored.timeline != prepared.timeline:
            appender.store(appender.stored.moved(timeline=prepared.timeline))

    def _mapper(self) -> ChangeMapper:
        return ChangeMapper(self._name, self._contracts, self._mapping, self._observer)

    def _appender(self, mapper: ChangeMapper) -> Appender:
        return Appender(
            self._name,
            self._log,
            mapper,
            observer=self._observer,
            clock=self._clock,
            idle_interval_s=self._idle_interval_s,
        )


def backoff_s(attempt: int, chance: float) -> float:
    """Return how long to wait before retry `attempt` (from 0); `chance` is in [0, 1)."""
    longest = min(_BACKOFF_S_MAX, _BACKOFF_S_MIN * float(2 ** min(attempt, 16)))
    return longest * (1 + chance) / 2


def _changes(received: Received) -> int:
    return sum(len(part.changes) for part in received.parts)
