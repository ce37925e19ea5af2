"""The event log in the gateway's own PostgreSQL: for several replicas.

An append locks the head row, so indices follow commit order over all appenders; entries go in by
COPY. Everything lives in the schema `bridge_log`, which is made when it is missing. One object may
be shared by threads: appends queue on one connection, reads on another.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
import psycopg.conninfo

from bridge.eventlog.merkle import Frontier
from bridge.eventlog.refusals import check_minimum, pruned_hashes
from bridge.eventlog.tree import (
    EMPTY_TREE,
    TILE_HASHES,
    Growth,
    LogTree,
    grow,
    split_hashes,
    stored_entry,
)
from bridge.model.entry import Appended, CursorMove, EntryDraft, SourceCursor, StoredEntry, TreeHead
from bridge.model.errors import BridgeError, LogCorrupt, StorageUnavailable
from bridge.storage.event_log.postgres_pruning import sweep_entries
from bridge.storage.event_log.postgres_sql import (
    FIND_ENTRY,
    KEEP_STAMP,
    LATEST_CHECKPOINT,
    LOAD_CURSOR,
    LOAD_HEAD,
    LOCK_HEAD,
    READ_CHECKPOINTS,
    READ_ENTRIES,
    READ_MINIMUM,
    READ_ROOTS,
    READ_SIZE,
    READ_TILES,
    READ_TOKENS,
    STORE_CHECKPOINT,
    STORE_MINIMUM,
)
from bridge.storage.event_log.postgres_steps import (
    add_segment,
    begin,
    create_schema,
    read_tree,
    segments_stop,
    without_known,
    write,
)

# 1 to 2 GB of usual events: small enough to drop, vacuum and dump one by one, large enough that
# a billion entries are a thousand tables, which the planner still chooses among in milliseconds.
# A power of two, so that no tile lies in two segments.
SEGMENT_ENTRIES_DEFAULT = 1 << 20

# Long enough for a busy server's checkpoint, short enough that a capture role notices a lost one.
LOCK_TIMEOUT_MS_DEFAULT = 5_000

CONNECT_TIMEOUT_S = 10

# A half-open connection is given up after this long without an answer to what was sent.
TCP_USER_TIMEOUT_MS = 20_000


class PostgresEventLog:
    """An `EventLogStore` in the database that `dsn` (libpq) names.

    Raises:
        StorageUnavailable: the server cannot be reached or refuses.
        ConfigInvalid: the schema `bridge_log` there belongs to another version.
    """

    def __init__(
        self,
        dsn: str,
        *,
        lock_timeout_ms: int = LOCK_TIMEOUT_MS_DEFAULT,
        segment_entries: int = SEGMENT_ENTRIES_DEFAULT,
    ) -> None:
        assert segment_entries % TILE_HASHES == 0, "a tile must not lie in two segments"
        self._dsn = dsn
        self._lock_timeout_ms = lock_timeout_ms
        self._segment_entries = segment_entries
        self._segments_stop = 0
        self._refusal: BridgeError | None = None
        self._append_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer: psycopg.Connection[Any] | None = None
        self._reader: psycopg.Connection[Any] | None = None
        # The tree as of our last append; valid while the stored frontier is the same.
        self._tree: LogTree = EMPTY_TREE
        # The same as of our last read of its open tile, on the connection that reads.
        self._seen: LogTree = EMPTY_TREE
        try:
            with self._writing("open event log") as writer:
                create_schema(writer)
        except BaseException:
            self.close()
            raise

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Append in one durable commit; see `EventLogWriter.append`."""
        return self._append(drafts, cursor, None)

    def prune(self, first_index: int, draft: EntryDraft) -> Appended:
        """Append `draft` and publish the minimum index with it; see `LogPruner.prune`."""
        return self._append([draft], None, first_index)

    def sweep(self, count_max: int) -> int:
        """Remove some of what is below the minimum index; see `LogPruner.sweep`."""
        with self._writing("prune event log") as writer:
            return sweep_entries(writer, count_max)

    def refuse_appends(self, error: BridgeError) -> None:
        """Make every later append through this object raise `error`."""
        self._refusal = error

    def _append(
        self, drafts: Sequence[EntryDraft], cursor: CursorMove | None, minimum: int | None
    ) -> Appended:
        if self._refusal is not None:
            raise self._refusal
        with self._writing("append to event log") as writer:
            try:
                tree = self._tree = begin(writer, self._tree, cursor)
                if cursor is None:
                    drafts = without_known(writer, drafts)
                growth = grow(tree, drafts)
                if minimum is not None:
                    _publish_minimum(writer, minimum, tree.frontier.size)
                stop = self._make_room(writer, growth)
                write(writer, growth)
            except BaseException:
                # On a connection that is broken there is nothing to end.
                with suppress(psycopg.Error):
                    writer.execute("ROLLBACK")
                raise
            self._tree, self._segments_stop = growth.tree, stop
            self._make_room_ahead(writer, growth.head.size)
        return Appended(
            first_index=tree.frontier.size,
            head=growth.head,
            cursor_version=None if cursor is None else cursor.expected_version + 1,
        )

    def _make_room(self, writer: psycopg.Connection[Any], growth: Growth) -> int:
        """Make the segments that `growth` goes to; usually they were made ahead."""
        stop = self._segments_stop
        if growth.head.size > stop:
            stop = segments_stop(writer)
        while growth.head.size > stop:
            add_segment(writer, stop, stop + self._segment_entries)
            stop += self._segment_entries
        return stop

    def _make_room_ahead(self, writer: psycopg.Connection[Any], size: int) -> None:
        """Make the next segment when the last one is half full, in a transaction of its own.

        What hinders it (a lock, a full disk) hinders no append yet: the next one tries again.
        """
        if size < self._segments_stop - self._segment_entries // 2:
            return
        with suppress(psycopg.Error), writer.transaction():
            writer.execute(LOCK_HEAD)
            stop = segments_stop(writer)
            if size >= stop - self._segment_entries // 2:
                add_segment(writer, stop, stop + self._segment_entries)
                stop += self._segment_entries
            self._segments_stop = stop

    def head(self) -> TreeHead:
        """Return the tree over everything appended."""
        [(frontier, root)] = self._read_all(LOAD_HEAD)
        return TreeHead(size=Frontier.from_bytes(frontier).size, root=root)

    def first_index(self) -> int:
        """Return the index of the first entry that is still stored."""
        [(minimum,)] = self._read_all(READ_MINIMUM)
        return int(minimum)

    def read(self, start: int, count_max: int) -> list[StoredEntry]:
        """Return up to `count_max` entries from index `start` on, in order."""
        rows = self._read_all(READ_ENTRIES, start, start + count_max)
        # Indices have no holes, so a read that begins later began below the minimum index.
        first = rows[0][0] if rows else self.first_index()
        if start < first:
            rows = self._read_all(READ_ENTRIES, first, first + count_max)
        return [stored_entry(row) for row in rows]

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        """Return the leaf hashes of `[start, stop)`; fewer when the log ends before."""
        if stop <= start:
            return []
        first, last = start // TILE_HASHES, (stop - 1) // TILE_HASHES
        # One snapshot, so that no tile is completed between the two reads.
        with self._reading() as reader, reader.transaction():
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            tiles = reader.execute(READ_TILES, (first, last), binary=True).fetchall()
            if (None,) in tiles:
                raise pruned_hashes(start, stop)
            hashes = [leaf for (tile,) in tiles for leaf in split_hashes(tile)]
            if len(tiles) <= last - first:
                tree = self._seen = read_tree(reader, LOAD_HEAD, self._seen)
                if tree.frontier.size // TILE_HASHES == first + len(tiles):
                    hashes += tree.tail
        skipped = start - first * TILE_HASHES
        return hashes[skipped : skipped + stop - start]

    def tile_roots(self, level: int, start: int, stop: int) -> list[bytes]:
        """Return the roots of the complete tiles `[start, stop)` of a tile level."""
        return [root for (root,) in self._read_all(READ_ROOTS, level, start, stop)]

    def find(self, entry_id: str) -> StoredEntry | None:
        """Return the entry with this id."""
        rows = self._read_all(FIND_ENTRY, entry_id)
        return stored_entry(rows[0]) if rows else None

    def cursor(self, source: str) -> SourceCursor | None:
        """Return the durable cursor of `source`, or None when it never appended."""
        rows = self._read_all(LOAD_CURSOR, source)
        if not rows:
            return None
        [(version, state)] = rows
        return SourceCursor(source=source, version=version, state=state)

    def change_token(self) -> int:
        """Return a number that differs after an append: the size, one row of one page."""
        [(size,)] = self._read_all(READ_SIZE)
        return int(size)

    def add_checkpoint(self, size: int, note: bytes) -> None:
        """Keep a signed checkpoint over the first `size` entries."""
        with self._writing("keep a checkpoint in event log") as writer:
            writer.execute(STORE_CHECKPOINT, (size, note))

    def latest_checkpoint(self) -> tuple[int, bytes] | None:
        """Return size and note of the newest checkpoint."""
        rows = self._read_all(LATEST_CHECKPOINT)
        return rows[0] if rows else None

    def checkpoints(self, first_size: int, count_max: int) -> list[tuple[int, bytes]]:
        """Return up to `count_max` checkpoints over `first_size` entries or more, by size."""
        return self._read_all(READ_CHECKPOINTS, first_size, count_max)

    def add_token(self, size: int, authority: str, token: bytes) -> None:
        """Keep the time-stamp token of `authority` for the checkpoint at `size`."""
        with self._writing("keep a time-stamp token in event log") as writer:
            writer.execute(KEEP_STAMP, (size, authority, token))

    def tokens(self, size: int) -> dict[str, bytes]:
        """Return the time-stamp tokens of the checkpoint at `size`, by authority."""
        return dict(self._read_all(READ_TOKENS, size))

    def close(self) -> None:
        """Close both connections; may be called twice."""
        with self._append_lock:
            if self._writer is not None:
                self._writer.close()
        with self._read_lock:
            if self._reader is not None:
                self._reader.close()

    @contextmanager
    def _writing(self, what: str) -> Iterator[psycopg.Connection[Any]]:
        """Hold the connection that appends; connect again when it was lost."""
        with self._append_lock, self._explained(what):
            if self._writer is None or self._writer.closed:
                self._writer = self._connect()
            yield self._writer

    @contextmanager
    def _reading(self) -> Iterator[psycopg.Connection[Any]]:
        """Hold the connection that reads; connect again when it was lost."""
        with self._read_lock, self._explained("read event log"):
            if self._reader is None or self._reader.closed:
                self._reader = self._connect()
            yield self._reader

    def _read_all(self, sql: LiteralString, *values: object) -> list[Any]:
        with self._reading() as reader:
            return reader.execute(sql, values, binary=True).fetchall()

    def _connect(self) -> psycopg.Connection[Any]:
        # A server may be set to acknowledge commits before they are on disk; we may not.
        options = (
            f"-c synchronous_commit=on -c lock_timeout={self._lock_timeout_ms}"
            # Every statement is a look by key, whatever the values: planning each anew took twice
            # as long as running it, and longer with every segment.
            " -c plan_cache_mode=force_generic_plan"
        )
        return psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            tcp_user_timeout=TCP_USER_TIMEOUT_MS,
            application_name="legacy-bridge event log",
            options=options,
        )

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as exc:
            raise _explain(what, self._dsn, exc) from exc


