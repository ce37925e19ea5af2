"""What the catalog tells early: changes without a row, and publications that somebody touched."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.capture.drift.catalog_watch import CatalogWatch
from bridge.capture.mapping.own_events import OwnEvents
from bridge.capture.shelf import Shelf
from bridge.capture.watches import Sighting
from bridge.contracts.contract_set import ContractSet
from bridge.contracts.product_schemas import product_schema
from bridge.demo.servers import PrivatePostgres
from bridge.model.entry import EntryKind
from bridge.model.errors import SourceUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.drift.shop import data_of, entries_of, start_shop, told, write_contract
from tests.capture.running import (
    SOURCE,
    await_position,
    await_streaming,
    cursor_of,
    make_source,
)
from tests.conftest import Database, fresh_database
from tests.waiting import RecordingObserver, wait_until

INTERVAL_S = 0.1


class Desk:
    """A captured table `t`, and its catalog watch."""

    def __init__(
        self, database: Database, sql: psycopg.Connection, log: MemoryEventLog, folder: Path
    ) -> None:
        self.database, self.sql, self.log, self.folder = database, sql, log, folder
        self.contracts = folder / "contracts"
        self.watches: list[CatalogWatch] = []
        write_contract(self.contracts, {"id": "integer", "name": "string"})
        sql.execute("create type mood as enum ('calm', 'cross')")
        sql.execute("create table t (id int primary key, name mood)")

    def watch(self, observer: RecordingObserver | None = None) -> CatalogWatch:
        """Return a watch; the fixture closes it."""
        contracts = ContractSet.load(self.contracts, type_prefix="com.example")
        source = make_source(self.database.dsn, self.database.name, "public.t")
        watch = CatalogWatch(
            SOURCE,
            source.facts_reader(["public.t"]),
            Shelf(self.log, SOURCE, "catalog"),
            contracts=contracts,
            events=OwnEvents(SOURCE, "com.example"),
            observer=observer or RecordingObserver(),
            interval_s=INTERVAL_S,
        )
        self.watches.append(watch)
        return watch

    def after(self, *statements: str) -> list[dict[str, Any]]:
        """Return what a look tells after `statements`, as data of events."""
        watch = self.watch()
        first = watch.look(None)
        for statement in statements:
            self.sql.execute(statement.encode())
        return [data for draft in watch.look(first.state).drafts if (data := data_in(draft))]


def data_in(draft: Any) -> dict[str, Any] | None:
    data: dict[str, Any] | None = json.loads(draft.payload).get("data")
    assert data is None or product_schema("bridge.schema-drift").reason(data) is None
    return data


@pytest.fixture
def desk(any_database: Database, log: MemoryEventLog, tmp_path: Path) -> Iterator[Desk]:
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        desk = Desk(any_database, sql, log, tmp_path)
        make_source(any_database.dsn, any_database.name, "public.t").prepare(None)
        yield desk
        for watch in desk.watches:
            watch.close()


FACTS = {
    "alter table t alter name set not null": (["columns", "name", "not_null"], False, True),
    "alter table t alter name set default 'calm'": (
        ["columns", "name", "default"], None, "'calm'::public.mood",
    ),
    "alter table t add constraint positive check (id > 0)": (
        ["constraints", "positive"], None, "CHECK ((id > 0))",
    ),
    "alter type mood add value 'glad'": (
        ["enums", "mood"], ["calm", "cross"], ["calm", "cross", "glad"],
    ),
    "comment on column t.name is 'how it goes'": (
        ["columns", "name", "comment"], None, "how it goes",
    ),
    "alter table t alter id type bigint": (["columns", "id", "type"], "integer", "bigint"),
    "alter table t alter id add generated always as identity": (
        ["columns", "id", "identity"], None, "a",
    ),
    "alter table t replica identity full": (["replica_identity"], "d", "f"),
}  # fmt: skip


def test_what_no_relation_message_carries(desk: Desk) -> None:
    watch = desk.watch()
    state = watch.look(None).state
    for statement, (path, old, new) in FACTS.items():
        desk.sql.execute(statement.encode())
        sighting = watch.look(state)
        (draft,) = sighting.drafts
        data = data_in(draft)
        assert data is not None
        assert {"fact": path, "old": old, "new": new} in data["differences"], statement
        assert data["seen_in"] == "catalog"
        assert data["as_of"]
        assert data["table"] == "public.t"
        assert draft.routing_key == "bridge.shop.schema-drift.v1"
        state = sighting.state
    assert watch.look(state) == Sighting()


def test_an_early_verdict_by_the_contract(desk: Desk) -> None:
    (added,) = desk.after("alter table t add column more int")
    assert added["verdict"] == "needs-new-version"
    (dropped,) = desk.after("alter table t drop column name")
    assert dropped["verdict"] == "breaks"
    (commented,) = desk.after("alter table t add column name text", "comment on table t is 'x'")
    assert commented["verdict"] == "needs-new-version"


def test_a_table_taken_out_of_the_publication(desk: Desk) -> None:
    name = desk.database.name
    watch = desk.watch()
    state = watch.look(None).state
    desk.sql.execute(f"alter publication {name} drop table t".encode())
    sighting = watch.look(state)
    drift, gap = sighting.drafts
    assert "was taken out of publication" in str(data_in(drift))
    assert gap.kind is EntryKind.GAP
    assert (gap.fields["cause"], gap.fields["state"]) == ("not-published", "lost")
    assert gap.fields["tables"] == ["public.t"]
    assert gap.fields["from_lsn"] < gap.fields["to_lsn"]
    desk.sql.execute(f"alter publication {name} add table t".encode())
    _, found = watch.look(sighting.state).drafts
    assert found.fields["state"] == "found"


def test_a_publication_that_somebody_dropped_or_changed(desk: Desk) -> None:
    name = desk.database.name
    changed = desk.after(f"alter publication {name} set (publish = 'insert')")
    assert any("other kinds of changes" in str(data["reasons"]) for data in changed)
    desk.sql.execute("create table stranger (id int primary key)")
    (added,) = desk.after(f"alter publication {name} add table stranger")
    assert "no contract maps it" in added["reasons"][0]
    gone = desk.after(f"drop publication {name}")
    assert any("is gone: changes of its tables are not sent" in str(data) for data in gone)


def test_filters_and_lists_of_a_publication(desk: Desk) -> None:
    if desk.sql.info.server_version < 150_000:
        pytest.skip("row filters and column lists came with PostgreSQL 15")
    name = desk.database.name
    (changed,) = desk.after(f"alter publication {name} set table t (id) where (id > 7)")
    facts = {tuple(one["fact"]): one["new"] for one in changed["differences"]}
    assert facts["tables", "public.t", "columns"] == ["id"]
    assert facts["tables", "public.t", "row_filter"] == "(id > 7)"


def test_a_table_dropped_and_created_anew(desk: Desk) -> None:
    told_now = desk.after("drop table t", "create table t (id int primary key, name mood)")
    assert any("is another one under the same name" in str(data) for data in told_now)


def test_partitions_that_come_and_go(desk: Desk) -> None:
    desk.sql.execute("drop table t")
    desk.sql.execute("create table t (id int primary key, name mood) partition by range (id)")
    desk.sql.execute("create table t1 partition of t for values from (0) to (10)")
    (detached,) = desk.after("alter table t detach partition t1")
    assert "rows that moved with them left no events" in str(detached["reasons"])


def test_there_and_back_are_two_changes_with_ids_of_their_own(desk: Desk) -> None:
    watch = desk.watch()
    state = watch.look(None).state
    ids = []
    for _ in range(2):
        for label in ("'x'", "null"):
            desk.sql.execute(f"comment on table t is {label}".encode())
            again = watch.look(state)
            sighting = watch.look(state)
            # Seen, but not durable: the next look says the same under the same id.
            assert [draft.entry_id for draft in again.drafts] == [
                draft.entry_id for draft in sighting.drafts
            ]
            ids += [draft.entry_id for draft in sighting.drafts]
            state = sighting.state
    assert len(set(ids)) == 4


def test_an_alter_under_way_is_waited_for_and_not_blocked(desk: Desk) -> None:
    watch = desk.watch()
    with psycopg.connect(desk.database.dsn) as other:
        other.execute("alter table t add column more int default 1 check (more > 0)")
        # It depends on the version whether a definition can be read meanwhile.
        with contextlib.suppress(SourceUnavailable):
            watch.look(None)
        other.rollback()
    assert watch.look(None).state


def test_told_once_over_restarts(desk: Desk, log: MemoryEventLog) -> None:
    folder = desk.folder / "spool"
    folder.mkdir()

    def session(*statements: str) -> None:
        running = start_shop(desk.database, log, folder, desk.contracts, watches=[desk.watch()])
        try:
            await_streaming(running, log, "public.t")
            seen = len(entries_of(log))
            for statement in statements:
                desk.sql.execute(statement.encode())
            if statements:
                wait_until(lambda: len(entries_of(log)) > seen, 20, "the change to be told")
            else:
                wait_until(lambda: "catalog" in watched(log), 20, "a first look")
        finally:
            running.stop.set()
        running.end()

    session()
    desk.sql.execute("alter type mood add value 'glad'")
    session("comment on table t is 'while it runs'")
    session()
    shown = [
        tuple(one["fact"]) for entry in entries_of(log) for one in data_of(entry)["differences"]
    ]
    assert sorted(shown) == [("comment",), ("enums", "mood")]
    assert all(told(entry)["seen_in"] == "catalog" for entry in entries_of(log))


def watched(log: MemoryEventLog) -> dict[str, str]:
    return dict(cursor_of(log).watches)


def test_a_publication_dropped_while_it_is_read(
    postgres_18: PrivatePostgres,
    database_names: Iterator[str],
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    """PostgreSQL 18 passes over it without an error: only the catalog tells that rows are lost."""
    with (
        fresh_database(postgres_18, next(database_names)) as database,
        psycopg.connect(database.dsn, autocommit=True) as sql,
    ):
        desk = Desk(database, sql, log, tmp_path)
        (tmp_path / "spool").mkdir()
        observer = RecordingObserver()
        running = start_shop(
            database, log, tmp_path / "spool", desk.contracts, watches=[desk.watch(observer)]
        )
        try:
            await_streaming(running, log, "public.t")
            wait_until(lambda: "catalog" in watched(log), 20, "a first look")
            sql.execute(f"drop publication {database.name}")
            sql.execute("insert into t values (1, 'calm')")
            wait_until(lambda: gaps(log), 20, "the loss to be told")
            sql.execute(f"create publication {database.name} for table t")
            sql.execute("insert into t values (2, 'cross')")
            wait_until(lambda: len(gaps(log)) == 2, 20, "the end of the loss to be told")
            await_position(running, sql, log)
        finally:
            running.stop.set()
        running.end()
    assert [gap["state"] for gap in gaps(log)] == ["lost", "found"]
    assert gaps(log)[0]["from_lsn"]
    rows = [data_of(entry).get("after") for entry in entries_of(log) if b"after" in entry.payload]
    assert rows == [{"id": 2, "name": "cross"}]
    observer.await_note("tables_not_published", source=SOURCE)


def gaps(log: MemoryEventLog) -> list[dict[str, Any]]:
    return [told(entry) for entry in entries_of(log) if entry.kind is EntryKind.GAP]
