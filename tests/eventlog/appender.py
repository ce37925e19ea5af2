"""A process that appends in a loop until it is killed, and says what was acknowledged.

    python -m tests.eventlog.appender sqlite|postgres PLACE SOURCE [BATCHES]

It prints the number of entries of its source after each append that returned.
"""

import itertools
import json
import sys
from pathlib import Path

from bridge.eventlog.ports import EventLogStore
from bridge.model.entry import CursorMove
from bridge.storage.event_log import sqlite_wal as sqlite_event_log_wal
from bridge.storage.event_log.postgres import PostgresEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.eventlog.drafts import drafts


def open_store(kind: str, place: str) -> EventLogStore:
    """Open the log that both the test and its processes use."""
    return SqliteEventLog(Path(place)) if kind == "sqlite" else PostgresEventLog(place)


def main(kind: str, place: str, source: str, batches: str = "0") -> None:
    """Continue after the source's cursor."""
    # Small, so that kills fall into the copying back of SQLite's write-ahead log, too.
    sqlite_event_log_wal.WAL_BYTES = 200_000
    log = open_store(kind, place)
    cursor = log.cursor(source)
    version, made = (0, 0) if cursor is None else (cursor.version, json.loads(cursor.state)["made"])
    for batch in itertools.count(1):
        # Batches of very different sizes, so that kills fall into all parts of an append.
        count = (batch * 37) % 300 + 1
        state = b'{"made":%d}' % (made + count)
        log.append(
            drafts(made, made + count, source=source), cursor=CursorMove(source, version, state)
        )
        made, version = made + count, version + 1
        print(made, flush=True)
        if batch == int(batches):
            break
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
