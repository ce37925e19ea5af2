"""Row changes become events, byte for byte, or breaches that lose nothing."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.contracts import TableMapper
from bridge.contracts.table_mapper import Mapped
from bridge.model.change import UNSENT, BeforeImage, ChangeKind, Row, RowChange
from bridge.model.errors import ConfigInvalid
from bridge.model.event import Breach, Event
from tests.contracts.samples import COLUMNS, ORIGIN, ROW, created, mapper, relation, with_cell

KEY_ROW: Row = ("42", *([UNSENT] * 7))


@pytest.fixture
def orders(tmp_path: Path) -> TableMapper:
    return mapper(tmp_path)


def data_of(event: Event | Breach) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(event.payload)["data"]
    return data


def event_of(mapped: Mapped) -> Event:
    assert isinstance(mapped, Event), mapped
    return mapped


def breach_of(mapped: Mapped) -> Breach:
    assert isinstance(mapped, Breach), mapped
    return mapped


def test_a_created_row_gives_exactly_these_bytes(orders: TableMapper) -> None:
    event = event_of(orders.map(created(), ORIGIN))
    assert event.payload == (
        b'{"specversion":"1.0","id":"shop:000000000000ABCD:00000001",'
        b'"source":"urn:legacy-bridge:shop","type":"com.example.shop.order.created.v1",'
        b'"time":"2024-01-02T03:04:06Z","recordedtime":"2024-01-02T03:04:07.000000Z",'
        b'"datacontenttype":"application/json",'
        b'"dataschema":"urn:legacy-bridge:contract:shop.order:1.0",'
        b'"sequence":"000000000000ABCD:00000001","beforeimage":"none",'
        b'"partitionkey":"{\\"order_id\\":42}",'
        b'"data":{"key":{"order_id":42},"after":{"order_id":42,"status":"open","total":"129.90",'
        b'"ordered_at":"2024-01-02T03:04:05.5","closed":false,"note":"ring twice",'
        b'"attributes":{"size": 1.10, "big": 123456789012345678901}}}}'
    )
    assert event[:6] == (
        "shop:000000000000ABCD:00000001",
        "com.example.shop.order.created.v1",
        "shop.order",
        "1.0",
        "shop.order.created.v1",
        '{"order_id":42}',
    )


def test_a_replayed_change_gives_equal_bytes(orders: TableMapper, tmp_path: Path) -> None:
    again = mapper(tmp_path / "again")
    assert orders.map(created(), ORIGIN) == again.map(created(), ORIGIN)


def test_null_stays_null(orders: TableMapper) -> None:
    row = with_cell("tot_amt", None, with_cell("attrs", None, with_cell("note", None)))
    after = data_of(event_of(orders.map(created(row), ORIGIN)))["after"]
    assert after["total"] is after["note"] is after["attributes"] is None


def test_an_unsent_cell_is_omitted_and_named(orders: TableMapper) -> None:
    row = with_cell("attrs", UNSENT, with_cell("note", UNSENT))
    change = RowChange(ChangeKind.UPDATED, relation(), None, BeforeImage.NONE, row)
    data = data_of(event_of(orders.map(change, ORIGIN)))
    assert data["unavailable"] == ["note", "attributes"]
    assert not {"note", "attributes"} & data["after"].keys()


def test_an_unsent_dropped_column_makes_no_difference(orders: TableMapper) -> None:
    row = with_cell("intrnl_memo", UNSENT)
    change = RowChange(ChangeKind.UPDATED, relation(), None, BeforeImage.NONE, row)
    assert "unavailable" not in data_of(event_of(orders.map(change, ORIGIN)))


def test_a_delete_carries_the_key_alone(orders: TableMapper) -> None:
    old = KEY_ROW
    change = RowChange(ChangeKind.DELETED, relation(), old, BeforeImage.KEY, None)
    event = event_of(orders.map(change, ORIGIN))
    assert data_of(event) == {"key": {"order_id": 42}, "before": {"order_id": 42}}
    assert event.key == '{"order_id":42}'
    assert event.routing_key == "shop.order.deleted.v1"


def test_a_key_change_names_both_keys(orders: TableMapper) -> None:
    old = ("41", *KEY_ROW[1:])
    change = RowChange(ChangeKind.UPDATED, relation(), old, BeforeImage.KEY, ROW)
    data = data_of(event_of(orders.map(change, ORIGIN)))
    assert data["key"] == {"order_id": 42}
    assert data["before"] == {"order_id": 41}


def test_a_full_old_row_is_mapped_like_the_new_one(orders: TableMapper) -> None:
    change = RowChange(ChangeKind.UPDATED, relation(), ROW, BeforeImage.FULL, ROW)
    data = data_of(event_of(orders.map(change, ORIGIN)))
    assert data["before"] == data["after"]


def test_a_key_that_only_the_old_row_sent_is_found_there(orders: TableMapper) -> None:
    change = RowChange(
        ChangeKind.UPDATED,
        relation(),
        KEY_ROW,
        BeforeImage.KEY,
        with_cell("ord_no", UNSENT),
    )
    breach = breach_of(orders.map(change, ORIGIN))  # The schema requires it in `after`.
    assert breach.key == '{"order_id":42}'
    assert "required" in breach.reason


def test_a_truncate_has_no_row_and_no_key(orders: TableMapper) -> None:
    change = RowChange(ChangeKind.TRUNCATED, relation(), None, BeforeImage.NONE, None)
    event = event_of(orders.map(change, ORIGIN))
    assert data_of(event) == {"key": None}
    assert event.key is None
    assert b"partitionkey" not in event.payload


@pytest.mark.parametrize(
    ("column", "cell", "reason", "raw"),
    [
        ("ord_no", "4x2", "/after/order_id: cannot be read as integer", "4x2"),
        ("stat_cd", "7   ", "/after/status: is a code that the mapping does not know", "7   "),
        ("cls_flg", "?", "/after/closed: is a code that the mapping does not know", "?"),
        ("attrs", '{"a": 1e999}', "/after/attributes: cannot be read as json", '{"a": 1e999}'),
    ],
)
def test_a_text_that_does_not_convert_is_kept_as_it_is(
    orders: TableMapper, column: str, cell: str, reason: str, raw: str
) -> None:
    breach = breach_of(orders.map(created(with_cell(column, cell)), ORIGIN))
    assert breach.reason == reason
    assert breach.event_id == ORIGIN.event_id
    assert raw in data_of(breach)["after"].values()
    # What did convert is in its final form: JSON columns keep the digits of the source.
    assert (b'"size": 1.10' in breach.payload) is (column != "attrs")


def test_several_texts_are_counted(orders: TableMapper) -> None:
    row = with_cell("cls_flg", "?", with_cell("stat_cd", "9"))
    assert breach_of(orders.map(created(row), ORIGIN)).reason.endswith("; 1 more")


@pytest.mark.parametrize(
    ("column", "cell", "path", "rule"),
    [
        ("note", "x" * 41, "/after/note", "'maxLength' (40)"),
        ("stat_cd", None, "/after/status", "'enum'"),
        ("tot_amt", "NaN", "/after/total", "'format' ('decimal')"),
        ("ord_ts", "infinity", "/after/ordered_at", "'format' ('local-date-time')"),
    ],
)
def test_a_value_outside_the_schema_names_path_and_rule(
    orders: TableMapper, column: str, cell: str | None, path: str, rule: str
) -> None:
    breach = breach_of(orders.map(created(with_cell(column, cell)), ORIGIN))
    assert breach.reason.startswith(f"{path}: breaks rule {rule}")
    assert cell is None or cell not in breach.reason
    assert cell is None or cell.encode() in breach.payload


def test_a_text_that_is_not_utf_8_is_kept_escaped(orders: TableMapper) -> None:
    breach = breach_of(orders.map(created(with_cell("note", "a\udcffb")), ORIGIN))
    assert "UTF-8" in breach.reason
    assert data_of(breach)["after"]["note"] == "a\\udcffb"


def test_a_key_column_outside_the_identity_is_noted(tmp_path: Path) -> None:
    shape = relation(keys=("stat_cd",))
    orders = mapper(tmp_path, shape)
    assert "ord_no" in orders.notes[0]
    old: Row = (UNSENT, "1   ", *KEY_ROW[2:])
    change = RowChange(ChangeKind.DELETED, shape, old, BeforeImage.KEY, None)
    breach = breach_of(orders.map(change, ORIGIN))
    assert breach.reason == "/key/order_id: was not sent; is it in the replica identity?"
    assert breach.key is None


def test_columns_that_disagree_are_named(tmp_path: Path) -> None:
    shape = relation((*COLUMNS[1:], ("added", 25, -1), ("more", 25, -1)))
    with pytest.raises(ConfigInvalid) as caught:
        mapper(tmp_path, shape)
    assert str(caught.value) == (
        "cannot map table 'public.t_ord_hdr' to contract 'shop.order' version 1.0: columns "
        "'added', 'more' are neither mapped nor dropped; column 'ord_no' is mapped but not in "
        "the table; change 'fields' or 'drop' of its mapping.yaml"
    )
