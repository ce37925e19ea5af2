"""Reading the log is recorded before anything is shown, or nothing is shown."""

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
import pytest

from bridge.eventlog.records.access import QUERY_BYTES_MAX, AccessNotRecorded, record_access
from bridge.model.entry import Appended, CursorMove, EntryDraft, EntryKind
from bridge.model.errors import LimitExceeded, StorageUnavailable
from bridge.model.warrant import Actor, ActorType, Known, Outcome, Warrant
from bridge.storage.event_log.memory import MemoryEventLog

AUDITOR = Actor(id="ines", type=ActorType.PERSON, known=Known.TOKEN)
AT = datetime(2026, 11, 21, 13, 23, 4, 653291, tzinfo=UTC)


class FullDisk(MemoryEventLog):
    """A log that takes nothing."""

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Refuse."""
        raise StorageUnavailable("cannot append: disk is full")


def test_a_read_is_an_entry_with_who_what_and_how_much() -> None:
    log = MemoryEventLog()
    record_access(log, AUDITOR, "search", found=12, query={"kinds": ["event"]}, at=AT)
    (entry,) = log.read(0, 10)
    assert entry.kind is EntryKind.ACCESS
    assert orjson.loads(entry.leaf)["fields"] == {
        "action": "search",
        "actor": {"id": "ines", "known": "token", "type": "person"},
        "found": 12,
        "outcome": "done",
        "query": {"kinds": ["event"]},
        "recordedtime": "2026-11-21T13:23:04.653291Z",
        "time": "2026-11-21T13:23:04.653291Z",
    }


def test_a_read_with_a_warrant_says_why() -> None:
    log = MemoryEventLog()
    warrant = Warrant(actor=AUDITOR, reason="yearly audit", ticket="AU-7")
    record_access(log, warrant, "disclose", found=1, outcome=Outcome.FAILED, error="LogCorrupt")
    (entry,) = log.read(0, 10)
    fields = orjson.loads(entry.leaf)["fields"]
    assert (fields["ticket"], fields["outcome"], fields["error"]) == (
        "AU-7",
        "failed",
        "LogCorrupt",
    )
    assert b"yearly audit" not in entry.leaf
    assert orjson.loads(entry.payload)["reason"] == "yearly audit"


def test_a_read_that_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(AccessNotRecorded, match=r"could not be recorded .*disk is full.*repair"):
        record_access(FullDisk(), AUDITOR, "list", found=3)


def test_a_query_beyond_the_limit_is_refused() -> None:
    log = MemoryEventLog()
    with pytest.raises(LimitExceeded, match=f"at most {QUERY_BYTES_MAX}"):
        record_access(log, AUDITOR, "list", found=1, query={"types": ["x" * QUERY_BYTES_MAX]})
    assert log.head().size == 0
