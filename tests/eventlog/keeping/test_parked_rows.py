"""Rows that no contract fits hold persons' data as well: by column, and sealed."""

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.capture.drift.policy import DriftPolicy
from bridge.capture.mapping.change_mapper import ChangeMapper, MappingOptions
from bridge.contracts.means import Means
from bridge.model.change import BeforeImage, ChangeKind, Column, RowChange
from bridge.model.entry import EntryDraft, EntryKind
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.stores import Stores
from tests.eventlog.keeping.shop import (
    LIMIT,
    RELATION,
    Capture,
    change,
    data_of,
    email_of,
    name_of,
)
from tests.eventlog.keeping.test_erasing import erase

# `nm` seems to be called `full/name` now, and there is a column that nobody has decided about.
RENAMED = replace(
    RELATION,
    columns=(
        RELATION.columns[0],
        Column(name="full/name", type_oid=25, type_modifier=-1, is_key=False),
        *RELATION.columns[2:],
        Column(name="memo", type_oid=25, type_modifier=-1, is_key=False),
    ),
)
MEMO = "Canary memo of a clerk"


def parked(stores: Stores, *, keep_unmapped: bool) -> EntryDraft:
    """Capture a row in the old shape and one in the new, and return the second one's draft."""
    capture = Capture(stores)
    capture.mapper = ChangeMapper(
        "shop",
        contract_set(stores.settings, None, None, stores.keeping().sealer),
        MappingOptions(drift=DriftPolicy(keep_unmapped=keep_unmapped)),
    )
    capture.append([change(1)])
    row = ("2", name_of(2), email_of(2), LIMIT, "Y", MEMO)
    drafts = capture.drafts([RowChange(ChangeKind.CREATED, RENAMED, None, BeforeImage.NONE, row)])
    capture.log.append(drafts)
    return drafts[-1]


@pytest.mark.parametrize("keep_unmapped", [True, False])
def test_a_parked_row_is_sealed_by_column(stores: Stores, keep_unmapped: bool) -> None:
    draft = parked(stores, keep_unmapped=keep_unmapped)
    assert draft.kind is EntryKind.PARKED
    for text in (name_of(2), email_of(2), LIMIT, MEMO):
        assert text.encode() not in draft.payload
    (_, _, entry) = stores.event_log().read(0, 10)
    assert data_of(entry)["after"] == {"cust_no": "2", "vip": "Y"}
    (clear,) = stores.keeping().unsealer.unsealed([entry])
    told = data_of(clear)["after"]
    assert (told["eml"], told["lim"]) == (email_of(2), LIMIT)
    # Which of the new columns the old one became is not certain: both count as undecided.
    assert told.get("full/name") == (name_of(2) if keep_unmapped else None)
    assert told.get("memo") == (MEMO if keep_unmapped else None)
    erase(stores)
    (gone,) = stores.keeping().unsealer.unsealed([entry])
    assert data_of(gone)["after"] == {"cust_no": "2", "vip": "Y"}


def test_without_a_sealer_a_parked_row_has_none_of_them(stores: Stores, tmp_path: Path) -> None:
    contracts = contract_set(stores.settings)
    fit = contracts.fit("shop", RENAMED)
    assert fit is not None
    assert fit.sealer is None
    assert Means().sealer is None
    assert {column for rule in fit.subjects for column in rule.fields} == {"nm", "eml", "lim"}
