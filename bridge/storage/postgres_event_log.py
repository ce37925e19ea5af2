"""The event log in the gateway's own PostgreSQL: for several replicas.

An append locks the head row, so indices follow commit order over all appenders; entries go in by
COPY. Everything lives in the schema `bridge_log`, which is made when it is missing. One object may
be shared by threads: appends queue on one connection, reads on another.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import psycopg.conninfo

from bridge.eventlog.merkle import EMPTY_FRONTIER, EMPTY_ROOT, Frontier
from bridge.eventlog.refusals import repeated_entry, stale_cursor
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
from bridge.model.errors import ConfigInvalid, LogCorrupt, StorageUnavailable
from bridge.storage.postgres_event_log_sql import (
    COPY_ENTRIES,
    ENTRY_TYPES,
    FIND_ENTRY,
    INSERT_TILE,
    KEEP_STAMP,
    KNOWN_IDS,
    LATEST_CHECKPOINT,
    LOAD_CURSOR,
    LOAD_HEAD,
    LOAD_TAIL,
    LOCK_HEAD,
    MOVE_CURSOR,
    READ_CHECKPOINTS,
    READ_ENTRIES,
    READ_ROOTS,
    READ_SIZE,
    READ_TILES,
    READ_TOKENS,
    SCHEMA,
    SCHEMA_FOUND,
    SCHEMA_LOCK,
    SCHEMA_VERSION,
    START_CURSOR,
    START_HEAD,
    STORE_CHECKPOINT,
    STORE_HEAD,
    VERSION_FOUND,
)

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

    def __init__(self, dsn: str, *, lock_timeout_ms: int = LOCK_TIMEOUT_MS_DEFAULT) -> None:
        self._dsn = dsn
        self._lock_timeout_ms = lock_timeout_ms
        self._append_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer: psycopg.Connection[Any] | None = None
        self._reader: psycopg.Connection[Any] | None = None
        # The tree as of our last append; valid while the stored frontier is the same.
        self._tree: LogTree = EMPTY_TREE
        try:
            with self._writing("open event log") as writer:
                _create_schema(writer)
        except BaseException:
            self.close()
            raise

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Append in one durable commit; see `EventLogWriter.append`."""
        with self._writing("append to event log") as writer:
            with writer.transaction():
                # First the head, then all else: whoever holds it is the only appender.
                tree = self._tree = _read_tree(writer, LOCK_HEAD, known=self._tree)
                if cursor is None:
                    drafts = _without_known(writer, drafts)
                else:
                    _move_cursor(writer, cursor)
                growth = grow(tree, drafts)
                if growth.rows:
                    _write(writer, growth)
            self._tree = growth.tree
        return Appended(
            first_index=tree.frontier.size,
            head=growth.head,
            cursor_version=None if cursor is None else cursor.expected_version + 1,
        )

    def head(self) -> TreeHead:
        """Return the tree over everything appended."""
        [(frontier, root)] = self._read_all(LOAD_HEAD)
        return TreeHead(size=Frontier.from_bytes(frontier).size, root=root)

    def first_index(self) -> int:
        """Return the index of the first entry that is still stored."""
        return 0

    def read(self, start: int, count_max: int) -> list[StoredEntry]:
        """Return up to `count_max` entries from index `start` on, in order."""
        return [stored_entry(row) for row in self._read_all(READ_ENTRIES, start, count_max)]

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        """Return the leaf hashes of `[start, stop)`; fewer when the log ends before."""
        if stop <= start:
            return []
        first, last = start // TILE_HASHES, (stop - 1) // TILE_HASHES
        # One snapshot, so that no tile is completed between the two reads.
        with self._reading() as reader, reader.transaction():
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            tiles = reader.execute(READ_TILES, (first, last), binary=True).fetchall()
            hashes = [leaf for (tile,) in tiles for leaf in split_hashes(tile)]
            if len(tiles) <= last - first:
                tree = _read_tree(reader, LOAD_HEAD)
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
        options = f"-c synchronous_commit=on -c lock_timeout={self._lock_timeout_ms}"
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


def _create_schema(writer: psycopg.Connection[Any]) -> None:
    """Create the schema once, over all processes that connect."""
    [found] = writer.execute(SCHEMA_FOUND).fetchone() or [False]
    if not found:
        with writer.transaction():
            # CREATE … IF NOT EXISTS still fails when two run at once; so one at a time.
            writer.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            writer.execute(SCHEMA)
            writer.execute(START_HEAD, (SCHEMA_VERSION, EMPTY_FRONTIER.to_bytes(), EMPTY_ROOT))
    row = writer.execute(VERSION_FOUND).fetchone()
    version = None if row is None else row[0]
    if version != SCHEMA_VERSION:
        raise ConfigInvalid(
            f"cannot use schema 'bridge_log' of database {writer.info.dbname!r}: it has version "
            f"{version}, needed is {SCHEMA_VERSION}; use the matching version of legacy-bridge"
        )


def _read_tree(
    connection: psycopg.Connection[Any], load_head: LiteralString, *, known: LogTree = EMPTY_TREE
) -> LogTree:
    """Return the tree as the current transaction sees it: `known` when that is still it."""
    row = connection.execute(load_head, binary=True).fetchone()
    if row is None:
        raise LogCorrupt(
            "cannot use schema 'bridge_log': its head row is gone; restore it from a backup"
        )
    frontier = Frontier.from_bytes(row[0])
    if frontier == known.frontier:
        return known
    first = frontier.size - frontier.size % TILE_HASHES
    leaves = connection.execute(LOAD_TAIL, (first,), binary=True).fetchall()
    return restore_tree(frontier, [leaf for (leaf,) in leaves])


def _without_known(
    writer: psycopg.Connection[Any], drafts: Sequence[EntryDraft]
) -> Sequence[EntryDraft]:
    """Return the drafts whose ids are new, each id once."""
    new = first_of_each(drafts)
    for (known,) in writer.execute(KNOWN_IDS, (list(new),)).fetchall():
        del new[known]
    return list(new.values())


def _move_cursor(writer: psycopg.Connection[Any], move: CursorMove) -> None:
    """Move the cursor of a source, or raise `StaleCursor` when it is not where we left it."""
    if move.expected_version == 0:
        moved = writer.execute(START_CURSOR, (move.source, move.state)).rowcount
    else:
        values = (move.state, move.source, move.expected_version)
        moved = writer.execute(MOVE_CURSOR, values).rowcount
    if moved != 1:
        row = writer.execute(LOAD_CURSOR, (move.source,)).fetchone()
        raise stale_cursor(move, 0 if row is None else row[0])


def _write(writer: psycopg.Connection[Any], growth: Growth) -> None:
    """Write what an append adds."""
    with writer.cursor() as cursor:
        try:
            with cursor.copy(COPY_ENTRIES) as copy:
                copy.set_types(ENTRY_TYPES)
                for row in growth.rows:
                    copy.write_row(row)
        except psycopg.errors.UniqueViolation as exc:
            raise repeated_entry(growth.rows, exc) from exc
        if growth.tiles:
            cursor.executemany(INSERT_TILE, growth.tiles)
        frontier = growth.tree.frontier
        cursor.execute(STORE_HEAD, (frontier.size, frontier.to_bytes(), growth.head.root))
