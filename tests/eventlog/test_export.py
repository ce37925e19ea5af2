"""Exports: complete or not there, recorded always, refused when the log is not what it was."""

import json
import sqlite3
from pathlib import Path

import pytest

from bridge.eventlog.export import export
from bridge.eventlog.inspection import inspect_log
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.verify_bundle import verify_bundle
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, LogCorrupt
from bridge.storage.memory_event_log import MemoryEventLog
from bridge.storage.sqlite_event_log import SqliteEventLog
from tests.eventlog.drafts import drafts


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.load_or_create(tmp_path / "log.key", origin="test.example/log")


def test_an_export_of_each_store_verifies(
    log: EventLogStore, signer: Signer, tmp_path: Path
) -> None:
    log.append(drafts(0, 2_300))
    heard: list[tuple[int, int]] = []
    report = export(
        log,
        HeadSigner(signer, log),
        tmp_path / "bundle",
        actor="ana",
        reason="yearly audit",
        progress=lambda done, total: heard.append((done, total)),
    )
    assert report.head.size == 2_301
    assert heard == [(1_000, 2_301), (2_000, 2_301), (2_301, 2_301)]
    assert sorted(path.name for path in report.folder.iterdir()) == [
        "checkpoint.txt",
        "hashes.bin",
        "key.txt",
        "leaves.jsonl",
        "manifest.json",
        "manifest.note",
        "payloads.jsonl",
    ]
    verdict = verify_bundle(report.folder, report.vkey)
    assert verdict.exit_code == 0, verdict.text
    assert inspect_log(log) == report.head


def test_an_export_is_recorded_in_the_log_and_in_itself(signer: Signer, tmp_path: Path) -> None:
    log = MemoryEventLog()
    report = export(
        log, HeadSigner(signer, log), tmp_path / "bundle", actor="ana", reason="yearly audit"
    )
    entry = log.find(report.entry_id)
    assert entry is not None
    assert entry.kind is EntryKind.EXPORT
    record = json.loads(entry.payload)
    assert (record["actor"], record["reason"]) == ("ana", "yearly audit")
    assert b"ana" not in entry.leaf
    assert (report.folder / "leaves.jsonl").read_bytes() == entry.leaf + b"\n"


@pytest.mark.parametrize(("actor", "reason"), [("", "audit"), ("ana", " ")])
def test_an_export_needs_actor_and_reason(
    signer: Signer, tmp_path: Path, actor: str, reason: str
) -> None:
    log = MemoryEventLog()
    with pytest.raises(ConfigInvalid, match="actor and a reason"):
        export(log, HeadSigner(signer, log), tmp_path / "bundle", actor=actor, reason=reason)
    assert log.head().size == 0


def test_an_export_overwrites_nothing(signer: Signer, tmp_path: Path) -> None:
    log = MemoryEventLog()
    (tmp_path / "bundle").mkdir()
    with pytest.raises(ConfigInvalid, match="it exists"):
        export(log, HeadSigner(signer, log), tmp_path / "bundle", actor="ana", reason="audit")


CHANGE_LEAF = """
UPDATE entries SET leaf = CAST(replace(leaf, 'public', 'publik') AS BLOB) WHERE leaf_index =
"""

TAMPERINGS = {
    "leaf": (
        CHANGE_LEAF + "17",
        "entry 17 hashes to",
    ),
    "payload": (
        "UPDATE entries SET payload = x'7B7D' WHERE leaf_index = 17",
        "entry 17 has another",
    ),
    "id": ("UPDATE entries SET entry_id = 'x' WHERE leaf_index = 17", "entry 17 has columns"),
    "removed": ("DELETE FROM entries WHERE leaf_index = 17", "entry 17 is missing"),
    "tile": ("UPDATE tiles SET hashes = zeroblob(8192)", "entry 0 hashes to"),
    "root": ("UPDATE head SET root = zeroblob(32)", "leaf hashes have root"),
    "tail": (
        CHANGE_LEAF + "299",
        "its last 44 entries of 300",
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_store_that_was_changed_is_found(tmp_path: Path, tampering: str) -> None:
    sql, message = TAMPERINGS[tampering]
    log = SqliteEventLog(tmp_path / "log.db")
    log.append(drafts(0, 300))
    connection = sqlite3.connect(tmp_path / "log.db")
    with connection:
        assert connection.execute(sql).rowcount == 1
    connection.close()
    with pytest.raises(LogCorrupt, match=message):
        inspect_log(log)
    log.close()


def test_a_changed_tail_stops_appends_of_the_next_process(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "log.db")
    log.append(drafts(0, 300))
    log.close()
    connection = sqlite3.connect(tmp_path / "log.db")
    with connection:
        connection.execute(TAMPERINGS["tail"][0])
    connection.close()
    log = SqliteEventLog(tmp_path / "log.db")
    with pytest.raises(LogCorrupt, match="appends are stopped"):
        log.append(drafts(300, 301))
    log.close()


def test_a_corrupt_log_is_not_exported_as_if_it_were_whole(signer: Signer, tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "log.db")
    log.append(drafts(0, 300))
    connection = sqlite3.connect(tmp_path / "log.db")
    with connection:
        connection.execute(TAMPERINGS["payload"][0])
    connection.close()
    with pytest.raises(LogCorrupt, match="entry 17 has another payload"):
        export(log, HeadSigner(signer, log), tmp_path / "bundle", actor="ana", reason="audit")
    assert not list(tmp_path.glob("*bundle*"))
    log.close()
