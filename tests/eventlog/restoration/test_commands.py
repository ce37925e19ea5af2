"""Backup, a restored log, its acceptance, and pruning: from the command line, on both stores."""

import json
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.demo.servers import PrivatePostgres
from bridge.eventlog.inspection import inspect_log
from bridge.eventlog.keeping.ports import Hold
from bridge.eventlog.merkle import check_consistency, prove_consistency
from bridge.eventlog.signing.checkpoint import HeadSigner, parse_checkpoint
from bridge.eventlog.signing.note import split_note
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.errors import ConfigInvalid, LogCorrupt, LogRestored
from bridge.runtime.wiring.stores import Stores
from bridge.storage.event_log import sqlite_backup
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.cli.deployment import Deployment
from tests.conftest import Database
from tests.eventlog.drafts import drafts, move

WHY = ("--reason", "disk of srv4 died", "--ticket", "INC-7")
LOST = ("--origin", "legacy-bridge.local/log/2")


class Killed(BaseException):
    """The end of a process."""


@pytest.fixture
def shop(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path, event_log={"prune_floor_days": 0})


def fill(shop: Deployment, start: int, stop: int, *, signed: bool = True) -> None:
    with shop.stores() as stores:
        log = stores.event_log()
        cursor = log.cursor("shop")
        log.append(drafts(start, stop), cursor=move(0 if cursor is None else cursor.version))
        if signed:
            HeadSigner(stores.signer(), log).sign()


def last_entries(shop: Deployment, count: int) -> list[StoredEntry]:
    with shop.stores() as stores:
        log = stores.event_log()
        return log.read(log.head().size - count, count)


def leaf(entry: StoredEntry) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry.leaf)["fields"]
    return found


def back_up(shop: Deployment, folder: Path) -> dict[str, Any]:
    said = shop.call("log", "backup", str(folder), *WHY, "--json")
    assert said.code == 0, said.err
    found: dict[str, Any] = said.json()
    return found


def bring_back(shop: Deployment, folder: Path) -> None:
    """Put the log of a backup in place, as an operator does, and nothing else."""
    data = shop.folder / "data"
    for path in data.glob("log.db*"):
        path.unlink()
    shutil.copy(folder / "log.db", data / "log.db")


