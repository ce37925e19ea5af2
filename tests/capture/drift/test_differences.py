"""Shapes compared, judged, kept and found again; pure."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.drift.differences import Compatibility, DriftKind, differences, judge
from bridge.capture.drift.shapes import KnownTable, Pending, SeenIn, ShapeBook, TableState
from bridge.capture.shelf import Shelf
from bridge.contracts.contract_set import ContractSet
from bridge.model.change import Column, Relation
from bridge.model.errors import LogCorrupt
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.drift.shop import write_contract

NAMES = st.sampled_from(["id", "name", "a", "b", "note", 'od"d'])
COLUMNS = st.lists(
    st.builds(
        Column,
        name=NAMES,
        type_oid=st.sampled_from([20, 23, 25, 1043]),
        type_modifier=st.sampled_from([-1, 14]),
        is_key=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda column: column.name,
).map(tuple)
RELATIONS = st.builds(
    Relation,
    oid=st.integers(1, 3),
    schema=st.just("public"),
    table=st.sampled_from(["t", "u"]),
    identity=st.sampled_from("difn"),
    columns=COLUMNS,
)
KNOWN = st.builds(
    KnownTable,
    relation=RELATIONS,
    seen_in=st.sampled_from(SeenIn),
    state=st.sampled_from(TableState),
    drift_id=st.none() | st.text(max_size=9),
    reason=st.none() | st.text(max_size=9),
    shape_before=st.none() | RELATIONS,
    pending=st.none() | st.builds(Pending, relation=RELATIONS, drift_id=NAMES, reason=NAMES),
)


def shape(*columns: str, key: str = "id", oid: int = 1, table: str = "t") -> Relation:
    return Relation(
        oid=oid,
        schema="public",
        table=table,
        identity="d",
        columns=tuple(
            Column(name=name, type_oid=25, type_modifier=-1, is_key=name == key) for name in columns
        ),
    )


@given(RELATIONS, RELATIONS)
def test_shapes_differ_exactly_when_they_are_not_equal(old: Relation, new: Relation) -> None:
    assert differences(old, old) == []
    assert bool(differences(old, new)) is (old != new)
    assert all(difference.as_json()["kind"] for difference in differences(old, new))


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        (shape("id", "a"), shape("id", "a", "b"), ["column-added"]),
        (shape("id", "a"), shape("id"), ["column-dropped"]),
        (shape("id", "a", "b"), shape("id", "x", "b"), ["column-renamed"]),
        (shape("id", "a", "b"), shape("id", "b", "a"), ["columns-reordered"]),
        (shape("id", "a"), shape("id", "a", key="a"), ["key-columns-changed"]),
        (shape("id"), shape("id", table="u"), ["table-renamed"]),
        (shape("id"), shape("id", oid=2), ["table-recreated"]),
        # Another table may have any columns: nothing was renamed there.
        (
            shape("id", "a"), shape("id", "x", oid=2),
            ["table-recreated", "column-dropped", "column-added"],
        ),
    ],
)  # fmt: skip
def test_kinds_of_differences(old: Relation, new: Relation, kinds: list[str]) -> None:
    found = differences(old, new)
    assert [difference.kind.value for difference in found] == kinds
    guesses = [difference.kind for difference in found if difference.is_guess]
    assert guesses == [one.kind for one in found if one.kind is DriftKind.RENAMED]


def test_a_renamed_key_is_still_the_key() -> None:
    found = differences(shape("id", "a"), shape("number", "a", key="number"))
    assert [difference.kind for difference in found] == [DriftKind.RENAMED]


def test_the_version_that_fits_best(tmp_path: Path) -> None:
    write_contract(tmp_path, {"id": "integer"})
    write_contract(tmp_path, {"id": "integer", "a": "string"}, version="1.1")
    write_contract(tmp_path, {"id": "integer", "a": "string", "b": "string"}, version="1.2")
    contracts = ContractSet.load(tmp_path, type_prefix="com.example")

    def version(*columns: str) -> tuple[str, Compatibility]:
        fit = contracts.fit("shop", shape(*columns))
        assert fit is not None
        return fit.version, judge((), shape(*columns), fit).compatibility

    assert version("id") == ("1.0", Compatibility.COMPATIBLE)
    assert version("id", "a") == ("1.1", Compatibility.COMPATIBLE)
    assert version("id", "a", "b") == ("1.2", Compatibility.COMPATIBLE)
    assert version("id", "a", "b", "c") == ("1.2", Compatibility.NEEDS_VERSION)
    assert version("id", "a", "c") == ("1.1", Compatibility.NEEDS_VERSION)
    assert version("a") == ("1.2", Compatibility.BREAKS)
    assert contracts.fit("shop", shape("id", table="u")) is None


@given(st.lists(KNOWN, max_size=3))
def test_a_book_comes_back(tables: list[KnownTable]) -> None:
    book = ShapeBook()
    for known in tables:
        book.put(known)
    again = ShapeBook.parse(book.text())
    assert list(again) == list(book)
    assert not again.is_changed
    for known in again:
        assert again.find(known.relation) == known


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"relation": {}}]'])
def test_a_damaged_book_is_named(text: str) -> None:
    with pytest.raises(LogCorrupt, match="cannot read the shapes"):
        ShapeBook.parse(text if text != "{}" else "{")


def test_a_shelf_keeps_the_last_texts_by_digest() -> None:
    log = MemoryEventLog()
    shelf = Shelf(log, "shop", "shapes")
    assert shelf.load("none") is None
    digests = [shelf.store(text) for text in ("a", "b", "c")]
    assert shelf.store("a") == digests[0]
    assert [Shelf(log, "shop", "shapes").load(digest) for digest in digests] == ["a", "b", "c"]
    for text in ("d", "e", "f"):
        shelf.store(text)
    # The one that was stored again is younger than those after its first time.
    assert [shelf.load(digest) for digest in digests] == ["a", None, None]
    assert log.cursor("shop") is None
    assert log.head().size == 0
