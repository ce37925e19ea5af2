"""Doctor and setting up on a standby: its publications are its primary's, its slot is its own."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from adapters.postgres import setup
from bridge.capture.findings import Level
from bridge.demo.servers import PrivatePostgres
from bridge.demo.servers.postgres_programs import unsupported_platform
from bridge.model.errors import SourceUnavailable
from tests.capture.guard.standby import await_replayed, standby_of
from tests.capture.preflight.looking import checks, found, inspect, set_up
from tests.waiting import wait_until

SLOT = "bridge_shop"

pytestmark = pytest.mark.skipif(unsupported_platform() is not None, reason="no PostgreSQL 18 here")


def test_a_standby_is_set_up(server_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        PrivatePostgres.start(server_folder / "a", version=18) as primary,
        psycopg.connect(primary.dsn(), autocommit=True) as there,
    ):
        there.execute("create table t (id int primary key)")
        with (
            standby_of(primary, server_folder / "b", version=18) as standby,
            psycopg.connect(standby.dsn(), autocommit=True) as here,
        ):
            await_replayed(there, here)
            findings = inspect(standby.dsn(), SLOT, "t")
            assert "hot_standby_feedback off" in found(findings, "standby").what
            finding = found(findings, "publication-rights")
            assert "are those of its primary" in finding.what
            there.execute(finding.sql.encode())
            await_replayed(there, here)
            assert not checks(inspect(standby.dsn(), SLOT, "t"), Level.ERROR)

            monkeypatch.setattr(setup, "_STANDBY_WAIT_MS", 500)
            with pytest.raises(SourceUnavailable, match=r"run SELECT pg_log_standby_snapshot\(\)"):
                set_up(standby.dsn(), SLOT, "t")
            monkeypatch.undo()
            with ThreadPoolExecutor(1) as threads:
                done = threads.submit(set_up, standby.dsn(), SLOT, "t")

                def is_done() -> bool:
                    there.execute("select pg_log_standby_snapshot()")
                    return done.done()

                wait_until(is_done, 20, "the slot")
                done.result()
            slots = "select slot_name, failover from pg_replication_slots"
            assert here.execute(slots).fetchall() == [(SLOT, False)]
            assert "slot" in checks(inspect(standby.dsn(), SLOT, "t"), Level.OK)
