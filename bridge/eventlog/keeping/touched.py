"""Which entries hold fields under given keys: counted from the leaves, so anybody can recount."""

import json
from collections.abc import Callable, Collection
from hashlib import sha256
from typing import Final, NamedTuple

from bridge.eventlog.keeping.sealed_form import is_sealed
from bridge.eventlog.ports import EventLogReader

# A page of the log in memory at once.
_PAGE_ENTRIES: Final = 2_000

Progress = Callable[[int, int], None]
"""Told how many entries were looked at, and of how many."""


class Touched(NamedTuple):
    """Entries of a stretch of the log that hold fields under certain keys."""

    events: int
    digest: str
    """SHA-256 over their indices, ascending, 8 bytes big-endian each; lower-case hex."""
    start: int
    stop: int
    """The stretch that was looked at: `[start, stop)`."""


def touched(
    log: EventLogReader,
    key_ids: Collection[str],
    start: int,
    progress: Progress = lambda done, total: None,
) -> Touched:
    """Count the entries from `start` on that hold fields under one of `key_ids`."""
    wanted = frozenset(key_ids)
    hashed, count, index, stop = sha256(), 0, start, log.head().size
    while index < stop:
        entries = log.read(index, min(_PAGE_ENTRIES, stop - index))
        if not entries:
            break
        for entry in entries:
            if is_sealed(entry.leaf) and not wanted.isdisjoint(sealed_keys(entry.leaf)):
                hashed.update(entry.leaf_index.to_bytes(8, "big"))
                count += 1
        index = entries[-1].leaf_index + 1
        progress(index - start, stop - start)
    return Touched(count, hashed.hexdigest(), start, stop)


def sealed_keys(leaf: bytes) -> list[str]:
    """Return the ids of the keys that an entry's fields are sealed under."""
    return [mark["key"] for mark in json.loads(leaf)["fields"].get("sealed", ())]
