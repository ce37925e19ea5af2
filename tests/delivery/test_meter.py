"""Ages of events at the broker's confirm: one of each batch, never counted twice."""

from datetime import UTC, datetime, timedelta

import orjson

from bridge.delivery.meter import ConfirmMeter
from bridge.model.entry import EntryKind, StoredEntry
from tests.waiting import RecordingObserver

NOON = datetime(2024, 12, 1, 12, tzinfo=UTC)


def entry(index: int, **fields: object) -> StoredEntry:
    return StoredEntry(
        index, EntryKind.EVENT, f"e{index}", "a.b.c.v1", None, orjson.dumps(fields), b""
    )


def meter(now: datetime) -> tuple[ConfirmMeter, RecordingObserver]:
    observer = RecordingObserver()
    return ConfirmMeter("broker", observer, clock=lambda: now), observer


def test_the_last_of_each_batch_is_measured_when_it_is_confirmed() -> None:
    counted, observer = meter(NOON + timedelta(milliseconds=40))
    counted.offered(
        [entry(0), entry(1, time="2024-12-01T12:00:00Z", recordedtime="2024-12-01T12:00:00.032Z")]
    )
    counted.confirmed(1)
    assert observer.notes() == []
    counted.confirmed(2)
    (commit, commit_facts), (log, log_facts) = observer.notes()
    assert (commit, log) == ("commit_to_broker", "log_to_broker")
    assert (commit_facts["age_ms"], commit_facts["le_25"], commit_facts["le_50"]) == (40, 0, 1)
    assert (log_facts["age_ms"], log_facts["le_5"], log_facts["le_10"]) == (8, 0, 1)
    counted.confirmed(2)
    assert len(observer.notes()) == 2


def test_what_was_lost_is_not_measured() -> None:
    counted, observer = meter(NOON)
    counted.offered([entry(0, time="2024-12-01T11:00:00Z")])
    counted.lost()
    counted.confirmed(1)
    assert observer.notes() == []


def test_a_source_ahead_of_us_has_no_age_and_a_leaf_without_times_is_passed_over() -> None:
    counted, observer = meter(NOON)
    counted.offered([entry(0, time="2024-12-01T13:00:00Z", recordedtime=None)])
    counted.offered([entry(1)])
    counted.offered([entry(2, time="not a time")])
    counted.confirmed(3)
    ((name, facts),) = observer.notes()
    assert (name, facts["sampled"], facts["age_ms"]) == ("commit_to_broker", 1, 0)
