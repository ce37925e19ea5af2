"""The steps of an append to the event log in PostgreSQL, in as few round trips as they need.

Four for a large batch: begin, lock and cursor; two for COPY; the rest and commit. Two for a small
one, which goes in with the rest.
"""

from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from bridge.eventlog.merkle import EMPTY_FRONTIER, EMPTY_ROOT, Frontier
from bridge.eventlog.refusals import repeated_entry, stale_cursor
from bridge.eventlog.tree import (
    TILE_HASHES,
    Growth,
    LogTree,
    first_of_each,
    restore_tree,
)
from bridge.model.entry import CursorMove, EntryDraft
from bridge.model.errors import ConfigInvalid, LogCorrupt
from bridge.storage.event_log.postgres_sql import (
    ATTACH_SEGMENT,
    COPY_ENTRIES,
    CREATE_SEGMENT,
    ENTRY_TYPES,
    FREE_SEGMENT,
    INSERT_ENTRY,
    INSERT_ID,
    INSERT_TILE,
    KNOWN_IDS,
    LIST_SEGMENT,
    LOAD_CURSOR,
    LOAD_TAIL,
    LOCK_HEAD,
    MOVE_CURSOR,
    SCHEMA,
    SCHEMA_FOUND,
    SCHEMA_LOCK,
    SCHEMA_VERSION,
    SEGMENTS_STOP,
    START_CURSOR,
    START_HEAD,
    STORE_HEAD,
    STORE_IDS,
    VERSION_FOUND,
)

Writer = psycopg.Connection[Any]

# Up to here single statements in a pipeline are quicker than the two round trips of a COPY.
SMALL_BATCH = 8


def create_schema(writer: Writer) -> None:
    """Create the schema once, over all processes that connect.

    Raises:
        ConfigInvalid: the schema there belongs to another version.
    """
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
            f"{version}, needed is {SCHEMA_VERSION}; export it with the version of legacy-bridge "
            "that made it, and begin a new log in another database (there is no upgrade before 1.0)"
        )


def begin(writer: Writer, known: LogTree, cursor: CursorMove | None) -> LogTree:
    """Begin a transaction, lock the head, move the cursor; return the tree under the lock.

    Whoever holds the head is the only appender.

    Raises:
        StaleCursor: the cursor is not where the appender left it.
    """
    with writer.pipeline():
        writer.execute("BEGIN")
        head = writer.execute(LOCK_HEAD, binary=True)
        moved = None
        if cursor is not None and cursor.expected_version == 0:
            moved = writer.execute(START_CURSOR, (cursor.source, cursor.state))
        elif cursor is not None:
            values = (cursor.state, cursor.source, cursor.expected_version)
            moved = writer.execute(MOVE_CURSOR, values)
    if cursor is not None and moved is not None and moved.rowcount != 1:
        row = writer.execute(LOAD_CURSOR, (cursor.source,)).fetchone()
        raise stale_cursor(cursor, 0 if row is None else row[0])
    return tree_of(writer, head.fetchone(), known)


def read_tree(connection: Writer, load_head: LiteralString, known: LogTree) -> LogTree:
    """Return the tree as the current transaction sees it: `known` when that is still it."""
    return tree_of(connection, connection.execute(load_head, binary=True).fetchone(), known)


def tree_of(connection: Writer, head: tuple[bytes, bytes] | None, known: LogTree) -> LogTree:
    """Return the tree of a head row: `known` when that is still it."""
    if head is None:
        raise LogCorrupt(
            "cannot use schema 'bridge_log': its head row is gone; restore it from a backup"
        )
    frontier = Frontier.from_bytes(head[0])
    if frontier == known.frontier:
        return known
    first = frontier.size - frontier.size % TILE_HASHES
    leaves = connection.execute(LOAD_TAIL, (first, frontier.size), binary=True).fetchall()
    return restore_tree(frontier, [leaf for (leaf,) in leaves])


def without_known(writer: Writer, drafts: Sequence[EntryDraft]) -> Sequence[EntryDraft]:
    """Return the drafts whose ids are new, each id once."""
    new = first_of_each(drafts)
    for (known,) in writer.execute(KNOWN_IDS, (list(new),)).fetchall():
        del new[known]
    return list(new.values())


def write(writer: Writer, growth: Growth) -> None:
    """Write what an append adds, and commit."""
    if not growth.rows:
        writer.execute("COMMIT")
        return
    small = len(growth.rows) <= SMALL_BATCH
    if not small:
        with writer.cursor() as cursor, cursor.copy(COPY_ENTRIES) as copy:
            copy.set_types(ENTRY_TYPES)
            for row in growth.rows:
                copy.write_row(row)
    frontier = growth.tree.frontier
    try:
        with writer.pipeline():
            if small:
                for row in growth.rows:
                    writer.execute(INSERT_ENTRY, row)
                    writer.execute(INSERT_ID, (row[2], row[0]))
            else:
                writer.execute(STORE_IDS, (growth.rows[0][0], frontier.size))
            for tile in growth.tiles:
                writer.execute(INSERT_TILE, tile)
            writer.execute(STORE_HEAD, (frontier.size, frontier.to_bytes(), growth.head.root))
            writer.execute("COMMIT")
    except psycopg.errors.UniqueViolation as exc:
        raise repeated_entry(growth.rows, exc) from exc


def segments_stop(writer: Writer) -> int:
    """Return the index before which every entry has a segment to go to."""
    row = writer.execute(SEGMENTS_STOP).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0])


def add_segment(writer: Writer, start: int, stop: int) -> None:
    """Make the segment of `[start, stop)`; the caller holds the head's lock."""
    for statement in (CREATE_SEGMENT, ATTACH_SEGMENT, FREE_SEGMENT):
        writer.execute(segment_sql(statement, start, stop))
    writer.execute(LIST_SEGMENT, (start, stop))


def segment_sql(statement: LiteralString, start: int, stop: int) -> sql.Composed:
    """Return a statement about the segment of `[start, stop)`."""
    return sql.SQL(statement).format(
        segment=sql.Identifier("bridge_log", f"entries_{start:015d}"),
        start=sql.Literal(start),
        stop=sql.Literal(stop),
    )
