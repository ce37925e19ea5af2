"""What forbids pruning, and what pruning tells."""

import threading
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from bridge.eventlog.merkle import EMPTY_FRONTIER, leaf_hash
from bridge.eventlog.pruning import PruneRules, Sweeper, plan_pruning, prune
from bridge.eventlog.records.action_record import log_time
from bridge.model.entry import EntryKind
from bridge.model.errors import LimitExceeded, LogPruned
from bridge.model.warrant import Actor, ActorType, Known, Warrant
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import draft
from tests.waiting import RecordingObserver

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BY = Warrant(
    actor=Actor(id="ana", type=ActorType.PERSON, known=Known.LOGIN), reason="over", ticket="T-1"
)
FREE = PruneRules(floor_days=0, holds=(), cursors={})


def log_of(ages_days: list[int]) -> MemoryEventLog:
    """Return a log with 256 entries of each age, all signed."""
    log = MemoryEventLog()
    for tile, age in enumerate(ages_days):
        fields = {"recordedtime": log_time(NOW - timedelta(days=age))}
        log.append([draft(tile * 256 + at)._replace(fields=fields) for at in range(256)])
    log.add_checkpoint(log.head().size, b"note")
    return log


def test_the_entry_tells_who_why_and_the_root_of_what_went() -> None:
    log = log_of([9, 8, 7])
    leaves = [entry.leaf for entry in log.read(0, 512)]
    plan = plan_pruning(log, 600, FREE, now=NOW)
    assert (plan.start, plan.first_index, plan.count) == (0, 512, 512)
    assert plan.newest == NOW - timedelta(days=8)
    heard: list[tuple[int, int]] = []
    removed = prune(log, plan, BY, at=NOW, progress=lambda *step: heard.append(step))
    assert removed == 512
    assert heard[-1] == (512, 512)
    [entry] = log.read(768, 9)
    told = orjson.loads(entry.leaf)["fields"]
    assert entry.kind is EntryKind.PRUNE
    assert (told["start"], told["first_index"], told["ticket"]) == (0, 512, "T-1")
    assert told["actor"] == {"id": "ana", "known": "login", "type": "person"}
    frontier, _ = EMPTY_FRONTIER.extend(map(leaf_hash, leaves))
    assert told["root"] == frontier.root().hex()
    assert orjson.loads(entry.payload)["reason"] == "over"


def refusal(log: MemoryEventLog, below: int, rules: PruneRules) -> str:
    size = log.head().size
    with pytest.raises(LimitExceeded, match="cannot prune the event log below") as caught:
        plan_pruning(log, below, rules, now=NOW)
    assert (log.first_index(), log.head().size) == (0, size)
    return str(caught.value)


def test_the_legal_floor_stands_whoever_asks() -> None:
    log = log_of([3_700, 3_600, 9])
    rules = PruneRules(floor_days=3_653, holds=(), cursors={})
    assert "the age of entry 511 is 3600 days" in refusal(log, 512, rules)
    assert "prune_floor_days is 3653" in refusal(log, 768, rules)
    assert plan_pruning(log, 511, rules, now=NOW).first_index == 256


def test_the_newest_of_the_last_entries_counts() -> None:
    log = log_of([3_700])
    late = draft(900)._replace(fields={"recordedtime": log_time(NOW)})
    early = {"recordedtime": log_time(NOW - timedelta(days=9_000))}
    log.append([late, *(draft(901 + at)._replace(fields=early) for at in range(255))])
    log.add_checkpoint(512, b"note")
    rules = PruneRules(floor_days=3_653, holds=(), cursors={})
    assert "the age of entry 511 is 0 days" in refusal(log, 512, rules)


def test_entries_of_unknown_age_stay_under_a_floor() -> None:
    log = MemoryEventLog()
    log.append([draft(number)._replace(fields={}) for number in range(256)])
    log.add_checkpoint(256, b"note")
    rules = PruneRules(floor_days=1, holds=(), cursors={})
    assert "the age of entry 255 is unknown" in refusal(log, 256, rules)


def test_a_hold_stops_pruning() -> None:
    rules = PruneRules(floor_days=0, holds=("case-7",), cursors={})
    assert "legal holds are in force (case-7)" in refusal(log_of([9]), 256, rules)


def test_what_a_reader_still_needs_stays() -> None:
    rules = PruneRules(floor_days=0, holds=(), cursors={"rabbitmq": 300})
    log = log_of([9, 8])
    assert "'rabbitmq' needs entries from 300 on" in refusal(log, 512, rules)
    assert plan_pruning(log, 300, rules, now=NOW).first_index == 256


def test_what_is_not_signed_stays() -> None:
    log = log_of([9])
    log.append([draft(number) for number in range(256, 600)])
    assert "only 256 entries are signed" in refusal(log, 512, FREE)


def test_pruning_what_is_pruned_is_told() -> None:
    log = log_of([9, 8])
    prune(log, plan_pruning(log, 256, FREE, now=NOW), BY, at=NOW)
    with pytest.raises(LogPruned, match="its minimum index is 256 already"):
        plan_pruning(log, 511, FREE, now=NOW)


def test_what_a_killed_pruning_left_is_swept() -> None:
    log, notes, stop = log_of([9, 8]), RecordingObserver(), threading.Event()
    log.prune(256, draft(999)._replace(fields={}))
    thread = threading.Thread(target=Sweeper(log, observer=notes).run, args=(stop,))
    thread.start()
    assert notes.await_note("swept")["entries"] == 256
    stop.set()
    thread.join()
    assert log.sweep(1_000) == 0
