"""The event log in memory: for tests and dry runs, with the same promises but durability."""

import threading
from collections.abc import Sequence

from bridge.eventlog.merkle import EMPTY_ROOT
from bridge.eventlog.refusals import check_minimum, pruned_hashes, repeated_entry, stale_cursor
from bridge.eventlog.tree import (
    EMPTY_TREE,
    TILE_HASHES,
    LogTree,
    first_of_each,
    grow,
    split_hashes,
    stored_entry,
)
from bridge.model.entry import Appended, CursorMove, EntryDraft, SourceCursor, StoredEntry, TreeHead
from bridge.model.errors import BridgeError


class MemoryEventLog:
    """An `EventLogStore` that forgets when it is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[StoredEntry] = []
        self._by_id: dict[str, int] = {}
        self._tree: LogTree = EMPTY_TREE
        self._head = TreeHead(size=0, root=EMPTY_ROOT)
        self._tiled: list[bytes] = []
        self._roots: dict[int, list[bytes]] = {}
        self._cursors: dict[str, SourceCursor] = {}
        self._checkpoints: dict[int, bytes] = {}
        self._tokens: dict[int, dict[str, bytes]] = {}
        self._first_index = 0
        self._swept = 0
        self._refusal: BridgeError | None = None

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Append at once; see `EventLogWriter.append`."""
        if self._refusal is not None:
            raise self._refusal
        with self._lock:
            moved = None if cursor is None else self._moved(cursor)
            if cursor is None:
                firsts = first_of_each(drafts)
                drafts = [firsts[new] for new in firsts if new not in self._by_id]
            first_index = self._tree.frontier.size
            growth = grow(self._tree, drafts)
            entries = [stored_entry(row) for row in growth.rows]
            ids = {entry.entry_id: entry.leaf_index for entry in entries}
            if len(ids) < len(entries) or not self._by_id.keys().isdisjoint(ids):
                raise repeated_entry(growth.rows, KeyError())
            self._entries += entries
            self._by_id |= ids
            for tile in growth.tiles:
                self._roots.setdefault(tile.level, []).append(tile.root)
                self._tiled += split_hashes(tile.hashes or b"")
            self._tree, self._head = growth.tree, growth.head
            if moved is not None:
                self._cursors[moved.source] = moved
            return Appended(
                first_index=first_index,
                head=growth.head,
                cursor_version=None if moved is None else moved.version,
            )

    def head(self) -> TreeHead:
        """Return the tree over everything appended."""
        return self._head

    def first_index(self) -> int:
        """Return the index of the first entry that is still stored."""
        return self._first_index

    def prune(self, first_index: int, draft: EntryDraft) -> Appended:
        """Append `draft` and publish the minimum index with it; see `LogPruner.prune`."""
        check_minimum(first_index, present=self._first_index, size=self._tree.frontier.size)
        appended = self.append([draft])
        self._first_index = first_index
        return appended

    def sweep(self, count_max: int) -> int:
        """Remove some of what is below the minimum index; see `LogPruner.sweep`."""
        with self._lock:
            first = self._swept
            stop = min(first + max(TILE_HASHES, count_max), self._first_index)
            for entry in self._entries[first:stop]:
                self._by_id.pop(entry.entry_id, None)
            self._swept = stop
            return stop - first

    def refuse_appends(self, error: BridgeError) -> None:
        """Make every later append through this object raise `error`."""
        self._refusal = error

    def read(self, start: int, count_max: int) -> list[StoredEntry]:
        """Return up to `count_max` entries from index `start` on, in order."""
        start = max(start, self._first_index)
        return self._entries[start : start + count_max]

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        """Return the leaf hashes of `[start, stop)`; fewer when the log ends before."""
        with self._lock:
            tiles = range(start // TILE_HASHES, -(-min(stop, self._swept) // TILE_HASHES))
            ends = {size // TILE_HASHES for size in self._checkpoints if size % TILE_HASHES}
            if start < stop and any(tile not in ends for tile in tiles):
                raise pruned_hashes(start, stop)
            return [*self._tiled, *self._tree.tail][start:stop]

    def tile_roots(self, level: int, start: int, stop: int) -> list[bytes]:
        """Return the roots of the complete tiles `[start, stop)` of a tile level."""
        return self._roots.get(level, [])[start:stop]

    def find(self, entry_id: str) -> StoredEntry | None:
        """Return the entry with this id."""
        index = self._by_id.get(entry_id)
        if index is None or index < self._first_index:
            return None
        return self._entries[index]

    def cursor(self, source: str) -> SourceCursor | None:
        """Return the cursor of `source`, or None when it never appended."""
        return self._cursors.get(source)

    def change_token(self) -> int:
        """Return a number that differs after an append."""
        return self._tree.frontier.size

    def add_checkpoint(self, size: int, note: bytes) -> None:
        """Keep a signed checkpoint over the first `size` entries."""
        self._checkpoints[size] = note

    def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """Return size and note of the newest checkpoint."""
        return max(self._checkpoints.items(), default=None)

    def checkpoints(self, first_size: int, count_max: int) -> list[tuple[int, bytes]]:
        """Return up to `count_max` checkpoints over `first_size` entries or more, by size."""
        found = sorted(item for item in self._checkpoints.items() if item[0] >= first_size)
        return found[:count_max]

    def add_token(self, size: int, authority: str, token: bytes) -> None:
        """Keep the time-stamp token of `authority` for the checkpoint at `size`."""
        self._tokens.setdefault(size, {})[authority] = token

    def tokens(self, size: int) -> dict[str, bytes]:
        """Return the time-stamp tokens of the checkpoint at `size`, by authority."""
        return dict(self._tokens.get(size, {}))

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _moved(self, move: CursorMove) -> SourceCursor:
        """Return the cursor after `move`, or raise `StaleCursor`."""
        cursor = self._cursors.get(move.source)
        version = 0 if cursor is None else cursor.version
        if version != move.expected_version:
            raise stale_cursor(move, version)
        return SourceCursor(source=move.source, version=version + 1, state=move.state)
