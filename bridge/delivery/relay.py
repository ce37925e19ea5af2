"""Publish the event log to one sink, in index order, from a durable cursor on.

The cursor names the next entry to publish and moves only over what the sink has confirmed, so a
crash repeats some entries (with the same ids, in the same order) and loses none. After a lost
connection everything above the low-water mark is sent again, in order.
"""

import threading
import time
from typing import Protocol

from bridge.delivery.backoff import Backoff
from bridge.delivery.meter import ConfirmMeter
from bridge.delivery.ports import EventSink, SinkCursors, Unsealer
from bridge.eventlog.ports import EventLogReader, PrunableLog
from bridge.model.entry import EntryKind
from bridge.model.errors import BridgeError, LogCorrupt, LogPruned, Remedy, Unavailable
from bridge.model.observer import Observer, SilentObserver

# Half a window: while one batch is confirmed the next is read, and memory holds two at most.
BATCH_MAX_DEFAULT = 500
# How stale the cursor may be, which is what a crash repeats; each store is a write to disk.
STORE_INTERVAL_S = 0.1
# The hint: how soon an append is seen. One look costs some 10 us: 1 % of a core while events come,
# a fifth of that when none has come for a while.
BUSY_POLL_MS = 1
IDLE_POLL_MS = 5
BUSY_FOR_S = 1.0
# The promise: a lost hint delays an event by no more than this.
FULL_READ_INTERVAL_S = 1.0
# The sink wakes us when there is room; this only bounds how late a stop or a store may be.
ROOM_WAIT_MS = 50
# What is under way when we stop is confirmed within this, or sent again by the next start.
DRAIN_TIMEOUT_S = 2.0


class PublishedLog(EventLogReader, PrunableLog, Protocol):
    """What is published from."""