def test_a_backup_is_whole_private_and_recorded(shop: Deployment) -> None:
    fill(shop, 0, 700)
    with shop.stores() as stores:
        stores.sink_cursors().store("rabbitmq", 400)
    folder = shop.folder / "backup"
    told = back_up(shop, folder)
    assert told["size"] == 701, "the entry of the backup is in it"
    assert sorted(told["files"]) == ["keys/log.ed25519.last", "log.db", "state.db"]
    manifest = json.loads((folder / "backup.json").read_text())
    assert manifest["head"] == {"size": 701, "root": told["root"]}
    for path in (folder, folder / "keys", folder / "log.db", folder / "state.db"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert not list(folder.rglob("log.ed25519")), "a private key is in no backup"
    [entry] = last_entries(shop, 1)
    assert entry.kind is EntryKind.ACCESS
    assert (leaf(entry)["ticket"], leaf(entry)["outcome"]) == ("INC-7", "done")
    assert "exists; name a new folder" in shop.refused("log", "backup", str(folder), *WHY)


def test_a_backup_of_a_log_that_grows_is_one_moment_of_it(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_backup, "STEP_PAGES", 16)
    fill(shop, 0, 3_000)
    with shop.stores() as stores:
        log = stores.event_log()
        copied = shop.folder / "copy"
        # Every look at the progress is a commit in between.
        copied.mkdir()
        steps = []

        def grow(done: int, total: int) -> None:
            steps.append(done)
            size = log.head().size
            log.append(drafts(size, size + 20))

        sqlite_backup.copy_sqlite(shop.folder / "data/log.db", copied / "log.db", progress=grow)
        assert log.head().size == 3_000 + 20 * len(steps)
    assert len(steps) > 5
    with closing(SqliteEventLog(copied / "log.db")) as copy:
        assert inspect_log(copy).size == 3_000


def test_the_newest_backup_goes_on_as_if_nothing_had_happened(shop: Deployment) -> None:
    fill(shop, 0, 500)
    back_up(shop, shop.folder / "backup")
    bring_back(shop, shop.folder / "backup")
    fill(shop, 500, 600)
    with shop.stores() as stores:
        assert inspect_log(stores.event_log()).size == 601


def test_a_log_restored_too_old_takes_no_appends_until_it_is_accepted(shop: Deployment) -> None:
    fill(shop, 0, 500)
    back_up(shop, shop.folder / "backup")
    fill(shop, 500, 900)
    with shop.stores() as stores:
        stores.sink_cursors().store("rabbitmq", 850)
        old_note = (stores.settings.data_dir / "keys" / "log.ed25519.last").read_bytes()
        before = prove_consistency(StoredHashes(stores.event_log()), 500, 901)
    bring_back(shop, shop.folder / "backup")

    with shop.stores() as stores:
        log = stores.event_log()
        with pytest.raises(LogRestored, match="has 501 entries, but the signing key knows of 901"):
            log.append(drafts(500, 510), cursor=move(1))
        with pytest.raises(LogCorrupt, match="restored from an old backup"):
            HeadSigner(stores.signer(), log).sign()
        assert len(log.read(0, 999)) == 501, "reading goes on"
    assert "accept-restore" in shop.refused("log", "backup", str(shop.folder / "b2"), *WHY)

    status = shop.call("status", "--json").json()
    assert (status["event_log"]["lost"], status["healthy"]) == ({"start": 501, "stop": 901}, False)

    # A name that was signed under is not used again.
    same = ("--origin", "legacy-bridge.local/log")
    assert "heads were signed under that name" in shop.refused("log", "accept-restore", *same, *WHY)
    told = shop.call("log", "accept-restore", *LOST, *WHY, "--json").json()
    assert (told["lost"], told["entry"]) == ({"start": 501, "stop": 901}, 501)

    [entry] = last_entries(shop, 1)
    said = leaf(entry)
    assert said["new_origin"] == "legacy-bridge.local/log/2"
    assert (said["old_origin"], said["ticket"]) == ("legacy-bridge.local/log", "INC-7")
    assert json.loads(entry.payload)["last_checkpoint"] == old_note.decode()

    # Under the old name nothing is signed, under the new one everything goes on.
    with shop.stores() as stores, pytest.raises(ConfigInvalid, match="that name ended at 901"):
        stores.signer()
    shop.settings["event_log"]["origin"] = "legacy-bridge.local/log/2"
    shop.write()
    fill(shop, 500, 700)
    with shop.stores() as stores:
        log = stores.event_log()
        assert stores.sink_cursors().load("rabbitmq") == 501
        checkpoint = log.latest_checkpoint()
        assert checkpoint is not None
        origin, head = parse_checkpoint(split_note(checkpoint[1])[0])
        assert (origin, head) == ("legacy-bridge.local/log/2", inspect_log(log))
        # What was not lost is provable by both: the new head grew out of the old checkpoint that
        # the backup had, and so did the last head of the old name.
        [(_, note)] = log.checkpoints(500, 1)
        origin, kept = parse_checkpoint(split_note(note)[0])
        assert (origin, kept.size) == ("legacy-bridge.local/log", 500)
        proof = prove_consistency(StoredHashes(log), 500, head.size)
        assert check_consistency(500, kept.root, head.size, head.root, proof)
        _, old = parse_checkpoint(split_note(old_note)[0])
        assert check_consistency(500, kept.root, old.size, old.root, before)
    assert "it has everything" in shop.refused(
        "log", "accept-restore", "--origin", "legacy-bridge.local/log/3", *WHY
    )


def test_an_acceptance_that_was_killed_is_done_again(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(shop, 0, 300)
    back_up(shop, shop.folder / "backup")
    fill(shop, 300, 900)
    bring_back(shop, shop.folder / "backup")

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("bridge.runtime.roles.log_upkeep.retire", killed)
    with pytest.raises(Killed):
        shop.call("log", "accept-restore", *LOST, *WHY)
    monkeypatch.undo()
    with shop.stores() as stores, pytest.raises(LogRestored):
        stores.event_log().append(drafts(300, 301))
    assert shop.call("log", "accept-restore", *LOST, *WHY).code == 0
    kinds = [entry.kind for entry in last_entries(shop, 2)]
    assert kinds == [EntryKind.ACCESS, EntryKind.RESTORE], "it is told once"


def test_pruning_by_a_person(shop: Deployment) -> None:
    fill(shop, 0, 1_000)
    prune = ("log", "prune", "--below", "600", *WHY)
    plan = shop.call(*prune, "--dry-run", "--json").json()
    assert (plan["first_index"], plan["entries"], plan["dry_run"]) == (512, 512, True)
    assert shop.call(*prune, "--json").json()["first_index"] == 512
    with shop.stores() as stores:
        log = stores.event_log()
        assert log.first_index() == 512
        assert inspect_log(log).size == 1_001
        keys = stores.keeping().store()
        keys.place_hold(Hold("case-7", None, None, "2026-11-21T00:00:00.000000Z"))
        keys.set_applied(900)
    assert "legal holds are in force (case-7)" in shop.refused(
        "log", "prune", "--below", "900", *WHY
    )
    with shop.stores() as stores:
        stores.keeping().store().lift_hold("case-7")
    shop.settings["delivery"] = {"url": "amqp://localhost"}
    shop.write()
    assert "'rabbitmq' needs entries from 0 on" in shop.refused(
        "log", "prune", "--below", "900", *WHY
    )
    [refusal] = last_entries(shop, 1)
    assert (refusal.kind, leaf(refusal)["outcome"]) == (EntryKind.PRUNE, "refused")


def test_a_dump_of_the_schema_is_a_backup(
    shop: Deployment, postgres: PrivatePostgres, database: Database, tmp_path: Path
) -> None:
    shop.settings["event_log"]["url"] = database.dsn
    shop.write()
    fill(shop, 0, 600)
    told = shop.call("log", "backup", str(tmp_path / "b"), *WHY)
    assert "pg_dump --schema=bridge_log" in told.out
    dump = tmp_path / "bridge_log.sql"
    subprocess.run(
        [
            postgres.program("pg_dump"),
            "--schema=bridge_log",
            f"--file={dump}",
            f"--dbname={database.dsn}",
        ],
        check=True,
        capture_output=True,
    )
    fill(shop, 600, 900)
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute("DROP SCHEMA bridge_log CASCADE")
    subprocess.run(
        [
            postgres.program("psql"),
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            f"--file={dump}",
            f"--dbname={database.dsn}",
        ],
        check=True,
        capture_output=True,
    )
    with shop.stores() as stores:
        log = stores.event_log()
        assert inspect_log(log).size == 601
        with pytest.raises(LogRestored, match="has 601 entries, but the signing key knows of 901"):
            log.append(drafts(600, 700))
    assert shop.call("log", "accept-restore", *LOST, *WHY).code == 0
    shop.settings["event_log"]["origin"] = LOST[1]
    shop.write()
    fill(shop, 600, 2_000)
    with shop.stores() as stores:
        assert inspect_log(stores.event_log()).size == 2_002


def test_stores_that_are_opened_ask_what_others_know(shop: Deployment) -> None:
    fill(shop, 0, 300, signed=False)
    with shop.stores() as stores:
        stores.sink_cursors().store("rabbitmq", 301)
    with shop.stores() as stores, pytest.raises(LogRestored, match="sink 'rabbitmq' knows of 301"):
        append_one(stores)


def append_one(stores: Stores) -> None:
    stores.event_log().append(drafts(300, 301))
