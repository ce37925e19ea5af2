"""Values are found by their pointers at bounded cost, and their bytes are exactly theirs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.translation.json_text import PARTS_COUNT_MAX, find_value

TEXTS = st.text(alphabet=st.sampled_from('ab"\\{}[]:, \n\u00e9\u2028'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=25,
)


@given(before=VALUES, wanted=VALUES, after=VALUES, ascii_only=st.booleans())
def test_whatever_stands_beside_it_a_value_is_found(
    before: Any, wanted: Any, after: Any, ascii_only: bool
) -> None:
    document = {"before": before, "wanted": [after, {"here": wanted}], "after": after}
    text = json.dumps(document, ensure_ascii=ascii_only, indent=1).encode()
    span = find_value(text, "/wanted/1/here")
    assert span is not None
    assert json.loads(text[span[0] : span[1]]) == wanted


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' + b"[" * 2_000_000 + b'],"wanted":7}',
        b'{"a":' + b"[" * 2_000_000 + b"]" * 2_000_000 + b',"wanted":7}',
        b'{"a":"' + b"x" * 1_000_000 + b',"wanted":7}',
        b"{" + b'"a":[[]],' * (PARTS_COUNT_MAX + 1) + b'"wanted":7}',
        b"{" + b'"a":1,' * (PARTS_COUNT_MAX + 1) + b'"wanted":7}',
    ],
    ids=["open", "deep", "string", "members", "scalars"],
)
def test_what_is_made_to_keep_us_busy_is_not_read_to_its_end(text: bytes) -> None:
    assert find_value(text, "/wanted") is None


def test_a_large_body_is_read_to_its_end() -> None:
    items = b",".join(b'{"id":%d,"tags":["a","}"]}' % number for number in range(100_000))
    text = b'{"items":[' + items + b'],"note":"' + b'\\"x' * 500_000 + b'","wanted":7}'
    span = find_value(text, "/wanted")
    assert span is not None
    assert text[span[0] : span[1]] == b"7"
