"""Poll one source: every table on its own schedule, until stopped.

Runs of one table never overlap; runs of different tables share a few connections. What may pass by
itself (a database that is down, a query that takes too long) is tried again, later and later;
anything else ends the service with its error.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from bridge.capture.appender import utc_now
from bridge.capture.polling.drafts import PollDrafts
from bridge.capture.polling.keyset_run import KeysetRun
from bridge.capture.polling.ledger import PollLedger
from bridge.capture.polling.limits import PollLimits
from bridge.capture.polling.plan import Strategy
from bridge.capture.polling.ports import PolledTable, PollMemory, PollSource
from bridge.capture.polling.scan_run import ScanRun
from bridge.capture.polling.table_run import PollBench, TableUnderPoll
from bridge.capture.ports import CaptureLog, TableContracts
from bridge.capture.service import backoff_s
from bridge.model.errors import BridgeError, ConfigInvalid, Remedy
from bridge.model.observer import Observer, SilentObserver

JITTER_SHARE: Final = 0.1
"""Of the interval: tables with equal intervals do not keep in step."""


class PollingService:
    """Follows one polled source until stopped."""

    def __init__(
        self,
        source_name: str,
        source: PollSource,
        log: CaptureLog,
        memory: Callable[[], PollMemory],
        contracts: TableContracts,
        *,
        observer: Observer | None = None,
        clock: Callable[[], datetime] = utc_now,
        limits: PollLimits | None = None,
    ) -> None:
        self._name = source_name
        self._source = source
        self._log = log
        self._memory = memory
        self._contracts = contracts
        self._observer = observer or SilentObserver()
        self._clock = clock
        self._limits = limits or PollLimits()

    def check(self) -> None:
        """Look at the tables and check their contracts once, so that a start can fail at once.

        Raises `SourceUnfit`, `SourceUnavailable` or `ConfigInvalid`.
        """
        try:
            self._checked()
        finally:
            self._source.close()

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set; what may pass by itself is tried again, without end.

        Raises:
            BridgeError: going on needs a person or would do harm (`remedy` is not `RETRY`).
        """
        attempt = 0
        try:
            while not stop.is_set():
                try:
                    self._session(stop)
                    attempt = 0
                except BridgeError as exc:
                    if exc.remedy is not Remedy.RETRY:
                        raise
                    pause_s = backoff_s(attempt, random.random())
                    attempt += 1
                    self._interrupted(exc, attempt, pause_s)
                    stop.wait(pause_s)
        finally:
            self._source.close()

    def _session(self, stop: threading.Event) -> None:
        """Poll until `stop` is set, a table has another shape, or nothing but an error is left."""
        tables, drafts = self._checked()
        memory = self._memory()
        try:
            ledger = PollLedger(
                self._name,
                self._log,
                memory,
                drafts,
                observer=self._observer,
                clock=self._clock,
            )
            ended = threading.Event()
            bench = PollBench(
                source_name=self._name,
                source=self._source,
                ledger=ledger,
                memory=memory,
                observer=self._observer,
                stop=ended,
                rows_max=self._limits.rows_max,
                duty=self._limits.duty,
            )
            self._schedule(bench, tables, stop)
        finally:
            memory.close()

    def _schedule(
        self, bench: PollBench, tables: Sequence[PolledTable], stop: threading.Event
    ) -> None:
        failures: list[BaseException] = []
        scheduler = _scheduler(self._limits.workers)
        scheduler.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES)
        for table in tables:
            under = TableUnderPoll(table)
            whole = table.plan.strategy is Strategy.FULL
            run = ScanRun if whole else KeysetRun
            _add(scheduler, _Job(bench, under, run, failures, self._interrupted), "poll")
            if under.compares_keys:
                _add(scheduler, _Job(bench, under, ScanRun, failures, self._interrupted), "scan")
        self._observer.note("polling", source=self._name, tables=len(tables))
        scheduler.start()
        try:
            self._watch(tables, failures, stop)
        finally:
            bench.stop.set()
            scheduler.shutdown(wait=True)
        if failures:
            raise failures[0]

    def _watch(
        self,
        tables: Sequence[PolledTable],
        failures: Sequence[BaseException],
        stop: threading.Event,
    ) -> None:
        """Return when the session has to end: stopped, failed, or a table looks otherwise."""
        looked_at = time.monotonic()
        while not stop.wait(_WATCH_S) and not failures:
            if time.monotonic() < looked_at + self._limits.look_interval_s:
                continue
            looked_at = time.monotonic()
            if tuple(self._source.tables()) != tuple(tables):
                self._observer.note("poll_shape_changed", source=self._name)
                return

    def _checked(self) -> tuple[tuple[PolledTable, ...], PollDrafts]:
        tables = self._source.tables()
        drafts = PollDrafts(self._name, self._source.system, self._contracts)
        for table in tables:
            drafts.check(table)
        planned = {table.name for table in tables}
        forgotten = sorted(set(self._contracts.tables(self._name)) - planned)
        if forgotten:
            raise ConfigInvalid(
                f"cannot poll source {self._name!r}: contracts map {', '.join(forgotten)}, which "
                f"'sources.{self._name}.tables' does not name; say there how to poll them"
            )
        return tables, drafts

    def _interrupted(self, exc: BridgeError, attempt: int, pause_s: float) -> None:
        self._observer.note(
            "capture_interrupted",
            source=self._name,
            error=str(exc),
            attempt=attempt,
            retry_ms=pause_s * 1000,
        )

    def _skipped(self, event: JobSubmissionEvent) -> None:
        self._observer.note("poll_skipped", source=self._name, job=str(event.job_id))


_WATCH_S: Final = 0.1


class _Job:
    """One schedule of one table; what fails and may pass is tried again after a pause."""

    def __init__(
        self,
        bench: PollBench,
        under: TableUnderPoll,
        run: type[KeysetRun] | type[ScanRun],
        failures: list[BaseException],
        interrupted: Callable[[BridgeError, int, float], None],
    ) -> None:
        self._bench = bench
        self.under = under
        self._run = run
        self._failures = failures
        self._interrupted = interrupted
        self._attempt = 0
        self._not_before = 0.0

    def __call__(self) -> None:
        """Run once, unless it is too early after a failure."""
        if self._bench.stop.is_set() or time.monotonic() < self._not_before:
            return
        try:
            self._run(self._bench, self.under).run()
            self._attempt = 0
        except BridgeError as exc:
            if exc.remedy is not Remedy.RETRY:
                self._failures.append(exc)
                return
            pause_s = backoff_s(self._attempt, random.random())
            self._attempt += 1
            self._not_before = time.monotonic() + pause_s
            self._interrupted(exc, self._attempt, pause_s)
        except BaseException as exc:  # It ends the service, in the thread that runs it.
            self._failures.append(exc)


def _scheduler(workers: int) -> BackgroundScheduler:
    # Of a run that is skipped we tell ourselves.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    return BackgroundScheduler(
        timezone=UTC,
        executors={"default": ThreadPoolExecutor(workers)},
        job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
    )


def _add(scheduler: BackgroundScheduler, job: _Job, name: str) -> None:
    plan = job.under.table.plan
    interval_s = plan.compare_interval_s if name == "scan" else plan.interval_s
    scheduler.add_job(
        job,
        IntervalTrigger(seconds=interval_s, jitter=interval_s * JITTER_SHARE, timezone=UTC),
        id=f"{name} {plan.table}",
        next_run_time=datetime.now(UTC),
    )
