"""The pgbench tables as a legacy system that none of us wrote."""

from pathlib import Path

import orjson
import pytest

from bridge.contracts import ContractSet, check
from bridge.model.change import BeforeImage, ChangeKind, Column, Relation, Row, RowChange
from bridge.model.event import Event
from tests.contracts.samples import ORIGIN

FOLDER = Path(__file__).parent.parent / "pgbench_contracts"

TABLES: list[tuple[str, str, list[tuple[str, int]], Row]] = [
    (
        "pgbench.account",
        "pgbench_accounts",
        [("aid", 23), ("bid", 23), ("abalance", 23), ("filler", 1042)],
        ("7", "1", "-20", " " * 84),
    ),
    (
        "pgbench.branch",
        "pgbench_branches",
        [("bid", 23), ("bbalance", 23), ("filler", 1042)],
        ("1", "-20", None),
    ),
    (
        "pgbench.teller",
        "pgbench_tellers",
        [("tid", 23), ("bid", 23), ("tbalance", 23), ("filler", 1042)],
        ("3", "1", "-20", None),
    ),
    (
        "pgbench.history",
        "pgbench_history",
        [("tid", 23), ("bid", 23), ("aid", 23), ("delta", 23), ("mtime", 1114), ("filler", 1042)],
        ("3", "1", "7", "-20", "2024-05-06 07:08:09.123456", None),
    ),
]


def test_the_contracts_are_sound() -> None:
    assert check(FOLDER) == []


def test_all_four_tables_are_published() -> None:
    contracts = ContractSet.load(FOLDER, type_prefix="com.example")
    assert contracts.tables("pgbench") == sorted(f"public.{table}" for _, table, _, _ in TABLES)


@pytest.mark.parametrize(("subject", "table", "columns", "row"), TABLES)
def test_a_row_becomes_an_event(
    subject: str, table: str, columns: list[tuple[str, int]], row: Row
) -> None:
    shape = Relation(
        oid=1,
        schema="public",
        table=table,
        identity="d",
        columns=tuple(
            Column(name=name, type_oid=oid, type_modifier=-1, is_key=index == 0)
            for index, (name, oid) in enumerate(columns)
        ),
    )
    mapper = ContractSet.load(FOLDER, type_prefix="com.example").mapper("pgbench", shape)
    assert mapper is not None
    event = mapper.map(RowChange(ChangeKind.READ, shape, None, BeforeImage.NONE, row), ORIGIN)
    assert isinstance(event, Event), event
    assert event.subject == subject
    assert event.routing_key == f"{subject}.read.v1"
    assert (event.key is None) is (subject == "pgbench.history")
    data = orjson.loads(event.payload)["data"]
    assert list(map(str, data["after"].values()))[:2] == list(row[:2])
