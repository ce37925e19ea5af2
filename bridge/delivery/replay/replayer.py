"""Send a range of the log again to one receiver, in order, at a bounded rate.

The job moves only over what the receiver has confirmed and is kept durably, so a crash repeats some
events (with the same ids, in the same order) and loses none.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from math import ceil
from typing import Protocol

from bridge.delivery.backoff import Backoff
from bridge.delivery.ports import EventSink, Unsealer
from bridge.delivery.replay.choice import Chooser, entity_of
from bridge.delivery.replay.job import ENTITIES_MAX, ReplayJob
from bridge.eventlog.ports import EventLogReader
from bridge.model.bucket import Bucket
from bridge.model.entry import StoredEntry
from bridge.model.errors import BridgeError, LogCorrupt, Remedy, Unavailable
from bridge.model.observer import Observer, SilentObserver

# A tenth of a second's worth may leave at once: fewer and larger writes at the same rate.
_BURST_S = 0.1

# As the relay: half a window, so that one batch is read while another is confirmed.
BATCH_MAX_DEFAULT = 500
# How stale the job may be, which is what a crash repeats; each store is a write to disk.
STORE_INTERVAL_S = 0.2
# The sink wakes us when something is confirmed; this only bounds how late a stop may be.
WAIT_MS_MAX = 50
# What is under way at a stop is confirmed within this, or sent again by a resume.
DRAIN_TIMEOUT_S = 5.0


class JobStore(Protocol):
    """Keeps replays durably."""

    def store(self, job: ReplayJob) -> None:
        """Keep `job`; raises `StorageUnavailable`."""


class Replayer:
    """Runs one replay. One thread, one process at a time."""

    def __init__(
        self,
        job: ReplayJob,
        log: EventLogReader,
        sink: EventSink,
        jobs: JobStore,
        chooser: Chooser,
        *,
        unsealer: Unsealer | None = None,
        observer: Observer | None = None,
        on_progress: Callable[[ReplayJob], None] = lambda _: None,
        batch_max: int = BATCH_MAX_DEFAULT,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self._log = log
        self._sink = sink
        self._jobs = jobs
        self._chooser = chooser
        self._unsealer = unsealer
        self._observer = SilentObserver() if observer is None else observer
        self._on_progress = on_progress
        self._batch_max = batch_max
        self._backoff = Backoff() if backoff is None else backoff
        self._clock = clock

        # The first event need not wait.
        self._pace = Bucket(job.rate, full=job.rate * _BURST_S, level=1.0, now=clock())
        self._entities: set[str] = set()
        self._stored_at = 0.0
        self._begin()

    def run(self, stop: threading.Event) -> ReplayJob:
        """Replay until the end of the range or `stop`; return the job, done or still open.

        An outage of the receiver or of the store is waited out.

        Raises:
            BridgeError: somebody has to act; the job is kept as far as it came.
        """
        try:
            while not stop.is_set():
                try:
                    self._begin()
                    self._sink.connect()
                    self._stream(stop)
                    if self.job.next_index >= self.job.stop:
                        self.job = self.job.ended()
                    self._store()
                    if self.job.next_index >= self.job.stop:
                        break
                except BridgeError as error:
                    self._save_confirmed()
                    if error.remedy is not Remedy.RETRY:
                        raise
                    self._wait_out(error, stop)
        finally:
            self._sink.close()
        return self.job

    def _begin(self) -> None:
        """Go back to the first entry that is not confirmed."""
        self._read = self.job.next_index
        """The next entry to read."""
        self._ready: deque[StoredEntry] = deque()
        """Chosen, and waiting for their turn."""
        self._sent: deque[int] = deque()
        """Indices that were offered and are not confirmed."""

    def _stream(self, stop: threading.Event) -> None:
        """Offer slice after slice, as fast as the rate and the receiver allow."""
        while not stop.is_set() and self.job.next_index < self.job.stop:
            wait_ms = self._wait_ms()
            if wait_ms and not self._sent:
                # Nothing is to be answered: it is the rate that we wait for.
                stop.wait(wait_ms / 1000)
                wait_ms = 0
            progress = self._sink.progress(wait_ms)
            self._advance(progress.through)
            if self._clock() - self._stored_at >= STORE_INTERVAL_S:
                self._store()
            if not self._ready and self._read < self.job.stop:
                self._read_next()
            if progress.waiting < self._batch_max:
                self._offer_some()
        self._drain()

    def _wait_ms(self) -> int:
        """Return how long the receiver's answers may be waited for."""
        if self._ready:
            wait_ms = ceil(self._pace.wait_s(self._clock()) * 1000)
            return min(wait_ms, WAIT_MS_MAX)
        # Without anything to send, wait for answers; with more to read, do not.
        return 0 if self._read < self.job.stop else WAIT_MS_MAX

    def _read_next(self) -> None:
        entries = self._log.read(self._read, min(self._batch_max, self.job.stop - self._read))
        if not entries or entries[0].leaf_index != self._read:
            raise LogCorrupt(
                f"cannot replay {self.job.replay_id!r}: entry {self._read} is not in the event log "
                "any more; it was pruned, or it is not the log that the replay was asked for"
            )
        chosen = self._chooser.chosen(entries)
        if chosen:
            if self.job.choice.keys and len(self._entities) < ENTITIES_MAX:
                self._entities |= {name for name in map(entity_of, chosen) if name is not None}
            self._ready.extend(self._unsealer.unsealed(chosen) if self._unsealer else chosen)
        self._read = entries[-1].leaf_index + 1

    def _offer_some(self) -> None:
        count = min(self._pace.allowed(self._clock()), len(self._ready), self._batch_max)
        if count == 0:
            return
        entries = [self._ready.popleft() for _ in range(count)]
        self._pace.spend(count)
        self._sink.offer(entries)
        self._sent.extend(entry.leaf_index for entry in entries)

    def _advance(self, through: int) -> None:
        """Move over what is confirmed, and over entries that were not chosen."""
        confirmed = 0
        while self._sent and self._sent[0] <= through:
            self._sent.popleft()
            confirmed += 1
        if self._sent:
            reached = self._sent[0]
        elif self._ready:
            reached = self._ready[0].leaf_index
        else:
            reached = self._read
        if confirmed:
            self._backoff.succeeded()
        if reached > self.job.next_index or confirmed:
            self.job = self.job.moved(reached, self.job.sent + confirmed, frozenset(self._entities))
            self._on_progress(self.job)

    def _drain(self) -> None:
        """Wait for what is under way."""
        deadline = self._clock() + DRAIN_TIMEOUT_S
        while self._sent and self._clock() < deadline:
            self._advance(self._sink.progress(WAIT_MS_MAX).through)

    def _store(self) -> None:
        self._jobs.store(self.job)
        self._stored_at = self._clock()
        self._observer.note(
            "replayed",
            replay=self.job.replay_id,
            next_index=self.job.next_index,
            sent=self.job.sent,
        )

    def _save_confirmed(self) -> None:
        """After a failure, keep what was confirmed before it, if the store allows."""
        self._advance(self._sink.through)
        try:
            self._store()
        except Unavailable as error:
            # The job stays behind, which repeats events and loses none.
            self._observer.note("replay_not_stored", error=str(error))

    def _wait_out(self, error: BridgeError, stop: threading.Event) -> None:
        retry_ms = self._backoff.next_ms()
        self._observer.note(
            "replay_lost", replay=self.job.replay_id, error=str(error), retry_ms=round(retry_ms)
        )
        self._sink.close()
        stop.wait(retry_ms / 1000)
