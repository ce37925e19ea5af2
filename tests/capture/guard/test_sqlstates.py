"""Each SQLSTATE that the server gives us: who acts, and what the operator reads."""

from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from adapters.postgres.server import PostgresServer
from adapters.postgres.sqlstates import CLASSES, STATES, Doing, meaning
from bridge.capture.guard.gaps import OnGap
from bridge.model.errors import Remedy, SourceUnavailable, SourceUnfit
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.guard.test_gaps import leaves
from tests.capture.running import await_position, await_streaming, capturing, make_source
from tests.conftest import Database

SERVER = PostgresServer("postgresql://u@h:1/d", application_name="test")
CANARY = "canary-value"


@pytest.mark.parametrize("state", STATES)
def test_states_have_the_names_that_postgresql_gives_them(state: str) -> None:
    assert len(state) == 5
    known = errors.lookup(state)
    assert known.sqlstate == state
    name = STATES[state].condition.replace("_", "")
    assert known.__name__.lower() in (name, f"{name}error", f"{name}_")


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("57P03", SourceUnavailable),
        ("55006", SourceUnavailable),
        ("53100", SourceUnavailable),
        ("42710", SourceUnavailable),
        ("42704", SourceUnavailable),
        ("08006", SourceUnavailable),
        ("53999", SourceUnavailable),
        ("99999", SourceUnavailable),
        ("42501", SourceUnfit),
        ("53400", SourceUnfit),
        ("28P01", SourceUnfit),
        ("3F000", SourceUnfit),
        ("42999", SourceUnfit),
        ("XX001", SourceUnfit),
        ("55000", SourceUnfit),
    ],
)
def test_a_state_decides_who_acts(state: str, kind: type[Exception]) -> None:
    told = SERVER.translate(psycopg.OperationalError("no"), "read", state=state)
    assert type(told) is kind
    assert (told.remedy is Remedy.RETRY) == (kind is SourceUnavailable)
    assert f"(SQLSTATE {state})" in str(told)
    assert str(told).endswith(meaning(state).advice)


def test_what_the_connection_knows_better_comes_first() -> None:
    error = psycopg.OperationalError("no")
    told = SERVER.translate(error, "read", state="53100", advice="call Ana")
    assert str(told).endswith("(SQLSTATE 53100); call Ana")


def test_a_broken_wire_has_no_state_and_is_tried_again() -> None:
    told = SERVER.translate(psycopg.OperationalError("connection reset"), "read")
    assert isinstance(told, SourceUnavailable)
    assert "SQLSTATE" not in str(told)


def test_bad_data_is_never_quoted() -> None:
    for state in ("22P02", "22021", "22P05"):
        told = SERVER.translate(psycopg.DataError(f"bad: {CANARY}"), "read", state=state)
        assert CANARY not in str(told)


def test_at_the_start_of_a_stream_a_broken_slot_is_judged_again() -> None:
    for state in ("55000", "42704", "58P01"):
        assert meaning(state, starting=True).doing is Doing.JUDGE
        assert meaning(state, starting=True).retry
    assert not meaning("42501", starting=True).retry


def test_every_class_is_a_pair_of_characters() -> None:
    assert all(len(name) == 2 for name in CLASSES)
    assert {state[:2] for state in STATES} - set(CLASSES) <= {"25", "72", "P0"}


def test_a_slot_that_goes_while_it_is_read_becomes_a_gap(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key)")
    source = make_source(database.dsn, database.name, "public.t")
    with capturing(source, log, tmp_path, "public.t", on_gap=OnGap.RESNAPSHOT) as running:
        await_streaming(running, log, "public.t")
        sql.execute(
            "select pg_terminate_backend(active_pid, 5000), pg_drop_replication_slot(slot_name)"
            " from pg_replication_slots where slot_name = %s",
            (database.name,),
        )
        running.observer.await_note("gap_closed", 20)
        sql.execute("insert into t values (1)")
        await_position(running, sql, log)
    assert [leaf["cause"] for leaf in leaves(log)] == ["slot-missing"] * 2
