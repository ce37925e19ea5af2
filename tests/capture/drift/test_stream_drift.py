"""A shape that changes between rows is told before the first of them, and decided about."""

from pathlib import Path

import psycopg
import pytest

from bridge.capture.drift.policy import DriftAction, DriftPolicy
from bridge.capture.mapping.change_mapper import MappingOptions
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, TableDrifted
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.drift.shop import (
    Follow,
    data_of,
    drifts_of,
    entries_of,
    start_shop,
    story,
    told,
    write_contract,
)
from tests.conftest import Database


def kinds(log: MemoryEventLog) -> list[list[str]]:
    return [[one["kind"] for one in drift["differences"]] for drift in drifts_of(log)]


def test_an_added_column_is_told_and_left_out(follow: Follow, log: MemoryEventLog) -> None:
    follow(
        "insert into t values (1, 'a')",
        "alter table t add column secret text default 'unmapped-value'",
        "insert into t values (2, 'b')",
        "insert into t values (3, 'c')",
    )
    assert story(log) == [
        "created 1", "drift continued-without-unmapped", "created 2", "created 3",
    ]  # fmt: skip
    (drift,) = drifts_of(log)
    assert drift["verdict"] == "needs-new-version"
    assert drift["contract"] == {"subject": "shop.thing", "version": "1.0"}
    assert [one["kind"] for one in drift["differences"]] == ["column-added"]
    assert drift["differences"][0]["new"]["name"] == "secret"
    assert len(drift["old"]["columns"]) == 2
    assert len(drift["new"]["columns"]) == 3
    event = entries_of(log)[1]
    assert event.kind is EntryKind.EVENT
    assert event.routing_key == "bridge.shop.schema-drift.v1"
    # Named after the first row that has the new shape.
    assert event.entry_id == entries_of(log)[2].entry_id + "-drift"
    assert not any(b"unmapped-value" in entry.payload for entry in entries_of(log))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("alter table t drop column name", "column-dropped"),
        ("alter table t rename column name to label", "column-renamed"),
        ("alter table t alter name type int using 0", None),
        ("alter table t replica identity nothing", "replica-identity-changed"),
    ],
)
def test_what_breaks_the_contract_parks_the_table(
    change: str, kind: str | None, follow: Follow, sql: psycopg.Connection, log: MemoryEventLog
) -> None:
    write = "insert into t values (2{})".format("" if "drop" in change else ", null")
    follow("insert into t values (1, 'a')", change, write)
    if kind is None:  # Any type can be read as a text.
        assert story(log) == ["created 1", "drift continued", "created 2"]
        assert kinds(log) == [["column-retyped"]]
        return
    assert story(log) == ["created 1", "drift parked", "parked 2"]
    assert kinds(log)[0][0] == kind
    (drift,) = drifts_of(log)
    assert drift["verdict"] == "breaks"
    assert drift["reasons"]
    assert "changed: " in told(entries_of(log)[2])["reason"]


def test_a_type_that_the_contract_cannot_read_parks(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog, contracts: Path
) -> None:
    write_contract(contracts, {"id": "integer", "name": "string", "n": "integer"})
    sql.execute("alter table t add column n int")
    follow(
        "insert into t values (1, 'a', 7)",
        "alter table t alter n type bigint",
        "insert into t values (2, 'b', 8)",
        "alter table t alter n type timestamp using now()",
        "insert into t values (3, 'c', '2026-01-01')",
    )
    assert story(log) == [
        "created 1", "drift continued", "created 2", "drift parked", "parked 3",
    ]  # fmt: skip
    assert [drift["verdict"] for drift in drifts_of(log)] == ["compatible", "breaks"]


def test_other_tables_go_on(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog, contracts: Path
) -> None:
    write_contract(contracts, {"id": "integer"}, table="public.u", subject="shop.other")
    sql.execute("create table u (id int primary key)")
    follow(
        "alter table t drop column name",
        "begin; insert into t values (1); insert into u values (2); insert into t values (3);"
        " commit",
    )
    assert story(log) == ["drift parked", "parked 1", "created 2", "parked 3"]


def test_dml_on_both_sides_in_one_transaction(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog
) -> None:
    follow(
        "begin; insert into t values (1, 'a'); alter table t add column more int;"
        " insert into t values (2, 'b', 7); update t set more = 8 where id = 1; commit"
    )
    assert story(log) == [
        "created 1", "drift continued-without-unmapped", "created 2", "updated 1",
    ]  # fmt: skip
    drift = entries_of(log)[1]
    assert drift.entry_id.endswith(":00000001-drift")


def test_a_restart_between_change_and_row(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog
) -> None:
    follow("insert into t values (1, 'a')")
    sql.execute("alter table t add column more int")
    follow("insert into t values (2, 'b', 7)")
    follow("insert into t values (3, 'c', 7)")
    assert story(log) == [
        "created 1", "drift continued-without-unmapped", "created 2", "created 3",
    ]  # fmt: skip


def test_a_table_that_never_had_a_row_is_known(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog
) -> None:
    follow()
    sql.execute("alter table t add column more int")
    follow("insert into t values (2, 'b', 7)")
    assert story(log) == ["drift continued-without-unmapped", "created 2"]
    assert drifts_of(log)[0]["old_seen_in"] == "catalog"


