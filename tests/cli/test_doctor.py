"""`doctor`, `source setup` and `source teardown` on a real server, as administrators use them."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from bridge.model.entry import EntryKind
from bridge.model.errors import SourceUnavailable
from bridge.runtime import preflight
from bridge.runtime.exit_codes import CONFIG
from tests.capture.running import make_source
from tests.cli.deployment import Deployment
from tests.conftest import Database
from tests.waiting import wait_until

SECRET = "canary-secret"
CONTRACTS = Path(__file__).parents[1] / "pgbench_contracts"
TABLES = """
create table pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84));
create table pgbench_branches (bid int primary key, bbalance int, filler char(88));
create table pgbench_tellers (tid int primary key, bid int, tbalance int, filler char(84));
create table pgbench_history
    (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
"""


@pytest.fixture
def sql(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        yield connection


@pytest.fixture
def clerk(database: Database, sql: psycopg.Connection) -> Iterator[str]:
    """The DSN of a role that may log in and nothing else."""
    name = f"clerk_{database.name}"
    sql.execute(f"create role {name} login password '{SECRET}'".encode())
    parts = urlsplit(database.dsn)
    login = f"{name}:{SECRET}@{parts.hostname}:{parts.port}"
    yield urlunsplit(parts._replace(netloc=login))
    sql.execute(f"drop owned by {name}; drop role {name}".encode())


def deployed(folder: Path, database: Database, dsn: str, **source: Any) -> Deployment:
    """Return a deployment that captures pgbench's tables through `dsn`."""
    names = {"slot": database.name, "publication": database.name}
    return Deployment(
        folder,
        sources={"pgbench": {"dsn": dsn, **names, **source}},
        contracts={"dir": str(CONTRACTS)},
    )


def levels(report: Any) -> dict[tuple[str, str], str]:
    """Return the level of each finding by scope and check; the worst where there are several."""
    found: dict[tuple[str, str], str] = {}
    for finding in reversed(report["sources"][0]["findings"]):
        found[finding["scope"], finding["check"]] = finding["level"]
    return found


def state(sql: psycopg.Connection) -> dict[str, Any]:
    """Return everything in the catalogs that could be ours, and what was ever written to tables."""

    def rows(query: str) -> list[Any]:
        return sorted(sql.execute(query.encode()).fetchall())

    return {
        "classes": rows(
            "select relname, relkind::text, relreplident::text, relhastriggers, relacl::text"
            " from pg_class where relnamespace <> 'pg_toast'::regnamespace"
        ),
        "procs": rows("select proname, oid::int8 from pg_proc where oid >= 16384"),
        "triggers": rows("select tgname from pg_trigger"),
        "event triggers": rows("select evtname from pg_event_trigger"),
        "schemas": rows("select nspname from pg_namespace where nspname !~ '^pg_t'"),
        "publications": rows("select pubname from pg_publication"),
        "slots": rows(
            "select slot_name from pg_replication_slots where database = current_database()"
        ),
        "roles": rows("select rolname, rolreplication, rolsuper from pg_roles"),
        "settings": rows("select setdatabase::int8, setconfig::text from pg_db_role_setting"),
    }


def test_from_nothing_to_green_and_back(
    database: Database,
    sql: psycopg.Connection,
    clerk: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What doctor and the dry run print is all that an owner has to run; teardown undoes it."""
    before = state(sql)
    deployment = deployed(tmp_path, database, clerk)
    said = deployment.call("doctor", "--json", "--dry-run")
    assert said.code == CONFIG
    assert SECRET not in said.out
    report = said.json()
    assert report["level"] == "error"
    problems = {key for key, level in levels(report).items() if level == "error"}
    assert problems >= {("source", "role-replication"), ("source", "publication-rights")}
    assert {scope for scope, check in problems if check == "table-rights"} == {
        f"public.pgbench_{name}" for name in ("accounts", "branches", "tellers", "history")
    }
    assert state(sql) == before, "doctor changed something"

    # The rights, by hand; then the dry run's script, by hand.
    for finding in report["sources"][0]["findings"]:
        if finding["check"] in ("role-replication", "table-rights"):
            sql.execute(finding["sql"].encode())
    steps = report["sources"][0]["setup"]
    assert [step["sql"].split()[0] for step in steps] == ["CREATE", "CREATE", "SELECT"]
    for step in steps:
        sql.execute(step["sql"].encode())
    said = deployment.call("doctor", "--json", "--dry-run")
    assert said.code == 0, said.out
    assert said.json()["sources"][0]["setup"] == []
    assert said.json()["sources"][0]["counts"]["error"] == 0

    monkeypatch.setenv("OWNER_DSN", database.dsn)
    owner = ("--dsn-env", "OWNER_DSN")
    script = deployment.call("source", "teardown", "pgbench", "--dry-run", *owner)
    assert script.code == 0
    assert state(sql)["slots"] == [(database.name,)], "the dry run changed something"
    said = deployment.call(
        "source", "teardown", "pgbench", "--reason", "we go", "--ticket", "T-1", "--json", *owner
    )
    assert said.code == 0, said.err
    leave = said.json()
    assert [step["sql"] for step in leave["removed"]] == [
        line for line in script.out.splitlines() if not line.startswith("--")
    ]
    assert leave["left"] == []
    assert all(line.endswith(": 0 of ours") for line in leave["looked_at"])
    after = state(sql)
    for what in ("classes", "roles"):  # The rights were given by a person, who takes them back.
        del after[what], before[what]
    assert after == before


def test_setup_runs_exactly_what_the_dry_run_printed(
    database: Database,
    sql: psycopg.Connection,
    clerk: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Set up by an owner, for a role that has REPLICATION and SELECT only."""
    role = f"clerk_{database.name}"
    sql.execute(f"alter role {role} replication".encode())
    sql.execute(f"grant select on all tables in schema public to {role}".encode())
    deployment = deployed(tmp_path, database, clerk)
    monkeypatch.setenv("OWNER_DSN", database.dsn)
    printed = deployment.call("source", "setup", "pgbench", "--dry-run")
    line = deployment.refused("source", "setup", "pgbench", "--dsn-env", "OWNER_DSN")
    assert "without --reason" in line
    done = deployment.call(
        "source",
        "setup",
        "pgbench",
        "--reason",
        "go",
        "--ticket",
        "T-1",
        "--actor",
        "ana",
        "--dsn-env",
        "OWNER_DSN",
    )
    assert (done.code, done.out) == (0, printed.out), done.err
    assert deployment.call("doctor", "--json").code == 0
    again = deployment.call(
        "source", "setup", "pgbench", "-r", "go", "--ticket", "T-1", "--dsn-env", "OWNER_DSN"
    )
    assert again.out == "-- nothing to do\n"
    with deployment.stores() as stores:
        log = stores.event_log()
        entries = log.read(0, log.head().size)
    assert [entry.kind for entry in entries] == [EntryKind.CONTROL] * 2
    first = json.loads(entries[0].payload)
    assert (first["reason"], first["ticket"], first["action"]) == ("go", "T-1", "source-setup")
    assert first["sql"] == [text for text in printed.out.splitlines() if not text.startswith("--")]
    told = json.loads(entries[0].leaf)["fields"]
    assert told["actor"] == {"id": "ana", "known": "declared", "type": "person"}
    assert (told["outcome"], "reason" in told) == ("done", False)


def test_teardown_never_ends_a_stranger(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    deployment = deployed(tmp_path, database, database.dsn)
    assert deployment.call("source", "setup", "pgbench", "-r", "go", "--ticket", "T-1").code == 0
    with contextlib.closing(
        psycopg.connect(
            database.dsn, autocommit=True, replication="database", application_name="stranger"
        )
    ) as stranger:
        names = f"publication_names '{database.name}', proto_version '1'"
        stranger.pgconn.exec_(
            f"START_REPLICATION SLOT {database.name} LOGICAL 0/0 ({names})".encode()
        )
        for force in ((), ("--force",)):
            line = deployment.refused(
                "source", "teardown", "pgbench", "-r", "we go", "--ticket", "T-1", *force
            )
            assert f"is read by pid {stranger.info.backend_pid} (application 'stranger'" in line
            assert "from 127.0.0.1)" in line
        assert "not our capture" in line
    assert state(sql)["slots"]


def test_teardown_ends_our_own_capture_when_forced(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    deployment = deployed(tmp_path, database, database.dsn)
    assert deployment.call("source", "setup", "pgbench", "-r", "go", "--ticket", "T-1").code == 0
    stream = make_source(database.dsn, database.name).stream(0)
    line = deployment.refused("source", "teardown", "pgbench", "-r", "we go", "--ticket", "T-1")
    assert f"(application 'legacy-bridge {database.name}'" in line
    assert "stop capture first, or use --force" in line
    assert state(sql)["slots"] == [(database.name,)]
    said = deployment.call(
        "source", "teardown", "pgbench", "-r", "we go", "--ticket", "T-1", "--force"
    )
    assert said.code == 0, said.out + said.err
    assert "nothing of ours is left in source 'pgbench'" in said.out
    with pytest.raises(SourceUnavailable):
        wait_until(lambda: stream.receive(1, 100) is None, what="the end of the stream")
    stream.close()


def test_a_table_for_people_and_the_sql_to_copy(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    deployment = deployed(tmp_path, database, database.dsn)
    said = deployment.call("doctor", "pgbench", "--dry-run")
    assert said.code == 0
    assert f'CREATE PUBLICATION "{database.name}" FOR TABLE ONLY' in said.out
    assert "replica identity" in said.out
    assert deployment.call("doctor", "--strict").code == 1, "no WAL limit is a warning"
    assert "configured sources are pgbench" in deployment.refused("doctor", "other")


def test_no_identity_may_be_refused(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    deployment = deployed(tmp_path, database, database.dsn, no_identity="refuse")
    report = deployment.call("doctor", "--json").json()
    assert levels(report)["public.pgbench_history", "replica-identity"] == "error"
    line = deployment.refused("source", "setup", "pgbench", "-r", "go", "--ticket", "T-1")
    assert "has no usable replica identity, and no_identity is 'refuse'" in line
    assert state(sql)["publications"] == []


def test_a_source_that_is_not_there(tmp_path: Path, database: Database) -> None:
    deployment = deployed(tmp_path, database, f"postgresql://a:{SECRET}@127.0.0.1:1/d")
    said = deployment.call("doctor", "--json", "--dry-run")
    assert said.code == CONFIG
    assert SECRET not in said.out
    (finding,) = said.json()["sources"][0]["findings"]
    assert (finding["check"], finding["level"]) == ("connect", "error")
    assert [found["ok"] for found in said.json()["around"]] == [True, True, True]


def test_a_source_without_contracts(database: Database, tmp_path: Path) -> None:
    deployment = deployed(tmp_path, database, database.dsn)
    deployment.settings["sources"]["other"] = {"dsn": database.dsn}
    deployment.write()
    said = deployment.call("doctor", "other", "--json")
    assert said.code == CONFIG
    assert said.json()["sources"][0]["findings"][0]["check"] == "contracts"


def test_a_full_disk_is_told(
    tmp_path: Path, database: Database, sql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "DISK_FREE_BYTES_MIN", 1 << 60)
    said = deployed(tmp_path, database, database.dsn).call("doctor", "--json")
    assert said.code == CONFIG
    (disk,) = [found for found in said.json()["around"] if not found["ok"]]
    assert disk["what"] == "disk"
    assert "without room the log stops" in disk["message"]


def polled(folder: Path, **table: Any) -> Deployment:
    """Return a deployment that polls pgbench's tables from a file."""
    with contextlib.closing(sqlite3.connect(folder / "legacy.db")) as file:
        for statement in TABLES.split(";")[:-1]:
            file.execute(statement)
    plans = {
        f"main.pgbench_{name}": {"strategy": "full", **table}
        for name in ("accounts", "branches", "tellers")
    }
    source = {"kind": "polling", "url": f"sqlite:///{folder / 'legacy.db'}", "tables": plans}
    return Deployment(folder, sources={"pgbench": source}, contracts={"dir": str(CONTRACTS)})


def test_a_polled_source_has_an_inspection_of_its_own(tmp_path: Path) -> None:
    said = polled(tmp_path, interval_s=7).call("doctor", "--json", "--dry-run")
    assert said.code == CONFIG
    found = levels(said.json())
    assert found["source", "connect"] == "ok"
    assert found["main.pgbench_accounts", "strategy"] == "notice"
    assert found["main.pgbench_accounts", "contracts"] == "error", "its contract names public."
    assert found["public.pgbench_history", "contracts"] == "error", "it is not polled"
    assert said.json()["sources"][0]["setup"] == []


def test_a_polled_source_has_nothing_to_tear_down(tmp_path: Path) -> None:
    line = polled(tmp_path).refused(
        "source", "teardown", "pgbench", "-r", "we go", "--ticket", "T-1"
    )
    assert "it is polled, so nothing of ours is in it" in line
