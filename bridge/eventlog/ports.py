"""What the event log asks of a store; small capabilities, so that audit code cannot append.

All methods are blocking (SQLite, psycopg): a service on an event loop calls them from a thread.
Implementations: `bridge.storage.event_log.sqlite`, `bridge.storage.event_log.postgres`,
`bridge.storage.event_log.memory`; one conformance suite in `tests/eventlog/`.
"""

from collections.abc import Sequence
from typing import Protocol

from bridge.model.entry import Appended, CursorMove, EntryDraft, SourceCursor, StoredEntry, TreeHead
from bridge.model.errors import BridgeError


class EventLogWriter(Protocol):
    """Appends; the only verb that writes the log."""

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Append `drafts` in order and move `cursor`, all in one durable commit.

        Indices are given under the store's append lock, so index order is commit order over all
        appending processes. With a cursor, a draft whose id is already in the log is a bug of ours
        and raises `LogCorrupt`; without one (pending entries), it is passed over.

        Raises:
            StaleCursor: the cursor is not at `expected_version`; nothing was written.
            StorageUnavailable: nothing was written, or (connection lost) it is unknown; the caller
                rereads its cursor before it repeats.
        """


class EventLogReader(Protocol):
    """Reads entries and the tree."""

    def head(self) -> TreeHead:
        """Return the tree over everything appended."""

    def read(self, start: int, count_max: int) -> list[StoredEntry]:
        """Return up to `count_max` entries from index `start` on, in order.

        Below `PrunableLog.first_index` nothing is found, and reading goes on from there.
        """

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        """Return the leaf hashes of `[start, stop)`; fewer when the log ends before.

        Raises:
            LogPruned: some of them were pruned; the roots over them are still there.
        """

    def tile_roots(self, level: int, start: int, stop: int) -> list[bytes]:
        """Return the roots of the complete tiles `[start, stop)` of a tile level.

        A root of level n covers 256^(n+1) leaves, so proofs over a long log read few hashes.
        """

    def find(self, entry_id: str) -> StoredEntry | None:
        """Return the entry with this id."""

    def cursor(self, source: str) -> SourceCursor | None:
        """Return the durable cursor of `source`, or None when it never appended."""

    def change_token(self) -> int:
        """Return a number that differs after another process appended; cheap enough to poll often.

        It is a hint: the promise is that `read` sees every append that has returned.
        """


class PrunableLog(Protocol):
    """Says how far back entries are stored."""

    def first_index(self) -> int:
        """Return the index of the first entry that is still stored: 0 unless the log was pruned.

        It is the minimum index of C2SP tlog-tiles, a multiple of 256. Roots of tiles reach back
        further than entries do, and so do the leaf hashes of tiles in which a checkpoint ends.
        """


class LogPruner(Protocol):
    """Takes the oldest entries out of the store; the tree stays as it is."""

    def prune(self, first_index: int, draft: EntryDraft) -> Appended:
        """Append `draft` and make `first_index` the minimum index, in one durable commit.

        From then on nothing below is found. `first_index` is a multiple of 256, not below the
        present minimum and not above the size. What is stored below is removed by `sweep`.

        Raises:
            StorageUnavailable: nothing was done, or (connection lost) it is unknown.
        """

    def sweep(self, count_max: int) -> int:
        """Remove up to about `count_max` entries below the minimum index; return how many.

        0: nothing is left to remove. Each call is a short transaction or a few of them, so that
        appends go on between; after a crash, the next call goes on where it ended.
        """


class RestoredLog(Protocol):
    """May be told that this store must not be appended to."""

    def refuse_appends(self, error: BridgeError) -> None:
        """Make every later append through this object raise `error`; reading goes on."""


class CheckpointStore(Protocol):
    """Keeps signed tree heads, and what others said about them."""

    def add_checkpoint(self, size: int, note: bytes) -> None:
        """Keep a signed checkpoint over the first `size` entries.

        One of the same size is replaced: a note gains signatures of witnesses.
        """

    def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """Return size and note of the newest checkpoint."""

    def checkpoints(self, first_size: int, count_max: int) -> list[tuple[int, bytes]]:
        """Return up to `count_max` checkpoints over `first_size` entries or more, by size."""

    def add_token(self, size: int, authority: str, token: bytes) -> None:
        """Keep the time-stamp token (RFC 3161, DER) of `authority` for the checkpoint at `size`."""

    def tokens(self, size: int) -> dict[str, bytes]:
        """Return the time-stamp tokens of the checkpoint at `size`, by authority."""


class PendingEntries(Protocol):
    """Entries written by other roles in the same transaction as the thing that they record.

    The sequencer appends them, then discards them; a crash between the two repeats the append,
    which passes over ids that the log already has.
    """

    def pending(self, count_max: int) -> list[tuple[int, EntryDraft]]:
        """Return up to `count_max` pending entries with their row numbers, oldest first."""

    def discard(self, through: int) -> None:
        """Forget pending entries up to and including row number `through`: the log has them."""


class EventLogStore(
    EventLogWriter,
    EventLogReader,
    PrunableLog,
    LogPruner,
    RestoredLog,
    CheckpointStore,
    Protocol,
):
    """All capabilities of one log; only the wiring hands this out whole."""

    def close(self) -> None:
        """Release the store."""