def test_an_old_shape_in_the_wal_keeps_its_version(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog, contracts: Path
) -> None:
    """Rows from before and after the change are still to be read when the new version comes."""
    follow()
    sql.execute("insert into t values (1, 'a')")
    sql.execute("alter table t add column more int")
    sql.execute("insert into t values (2, 'b', 7)")
    write_contract(contracts, {"id": "integer", "name": "string", "more": "integer"}, version="1.1")
    follow()
    assert story(log) == ["created 1", "drift continued", "created 2"]
    versions = [told(entry)["dataschema"].rpartition(":")[2] for entry in entries_of(log)]
    assert (versions[0], versions[2]) == ("1.0", "1.1")
    assert data_of(entries_of(log)[2])["after"] == {"id": 2, "name": "b", "more": 7}


def test_a_table_dropped_and_created_anew(
    follow: Follow, database: Database, sql: psycopg.Connection, log: MemoryEventLog
) -> None:
    follow(
        "insert into t values (1, 'a')",
        "drop table t",
        "create table t (id int primary key, name text)",
        f"alter publication {database.name} add table t",
        "insert into t values (2, 'b')",
    )
    assert story(log) == ["created 1", "drift continued", "created 2"]
    assert kinds(log) == [["table-recreated"]]
    assert "compare the table with the log" in drifts_of(log)[0]["reasons"][0]


def test_a_renamed_table_is_parked(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog
) -> None:
    follow(
        "insert into t values (1, 'a')",
        "alter table t rename to t_old",
        "insert into t_old values (2, 'personal')",
    )
    assert kinds(log) == [["table-renamed"]]
    parked = entries_of(log)[2]
    assert parked.kind is EntryKind.PARKED
    # Nobody agreed to read a table of this name.
    assert data_of(parked)["withheld"] == ["id", "name"]
    assert b"personal" not in parked.payload


def test_parked_rows_hold_what_the_contract_reads(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog, contracts: Path
) -> None:
    write_contract(contracts, {"id": "integer", "name": "string"}, drop=["usr"])
    sql.execute("alter table t add column usr text")
    follow(
        "alter table t rename column name to label; alter table t add column more int",
        "alter table t drop column more",
        "insert into t values (1, 'kept', 'dropped-value')",
        "alter table t add column unasked text",
        "insert into t values (2, 'kept', 'dropped-value', 'unasked-value')",
    )
    assert story(log) == ["drift parked", "parked 1", "drift parked", "parked 2"]
    rows = [data_of(entry) for entry in entries_of(log) if entry.kind is EntryKind.PARKED]
    assert rows[0]["after"] == {"id": "1", "label": "kept"}
    assert rows[0]["withheld"] == ["usr"]
    assert rows[1]["after"]["id"] == "2"
    assert {"usr", "unasked"} <= {*rows[1]["withheld"]}
    payloads = b"".join(entry.payload for entry in entries_of(log))
    assert b"dropped-value" not in payloads
    assert b"unasked-value" not in payloads


def test_continue_maps_what_is_left(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog
) -> None:
    policy = DriftPolicy(action=DriftAction.PARK, tables={"public.t": DriftAction.CONTINUE})
    follow(
        "insert into t values (1, 'a')",
        "alter table t drop column name",
        "insert into t values (2)",
        options=MappingOptions(drift=policy),
    )
    assert story(log) == ["created 1", "drift continued-without-unmapped", "created 2"]
    assert data_of(entries_of(log)[2])["after"] == {"id": 2}


def test_stop_tells_and_loses_nothing(
    follow: Follow,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    contracts: Path,
) -> None:
    options = MappingOptions(drift=DriftPolicy(action=DriftAction.STOP))
    follow("insert into t values (1, 'a')", options=options)
    sql.execute("insert into t values (2, 'b')")
    sql.execute("alter table t add column more int")
    sql.execute("insert into t values (3, 'c', 7)")
    for _ in range(2):
        running = start_shop(database, log, tmp_path / "spool", contracts, options=options)
        failure = running.await_failure()
        assert isinstance(failure, TableDrifted)
        assert "its drift policy is to stop" in str(failure)
    assert story(log) == ["created 1", "created 2", "drift stopped"]
    follow(options=MappingOptions())
    assert story(log) == ["created 1", "created 2", "drift stopped", "created 3"]


def test_a_table_that_nobody_agreed_to_capture(
    follow: Follow, database: Database, sql: psycopg.Connection, log: MemoryEventLog
) -> None:
    sql.execute("create table stranger (id int primary key, name text)")
    follow(
        f"alter publication {database.name} add table stranger",
        "insert into stranger values (1, 'personal'); insert into t values (2, 'b')",
        f"alter publication {database.name} drop table stranger",
    )
    assert kinds(log) == [["table-appeared"]]
    drift, parked, row = entries_of(log)
    assert told(drift)["verdict"] == "breaks"
    assert (parked.kind, row.kind) == (EntryKind.PARKED, EntryKind.EVENT)
    assert b"personal" not in parked.payload


def test_a_contract_that_lost_a_column_fails_the_start(
    follow: Follow,
    database: Database,
    log: MemoryEventLog,
    tmp_path: Path,
    contracts: Path,
) -> None:
    """Nobody altered the table: it is the contract that is wrong, and a person is there to see."""
    follow("insert into t values (1, 'a')")
    write_contract(contracts, {"id": "integer"})
    failure = start_shop(database, log, tmp_path / "spool", contracts).await_failure()
    assert isinstance(failure, ConfigInvalid)
    assert "'name' is neither mapped nor dropped" in str(failure)
