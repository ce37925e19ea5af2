"""Members of JSON text are changed in place: what a rule names, and no other byte."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.routes.sections.rewriting import BodyRules
from bridge.gateway.translation.json_edit import edited
from bridge.gateway.translation.json_text import PLACES_COUNT_MAX, find_values

TEXT = b'{"a": 1.50, "b":[ {"q":1,"x":2}, {"q":3} ], "c": {"d":"e"}, "n":{} }'


@pytest.mark.parametrize(
    ("rules", "result"),
    [
        ({"rename": {"/a": "A"}}, TEXT.replace(b'"a"', b'"A"')),
        ({"rename": {"/b/*/q": "Q"}}, TEXT.replace(b'"q"', b'"Q"')),
        ({"remove": ["/a"]}, TEXT.replace(b'"a": 1.50, ', b"")),
        ({"remove": ["/n"]}, TEXT.replace(b', "n":{}', b"")),
        ({"remove": ["/b/*/x"]}, TEXT.replace(b',"x":2', b"")),
        ({"remove": ["/b/0"]}, TEXT.replace(b'{"q":1,"x":2}, ', b"")),
        ({"remove": ["/b/1"]}, TEXT.replace(b', {"q":3}', b"")),
        ({"remove": ["/b/*"]}, TEXT.replace(b'{"q":1,"x":2}, {"q":3}', b"")),
        ({"remove": ["/a", "/b", "/c", "/n"]}, b"{ }"),
        ({"set": {"/a": 2}}, TEXT.replace(b"1.50", b"2")),
        ({"set": {"/n/y": [1, "ü"]}}, TEXT.replace(b'"n":{}', '"n":{"y":[1,"ü"]}'.encode())),
        ({"set": {"/z/y": None}}, TEXT.replace(b'"n":{}', b'"n":{},"z":{"y":null}')),
        ({"set": {"/b/*/q": 0}}, TEXT.replace(b'"q":1', b'"q":0').replace(b'"q":3', b'"q":0')),
        (
            {"set": {"/b/*/n": True}},
            TEXT.replace(b'"x":2', b'"x":2,"n":true').replace(b'"q":3', b'"q":3,"n":true'),
        ),
        (
            {"move": {"/c/d": "/e/f"}},
            TEXT.replace(b'"d":"e"', b"").replace(b'"n":{}', b'"n":{},"e":{"f":"e"}'),
        ),
        (
            {"move": {"/a": "/c/a"}},
            TEXT.replace(b'"a": 1.50, ', b"").replace(b'"d":"e"', b'"d":"e","a":1.50'),
        ),
        ({"remove": ["/nope", "/a/b", "/b/9"]}, TEXT),
        ({"rename": {"/b/0": "x", "/nope": "y"}}, TEXT),
        ({"set": {"/a/b": 1, "/b/nope": 1}}, TEXT),
        ({"move": {"/nope": "/x"}}, TEXT),
    ],
)
def test_only_what_is_named_changes(rules: dict[str, Any], result: bytes) -> None:
    assert edited(TEXT, BodyRules.model_validate(rules)) == result


def test_a_repeated_name_is_removed_every_time() -> None:
    """A member that is left would count for a reader that takes the first."""
    rules = BodyRules(remove=("/a",))
    assert edited(b'{"a":1,"b":2,"\\u0061":3}', rules) == b'{"b":2}'


@pytest.mark.parametrize("text", [b"", b"x", b"[", b'{"a"', b'{"a":', b"\x1f\x8b\x08", b'"s"'])
def test_what_is_no_json_stays(text: bytes) -> None:
    rules = BodyRules(
        rename={"/a": "b"}, move={"/a": "/c"}, remove=("/a", "/*"), set={"/a": 1, "/b/c": 2}
    )
    assert edited(text, rules) == text


@given(text=st.binary(max_size=40) | st.text('{}[]",:a1 \\', max_size=40).map(str.encode))
def test_no_bytes_are_an_error(text: bytes) -> None:
    edited(
        text,
        BodyRules(
            rename={"/a": "b", "/*/a": "c"},
            move={"/a": "/c/d"},
            remove=("/a", "/0", "/*"),
            set={"/a": 1, "/b/c": 2, "/*/d": 3},
        ),
    )


NAMES = st.sampled_from("abc")
VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=3)
POINTERS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))


def _parent(tree: Any, pointer: str) -> dict[str, Any] | None:
    node = tree
    for name in pointer[1:].split("/")[:-1]:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


@given(tree=DOCUMENTS, pointer=POINTERS, indent=st.sampled_from([None, 2]))
def test_removing_is_what_removing_means(
    tree: dict[str, Any], pointer: str, indent: int | None
) -> None:
    wanted = copy.deepcopy(tree)
    parent = _parent(wanted, pointer)
    if parent is not None:
        parent.pop(pointer.rpartition("/")[2], None)
    text = json.dumps(tree, indent=indent).encode()
    assert json.loads(edited(text, BodyRules(remove=(pointer,)))) == wanted


@given(tree=DOCUMENTS, pointer=POINTERS, value=VALUES, indent=st.sampled_from([None, 2]))
def test_setting_is_what_setting_means(
    tree: dict[str, Any], pointer: str, value: Any, indent: int | None
) -> None:
    wanted = copy.deepcopy(tree)
    node: Any = wanted
    *above, last = pointer[1:].split("/")
    for name in above:
        node = node.setdefault(name, {}) if isinstance(node, dict) else None
    if isinstance(node, dict):
        node[last] = value
    else:
        wanted = tree  # Something else than an object stands in the way.
    text = json.dumps(tree, indent=indent).encode()
    assert json.loads(edited(text, BodyRules(set={pointer: value}))) == wanted


@given(tree=DOCUMENTS, pointer=POINTERS)
def test_a_rename_there_and_back_is_no_change(tree: dict[str, Any], pointer: str) -> None:
    text = json.dumps(tree).encode()
    there = edited(text, BodyRules(rename={pointer: "zz"}))
    back = pointer.rpartition("/")[0] + "/zz"
    assert edited(there, BodyRules(rename={back: pointer.rpartition("/")[2]})) == text


def test_a_star_names_every_item_and_is_bounded() -> None:
    found = find_values(b'{"i":[{"id":1},{},{"id":2}]}', "/i/*/id")
    assert [place.pointer for place in found] == ["/i/0/id", "/i/2/id"]
    assert [place.pointer for place in find_values(b'{"*":1}', "/*")] == ["/*"]
    too_many = b"[" + b",".join([b"1"] * (PLACES_COUNT_MAX + 1)) + b"]"
    assert find_values(too_many, "/*") == []
