"""An update that changes the entity's key: one event with the old key, or both sides of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.contracts import ContractSet, TableMapper
from bridge.model.change import UNSENT, BeforeImage, ChangeKind, Row, RowChange
from bridge.model.event import Breach, Event
from tests.contracts.samples import ORIGIN
from tests.contracts.test_structures import TEXT, contract, shape

HERE = shape(body=TEXT)


@pytest.fixture
def splitting(tmp_path: Path) -> TableMapper:
    contract(tmp_path, body="string")
    path = tmp_path / "shop.thing" / "1.0" / "mapping.yaml"
    path.write_text(path.read_text() + "key_change: delete_insert\n")
    found = ContractSet.load(tmp_path, type_prefix="com.example").mapper("shop", HERE)
    assert found is not None
    return found


def update(before: Row, image: BeforeImage, after: Row) -> RowChange:
    return RowChange(ChangeKind.UPDATED, HERE, before, image, after)


def both(mapped: Any) -> list[Event | Breach]:
    assert isinstance(mapped, Sequence)
    assert not isinstance(mapped, Event | Breach)
    return list(mapped)


def data(event: Event | Breach) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(event.payload)["data"]
    return found


def test_one_event_names_both_keys_by_default(tmp_path: Path) -> None:
    found = contract(tmp_path, body="string").mapper("shop", HERE)
    assert found is not None
    event = found.map(update(("1", UNSENT), BeforeImage.KEY, ("2", "b")), ORIGIN)
    assert isinstance(event, Event)
    assert event.key == '{"id":2}'
    assert data(event)["before"] == {"id": 1}


def test_a_changed_key_ends_one_entity_and_begins_another(splitting: TableMapper) -> None:
    deleted, created = both(
        splitting.map(update(("1", UNSENT), BeforeImage.KEY, ("2", "b")), ORIGIN)
    )
    assert isinstance(deleted, Event)
    assert isinstance(created, Event)
    assert (deleted.routing_key, deleted.key) == ("shop.thing.deleted.v1", '{"id":1}')
    assert (created.routing_key, created.key) == ("shop.thing.created.v1", '{"id":2}')
    assert data(deleted) == {"key": {"id": 1}, "before": {"id": 1}}
    assert data(created) == {"key": {"id": 2}, "after": {"id": 2, "body": "b"}}


def test_ids_and_sequences_are_stable_and_sort_in_order(splitting: TableMapper) -> None:
    change = update(("1", UNSENT), BeforeImage.KEY, ("2", "b"))
    first, second = both(splitting.map(change, ORIGIN))
    assert first.event_id == ORIGIN.event_id
    assert second.event_id == f"{ORIGIN.event_id}-insert"
    assert first.event_id < second.event_id < "shop:000000000000ABCD:00000002"
    assert orjson.loads(second.payload)["sequence"] == f"{ORIGIN.sequence}-insert"
    assert both(splitting.map(change, ORIGIN)) == [first, second]


def test_a_key_that_did_not_change_is_one_event(splitting: TableMapper) -> None:
    for change in (
        update(("1", "a"), BeforeImage.FULL, ("1", "b")),
        RowChange(ChangeKind.UPDATED, HERE, None, BeforeImage.NONE, ("1", "b")),
        RowChange(ChangeKind.DELETED, HERE, ("1", UNSENT), BeforeImage.KEY, None),
        RowChange(ChangeKind.TRUNCATED, HERE, None, BeforeImage.NONE, None),
    ):
        assert isinstance(splitting.map(change, ORIGIN), Event)


def test_the_new_entity_has_what_the_full_old_row_sent(splitting: TableMapper) -> None:
    _, created = both(splitting.map(update(("1", "a"), BeforeImage.FULL, ("2", UNSENT)), ORIGIN))
    assert data(created) == {"key": {"id": 2}, "after": {"id": 2, "body": "a"}}


def test_a_side_that_breaks_the_contract_is_parked_alone(splitting: TableMapper) -> None:
    deleted, created = both(
        splitting.map(update(("1", UNSENT), BeforeImage.KEY, ("x", "b")), ORIGIN)
    )
    assert isinstance(deleted, Event)
    assert isinstance(created, Breach)
    assert created.event_id.endswith("-insert")


def test_an_update_under_full_takes_unsent_values_from_the_old_row(tmp_path: Path) -> None:
    found = contract(tmp_path, body="string").mapper("shop", HERE)
    assert found is not None
    event = found.map(update(("1", "long"), BeforeImage.FULL, ("1", UNSENT)), ORIGIN)
    assert data(event)["after"] == {"id": 1, "body": "long"}  # type: ignore[arg-type]  # one event
    assert "unavailable" not in data(event)  # type: ignore[arg-type]  # one event
