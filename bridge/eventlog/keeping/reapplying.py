"""Destroy again what the log says is destroyed: a restored backup of keys comes back to life.

The store knows up to which index it has followed the log; an older store knows an older one.
"""

import json
from typing import Final

from bridge.eventlog.keeping.ports import SubjectKeyStore
from bridge.eventlog.ports import EventLogReader
from bridge.model.entry import EntryKind
from bridge.model.warrant import Outcome

_PAGE_ENTRIES: Final = 2_000
_DESTROYING: Final = frozenset((EntryKind.ERASURE, EntryKind.RETENTION))


def reapply(store: SubjectKeyStore, log: EventLogReader) -> int:
    """Bring the store up to the log; return how many keys had come back and are destroyed again."""
    first, stop = store.first_since(), log.head().size
    index = stop if first is None else max(first, store.applied_through())
    revived = 0
    while index < stop:
        entries = log.read(index, min(_PAGE_ENTRIES, stop - index))
        if not entries:
            break
        for entry in entries:
            if entry.kind not in _DESTROYING:
                continue
            told = json.loads(entry.leaf)["fields"]
            if told.get("outcome") != Outcome.DONE.value:
                continue
            alive = [key_id for key_id in told.get("keys", ()) if _is_alive(store, key_id)]
            # Also when none is alive: who destroyed them may have died before their last trace
            # was gone.
            revived += store.destroy(alive, entry.entry_id)
        index = entries[-1].leaf_index + 1
    if index > store.applied_through():
        store.set_applied(index)
    return revived


def _is_alive(store: SubjectKeyStore, key_id: str) -> bool:
    found = store.get(key_id)
    return found is not None and found.wrapped is not None
