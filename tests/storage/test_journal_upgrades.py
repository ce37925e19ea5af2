"""Journals of earlier versions are brought to this one with what they hold."""

import asyncio
import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.model.errors import LaneBusy
from bridge.model.stage import Place, Stage
from bridge.model.write import WriteKind, WriteLevel, WriteState
from bridge.storage.journal.rows import packed_actor
from bridge.storage.journal.sql import UPGRADES
from bridge.storage.journal.sqlite import SqliteJournal
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk
from bridge.switching.history import CHAIN_START, check_chain
from tests.storage.journal_kit import an_answer, an_intent
from tests.warrants import by

_AT = "2026-01-01T00:00:00+00:00"


def test_a_journal_of_version_2_is_upgraded_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = sqlite3.connect(path)
    old.executescript(Path(__file__).with_name("journal_version_2.sql").read_text())
    old.executescript(
        "INSERT INTO groups VALUES ('orders', 'dual', 3, 0);"
        "INSERT INTO writes (number, intent_id, group_name, route, epoch, authority, lane, "
        "idempotency_key, fingerprint, owner, opened_at, state) VALUES (1, 'w1', 'orders', "
        "'status', 3, 'legacy', 'order:1', '\"w1\"', '', 'dead', '2026-01-01T00:00:00+00:00', "
        "'intent');"
        "INSERT INTO requests VALUES (1, 'PUT', '/orders/1', '[]', '{}');"
    )
    old.close()
    desk = SqliteJournalDesk(path)
    journal = SqliteJournal(path)
    (write,) = desk.list_writes(state=WriteState.INTENT)
    assert (write.intent.level, write.intent.kind) == (WriteLevel.INTENT, WriteKind.CLIENT)
    with pytest.raises(LaneBusy):
        asyncio.run(journal.open(an_intent(lane="order:1", epoch=3)))
    asyncio.run(journal.settle("w1", WriteState.APPLIED, response=an_answer()))
    assert journal.head("orders", "order:1") is not None
    (state,) = desk.groups()
    assert (state.place, state.forced_until) == (Place(Stage.DUAL), 0)
    desk.switch("orders", Stage.CANARY, expected_epoch=3, warrant=by(), share_percent=12.5)
    assert journal.groups()[0].place == Place(Stage.CANARY, 12.5)
    journal.close()
    desk.close()
    SqliteJournal(path).close()


def test_the_history_of_version_4_still_holds_together(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = sqlite3.connect(path)
    old.executescript(Path(__file__).with_name("journal_version_2.sql").read_text())
    for version in (2, 3):
        for statement in UPGRADES[version]:
            old.execute(statement)
    # A row as version 4 wrote it: its hash knows nothing of shares.
    actor = packed_actor(by().actor)
    row = ["orders", 1, "legacy", "dual", by().actor.as_json(), "a test", "T-1", _AT]
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    hashed = hashlib.sha256(CHAIN_START + text.encode()).digest()
    old.execute(
        "INSERT INTO switches VALUES (1, 'orders', 1, 'legacy', 'dual', ?, 'a test', 'T-1', ?, ?, "
        "?)",
        (actor, _AT, CHAIN_START, hashed),
    )
    old.execute("INSERT INTO groups VALUES ('orders', 'dual', 1, 0)")
    old.execute("PRAGMA user_version = 4")
    old.commit()
    old.close()
    with closing(SqliteJournalDesk(path)) as desk:
        desk.switch("orders", Stage.CANARY, expected_epoch=1, warrant=by(), share_percent=5)
        records = desk.history()
    check_chain(records)
    assert [str(record.switch.to_place) for record in records] == ["dual", "canary 5 %"]
