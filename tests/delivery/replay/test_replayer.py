"""A replay through a receiver that fails in every way: nothing missing, order kept."""

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.delivery.backoff import Backoff
from bridge.delivery.replay.choice import Choice, Chooser
from bridge.delivery.replay.job import JobState, ReplayJob, Target, TargetKind
from bridge.delivery.replay.replayer import Replayer
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.errors import LogCorrupt, StorageUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from tests.delivery.events import append, drafts
from tests.delivery.memory_sink import ActThenFail, MemorySink, Pass, Reject
from tests.waiting import RecordingObserver


class Jobs:
    """A store of jobs that keeps each step, and fails when it is told."""

    def __init__(self) -> None:
        self.kept: list[ReplayJob] = []
        self.failures = 0

    def store(self, job: ReplayJob) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("told to fail")
        self.kept.append(job)


def log_of(count: int, *, parked_each: int = 0) -> MemoryEventLog:
    log = MemoryEventLog()
    append(log, drafts(0, count, keys=5, parked_each=parked_each))
    return log


def job_over(
    start: int, stop: int, *, choice: Choice | None = None, rate: int = 50_000
) -> ReplayJob:
    return ReplayJob(
        replay_id="r1",
        target=Target(kind=TargetKind.QUEUE, name="orders"),
        start=start,
        stop=stop,
        choice=choice or Choice(),
        rate=rate,
        asked="2026-03-01T10:00:00.000000Z",
        next_index=start,
    )


def replayer(
    job: ReplayJob, log: MemoryEventLog, sink: MemorySink, jobs: Jobs, batch: int = 7
) -> Replayer:
    return Replayer(
        job,
        log,
        sink,
        jobs,
        Chooser(job.choice, "com.example"),
        batch_max=batch,
        backoff=Backoff(first_ms=1, longest_ms=2),
    )


def test_a_range_is_replayed_in_order_and_nothing_beside_it() -> None:
    log, sink, jobs = log_of(100, parked_each=9), MemorySink(), Jobs()
    done = replayer(job_over(13, 77), log, sink, jobs).run(threading.Event())
    wanted = [each for each in log.read(13, 64) if each.kind is EntryKind.EVENT]
    assert sink.arrived == wanted
    assert (done.state, done.sent, done.next_index) == (JobState.DONE, len(wanted), 77)
    assert jobs.kept[-1] == done


def test_a_key_is_replayed_and_its_entities_are_told() -> None:
    log, sink = log_of(50), MemorySink()
    choice = Choice(keys=('{"order_id": 3}',))
    done = replayer(job_over(0, 50, choice=choice), log, sink, Jobs()).run(threading.Event())
    assert {each.partition_key for each in sink.arrived} == {'{"order_id": 3}'}
    assert done.sent == len(sink.arrived) > 3


def test_a_choice_that_fits_nothing_ends_at_once() -> None:
    sink = MemorySink()
    choice = Choice(types=("nothing.#",))
    done = replayer(job_over(0, 50, choice=choice), log_of(50), sink, Jobs()).run(threading.Event())
    assert (done.state, done.sent, sink.arrived) == (JobState.DONE, 0, [])


def test_a_stop_leaves_a_job_that_goes_on() -> None:
    log, sink, jobs = log_of(60), MemorySink(), Jobs()
    stop = threading.Event()
    first = Replayer(
        job_over(0, 60),
        log,
        sink,
        jobs,
        Chooser(Choice(), "com.example"),
        batch_max=7,
        on_progress=lambda job: stop.set() if job.sent >= 20 else None,
    ).run(stop)
    assert first.state is JobState.OPEN
    assert 20 <= first.sent < 60
    done = replayer(jobs.kept[-1], log, sink, jobs).run(threading.Event())
    assert done.state is JobState.DONE
    # A clean stop waits for the answers, so nothing is sent twice.
    assert [each.leaf_index for each in sink.arrived] == list(range(60))


FAULTS = st.lists(
    st.one_of(
        st.integers(min_value=1, max_value=12).map(Pass),
        st.just(Reject()),
        st.just(ActThenFail()),
    ),
    max_size=8,
)


