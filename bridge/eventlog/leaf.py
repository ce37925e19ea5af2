"""Leaves: the exact bytes of an entry that the tree commits to.

A leaf is one JSON object with sorted keys and no spaces, written once and never re-serialised:
`{"data_sha256":…,"entity":…,"fields":{…},"id":…,"index":…,"kind":…,"v":2}`, without `entity` where
an entry belongs to none. It commits to the payload by its SHA-256 and holds neither payload nor
partition key but a pseudonym of it, so it can be shown to anybody. Because the keys
are fixed, the payload's hash always stands at the same place and the index always near the end: a
verifier reads both without parsing.
"""

from binascii import hexlify
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from bridge.model.entry import EntryDraft
from bridge.model.errors import LimitExceeded

LEAF_VERSION = 2

# C2SP tlog-tiles gives an entry a 16-bit length.
LEAF_BYTES_MAX = 65_535

# As a number: looking for a byte is four times as quick as looking for bytes of length one.
_LINE_FEED = ord("\n")

PAYLOAD_HASH_SPAN = slice(16, 80)
"""Where the payload's SHA-256 (lower-case hex) stands in every leaf of version 2."""


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """Return the JSON of an entry's fields, as its leaf holds it."""
    return orjson.dumps(fields, default=dict, option=orjson.OPT_SORT_KEYS)


def make_leaf(draft: EntryDraft, index: int, fields_json: bytes | None = None) -> bytes:
    """Return the leaf of `draft` at `index`; `fields_json` is what `encode_fields` makes of its
    fields, for who has it already.

    Raises:
        LimitExceeded: the leaf is longer than `LEAF_BYTES_MAX`; its `fields` hold too much.
    """
    kind, entry_id, fields, payload, _, _, entity = draft
    # One payload is one line of an export; JSON text never needs a raw line feed.
    assert _LINE_FEED not in payload, f"payload of entry {entry_id!r} holds a line feed"
    leaf = b'{"data_sha256":"%b",%b"fields":%b,"id":%b,"index":%d,"kind":"%b","v":2}' % (
        hexlify(sha256(payload).digest()),
        b"" if entity is None else b'"entity":%b,' % orjson.dumps(entity),
        fields_json or encode_fields(fields),
        orjson.dumps(entry_id),
        index,
        kind._value_.encode(),
    )
    if len(leaf) > LEAF_BYTES_MAX:
        raise LimitExceeded(
            f"cannot append entry {entry_id!r}: its leaf has {len(leaf)} bytes, at most "
            f"{LEAF_BYTES_MAX} are allowed; move what its fields hold into the payload"
        )
    return leaf


def payload_hash(leaf: bytes) -> bytes:
    """Return the payload's SHA-256 that `leaf` commits to, as lower-case hex."""
    return leaf[PAYLOAD_HASH_SPAN]
