"""Messages of the application: events of their own, or who changes the rows behind them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.capture.mapping.change_mapper import ChangeMapper, MappingOptions
from bridge.capture.mapping.messages import CONTENT_BYTES_MAX, MessageRules, message_data
from bridge.contracts.product_schemas import product_schema
from bridge.model.change import (
    BeforeImage,
    Change,
    ChangeKind,
    Column,
    LogicalMessage,
    Relation,
    RowChange,
    TransactionPart,
)
from bridge.model.entry import EntryKind
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.drift.shop import (
    data_of,
    entries_of,
    shop,
    start_shop,
    told,
    write_contract,
)
from tests.capture.faults import Crash, FaultyLog
from tests.capture.running import PlainContracts, await_position, await_streaming
from tests.conftest import Database
from tests.waiting import RecordingObserver

RELATION = Relation(
    oid=7,
    schema="public",
    table="t",
    identity="d",
    columns=(Column(name="id", type_oid=23, type_modifier=-1, is_key=True),),
)
WHO = b'{"actor": "u-1", "reason": "why", "correlation": "c-1"}'


def row(number: int) -> RowChange:
    return RowChange(ChangeKind.CREATED, RELATION, None, BeforeImage.NONE, (str(number),))


def message(
    content: bytes, prefix: str = "lb.context", transactional: bool = True
) -> LogicalMessage:
    return LogicalMessage(transactional, prefix, content, 0x10)


def part(*changes: Change, first: int = 0, final: bool = True, lsn: int = 0x20) -> TransactionPart:
    return TransactionPart(
        9, lsn, datetime(2026, 1, 1, tzinfo=UTC), first, changes, final, lsn + 1 if final else None
    )


def mapper(**options: Any) -> ChangeMapper:
    return ChangeMapper("shop", PlainContracts("public.t"), MappingOptions(**options))


def actors(drafts: Sequence[Any]) -> list[str | None]:
    return [draft.fields.get("actor", {}).get("id") for draft in drafts]


def test_a_context_is_said_about_the_rows_behind_it() -> None:
    drafts = mapper().part_drafts(
        part(row(1), message(WHO), row(2), row(3), message(b'{"actor": "u-2"}'), row(4),
             message(b"{}"), row(5)),
        "now",
    )  # fmt: skip
    assert actors(drafts) == [None, "u-1", "u-1", "u-2", None]
    # Numbers are taken by messages too.
    assert [draft.entry_id[-1] for draft in drafts] == ["0", "2", "3", "5", "7"]
    # Free text stands in the event alone: a leaf is shown to anybody.
    assert all("reason" not in draft.fields for draft in drafts)
    event = json.loads(drafts[1].payload)
    assert event["reason"] == "why"
    assert "reason" not in json.loads(drafts[3].payload)
    assert (event["authid"], event["correlationid"]) == ("u-1", "c-1")
    assert "authid" not in json.loads(drafts[0].payload)


def test_that_nobody_said_who_it_was_is_a_fact_of_its_own() -> None:
    unsaid, without, said = mapper().part_drafts(
        part(row(1), message(b'{"ticket": "T-1"}'), row(2), message(WHO), row(3)), "now"
    )
    assert unsaid.fields["actor"] == without.fields["actor"] == {"known": "unknown"}
    assert without.fields["ticket"] == "T-1"
    assert said.fields["actor"] == {"id": "u-1", "known": "declared", "type": "person"}


def test_a_context_ends_with_its_transaction_and_outlives_its_parts() -> None:
    one = mapper()
    assert actors(one.part_drafts(part(message(WHO), row(1), final=False), "now")) == ["u-1"]
    assert actors(one.part_drafts(part(row(2), first=2, final=False), "now")) == ["u-1"]
    assert actors(one.part_drafts(part(row(3), first=3), "now")) == ["u-1"]
    assert actors(one.part_drafts(part(row(4), lsn=0x30), "now")) == [None]


def test_a_context_is_found_again_after_a_restart_in_the_middle() -> None:
    """The log has the first part: it comes again, and is only listened to."""
    one = mapper()
    again = one.part_drafts(part(message(WHO), row(1), final=False), "now", skip_before=2)
    assert again == []
    assert actors(one.part_drafts(part(row(2), first=2), "now", skip_before=2)) == ["u-1"]


def test_a_malformed_context_marks_the_rows_and_alarms() -> None:
    observer = RecordingObserver()
    one = ChangeMapper("shop", PlainContracts("public.t"), MappingOptions(), observer)
    drafts = one.part_drafts(
        part(message(WHO), row(1), message(b'{"actor": "canary@x"}'), row(2)), "now"
    )
    assert [draft.kind for draft in drafts] == [
        EntryKind.EVENT, EntryKind.PARKED, EntryKind.EVENT,
    ]  # fmt: skip
    # Whoever it was before, it is not said to be that one.
    assert actors([drafts[2]]) == [None]
    assert "'actor' is not an id" in drafts[2].fields["context_refused"]
    assert "'actor' is not an id" in drafts[1].fields["reason"]
    assert "canary" not in json.dumps([draft.fields for draft in drafts])
    observer.await_note("context_refused", 0, source="shop")


def test_a_context_outside_a_transaction_is_refused() -> None:
    one = mapper()
    (refused,) = one.part_drafts(part(message(WHO, transactional=False)), "now")
    assert refused.kind is EntryKind.PARKED
    assert actors(one.part_drafts(part(row(1), lsn=0x30), "now")) == [None]


def test_messages_are_events_when_their_prefix_is_listed() -> None:
    rules = MessageRules(publish_prefixes=("app.",))
    drafts = mapper(messages=rules).part_drafts(
        part(row(1), message(b"x", "app.done"), message(b"y", "other"), row(2)), "now"
    )
    assert [draft.entry_id[-1] for draft in drafts] == ["0", "1", "3"]
    assert drafts[1].routing_key == "bridge.shop.message.v1"
    assert drafts[1].partition_key == "app.done"
    event = json.loads(drafts[1].payload)
    assert event["type"] == "com.example.bridge.shop.message.v1"
    assert event["dataschema"] == "urn:legacy-bridge:contract:bridge.message:1.0"
    assert event["data"] == {
        "prefix": "app.done",
        "transactional": True,
        "size_bytes": 1,
        "encoding": "text",
        "content": "x",
    }


@pytest.mark.parametrize(
    ("content", "encoding", "shown"),
    [
        (b'{"n": 1.50,\n "big": 12345678901234567890123}', "json", None),
        ("caf\u00e9".encode(), "text", "caf\u00e9"),
        (b"{not json", "text", "{not json"),
        (b"\xff\x00", "base64", "/wA="),
        (b"x" * (CONTENT_BYTES_MAX + 1), "omitted", None),
    ],
)
def test_content_is_shown_as_what_it_is(content: bytes, encoding: str, shown: str | None) -> None:
    rules = MessageRules(publish_prefixes=("",))
    (draft,) = mapper(messages=rules).part_drafts(part(message(content, "p")), "now")
    data = json.loads(draft.payload)["data"]
    assert product_schema("bridge.message").reason(data) is None
    assert data["encoding"] == message_data(message(content, "p"))["encoding"] == encoding
    assert b"\n" not in draft.payload
    if shown is not None:
        assert data["content"] == shown
    if encoding == "json":
        assert b"1.50" in draft.payload
        assert b"12345678901234567890123" in draft.payload


def test_begin_and_end_of_transactions_when_asked_for() -> None:
    one = mapper(transactions=True)
    drafts = one.part_drafts(part(row(1), final=False), "now")
    drafts += one.part_drafts(part(row(2), first=1), "now")
    assert [draft.entry_id.rpartition(":")[2] for draft in drafts] == [
        "00000000-begin", "00000000", "00000001", "00000001-end",
    ]  # fmt: skip
    end = json.loads(drafts[-1].payload)["data"]
    assert product_schema("bridge.transaction").reason(end) is None
    assert end == {"status": "end", "xid": 9, "lsn": "0/20", "changes": 2}
    # Again after a restart: what the log has is not said twice.
    one = mapper(transactions=True)
    drafts = one.part_drafts(part(row(1), final=False), "now", skip_before=1)
    drafts += one.part_drafts(part(row(2), first=1), "now", skip_before=1)
    assert [draft.entry_id.rpartition(":")[2] for draft in drafts] == ["00000001", "00000001-end"]


def test_origin_and_size_of_a_transaction_are_told() -> None:
    (draft,) = mapper().part_drafts(part(row(1))._replace(origin="b", change_count=1), "now")
    assert draft.fields["legacy"]["origin"] == "b"
    assert draft.fields["legacy"]["total"] == 1


def test_messages_on_a_real_server(
    any_database: Database, log: MemoryEventLog, tmp_path: Path
) -> None:
    folder = tmp_path / "contracts"
    write_contract(folder, {"id": "integer"})
    emit = "select pg_logical_emit_message(%s, %s, %s)"
    rules = MessageRules(publish_prefixes=("app",))
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute("create table t (id int primary key)")
        options = MappingOptions(messages=rules)
        with shop(any_database, log, tmp_path, folder, options=options) as running:
            await_streaming(running, log, "public.t")
            with sql.transaction():
                sql.execute("insert into t values (1)")
                sql.execute(emit, (True, "lb.context", WHO.decode()))
                sql.execute("insert into t values (2)")
                sql.execute(emit, (True, "app", "inside"))
                sql.execute("insert into t values (3)")
                sql.execute(emit, (True, "lb.context", "nonsense"))
                sql.execute("insert into t values (4)")
            sql.execute("begin")
            sql.execute(emit, (False, "app", "stands for itself"))
            sql.execute(emit, (True, "app", "goes with its transaction"))
            sql.execute("rollback")
            sql.execute("insert into t values (5)")
            await_position(running, sql, log)
    shown = [
        (entry.kind, told(entry).get("actor", {}).get("id"), data_of(entry).get("content"))
        for entry in entries_of(log)
    ]
    event, parked = EntryKind.EVENT, EntryKind.PARKED
    assert shown == [
        (event, None, None),
        (event, "u-1", None),
        (event, "u-1", "inside"),
        (event, "u-1", None),
        (parked, None, "nonsense"),
        (event, None, None),
        (event, None, "stands for itself"),
        (event, None, None),
    ]
    ids = [entry.entry_id for entry in entries_of(log)]
    assert [one[-1] for one in ids] == ["0", "2", "3", "4", "5", "6", "0", "0"]
    assert len(set(ids)) == len(ids)
    running.observer.await_note("context_refused")


def test_truncation_tells_its_options(
    any_database: Database, log: MemoryEventLog, tmp_path: Path
) -> None:
    folder = tmp_path / "contracts"
    write_contract(folder, {"id": "integer"})
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute("create table t (id int primary key)")
        with shop(any_database, log, tmp_path, folder) as running:
            await_streaming(running, log, "public.t")
            sql.execute("truncate t")
            sql.execute("truncate t restart identity cascade")
            await_position(running, sql, log)
    flags = [
        (told(entry)["legacy"]["cascade"], told(entry)["legacy"]["restart_identity"])
        for entry in entries_of(log)
    ]
    assert flags == [(False, False), (True, True)]
    event = json.loads(entries_of(log)[1].payload)
    assert (event["truncatecascade"], event["truncateidentity"]) == (True, True)


def test_a_context_outlives_a_crash_in_the_middle_of_its_transaction(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    folder = tmp_path / "contracts"
    write_contract(folder, {"id": "integer"})
    sql.execute("create table t (id int primary key)")
    with shop(database, log, tmp_path, folder) as running:
        await_streaming(running, log, "public.t")
    with sql.transaction():
        sql.execute("select pg_logical_emit_message(true, 'lb.context', %s)", (WHO.decode(),))
        sql.execute("insert into t select * from generate_series(1, 6000)")

    def fault(number: int, moment: str) -> None:
        if moment == "after" and 0 < log.head().size < 6_000:
            raise Crash("half of the transaction is in the log")

    running = start_shop(database, FaultyLog(log, fault), tmp_path, folder)
    assert isinstance(running.await_failure(), Crash)
    assert 0 < log.head().size < 6_000
    with shop(database, log, tmp_path, folder) as running:
        await_position(running, sql, log)
    entries = entries_of(log)
    assert len(entries) == 6_000
    assert {told(entry)["actor"]["id"] for entry in entries} == {"u-1"}
