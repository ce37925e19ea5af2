"""Keep the index beside the log: read what is new, in batches, and never slow an append.

Each batch begins with the last entry that the index has: its hash says whether this is still the
log that the index was made from. If it is not, or the index is damaged, or other fields are
declared than it was made by, it is made again from the beginning.
"""

import threading
import time
from hashlib import sha256
from typing import Final, Protocol

from bridge.eventlog.history.index_rows import Declare, FormBook, RowMaker
from bridge.eventlog.history.ports import IndexDamaged, IndexState, LogIndexWriter
from bridge.eventlog.inspection import Progress, no_progress
from bridge.eventlog.ports import EventLogReader, PrunableLog
from bridge.model.errors import Unavailable
from bridge.model.observer import Observer, SilentObserver


class IndexedLog(EventLogReader, PrunableLog, Protocol):
    """What the follower reads."""


# One commit: a few MB of entries in memory, a tenth of a second of work.
BATCH_ENTRIES: Final = 4_000
# A look at an unchanged log costs some 10 us.
POLL_INTERVAL_S: Final = 0.05
# A lost hint delays the index by no more than this.
FULL_READ_INTERVAL_S: Final = 1.0
RETRY_INTERVAL_S: Final = 1.0


class IndexFollower:
    """The one writer of an index."""

    def __init__(
        self,
        log: "IndexedLog",
        index: LogIndexWriter,
        declare: Declare,
        *,
        observer: Observer | None = None,
        batch_entries: int = BATCH_ENTRIES,
    ) -> None:
        self._log = log
        self._index = index
        self._declare = declare
        self._observer = observer or SilentObserver()
        self._batch_entries = batch_entries
        self._state: IndexState | None = None
        self._book = FormBook((), declare)
        self._maker = RowMaker(self._book)

    def run(self, stop: threading.Event) -> None:
        """Follow the log until `stop`; an outage of a store is waited out."""
        token: int | None = None
        looked_at = wait_s = 0.0
        while not stop.wait(wait_s):
            try:
                now = time.monotonic()
                found = self._log.change_token()
                if found == token and now < looked_at + FULL_READ_INTERVAL_S:
                    wait_s = POLL_INTERVAL_S
                    continue
                count = self.step()
                if count < self._batch_entries:
                    token, looked_at, wait_s = found, now, POLL_INTERVAL_S
                else:
                    token, wait_s = None, 0.0
            except Unavailable as exc:
                self._state = None
                self._observer.note("index_delayed", error=str(exc))
                wait_s = RETRY_INTERVAL_S

    def catch_up(self, *, progress: Progress = no_progress) -> IndexState:
        """Take in everything that is in the log now, and return how far the index is."""
        target = self._log.head().size
        self.step()  # Also where nothing is new: a log that is another one is noticed.
        while (state := self._known()).next_index < target:
            self.step()
            progress(min(self._known().next_index, target), target)
        return state

    def step(self) -> int:
        """Take in one batch; return how many entries it had.

        Raises:
            StorageUnavailable: log or index cannot be used now; step again later.
        """
        started = time.perf_counter()
        state = self._known()
        start = max(state.next_index, self._log.first_index())
        overlap = 1 if state.anchor and start == state.next_index else 0
        entries = self._log.read(start - overlap, self._batch_entries + overlap)
        if overlap:
            if not entries or _hash(entries[0].leaf) != state.anchor:
                if not self._same_by_hash(state):
                    self._make_again("the log is not the one that it was made from")
                    return self._batch_entries
                # The last entry was pruned since: its hash is all that is left of it.
                entries = [entry for entry in entries if entry.leaf_index >= start]
            else:
                del entries[0]
        if not entries:
            return 0
        if entries[0].leaf_index != state.next_index and state.anchor:
            # Pruned beyond the place where the index is: a gap in it would never be found again.
            self._make_again("the log was pruned beyond it")
            return self._batch_entries
        row = self._maker.row
        rows = [row(entry) for entry in entries]
        first = state.first_index if state.anchor else entries[0].leaf_index
        moved = IndexState(
            next_index=entries[-1].leaf_index + 1,
            anchor=_hash(entries[-1].leaf),
            first_index=first,
        )
        try:
            taken = self._index.take(rows, self._book.fresh, moved)
        except IndexDamaged as exc:
            self._make_again(str(exc))
            return self._batch_entries
        if not taken:
            self._state = None  # Somebody cleared it; read it again.
            return self._batch_entries
        self._book.fresh.clear()
        self._state = moved
        self._observer.note(
            "indexed",
            entries=len(entries),
            next_index=moved.next_index,
            took_ms=(time.perf_counter() - started) * 1000,
        )
        return len(entries)

    def make_again(self) -> None:
        """Forget the index, so that the next steps make it from the beginning."""
        self._make_again("a person asked for it")

    def verify(self, *, progress: Progress = no_progress) -> str | None:
        """Compare each row with the log; return what is wrong first, or None.

        Postings are made of rows by the store itself, in the commit that completes a segment.
        """
        with self._index.view() as view:
            maker = RowMaker(FormBook(view.forms(), self._declare))
            at = max(view.state.first_index, self._log.first_index())
            stop = view.state.next_index
            while at < stop:
                count = min(self._batch_entries, stop - at)
                rows = view.rows(at, count)
                made = [maker.row(entry) for entry in self._log.read(at, count)]
                if rows != made:
                    pairs = zip(rows, made, strict=False)
                    bad = next((was.leaf_index for was, now in pairs if was != now), at)
                    return f"entry {bad} is indexed wrongly; make the index again with --rebuild"
                at += count
                progress(at, stop)
        return None

    def _known(self) -> IndexState:
        """Return the state as of our last batch, or as it is stored."""
        if self._state is not None:
            return self._state
        try:
            with self._index.view() as view:
                state, forms = view.state, view.forms()
        except IndexDamaged as exc:
            return self._make_again(str(exc))
        self._know(FormBook(forms, self._declare))
        changed = self._book.changed()
        if changed:
            return self._make_again(
                f"other fields are declared for search than it has of {', '.join(changed)}"
            )
        self._state = state
        return state

    def _know(self, book: FormBook) -> None:
        self._book = book
        self._maker = RowMaker(book)

    def _make_again(self, reason: str) -> IndexState:
        self._observer.note("index_made_again", reason=reason)
        self._index.clear()
        self._know(FormBook((), self._declare))
        with self._index.view() as view:
            self._state = view.state
        return self._state

    def _same_by_hash(self, state: IndexState) -> bool:
        last = state.next_index - 1
        if last >= self._log.first_index():
            return False
        return self._log.leaf_hashes(last, last + 1) == [state.anchor]


def _hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()