class Relay:
    """The one publisher of a log to a sink; two at once would interleave their entries."""

    def __init__(
        self,
        sink_name: str,
        log: PublishedLog,
        sink: EventSink,
        cursors: SinkCursors,
        observer: Observer | None = None,
        *,
        batch_max: int = BATCH_MAX_DEFAULT,
        backoff: Backoff | None = None,
        unsealer: Unsealer | None = None,
    ) -> None:
        self._sink_name = sink_name
        self._log = log
        self._sink = sink
        self._cursors = cursors
        self._observer = SilentObserver() if observer is None else observer
        self._meter = ConfirmMeter(sink_name, self._observer)
        self._batch_max = batch_max
        self._unsealer = unsealer
        self._backoff = Backoff() if backoff is None else backoff

        self._stored = 0
        """The durable cursor: the next entry to publish after a crash."""
        self._confirmed = 0
        """The next entry to publish after a reconnect; never behind `_stored`."""
        self._read = 0
        """The next entry to read."""
        self._offered = -1
        """The last event that the sink accepted; -1 for none since `connect`."""
        self._token: int | None = None
        """The log's change token from before the read that met its end; None while behind."""
        self._read_at = 0.0
        """When a read last found entries."""
        self._caught_up_at = 0.0
        self._stored_at = 0.0
        self._lost_at: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop`; then let what is under way be confirmed, and disconnect.

        An outage of the sink or of the store is waited out.

        Raises:
            ConfigInvalid: the sink answers, but a setting or right must change.
            LogCorrupt: the cursor is past the end of the log: it is not the log it was.
            LogPruned: entries that were not published yet are gone.
        """
        self._stored = self._confirmed = self._cursors.load(self._sink_name)
        self._refuse_other_log()
        try:
            while not stop.is_set():
                try:
                    self._connect()
                    self._stream(stop)
                    self._drain()
                except BridgeError as error:
                    self._save_confirmed()
                    if error.remedy is not Remedy.RETRY:
                        raise
                    self._wait_out(error, stop)
        finally:
            self._sink.close()

    def _refuse_other_log(self) -> None:
        size = self._log.head().size
        if self._stored > size:
            raise LogCorrupt(
                f"cannot publish to {self._sink_name!r}: its cursor is at entry {self._stored}, "
                f"but the event log ends at {size}; it is not the log that was published from"
            )
        first = self._log.first_index()
        if 0 < self._stored < first:
            raise LogPruned(
                f"cannot publish to {self._sink_name!r}: it has got entries before {self._stored}, "
                f"and the event log was pruned below {first}; entries between were never published"
            )
        if first and not self._stored:
            # A new sink begins where the log does.
            self._observer.note("begins_after_pruned", sink=self._sink_name, first_index=first)

    def _connect(self) -> None:
        """Connect, and go back to the first entry that is not confirmed."""
        self._read, self._offered, self._token = self._confirmed, -1, None
        self._meter.lost()
        self._sink.connect()
        if self._lost_at is not None:
            self._observer.note(
                "reconnected",
                sink=self._sink_name,
                attempts=self._backoff.attempts,
                next_index=self._confirmed,
                down_ms=round((time.monotonic() - self._lost_at) * 1000),
            )

    def _stream(self, stop: threading.Event) -> None:
        """Offer batch after batch, as fast as the sink takes them."""
        wait_ms = 0
        while not stop.is_set():
            progress = self._sink.progress(wait_ms)
            self._advance(progress.through)
            if time.monotonic() - self._stored_at >= STORE_INTERVAL_S:
                self._store()
            if progress.waiting >= self._batch_max:
                wait_ms = ROOM_WAIT_MS
            elif self._may_have_more():
                self._offer_next()
                wait_ms = 0
            else:
                wait_ms = self._poll_ms()
                if self._confirmed == self._read:
                    self._recovered()

    def _poll_ms(self) -> int:
        quiet = time.monotonic() - self._read_at >= BUSY_FOR_S
        return IDLE_POLL_MS if quiet else BUSY_POLL_MS

    def _may_have_more(self) -> bool:
        return (
            self._token is None
            or self._log.change_token() != self._token
            or time.monotonic() - self._caught_up_at >= FULL_READ_INTERVAL_S
        )

    def _offer_next(self) -> None:
        token = self._log.change_token()
        entries = self._log.read(self._read, self._batch_max)
        events = [entry for entry in entries if entry.kind is EntryKind.EVENT]
        if events:
            # As late as can be: what is erased until now is not published any more.
            self._sink.offer(self._unsealer.unsealed(events) if self._unsealer else events)
            self._meter.offered(events)
            self._offered = events[-1].leaf_index
        if entries:
            self._read = entries[-1].leaf_index + 1
            self._read_at = time.monotonic()
        if len(entries) == self._batch_max:
            self._token = None
        else:
            self._token, self._caught_up_at = token, time.monotonic()

    def _advance(self, through: int) -> None:
        """Move over what is confirmed, and over entries that are no events."""
        reached = self._read if through >= self._offered else through + 1
        if reached > self._confirmed:
            self._confirmed = reached
            self._meter.confirmed(reached)
            self._recovered()

    def _recovered(self) -> None:
        """End an outage: not at the connect, since the broker may still refuse the message."""
        self._backoff.succeeded()
        self._lost_at = None

    def _store(self) -> None:
        """Make the cursor durable and say what was published since the last time."""
        if self._confirmed == self._stored:
            return
        self._cursors.store(self._sink_name, self._confirmed)
        entries, self._stored = self._confirmed - self._stored, self._confirmed
        self._stored_at = time.monotonic()
        self._observer.note(
            "published",
            sink=self._sink_name,
            entries=entries,
            next_index=self._stored,
            lag_entries=self._log.head().size - self._stored,
        )

    def _drain(self) -> None:
        """Wait for what is under way, and store how far it came."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        self._advance(self._sink.progress().through)
        while self._confirmed < self._read and time.monotonic() < deadline:
            self._advance(self._sink.progress(ROOM_WAIT_MS).through)
        self._store()

    def _save_confirmed(self) -> None:
        """After a failure, store what was confirmed before it, if the store allows."""
        self._advance(self._sink.through)
        try:
            self._store()
        except Unavailable as error:
            # The cursor stays behind, which repeats entries and loses none.
            self._observer.note("cursor_not_stored", sink=self._sink_name, error=str(error))

    def _wait_out(self, error: BridgeError, stop: threading.Event) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
        retry_ms = self._backoff.next_ms()
        self._observer.note(
            "sink_lost",
            sink=self._sink_name,
            error=str(error),
            attempts=self._backoff.attempts,
            next_index=self._confirmed,
            retry_ms=round(retry_ms),
        )
        self._sink.close()
        stop.wait(retry_ms / 1000)
