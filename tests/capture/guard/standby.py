"""A standby of a private server, to promote."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bridge.demo.servers import PrivatePostgres
from tests.waiting import wait_until

STANDBY_SLOT = "standby_1"

# Logical slots are copied to a standby that feeds back and names a database.
FAILOVER_SETTINGS = {
    "sync_replication_slots": "on",
    "hot_standby_feedback": "on",
}


@contextmanager
def standby_of(
    primary: PrivatePostgres,
    folder: Path,
    *,
    version: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[PrivatePostgres]:
    """Copy `primary` into `folder` and run the copy as its standby, on slot `STANDBY_SLOT`."""
    with psycopg.connect(primary.dsn(), autocommit=True) as admin:
        admin.execute(
            "select pg_create_physical_replication_slot(%s, true) where not exists"
            " (select from pg_replication_slots where slot_name = %s)",
            (STANDBY_SLOT, STANDBY_SLOT),
        )
    owner = "postgres" if os.geteuid() == 0 else None
    folder.mkdir()
    if owner:
        shutil.chown(folder, owner, owner)
    subprocess.run(
        [
            primary.program("pg_basebackup"), "--pgdata", str(folder / "data"), "--dbname",
            primary.dsn(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            "--slot", STANDBY_SLOT,
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        user=owner,
        group=owner,
        extra_groups=[] if owner else None,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )  # fmt: skip
    shutil.copy2(primary.log.parent / "password", folder / "password")
    with PrivatePostgres.start(
        folder, version=version, settings={"fsync": "off", **(settings or {})}
    ) as server:
        yield server


def await_replayed(primary: psycopg.Connection, standby: psycopg.Connection) -> None:
    """Wait until the standby has everything that the primary has flushed."""
    row = primary.execute("select pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    wait_until(
        lambda: (
            standby.execute("select pg_last_wal_replay_lsn() >= %s::pg_lsn", (row[0],)).fetchone()
            == (True,)
        ),
        30,
        "the standby to follow",
    )


def promote(standby: psycopg.Connection) -> None:
    """Make the standby the primary; returns when it takes writes."""
    assert standby.execute("select pg_promote(true, 60)").fetchone() == (True,)
