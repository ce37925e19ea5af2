"""A stored log that was changed: found, named, and neither appended to nor exported."""

import sqlite3
from pathlib import Path

import pytest

from bridge.eventlog.inspection import inspect_log
from bridge.model.errors import LogCorrupt
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.exporting.orders import make_bundle, make_signer

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


def test_a_corrupt_log_is_not_exported_as_if_it_were_whole(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "log.db")
    log.append(drafts(0, 300))
    connection = sqlite3.connect(tmp_path / "log.db")
    with connection:
        connection.execute(TAMPERINGS["payload"][0])
    connection.close()
    with pytest.raises(LogCorrupt, match="entry 17 has another payload"):
        make_bundle(log, make_signer(tmp_path), tmp_path / "bundle")
    assert not list(tmp_path.glob("*bundle*"))
    log.close()
