"""The event log in one SQLite file: the embedded default on one machine.

Several processes may append: each append takes the file's write lock first and grows the tree as it
stands under that lock. Readers see the last commit and never wait for an appender. One object may
be shared by threads: appends queue on one connection, reads on another.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.eventlog.merkle import EMPTY_ROOT, Frontier
from bridge.eventlog.refusals import check_minimum, pruned_hashes, repeated_entry, stale_cursor
from bridge.eventlog.tree import (
    EMPTY_TREE,
    TILE_HASHES,
    Growth,
    LogTree,
    first_of_each,
    grow,
    restore_tree,
    split_hashes,
    stored_entry,
)
from bridge.model.entry import Appended, CursorMove, EntryDraft, SourceCursor, StoredEntry, TreeHead
from bridge.model.errors import BridgeError
from bridge.storage.event_log.sqlite_pruning import sweep_entries
from bridge.storage.event_log.sqlite_sql import (
    APPLICATION_ID,
    FIND_ENTRY,
    INSERT_ENTRY,
    INSERT_TILE,
    KEEP_STAMP,
    KNOWN_IDS,
    LATEST_CHECKPOINT,
    LOAD_CURSOR,
    LOAD_HEAD,
    LOAD_TAIL,
    MOVE_CURSOR,
    READ_CHECKPOINTS,
    READ_ENTRIES,
    READ_MINIMUM,
    READ_ROOTS,
    READ_TILES,
    READ_TOKENS,
    SCHEMA,
    SCHEMA_VERSION,
    START_CURSOR,
    STORE_CHECKPOINT,
    STORE_HEAD,
    STORE_MINIMUM,
)
from bridge.storage.event_log.sqlite_wal import WalKeeper
from bridge.storage.sqlite_file import (
    BUSY_TIMEOUT_MS_DEFAULT,
    connect,
    create_schema,
    explained,
    roll_back,
)

# Rows of 1.5 KB fill 4 KB pages by three quarters; 8 KB pages save 15 % and batches are quicker
# for it, while the commit of a single entry writes twice as much and is a tenth slower.
PAGE_BYTES = 8_192


class SqliteEventLog:
    """An `EventLogStore` over the SQLite file at `path`, which is made when it is missing.

    Raises:
        StorageUnavailable: the file cannot be opened.
        ConfigInvalid: the file is not an event log of this version.
    """

    def __init__(self, path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS_DEFAULT) -> None:
        self.path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._append_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._wal: WalKeeper | None = None
        # The tree as of our last append; valid while the stored frontier is the same.
        self._tree: LogTree = EMPTY_TREE
        # The same as of our last read of its open tile, on the connection that reads.
        self._seen: LogTree = EMPTY_TREE
        self._refusal: BridgeError | None = None
        with explained("open event log", path):
            self._reader = connect(
                path, busy_timeout_ms=busy_timeout_ms, shrinks=True, page_bytes=PAGE_BYTES
            )
        try:
            with explained("open event log", path):
                create_schema(
                    self._reader,
                    path,
                    application_id=APPLICATION_ID,
                    version=SCHEMA_VERSION,
                    script=SCHEMA,
                )
        except BaseException:
            self._reader.close()
            raise

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Append in one durable commit; see `EventLogWriter.append`."""
        return self._append(drafts, cursor, None)

    def prune(self, first_index: int, draft: EntryDraft) -> Appended:
        """Append `draft` and publish the minimum index with it; see `LogPruner.prune`."""
        return self._append([draft], None, first_index)

    def sweep(self, count_max: int) -> int:
        """Remove some of what is below the minimum index; see `LogPruner.sweep`."""
        with explained("prune event log", self.path):
            return sweep_entries(self._writing_alone, count_max)

    def refuse_appends(self, error: BridgeError) -> None:
        """Make every later append through this object raise `error`."""
        self._refusal = error

    def _append(
        self, drafts: Sequence[EntryDraft], cursor: CursorMove | None, minimum: int | None
    ) -> Appended:
        if self._refusal is not None:
            raise self._refusal
        with self._append_lock, explained("append to event log", self.path):
            writer = self._writing()
            writer.execute("BEGIN IMMEDIATE")
            try:
                tree = self._tree = _read_tree(writer, known=self._tree)
                if cursor is None:
                    drafts = _without_known(writer, drafts)
                else:
                    _move_cursor(writer, cursor)
                growth = grow(tree, drafts)
                if minimum is not None:
                    [(present,)] = writer.execute(READ_MINIMUM)
                    check_minimum(minimum, present=present, size=tree.frontier.size)
                    writer.execute(STORE_MINIMUM, (minimum,))
                if growth.rows:
                    _write(writer, growth)
                writer.execute("COMMIT")
            except BaseException:
                roll_back(writer)
                raise
            self._tree = growth.tree
            if self._wal is not None:
                self._wal.written(growth.rows)
        return Appended(
            first_index=tree.frontier.size,
            head=growth.head,
            cursor_version=None if cursor is None else cursor.expected_version + 1,
        )

    def head(self) -> TreeHead:
        """Return the tree over everything appended."""
        row = self._read_one(LOAD_HEAD)
        if row is None:
            return TreeHead(size=0, root=EMPTY_ROOT)
        return TreeHead(size=Frontier.from_bytes(row[0]).size, root=row[1])

    def first_index(self) -> int:
        """Return the index of the first entry that is still stored."""
        row = self._read_one(READ_MINIMUM)
        assert row is not None, "the schema has made the row"
        return int(row[0])

    def read(self, start: int, count_max: int) -> list[StoredEntry]:
        """Return up to `count_max` entries from index `start` on, in order."""
        return [stored_entry(row) for row in self._read_all(READ_ENTRIES, start, count_max)]

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        """Return the leaf hashes of `[start, stop)`; fewer when the log ends before."""
        if stop <= start:
            return []
        first, last = start // TILE_HASHES, (stop - 1) // TILE_HASHES
        with self._read_lock, explained("read event log", self.path):
            # One transaction, so that no tile is completed between the two reads.
            self._reader.execute("BEGIN")
            try:
                tiles = self._reader.execute(READ_TILES, (first, last)).fetchall()
                if (None,) in tiles:
                    raise pruned_hashes(start, stop)
                hashes = [leaf for (tile,) in tiles for leaf in split_hashes(tile)]
                if len(tiles) <= last - first:
                    tree = self._seen = _read_tree(self._reader, known=self._seen)
                    if tree.frontier.size // TILE_HASHES == first + len(tiles):
                        hashes += tree.tail
            finally:
                self._reader.execute("COMMIT")
        skipped = start - first * TILE_HASHES
        return hashes[skipped : skipped + stop - start]

    def tile_roots(self, level: int, start: int, stop: int) -> list[bytes]:
        """Return the roots of the complete tiles `[start, stop)` of a tile level."""
        return [root for (root,) in self._read_all(READ_ROOTS, level, start, stop)]

    def find(self, entry_id: str) -> StoredEntry | None:
        """Return the entry with this id."""
        row = self._read_one(FIND_ENTRY, entry_id)
        return None if row is None else stored_entry(row)

    def cursor(self, source: str) -> SourceCursor | None:
        """Return the durable cursor of `source`, or None when it never appended."""
        row = self._read_one(LOAD_CURSOR, source)
        return None if row is None else SourceCursor(source=source, version=row[0], state=row[1])

    def change_token(self) -> int:
        """Return a number that differs after anybody else's commit to the file."""
        token = self._read_one("PRAGMA data_version")
        assert token is not None
        return int(token[0])

    def add_checkpoint(self, size: int, note: bytes) -> None:
        """Keep a signed checkpoint over the first `size` entries."""
        with self._append_lock, explained("keep a checkpoint in event log", self.path):
            self._writing().execute(STORE_CHECKPOINT, (size, note))

    def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """Return size and note of the newest checkpoint."""
        row = self._read_one(LATEST_CHECKPOINT)
        return None if row is None else (row[0], row[1])

    def checkpoints(self, first_size: int, count_max: int) -> list[tuple[int, bytes]]:
        """Return up to `count_max` checkpoints over `first_size` entries or more, by size."""
        return self._read_all(READ_CHECKPOINTS, first_size, count_max)

    def add_token(self, size: int, authority: str, token: bytes) -> None:
        """Keep the time-stamp token of `authority` for the checkpoint at `size`."""
        with self._append_lock, explained("keep a time-stamp token in event log", self.path):
            self._writing().execute(KEEP_STAMP, (size, authority, token))

    def tokens(self, size: int) -> dict[str, bytes]:
        """Return the time-stamp tokens of the checkpoint at `size`, by authority."""
        return dict(self._read_all(READ_TOKENS, size))

    def close(self) -> None:
        """Release the file; may be called twice."""
        if self._wal is not None:
            self._wal.close()
        with self._append_lock:
            if self._writer is not None:
                self._writer.close()
        with self._read_lock:
            self._reader.close()

    @contextmanager
    def _writing_alone(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection that appends, in a transaction with the file's write lock."""
        with self._append_lock:
            writer = self._writing()
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                roll_back(writer)
                raise

    def _writing(self) -> sqlite3.Connection:
        """Return the connection that appends; a process that only reads never opens it."""
        if self._writer is None:
            writer = connect(self.path, busy_timeout_ms=self._busy_timeout_ms)
            # Copying the WAL back inside a commit is what makes the slowest commits slow.
            writer.execute("PRAGMA wal_autocheckpoint=0")
            self._writer = writer
            self._wal = WalKeeper(self.path, self._append_lock)
        return self._writer

    def _read_one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        with self._read_lock, explained("read event log", self.path):
            row: tuple[Any, ...] | None = self._reader.execute(sql, values).fetchone()
            return row

    def _read_all(self, sql: str, *values: object) -> list[Any]:
        with self._read_lock, explained("read event log", self.path):
            return self._reader.execute(sql, values).fetchall()


def _read_tree(connection: sqlite3.Connection, *, known: LogTree = EMPTY_TREE) -> LogTree:
    """Return the tree as the current transaction sees it: `known` when that is still it."""
    row = connection.execute(LOAD_HEAD).fetchone()
    if row is None:
        return EMPTY_TREE
    frontier = Frontier.from_bytes(row[0])
    if frontier == known.frontier:
        return known
    first = frontier.size - frontier.size % TILE_HASHES
    return restore_tree(frontier, [leaf for (leaf,) in connection.execute(LOAD_TAIL, (first,))])


def _without_known(
    writer: sqlite3.Connection, drafts: Sequence[EntryDraft]
) -> Sequence[EntryDraft]:
    """Return the drafts whose ids are new, each id once."""
    new = first_of_each(drafts)
    ids = json.dumps(list(new))
    for (known,) in writer.execute(KNOWN_IDS, (ids,)).fetchall():
        del new[known]
    return list(new.values())


def _move_cursor(writer: sqlite3.Connection, move: CursorMove) -> None:
    """Move the cursor of a source, or raise `StaleCursor` when it is not where we left it."""
    if move.expected_version == 0:
        moved = writer.execute(START_CURSOR, (move.source, move.state)).rowcount
    else:
        values = (move.state, move.source, move.expected_version)
        moved = writer.execute(MOVE_CURSOR, values).rowcount
    if moved != 1:
        row = writer.execute(LOAD_CURSOR, (move.source,)).fetchone()
        raise stale_cursor(move, 0 if row is None else row[0])


def _write(writer: sqlite3.Connection, growth: Growth) -> None:
    """Write what an append adds."""
    try:
        writer.executemany(INSERT_ENTRY, growth.rows)
    except sqlite3.IntegrityError as exc:
        raise repeated_entry(growth.rows, exc) from exc
    if growth.tiles:
        writer.executemany(INSERT_TILE, growth.tiles)
    writer.execute(STORE_HEAD, (growth.tree.frontier.to_bytes(), growth.head.root))
