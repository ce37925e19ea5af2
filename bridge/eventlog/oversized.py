"""Entries whose leaf would be too large: what their fields hold moves into the payload. Pure.

A pending entry records something that has happened, so it must get into the log whatever its size,
and it must not keep those behind it waiting.
"""

from typing import Any, Final

import orjson

from bridge.eventlog.leaf import LEAF_BYTES_MAX, encode_fields, make_leaf
from bridge.model.entry import EntryDraft
from bridge.model.errors import LimitExceeded

# As many digits as an index can have.
_INDEX_MAX: Final = 2**63 - 1

# What people look for first; small, unless one of them is the very thing that is too large.
_KEPT: Final = ("action", "actor", "outcome", "ticket", "time", "recordedtime", "source", "type")
_KEPT_BYTES_MAX: Final = 512


def fits(draft: EntryDraft) -> bool:
    """Return whether a leaf can hold `draft`, at any index."""
    try:
        make_leaf(draft, _INDEX_MAX)
    except LimitExceeded:
        return False
    return True


def slimmed(draft: EntryDraft) -> EntryDraft:
    """Return `draft` with its fields in the payload, where there is no such limit.

    The leaf says so (`oversized`: how many bytes they have), keeps kind and id, and commits to the
    payload as always: `{"fields": …, "payload": …}`.
    """
    whole = encode_fields(draft.fields)
    kept: dict[str, Any] = {
        name: draft.fields[name]
        for name in _KEPT
        if name in draft.fields and len(orjson.dumps(draft.fields[name])) <= _KEPT_BYTES_MAX
    }
    return draft._replace(
        fields={**kept, "oversized": {"bytes": len(whole), "bytes_max": LEAF_BYTES_MAX}},
        payload=b'{"fields":%b,"payload":%b}' % (whole, draft.payload),
    )
