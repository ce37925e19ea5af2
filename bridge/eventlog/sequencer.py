"""Move entries that other roles wrote beside their own changes into the log."""

import threading
import time

from bridge.eventlog.oversized import fits, slimmed
from bridge.eventlog.ports import EventLogWriter, PendingEntries
from bridge.model.entry import EntryDraft
from bridge.model.errors import LimitExceeded, Unavailable
from bridge.model.observer import Observer, SilentObserver

# One commit of this many takes a few milliseconds, so capture's appends hardly wait for it.
BATCH_COUNT_MAX = 500

# A settled dual write is in the log this soon; reading an empty table costs microseconds.
POLL_INTERVAL_S = 0.05

# After a failure; the store has waited for its locks by itself already.
RETRY_INTERVAL_S = 1.0


class Sequencer:
    """Appends pending entries in their order, each exactly once by its id.

    Append comes before discard, so a crash between the two repeats the append, which passes over
    what the log has. One whose leaf would be too large is appended with its fields in the payload.
    """

    def __init__(
        self,
        pending: PendingEntries,
        log: EventLogWriter,
        *,
        observer: Observer | None = None,
        batch_count_max: int = BATCH_COUNT_MAX,
    ) -> None:
        self._pending = pending
        self._log = log
        self._observer = observer or SilentObserver()
        self._batch_count_max = batch_count_max

    def step(self) -> int:
        """Move one batch; return how many were pending (0: nothing to do).

        Raises:
            StorageUnavailable: one of the two stores cannot be used now; step again later.
        """
        batch = self._pending.pending(self._batch_count_max)
        if not batch:
            return 0
        started = time.perf_counter()
        drafts = [draft for _, draft in batch]
        try:
            appended = self._log.append(drafts)
        except LimitExceeded:
            appended = self._log.append(self._slimmed(drafts))
        self._pending.discard(batch[-1][0])
        self._observer.note(
            "sequenced",
            entries=appended.head.size - appended.first_index,
            pending=len(batch),
            took_ms=(time.perf_counter() - started) * 1000,
        )
        return len(batch)

    def _slimmed(self, drafts: list[EntryDraft]) -> list[EntryDraft]:
        """Return the drafts so that each fits; those that had to be changed are told."""
        made = [draft if fits(draft) else slimmed(draft) for draft in drafts]
        for draft, fitting in zip(drafts, made, strict=True):
            if draft is not fitting:
                self._observer.note("entry_oversized", entry=draft.entry_id, kind=draft.kind.value)
        return made

    def run(self, stop: threading.Event) -> None:
        """Move batches until `stop` is set."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            try:
                # A full batch has more behind it.
                wait_s = 0.0 if self.step() == self._batch_count_max else POLL_INTERVAL_S
            except Unavailable as exc:
                self._observer.note("sequencer_delayed", error=str(exc))
                wait_s = RETRY_INTERVAL_S
