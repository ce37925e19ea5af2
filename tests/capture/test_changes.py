"""Every kind of change, with every value as the server wrote it."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.model.entry import EntryKind
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    events_of,
    ids_of,
    make_source,
    table_rows,
)
from tests.conftest import Database


def changes_after(
    statements: list[str],
    prepared: list[str],
    tables: tuple[str, ...],
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    folder: Path,
) -> list[dict[str, Any]]:
    """Return the events of `statements`, run once capture follows the stream."""
    for statement in prepared:
        sql.execute(statement.encode())
    source = make_source(database.dsn, database.name, *tables)
    with capturing(source, log, folder, *tables) as running:
        await_streaming(running, log, *tables)
        first = log.head().size
        for statement in statements:
            sql.execute(statement.encode())
        await_position(running, sql, log)
    return events_of(log)[first:]


def test_all_kinds_in_order(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    events = changes_after(
        [
            "insert into t values (1, 'a', null)",
            "update t set name = 'b' where id = 1",
            "update t set id = 2 where id = 1",
            "delete from t where id = 2",
            "begin; insert into t values (3, '', 'x'); insert into t values (4, 'ü', 'y'); commit",
            "begin; insert into t values (5, 'rolled back', null); rollback",
            "truncate t, u",
        ],
        [
            "create table t (id int primary key, name text, note text)",
            "create table u (id int primary key)",
        ],
        ("public.t", "public.u"),
        database,
        sql,
        log,
        tmp_path,
    )
    told = [(e["table"], e["kind"], e["image"], e["before"], e["after"]) for e in events]
    assert told == [
        ("public.t", "created", "none", None, {"id": "1", "name": "a", "note": None}),
        ("public.t", "updated", "none", None, {"id": "1", "name": "b", "note": None}),
        ("public.t", "updated", "key", {"id": "1"}, {"id": "2", "name": "b", "note": None}),
        ("public.t", "deleted", "key", {"id": "2"}, None),
        ("public.t", "created", "none", None, {"id": "3", "name": "", "note": "x"}),
        ("public.t", "created", "none", None, {"id": "4", "name": "ü", "note": "y"}),
        ("public.t", "truncated", "none", None, None),
        ("public.u", "truncated", "none", None, None),
    ]
    sequences = [event["sequence"] for event in events]
    assert sequences == sorted(set(sequences))
    # Ordinals count within a transaction; ids carry the source and a fixed width.
    assert [sequence[-8:] for sequence in sequences[-4:]] == [
        "00000000",
        "00000001",
        "00000000",
        "00000001",
    ]
    assert all(len(entry_id) == len("shop:") + 16 + 1 + 8 for entry_id in ids_of(log))


def test_unchanged_toast_is_not_sent(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    events = changes_after(
        ["update t set name = 'b'", "update t set big = 'short'"],
        [
            "create table t (id int primary key, name text, big text)",
            "alter table t alter big set storage external",
            "insert into t values (1, 'a', repeat('long', 3000))",
        ],
        ("public.t",),
        database,
        sql,
        log,
        tmp_path,
    )
    assert [event["after"] for event in events] == [
        {"id": "1", "name": "b"},
        {"id": "1", "name": "b", "big": "short"},
    ]


def test_full_identity_has_the_whole_old_row(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    events = changes_after(
        ["update t set name = 'b'", "delete from t"],
        [
            "create table t (id int primary key, name text, big text)",
            "alter table t alter big set storage external",
            "alter table t replica identity full",
            "insert into t values (1, null, repeat('long', 3000))",
        ],
        ("public.t",),
        database,
        sql,
        log,
        tmp_path,
    )
    big = "long" * 3000
    assert events[0]["before"] == {"id": "1", "name": None, "big": big}
    assert events[0]["after"] == {"id": "1", "name": "b", "big": big}
    assert events[1]["before"] == {"id": "1", "name": "b", "big": big}
    assert {event["image"] for event in events} == {"full"}


VALUES = {
    "smallint": "-32768",
    "bigint": "9223372036854775807",
    "numeric(20,5)": "123456789012345.67890",
    "numeric": "NaN",
    "double precision": "0.1",
    "real": "1e-07",
    "boolean": "true",
    "char(5)": "ab",
    "varchar(9)": "x'\"\\\n\t",
    "text": "tab\tnewline\nquote'\\.",
    "bytea": r"\x00ff10",
    "date": "0044-03-15 BC",
    "time": "24:00:00",
    "timestamp": "infinity",
    "timestamptz": "2026-03-29 02:30:00+02",
    "interval": "1 year 2 days 03:04:05",
    "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "json": '{"b": 1,  "a": [1.50]}',
    "jsonb": '{"b": 1,  "a": [1.50]}',
    "int[]": "{1,NULL,3}",
    "text[]": '{"a,b","c\\"d",NULL,""}',
    "int4range": "[1,5)",
    "inet": "192.168.0.1/24",
    "bit(3)": "101",
    "money": "12.50",
    "mood": "so so",
    "pair": '(1,"a b")',
}


def test_values_are_the_same_from_snapshot_and_stream(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    columns = ", ".join(f"c{n} {name}" for n, name in enumerate(VALUES))
    listed = ", ".join(f"'{value.replace(chr(39), chr(39) * 2)}'" for value in VALUES.values())
    nulls = ", ".join("null" for _ in VALUES)
    events = changes_after(
        [f"insert into t values (3, {listed})", f"insert into t values (4, {nulls})"],
        [
            "create type mood as enum ('so so')",
            "create type pair as (a int, b text)",
            f"create table t (id int primary key, {columns})",
            f"insert into t values (1, {listed})",
            f"insert into t values (2, {nulls})",
        ],
        ("public.t",),
        database,
        sql,
        log,
        tmp_path,
    )
    by_id = {event["after"]["id"]: event["after"] for event in events_of(log)}
    assert len(events) == 2
    sql.execute("set lc_monetary = 'C'")
    assert {row["id"]: row for row in table_rows(sql, "t")} == by_id
    for column in by_id["1"]:
        if column != "id":
            assert by_id["1"][column] == by_id["3"][column], column
            assert by_id["4"][column] is None


def test_odd_names_are_names(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    events = changes_after(
        ['insert into "Odd Schema"."Select %s" values (2, 2)'],
        [
            'create schema "Odd Schema"',
            'create table "Odd Schema"."Select %s" ("Key %" int primary key, "a""b" int)',
            'insert into "Odd Schema"."Select %s" values (1, 1)',
        ],
        ("Odd Schema.Select %s",),
        database,
        sql,
        log,
        tmp_path,
    )
    assert [event["after"] for event in events] == [{"Key %": "2", 'a"b': "2"}]
    assert events_of(log)[0]["after"] == {"Key %": "1", 'a"b': "1"}


def test_a_shape_that_changes_while_streaming(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    events = changes_after(
        [
            "insert into t values (1, 'a')",
            "alter table t add column more int default 7",
            "insert into t values (2, 'b')",
            "alter table t drop column name",
            "insert into t values (3)",
        ],
        ["create table t (id int primary key, name text)"],
        ("public.t",),
        database,
        sql,
        log,
        tmp_path,
    )
    assert [event["after"] for event in events] == [
        {"id": "1", "name": "a"},
        {"id": "2", "name": "b", "more": "7"},
        {"id": "3", "more": "7"},
    ]


def test_generated_columns_and_partitions(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    events = changes_after(
        ["insert into p values (2, 15)", "update p set id = 25 where id = 15"],
        [
            """create table p (n int, id int primary key,
               twice int generated always as (n * 2) stored) partition by range (id)""",
            "create table p1 partition of p for values from (1) to (10)",
            "create table p2 partition of p for values from (10) to (30)",
            "insert into p values (1, 5)",
        ],
        ("public.p",),
        database,
        sql,
        log,
        tmp_path,
    )
    assert events_of(log)[0]["after"] == {"n": "1", "id": "5"}
    assert [(e["table"], e["kind"], e["after"]) for e in events] == [
        ("public.p", "created", {"n": "2", "id": "15"}),
        ("public.p", "updated", {"n": "2", "id": "25"}),
    ]


def test_a_breach_is_parked_and_the_stream_goes_on(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    changes_after(
        [
            """begin; insert into t values (1); insert into t values (2, true);
               insert into t values (3); commit"""
        ],
        ["create table t (id int primary key, broken boolean)"],
        ("public.t",),
        database,
        sql,
        log,
        tmp_path,
    )
    entries = log.read(0, 10)
    assert [entry.kind for entry in entries] == [
        EntryKind.EVENT,
        EntryKind.PARKED,
        EntryKind.EVENT,
    ]
    assert b'"reason":"/broken: is set"' in entries[1].leaf
    assert b'"type"' not in entries[1].leaf
    assert b'"type":"com.example.plain"' in entries[2].leaf
    assert entries[1].routing_key is None


@pytest.mark.parametrize("identity", ["default", "nothing", "full"])
def test_a_table_without_a_key_never_breaks_the_application(
    identity: str,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    events = changes_after(
        [
            "insert into h values (1, 'new')",
            "update h set note = 'changed' where n = 1",
            "delete from h where n = 0",
            "truncate h",
        ],
        [
            "create table h (n int, note text)",
            f"alter table h replica identity {identity}",
            "insert into h values (0, 'old')",
        ],
        ("public.h",),
        database,
        sql,
        log,
        tmp_path,
    )
    kinds = ["created", "truncated"]
    if identity == "full":
        kinds = ["created", "updated", "deleted", "truncated"]
    assert [event["kind"] for event in events] == kinds
    assert events_of(log)[0]["kind"] == "read"
