"""Whatever an event holds, unsealed it is the event that was taken apart."""

from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts.subjects import SubjectRule, Taking
from bridge.eventlog.keeping.keyring import Keyring
from bridge.eventlog.keeping.sealer import Sealer
from bridge.eventlog.keeping.unsealer import Unsealer
from bridge.eventlog.leaf import make_leaf
from bridge.model.entry import EntryDraft, EntryKind, StoredEntry
from bridge.model.pseudonym import Pseudonyms
from bridge.storage.subject_keys.memory import MemorySubjectKeys
from tests.eventlog.keeping.test_keyring import NoMaster

RULES = (
    SubjectRule(kind="customer", id="who", fields=("name", "doc"), record_class="c"),
    SubjectRule(kind="clerk", id="clerk", fields=("memo",), record_class="d"),
)
# Texts that look like what is searched for.
WORDS = st.sampled_from(
    [
        '"',
        "\\",
        "{",
        "}",
        ",",
        ',"sealed":"',
        '","sealedpaths":"',
        ',"after":{',
        ',"data":{"key":',
        "é",
    ]
)
TEXT = (
    st.lists(WORDS | st.text(max_size=3), max_size=4)
    .map("".join)
    .map(lambda text: text.encode("utf-8", "replace").decode())
)
NAMES = st.sampled_from(["sealed", "sealedpaths", "after", "before", "key", "data", "x"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda below: st.lists(below, max_size=2) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=6,
)
ROW = st.fixed_dictionaries(
    {"id": st.integers(1, 9)},
    optional={
        "name": TEXT, "doc": JSON, "memo": TEXT, "open": JSON,
        "who": st.none() | st.integers(1, 3), "clerk": st.none() | TEXT,
    },
)  # fmt: skip
DATA = st.fixed_dictionaries(
    {"key": st.none() | st.fixed_dictionaries({"id": st.integers(1, 9) | TEXT})},
    optional={"after": ROW, "before": ROW},
)


@settings(max_examples=100, deadline=None)
@given(DATA, TEXT)
def test_what_is_taken_out_comes_back(data: dict[str, Any], said: str) -> None:
    keyring = Keyring(MemorySubjectKeys(), NoMaster())
    sealer = Sealer(lambda: keyring, Pseudonyms(b"p" * 32))
    rest, portions = Taking(RULES).take(data, "e:1")
    attributes, marks = sealer.seal("e:1", datetime(2026, 1, 1, tzinfo=UTC), portions)
    if not portions:
        return
    payload = b'{"id":"e:1","partitionkey":%b,"data":%b%b,"actor":%b}' % (
        orjson.dumps(said), orjson.dumps(rest), attributes, orjson.dumps(said),
    )  # fmt: skip
    fields = {"sealed": [mark.as_json() for mark in marks], "who": said}
    draft = EntryDraft(EntryKind.EVENT, "e:1", fields, payload)
    entry = StoredEntry(0, EntryKind.EVENT, "e:1", None, None, make_leaf(draft, 0), payload)
    (clear,) = Unsealer(lambda: keyring).unsealed([entry])
    told = orjson.loads(clear.payload)
    assert told == {"id": "e:1", "partitionkey": said, "data": data, "actor": said}
