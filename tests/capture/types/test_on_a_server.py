"""Through the whole capture: decode trouble, foreign encodings, changed keys, odd names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from bridge.capture.service import CaptureService
from bridge.contracts import ContractSet
from bridge.contracts.means import Means
from bridge.contracts.protection import ProtectionKeys
from bridge.contracts.row_policies import INSERT_SUFFIX
from bridge.demo.servers import PrivatePostgres
from bridge.model.entry import EntryKind, StoredEntry
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.running import Running, await_position, make_source
from tests.conftest import Database
from tests.contracts.samples import DIALECT, write_contract
from tests.contracts.test_structures import contract
from tests.waiting import RecordingObserver, wait_until


def start(database: Database, folder: Path, log: MemoryEventLog) -> Running:
    """Start capture of every contract in `folder` and wait until the tables were read."""
    means = Means(protection=ProtectionKeys.derive(b"k" * 32))
    contracts = ContractSet.load(folder, type_prefix="com.example", means=means)
    tables = contracts.tables("shop")
    observer = RecordingObserver()
    service = CaptureService(
        "shop",
        make_source(database.dsn, database.name, *tables),
        log,
        contracts,
        spool_folder=folder / "spool",
        observer=observer,
    )
    running = Running(service, observer)
    wait_until(lambda: running.failure or len(observer.notes("table_read")) == len(tables), 30)
    return running


def entries(log: MemoryEventLog) -> list[StoredEntry]:
    return log.read(0, log.head().size)


def data_of(entry: StoredEntry) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(entry.payload)["data"]
    return data


def test_a_column_that_cannot_be_read_raises_an_alarm_and_the_stream_goes_on(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    sql.execute("create table thing (id int primary key, doc json, note text)")
    contract(tmp_path, doc="json", note="string")
    log = MemoryEventLog()
    running = start(database, tmp_path, log)
    for number, doc in enumerate(('{"n": 1}', '{"n": 1e999}', '"\\ud800"', '{"n": 2}')):
        sql.execute("insert into thing values (%s, %s, 'fine')", (number, doc))
    await_position(running, sql, log)
    running.end()
    found = entries(log)
    assert [entry.kind for entry in found] == [EntryKind.EVENT] * 4
    assert [data_of(entry)["key"]["id"] for entry in found] == [0, 1, 2, 3]
    assert [data_of(entry)["after"]["note"] for entry in found] == ["fine"] * 4
    troubled = data_of(found[1])
    assert "doc" not in troubled["after"]
    assert troubled["decode_error"] == [
        {"path": "/after/doc", "type": "json", "text": '{"n": 1e999}'}
    ]
    leaf = json.loads(found[1].leaf)["fields"]
    assert leaf["decode_error"] == ["/after/doc"]
    assert "decode_error" not in json.loads(found[3].leaf)["fields"]
    alarms = running.observer.notes("undecoded")
    assert sum(int(alarm.facts["entries"]) for alarm in alarms) == 2


@pytest.fixture
def ascii_database(postgres: PrivatePostgres, database: Database) -> Iterator[Database]:
    name = f"{database.name}_ascii"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(
            f"create database {name} encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
            " template template0".encode()
        )
        yield Database(name=name, dsn=postgres.dsn(name))
        admin.execute(
            "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots"
            " where database = %s and active_pid is not null",
            (name,),
        )
        admin.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
            " where database = %s",
            (name,),
        )
        admin.execute(f"drop database {name} with (force)".encode())


def test_a_text_that_is_not_utf_8_comes_as_base64_from_stream_and_snapshot(
    ascii_database: Database, tmp_path: Path
) -> None:
    contract(tmp_path, body="string")
    log = MemoryEventLog()
    with psycopg.connect(ascii_database.dsn, autocommit=True) as sql:
        sql.execute("create table thing (id int primary key, body text)")
        insert = "insert into thing values (%s, convert_from(%s, 'SQL_ASCII'))"
        sql.execute(insert, (1, b"caf\xe9"))
        running = start(ascii_database, tmp_path, log)
        sql.execute(insert, (2, b"caf\xe9"))
        sql.execute(insert, (3, "café".encode()))
        await_position(running, sql, log)
        running.end()
    read, streamed, fine = [data_of(entry) for entry in entries(log)]
    assert read["after"] == {"id": 1, "body": "Y2Fm6Q=="}
    assert streamed["after"] == {"id": 2, "body": "Y2Fm6Q=="}
    assert read["base64"] == streamed["base64"] == ["/after/body"]
    assert fine["after"] == {"id": 3, "body": "café"}
    assert "base64" not in fine


def test_both_sides_of_a_changed_key_are_entries_in_their_order(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    sql.execute("create table thing (id int primary key, body text)")
    contract(tmp_path, body="string")
    path = tmp_path / "shop.thing" / "1.0" / "mapping.yaml"
    path.write_text(path.read_text() + "key_change: delete_insert\n")
    log = MemoryEventLog()
    running = start(database, tmp_path, log)
    sql.execute("insert into thing values (1, 'a')")
    sql.execute("update thing set id = id + 1")
    sql.execute("update thing set body = 'b'")
    await_position(running, sql, log)
    running.end()
    created, deleted, moved, updated = entries(log)
    assert (deleted.routing_key, deleted.partition_key) == ("shop.thing.deleted.v1", '{"id":1}')
    assert (moved.routing_key, moved.partition_key) == ("shop.thing.created.v1", '{"id":2}')
    assert moved.entry_id == deleted.entry_id + INSERT_SUFFIX
    assert created.entry_id < deleted.entry_id < moved.entry_id < updated.entry_id
    assert json.loads(moved.payload)["id"] == moved.entry_id
    assert data_of(moved)["after"] == {"id": 2, "body": "a"}
    assert updated.partition_key == '{"id":2}'


def test_a_protected_value_is_nowhere_in_the_log(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    sql.execute("create table thing (id int primary key, mail text, phone text, day text)")
    sql.execute("alter table thing replica identity full")
    contract(
        tmp_path,
        mail={"type": "string", "protect": "hash"},
        phone={"type": "string", "protect": "token"},
        day={"type": "string", "codes": {"mon": "Monday"}},
    )
    log = MemoryEventLog()
    sql.execute("insert into thing values (1, 'canary@read', 'canary-1', 'mon')")
    running = start(database, tmp_path, log)
    sql.execute("insert into thing values (2, 'canary@created', 'canary-2', 'mon')")
    sql.execute("insert into thing values (3, 'canary@parked', 'canary-3', 'some day')")
    sql.execute("update thing set phone = 'canary-4'")
    sql.execute("alter table thing rename column mail to email")
    sql.execute("update thing set phone = 'canary-5'")
    sql.execute("delete from thing")
    await_position(running, sql, log)
    running.end()
    found = entries(log)
    assert {entry.kind for entry in found} == {EntryKind.EVENT, EntryKind.PARKED}
    assert len(found) > 12
    assert not [entry for entry in found if b"canary" in entry.payload + entry.leaf]


NAMES = ("select", "Select", 'quo"te', "dé jà%s", "user")


def test_names_are_opaque(database: Database, sql: psycopg.Connection, tmp_path: Path) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in NAMES]
    columns = ", ".join(f"{name} text" for name in quoted)
    for table in ('"Order"', '"order"', '"a.b ""c"" %"'):
        sql.execute(f'create table {table} ("ID" int primary key, {columns})'.encode())
    for number, table in enumerate(("Order", "order", 'a.b "c" %')):
        write_names_contract(tmp_path, f"shop.names-{number}", f"public.{table}")
    sql.execute("insert into \"Order\" values (0, 's', 'S', 'q', 'd', 'u')")
    log = MemoryEventLog()
    running = start(database, tmp_path, log)
    sql.execute("insert into \"order\" values (1, 's', 'S', 'q', 'd', 'u')")
    sql.execute("insert into \"a.b \"\"c\"\" %\" values (2, 's', 'S', 'q', 'd', 'u')")
    await_position(running, sql, log)
    running.end()
    texts = dict(zip((f"f{n}" for n in range(5)), ("s", "S", "q", "d", "u"), strict=True))
    assert [data_of(entry)["after"] for entry in entries(log)] == [
        {"id": number, **texts} for number in range(3)
    ]


def write_names_contract(folder: Path, subject: str, table: str) -> None:
    fields = {f"f{n}": {"column": name, "type": "string"} for n, name in enumerate(NAMES)}
    mapping = {
        "subject": subject,
        "version": "1.0",
        "source": "shop",
        "table": table,
        "key": ["id"],
        "fields": {"id": {"column": "ID", "type": "integer"}, **fields},
    }
    row = {"type": "object", "properties": {name: {} for name in ["id", *fields]}}
    schema = {
        "$schema": DIALECT,
        "type": "object",
        "required": ["key"],
        "properties": {"after": row},
    }
    text = yaml.safe_dump(mapping, allow_unicode=True, sort_keys=False)
    write_contract(folder, subject=subject, schema=schema, mapping=text)