@given(FAULTS, st.lists(st.sampled_from([Pass(1), Reject()]), max_size=4), st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_whatever_fails_nothing_is_missing_and_order_is_kept(
    publish: list[Pass | Reject | ActThenFail], connect: list[Pass | Reject], batch: int
) -> None:
    log, sink, jobs = log_of(40, parked_each=7), MemorySink(), Jobs()
    sink.inject("publish", *publish)
    sink.inject("connect", *connect)
    jobs.failures = len(publish) % 3
    done = replayer(job_over(3, 40), log, sink, jobs, batch).run(threading.Event())
    wanted = [each for each in log.read(3, 37) if each.kind is EntryKind.EVENT]
    firsts = list(dict.fromkeys(each.leaf_index for each in sink.arrived))
    assert firsts == [each.leaf_index for each in wanted]
    assert done.state is JobState.DONE
    # What is kept never promises more than what arrived.
    assert done.sent == len(wanted)
    nexts = [job.next_index for job in jobs.kept]
    assert nexts == sorted(nexts)


@given(st.integers(0, 40), st.integers(1, 9), FAULTS)
@settings(deadline=None, max_examples=40)
def test_a_replay_that_died_anywhere_goes_on_from_what_was_kept(
    died_at: int, batch: int, faults: list[Pass | Reject | ActThenFail]
) -> None:
    log, sink, jobs = log_of(40), MemorySink(), Jobs()

    class Died(BaseException):
        pass

    def die(job: ReplayJob) -> None:
        if job.sent >= died_at:
            raise Died

    job = job_over(0, 40)
    first = Replayer(
        job, log, sink, jobs, Chooser(Choice(), "com.example"), batch_max=batch, on_progress=die
    )
    with pytest.raises(Died):
        first.run(threading.Event())
    sink.inject("publish", *faults)
    kept = jobs.kept[-1] if jobs.kept else job
    replayer(kept, log, sink, jobs, batch).run(threading.Event())
    assert {each.leaf_index for each in sink.arrived} == set(range(40))
    firsts = list(dict.fromkeys(each.leaf_index for each in sink.arrived))
    assert firsts == sorted(firsts)


def test_the_rate_is_kept() -> None:
    log, sink = log_of(30), MemorySink()
    now = [0.0]
    waits: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            now[0] += timeout or 0
            return False

    job = job_over(0, 30, rate=10)
    Replayer(job, log, sink, Jobs(), Chooser(Choice(), "com.example"), clock=lambda: now[0]).run(
        Stop()
    )
    assert 2.8 <= now[0] <= 3.2, "30 events at 10 a second"
    assert len(sink.arrived) == 30


def test_what_is_sealed_is_opened_as_for_the_relay() -> None:
    log, sink = log_of(10), MemorySink()
    asked: list[int] = []

    class Opener:
        def unsealed(self, entries: Sequence[StoredEntry]) -> list[StoredEntry]:
            asked.extend(each.leaf_index for each in entries)
            return [each._replace(payload=b"opened") for each in entries]

    choice = Choice(keys=('{"order_id": 3}',))
    job = job_over(0, 10, choice=choice)
    chooser = Chooser(choice, "com.example")
    Replayer(job, log, sink, Jobs(), chooser, unsealer=Opener()).run(threading.Event())
    assert asked == [each.leaf_index for each in sink.arrived], "only what is sent is opened"
    assert {each.payload for each in sink.arrived} == {b"opened"}


def test_entries_that_are_gone_end_it() -> None:
    with pytest.raises(LogCorrupt, match="entry 5 is not in the event log any more"):
        replayer(job_over(0, 9), log_of(5), MemorySink(), Jobs()).run(threading.Event())


def test_an_outage_is_told() -> None:
    sink, observer = MemorySink(), RecordingObserver()
    sink.inject("connect", Reject())
    job = job_over(0, 5)
    Replayer(
        job, log_of(5), sink, Jobs(), Chooser(Choice(), "com.example"), observer=observer,
        backoff=Backoff(first_ms=1),
    ).run(threading.Event())  # fmt: skip
    assert observer.await_note("replay_lost", replay="r1")
    assert len(sink.arrived) == 5
