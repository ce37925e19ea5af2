"""Check a stored log against itself: every row, every hash, the tree.

It shows that the store still holds what was appended. It is no proof to others: for that, export
the log and verify it elsewhere, with the key from outside.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol

import orjson

from bridge.eventlog.leaf import LEAF_VERSION
from bridge.eventlog.merkle import leaf_hash
from bridge.eventlog.ports import EventLogReader, PrunableLog
from bridge.eventlog.stored_hashes import stored_frontier
from bridge.model.entry import StoredEntry, TreeHead
from bridge.model.errors import LogCorrupt

# About 1 MB of entries at a time, whatever the size of the log.
READ_COUNT = 1_000

Progress = Callable[[int, int], None]
"""Hears how many entries are done, of how many."""


class InspectedLog(EventLogReader, PrunableLog, Protocol):
    """What an inspection reads."""


def no_progress(done: int, total: int) -> None:
    """Hear nothing."""


def inspect_log(log: InspectedLog, *, progress: Progress = no_progress) -> TreeHead:
    """Read the whole log, check it, and return the head it was checked against.

    Of a pruned log this is what is left, and the tree over all that ever was.

    Raises:
        LogCorrupt: names the first entry that is not what was appended.
    """
    head = log.head()
    frontier = stored_frontier(log, log.first_index())
    while frontier.size < head.size:
        start = frontier.size
        count = min(READ_COUNT, head.size - start)
        hashes = log.leaf_hashes(start, start + count)
        check_entries(start, log.read(start, count), hashes, count)
        frontier, _ = frontier.extend(hashes)
        progress(frontier.size, head.size)
    if frontier.root() != head.root:
        raise LogCorrupt(
            f"event log is not what was appended: its {head.size} leaf hashes have root "
            f"{frontier.root().hex()[:8]}…, the stored root is {head.root.hex()[:8]}…"
        )
    return head


def check_entries(
    start: int, entries: Sequence[StoredEntry], hashes: Sequence[bytes], count: int
) -> None:
    """Check `count` entries from index `start` on; raises `LogCorrupt` naming the first bad one."""
    for index in range(start, start + count):
        at = index - start
        entry = entries[at] if at < len(entries) else None
        if entry is None or entry.leaf_index != index or at >= len(hashes):
            raise _corrupt(index, "is missing")
        if leaf_hash(entry.leaf) != hashes[at]:
            raise _corrupt(
                index, f"hashes to {leaf_hash(entry.leaf).hex()[:8]}…, not {hashes[at].hex()[:8]}…"
            )
        fields = orjson.loads(entry.leaf)
        if fields["data_sha256"] != sha256(entry.payload).hexdigest():
            raise _corrupt(index, "has another payload than its leaf commits to")
        row = (LEAF_VERSION, index, entry.kind.value, entry.entry_id)
        if (fields["v"], fields["index"], fields["kind"], fields["id"]) != row:
            raise _corrupt(index, "has columns that contradict its leaf")


def _corrupt(index: int, why: str) -> LogCorrupt:
    return LogCorrupt(
        f"event log is not what was appended: entry {index} {why}; "
        "stop appending and compare the store with its last export"
    )
