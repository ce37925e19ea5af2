"""Persons' fields are sealed in the log, clear to consumers, and every digit as it was."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from bridge.capture.polling.drafts import PollDrafts
from bridge.capture.polling.plan import Strategy, TablePlan
from bridge.capture.polling.ports import PolledTable
from bridge.contracts.means import Means
from bridge.eventlog.exporting.ports import SealedEntry
from bridge.eventlog.keeping.sealed_form import items, open_item
from bridge.eventlog.leaf import payload_hash
from bridge.model.change import BeforeImage, ChangeKind, RowChange
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.errors import ConfigInvalid, LogCorrupt
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.stores import Stores
from tests.eventlog.keeping.shop import (
    LIMIT,
    RELATION,
    Capture,
    change,
    data_of,
    email_of,
    fill,
    name_of,
)


def test_the_log_holds_no_clear_field_and_commits_to_each(stores: Stores) -> None:
    fill(stores, 3)
    (_, entry, _) = stores.event_log().read(0, 10)
    for text in (name_of(2), email_of(2), LIMIT):
        assert text.encode() not in entry.payload + entry.leaf
    assert data_of(entry)["after"] == {"customer_id": 2, "vip": True}
    leaf, root = json.loads(entry.leaf), json.loads(entry.payload)
    assert payload_hash(entry.leaf) == sha256(entry.payload).hexdigest().encode()
    (mark,) = leaf["fields"]["sealed"]
    assert mark["subject"] == stores.keeping().pseudonyms.person("customer", "2")
    (item,) = items(entry.leaf_index, entry.leaf, root["sealed"], root["sealedpaths"])
    key = stores.keeping().keyring().opening_key(mark["key"])
    assert key is not None
    plaintext = open_item(item, key)
    assert sha256(plaintext).hexdigest() == mark["commit"]
    assert (
        plaintext[32:]
        == (
            f'{{"/after/email":"{email_of(2)}","/after/limit":{LIMIT},"/after/name":"{name_of(2)}"}}'
        ).encode()
    )
    assert item.paths == ("/after/email", "/after/limit", "/after/name")


def test_unsealed_it_is_the_event_that_the_contract_promises(stores: Stores) -> None:
    capture = Capture(stores)
    before = (None, None, None, None, None)
    old = ("1", *before[1:])
    new = ("2", name_of(2), None, LIMIT, "N")
    capture.append([change(1), RowChange(ChangeKind.UPDATED, RELATION, old, BeforeImage.KEY, new)])
    entries = stores.event_log().read(0, 10)
    created, updated = stores.keeping().unsealer.unsealed(entries)
    assert f'"limit":{LIMIT}'.encode() in created.payload
    assert data_of(updated)["after"]["email"] is None
    contracts = contract_set(stores.settings)
    for entry in (created, updated):
        assert contracts.validate(data_of(entry), "shop.customer", "1.0") is None
        root = json.loads(entry.payload)
        assert not {"sealed", "sealedpaths", "erased"} & root.keys()
        assert entry.leaf in [one.leaf for one in entries]


def test_two_persons_in_one_event_have_two_keys(stores: Stores) -> None:
    capture = Capture(stores)
    row = ("1", name_of(1), email_of(1), LIMIT, "Y")
    other = ("2", name_of(2), email_of(2), LIMIT, "Y")
    capture.append([RowChange(ChangeKind.UPDATED, RELATION, row, BeforeImage.FULL, other)])
    (entry,) = stores.event_log().read(0, 1)
    marks = json.loads(entry.leaf)["fields"]["sealed"]
    person = stores.keeping().pseudonyms.person
    assert {m["subject"] for m in marks} == {person("customer", "1"), person("customer", "2")}
    assert data_of(entry) == {
        "key": {"customer_id": 2},
        "after": {"customer_id": 2, "vip": True},
        "before": {"customer_id": 1, "vip": True},
    }


def test_what_breaks_its_contract_is_parked_sealed(stores: Stores) -> None:
    row = ("5", "N" * 41, email_of(5), "no number", "Y")
    capture = Capture(stores)
    capture.append([RowChange(ChangeKind.CREATED, RELATION, None, BeforeImage.NONE, row)])
    (entry,) = stores.event_log().read(0, 1)
    assert entry.kind is EntryKind.PARKED
    for text in ("N" * 41, email_of(5), "no number"):
        assert text.encode() not in entry.payload + entry.leaf
    (clear,) = stores.keeping().unsealer.unsealed([entry])
    assert data_of(clear)["after"]["limit"] == "no number"


def test_a_value_that_cannot_be_read_is_sealed_with_its_raw_text(
    stores: Stores, tmp_path: Path
) -> None:
    path = tmp_path / "contracts" / "shop.customer" / "1.0" / "schema.json"
    schema = json.loads(path.read_text())
    schema["$defs"]["row"]["required"].remove("limit")
    path.write_text(json.dumps(schema))
    row = ("5", name_of(5), email_of(5), "no number", "Y")
    Capture(stores).append([RowChange(ChangeKind.CREATED, RELATION, None, BeforeImage.NONE, row)])
    (entry,) = stores.event_log().read(0, 1)
    assert entry.kind is EntryKind.EVENT
    assert b"no number" not in entry.payload + entry.leaf
    (clear,) = stores.keeping().unsealer.unsealed([entry])
    assert data_of(clear)["decode_error"][0]["text"] == "no number"


def test_without_anything_to_seal_with_nothing_is_mapped(stores: Stores) -> None:
    capture = Capture(stores, contracts=contract_set(stores.settings))
    with pytest.raises(ConfigInvalid, match="nothing to seal them with"):
        capture.drafts([change(1)])
    assert Means().sealer is None


def test_a_person_that_a_row_does_not_name_is_named_by_the_row(
    stores: Stores, tmp_path: Path
) -> None:
    path = tmp_path / "contracts" / "shop.customer" / "1.0" / "mapping.yaml"
    path.write_text(path.read_text().replace("id: customer_id", "id: name").replace("[name, ", "["))
    keeping = stores.keeping()
    row = ("9", None, email_of(9), LIMIT, "Y")
    Capture(stores).append([RowChange(ChangeKind.CREATED, RELATION, None, BeforeImage.NONE, row)])
    (entry,) = stores.event_log().read(0, 1)
    (mark,) = json.loads(entry.leaf)["fields"]["sealed"]
    assert mark["subject"] == keeping.pseudonyms.person("customer", '?{"customer_id":9}')


def test_another_entrys_portion_does_not_open(stores: Stores) -> None:
    fill(stores, 2)
    one, two = stores.event_log().read(0, 2)
    told = json.loads(one.leaf)["id"]
    moved = two.leaf.replace(json.loads(two.leaf)["id"].encode(), told.encode())
    forged = StoredEntry(1, two.kind, told, None, None, moved, two.payload)
    with pytest.raises(LogCorrupt, match="does not give what the leaf commits to"):
        stores.keeping().unsealer.unsealed([forged])


def test_an_export_opens_what_a_verifier_checks(stores: Stores) -> None:
    fill(stores, 2)
    entries = stores.event_log().read(0, 2)
    sealed = [SealedEntry(e.leaf_index, e.leaf, e.payload) for e in entries]
    opened = stores.keeping().unsealer.open(sealed)
    assert [(one.leaf_index, one.item) for one in opened] == [(0, 0), (1, 0)]
    for one, entry in zip(opened, entries, strict=True):
        (mark,) = json.loads(entry.leaf)["fields"]["sealed"]
        assert sha256(one.plaintext).hexdigest() == mark["commit"]


def test_a_polled_change_is_sealed_alike(stores: Stores) -> None:
    keeping = stores.keeping()
    contracts = contract_set(stores.settings, None, None, keeping.sealer)
    table = PolledTable(
        plan=TablePlan(table="public.cust", strategy=Strategy.FULL),
        relation=RELATION,
        key=("cust_no",),
        ordering=None,
        key_cells=(0,),
        deleted_cell=None,
    )
    (draft,) = PollDrafts("shop", "mariadb", contracts).drafts(
        table,
        [change(4)],
        version=1,
        after=None,
        before=datetime(2026, 11, 21, tzinfo=UTC),
        recorded_time="2026-11-21T00:00:00Z",
    )
    assert name_of(4).encode() not in draft.payload
    Capture(stores).log.append([draft])
    (entry,) = stores.event_log().read(0, 1)
    (clear,) = keeping.unsealer.unsealed([entry])
    told = json.loads(clear.payload)
    assert told["data"]["after"]["name"] == name_of(4)
    assert (told["capture"], "sealed" in told) == ("poll", False)
