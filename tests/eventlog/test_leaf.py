"""Leaves: exact bytes, and nothing in them that may not be shown."""

import json
from hashlib import sha256
from types import MappingProxyType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.eventlog.leaf import LEAF_BYTES_MAX, make_leaf, payload_hash
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import LimitExceeded
from tests.eventlog.drafts import draft
from tests.eventlog.examples import EXAMPLES

texts = st.text(st.characters(codec="utf-8"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@EXAMPLES
@given(
    kind=st.sampled_from(EntryKind),
    entry_id=texts,
    fields=st.dictionaries(texts, json_values, max_size=5),
    payload=st.binary(max_size=50).map(lambda data: data.replace(b"\n", b" ")),
    entity=st.none() | texts,
    index=st.integers(0, 2**63 - 1),
)
def test_a_leaf_is_the_sorted_json_of_its_object(
    kind: EntryKind,
    entry_id: str,
    fields: dict[str, object],
    payload: bytes,
    entity: str | None,
    index: int,
) -> None:
    leaf = make_leaf(EntryDraft(kind, entry_id, fields, payload, "key", "person", entity), index)
    whole = {
        "v": 2,
        "index": index,
        "kind": kind.value,
        "id": entry_id,
        "data_sha256": sha256(payload).hexdigest(),
        "fields": fields,
    } | ({} if entity is None else {"entity": entity})
    assert leaf == orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)
    assert json.loads(leaf) == whole
    assert payload_hash(leaf).decode() == whole["data_sha256"]
    assert b"\n" not in leaf


def test_fields_may_be_any_mapping() -> None:
    frozen = draft(1)._replace(fields=MappingProxyType({"b": 1, "a": MappingProxyType({})}))
    assert b'"fields":{"a":{},"b":1}' in make_leaf(frozen, 0)


def test_the_limit_of_a_leaf_is_exact() -> None:
    room = LEAF_BYTES_MAX - len(make_leaf(draft(1)._replace(fields={"pad": ""}), 7))
    fitting = draft(1)._replace(fields={"pad": "x" * room})
    assert len(make_leaf(fitting, 7)) == LEAF_BYTES_MAX
    with pytest.raises(LimitExceeded, match="65536 bytes"):
        make_leaf(draft(1)._replace(fields={"pad": "x" * (room + 1)}), 7)


def test_a_payload_is_one_line() -> None:
    with pytest.raises(AssertionError, match="line feed"):
        make_leaf(draft(1)._replace(payload=b"{\n}"), 0)