def _explain(what: str, dsn: str, exc: psycopg.Error) -> StorageUnavailable | LogCorrupt:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    place = f"database {parts.get('dbname')!r} on {parts.get('host')}:{parts.get('port')}"
    if isinstance(exc, psycopg.errors.DataCorrupted | psycopg.errors.IndexCorrupted):
        return LogCorrupt(f"cannot {what} in {place}: {exc}; restore it from a backup")
    # The server's main line only: its details may hold values of a row.
    cause = exc.diag.message_primary or str(exc).strip() or type(exc).__name__
    remedy = "check that the server runs and that this user may use it; the call is repeated"
    if isinstance(exc, psycopg.errors.LockNotAvailable):
        remedy = "another process holds the log's head; find it in pg_stat_activity"
    elif isinstance(exc, psycopg.errors.DiskFull):
        remedy = "free space on the server's disk; appends resume by themselves"
    return StorageUnavailable(f"cannot {what} in {place}: {cause}; {remedy}")


def _publish_minimum(writer: psycopg.Connection[Any], minimum: int, size: int) -> None:
    row = writer.execute(READ_MINIMUM).fetchone()
    assert row is not None, "the head row is locked"
    check_minimum(minimum, present=row[0], size=size)
    writer.execute(STORE_MINIMUM, (minimum,))
