"""Durable appends with the Merkle tree, against plain inserts of the very same rows.

Both sides use the same file settings (WAL, `synchronous=FULL`), the same table and indexes, the
same batches of 1,000, and copy the write-ahead log back in the same way; ours also makes each leaf
from its draft, hashes payload, leaf and tree, and moves the source's cursor. 30,000 events of about
650 bytes a run; the two take turns in going first.
"""

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bridge.eventlog.tree import EMPTY_TREE, EntryRow, grow
from bridge.model.entry import CursorMove, EntryDraft, EntryKind
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.event_log.sqlite_sql import INSERT_ENTRY

NAME = "log_append"
RUNS = 5
EVENTS = 30_000
BATCH = 1_000
TARGET, MOONSHOT = 0.6, 0.9


def make_drafts() -> list[EntryDraft]:
    """Return drafts like those of capture, about 650 bytes of payload each."""
    drafts = []
    for number in range(EVENTS):
        position = f"{number:016X}"
        fields = {
            "source": "shop",
            "type": "com.example.shop.order.updated.v1",
            "dataschema": "urn:legacy-bridge:contract:shop.order:1.0",
            "time": "2026-01-01T00:00:00Z",
            "position": {"lsn": position, "xid": number, "table": "public.t_ord_hdr", "op": "u"},
        }
        payload = b'{"data":{"after":{"order_id":%d,"memo":"%b"}}}' % (number, b"x" * 600)
        drafts.append(
            EntryDraft(
                EntryKind.EVENT,
                f"shop:{position}:00000000",
                fields,
                payload,
                "shop.order.updated.v1",
                f'{{"order_id":{number}}}',
            )
        )
    return drafts


def append_s(folder: Path, drafts: list[EntryDraft]) -> float:
    """Return the seconds that our appends take."""
    log = SqliteEventLog(folder / "ours.db")
    log.append([], cursor=CursorMove("shop", 0, b"{}"))
    started = time.perf_counter()
    for version, start in enumerate(range(0, EVENTS, BATCH), start=1):
        log.append(drafts[start : start + BATCH], cursor=CursorMove("shop", version, b"{}"))
    took_s = time.perf_counter() - started
    assert log.head().size == EVENTS
    log.close()
    return took_s


def insert_s(folder: Path, rows: list[EntryRow]) -> float:
    """Return the seconds that plain inserts of the same rows take."""
    log = SqliteEventLog(folder / "plain.db")
    log.append([], cursor=CursorMove("shop", 0, b"{}"))
    writer, wal = log._writer, log._wal
    assert isinstance(writer, sqlite3.Connection)
    assert wal is not None
    started = time.perf_counter()
    for start in range(0, EVENTS, BATCH):
        batch = rows[start : start + BATCH]
        writer.execute("BEGIN IMMEDIATE")
        writer.executemany(INSERT_ENTRY, batch)
        writer.execute("COMMIT")
        wal.written(batch)
    took_s = time.perf_counter() - started
    assert len(log.read(EVENTS - 5, 10)) == 5
    log.close()
    return took_s


def run() -> dict[str, Any]:
    """Measure, and return the row for the table."""
    drafts = make_drafts()
    rows = grow(EMPTY_TREE, drafts).rows
    ours, plain = [], []
    for number in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="lb-bench-") as name:
            folder = Path(name)
            if number % 2:
                plain.append(EVENTS / insert_s(folder, rows))
                ours.append(EVENTS / append_s(folder, drafts))
            else:
                ours.append(EVENTS / append_s(folder, drafts))
                plain.append(EVENTS / insert_s(folder, rows))
    ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    return {
        "name": NAME,
        "value": round(statistics.median(ours)),
        "unit": "events/s",
        "against": "plain inserts of the same rows",
        "against_value": round(statistics.median(plain)),
        "ratio": round(statistics.median(ratios), 3),
        "target": TARGET,
        "moonshot": MOONSHOT,
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
    }


if __name__ == "__main__":
    print(run())
