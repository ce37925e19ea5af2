"""One seed: a program, faults in the middle of it, and the comparison at the end."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from adapters.postgres.source import PostgresSource
from bridge.capture.protocol.stage_files import StageFolder
from bridge.capture.protocol.staging import StageStore
from bridge.demo.servers import PrivatePostgres
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.oracle import Oracle
from tests.capture.points import STAGE_POINTS, PointedStages, Points, pointed
from tests.capture.random.check import Verdict, changes_of, compare, replayed
from tests.capture.random.faults import Fault, actions, needs_big, plan
from tests.capture.random.program import Generator, Step
from tests.capture.random.sessions import Sessions
from tests.capture.random.tables import CREATE, NAMES, NUDGED, TABLES
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    make_source,
    table_rows,
)
from tests.capture.victim import Victim, VictimServer, options
from tests.conftest import Database
from tests.waiting import wait_until
from tests.wire import Wire

# What capture pins on its own connections: values look the same on the oracle's.
PINNED = (
    "-c datestyle=ISO -c intervalstyle=iso_8601 -c timezone=UTC -c extra_float_digits=3"
    " -c bytea_output=hex"
)
NUDGES = 9
"""The session that writes while a test waits for capture to reach a point."""
STEPS = 30
# How long a point may stay unreached although the application goes on writing.
_REACHED_WITHIN_S = 20.0
# A nudge that is appended in two parts, and streamed.
_BIG_ROWS = 5_200
_BIG_INTERVAL_S = 2.0
# A half-open wire is noticed by silence; the shorter, the sooner the test goes on.
_SILENCE_S = 1.0


class Run:
    """The state of one seed's run; `play` does it all."""

    def __init__(
        self,
        seed: int,
        server: PrivatePostgres,
        database: Database,
        victims: VictimServer,
        cable: Wire,
        folder: Path,
    ) -> None:
        self.seed = seed
        self._chance = random.Random(f"run {seed}")
        self.faults = plan(seed)
        staged = any(fault.point in STAGE_POINTS for fault in self.faults)
        self.streaming = staged or self._chance.random() < 0.4
        self._prefixes = self._chance.choice([(), ("audit",)])
        self.sessions = Sessions(database.dsn)
        self._server = server
        self._database = database
        self._victims = victims
        self._cable = cable
        self._folder = folder
        self._generator = Generator(seed)
        self._options = options(self._prefixes)
        self._actions = actions(server, database.dsn, database.name, cable)
        self._nudges = 0
        self._big_at = 0.0

    def play(self) -> Verdict:
        """Run the program with its faults, then compare log and truth."""
        self._create()
        with self.sessions:
            self._write(STEPS, to_an_end=True)
            self._source().prepare(None)
            with self._sql() as sql:
                oracle = Oracle(sql, self._database.name, self._database.name)
            # Nobody may write for long while the tables are read: snapshots wait for writers.
            self._write(STEPS // 2, to_an_end=True)
            self._suffer(self.faults[0], reading=True)
            self._finish_reading()
            for fault in self.faults[1:]:
                self._write(STEPS // 2, to_an_end=False)
                self._suffer(fault, reading=False)
            self._write(STEPS // 2, to_an_end=True)
            return self._finish(oracle)

    def _create(self) -> None:
        memory = "64kB" if self.streaming else self._chance.choice(["64kB", "64MB"])
        with psycopg.connect(self._database.dsn, autocommit=True) as admin:
            admin.execute(CREATE.encode())
            admin.execute(
                f"alter database {self._database.name}"
                f" set logical_decoding_work_mem = '{memory}'".encode()
            )

    def _write(self, count: int, *, to_an_end: bool) -> None:
        self.sessions.run(self._generator.steps(count))
        if to_an_end:
            self.sessions.run(self._generator.closing())
            self.sessions.undo_prepared()

    def _suffer(self, fault: Fault, *, reading: bool) -> None:
        if fault.action == "kill":
            self._suffer_kill(fault, reading)
        else:
            self._suffer_in_process(fault, reading)

    def _finish_reading(self) -> None:
        with (
            self._log() as log,
            capturing(self._source(), log, self._folder, *NAMES, **self._options) as running,
        ):
            await_streaming(running, log, *NAMES)

    def _suffer_kill(self, fault: Fault, reading: bool) -> None:
        self._victims.start(
            Victim(
                dsn=self._database.dsn,
                slot=self._database.name,
                folder=str(self._folder),
                tables=NAMES,
                point=fault.point,
                number=fault.number,
                streaming=self.streaming,
                publish_prefixes=self._prefixes,
            )
        )
        self._write(STEPS // 2, to_an_end=reading)

        def died() -> bool:
            self._nudge(fault)
            code = self._victims.exit_code(0.02)
            assert code in (None, -9), f"the victim ended with {code}, not by our kill"
            return code is not None

        try:
            wait_until(died, _REACHED_WITHIN_S, f"capture to reach: {fault}")
        except AssertionError:
            self._victims.kill()
            raise

    def _suffer_in_process(self, fault: Fault, reading: bool) -> None:
        points = Points(fault.point, fault.number, self._actions[fault.action])
        with self._log() as log:
            source, faulty = pointed(self._source(self._cable, points), log, points)
            with capturing(source, faulty, self._folder, *NAMES, **self._options) as running:
                self._write(STEPS // 2, to_an_end=reading)

                def happened() -> bool:
                    assert running.failure is None, running.failure
                    self._nudge(fault)
                    return points.fired.is_set()

                try:
                    wait_until(happened, _REACHED_WITHIN_S, f"capture to reach: {fault}")
                except AssertionError:
                    print("capture said:", *running.observer.notes()[-20:], sep="\n  ")
                    raise
                running.observer.await_note("capture_interrupted", timeout_s=30)
                self._cable.cut()
                self._cable.resume()

    def _nudge(self, fault: Fault) -> None:
        """Give capture something more to do: points are reached by work."""
        self._nudges += 1
        first = 900_000_000 + self._nudges * 10_000
        now = time.monotonic()
        # Not at once again: the last one may still be on its way.
        big = needs_big(fault) and now > self._big_at + _BIG_INTERVAL_S
        count = _BIG_ROWS if big else 1
        self._big_at = now if big else self._big_at
        sql = f"insert into {NUDGED} select generate_series({first}, {first + count - 1})"
        self.sessions.run([Step(session=NUDGES, sql=sql)])

    def _finish(self, oracle: Oracle) -> Verdict:
        with (
            self._log() as log,
            self._sql() as sql,
            capturing(self._source(), log, self._folder, *NAMES, **self._options) as running,
        ):
            await_streaming(running, log, *NAMES)
            await_position(running, sql, log)
            truth = oracle.transactions(sql)
            entries = log.read(0, log.head().size)
            keyless = frozenset(table.full_name for table in TABLES if table.keyless)
            logged = changes_of(entries)
            verdict = compare(entries, logged, truth, keyless, self._prefixes)
            for table in TABLES:
                found = replayed(logged, table.full_name, table.key)
                rows = Counter(str(row["id"]) for row in table_rows(sql, table.name))
                if found != rows:
                    verdict.faults.append(
                        f"{table.name} replayed has {found.total()} rows, the table has"
                        f" {rows.total()}; only replayed: {list(found - rows)[:5]}, only in the"
                        f" table: {list(rows - found)[:5]}"
                    )
        return verdict

    def _source(self, cable: Wire | None = None, points: Points | None = None) -> PostgresSource:
        dsn, name = self._database.dsn, self._database.name
        stages: StageStore | None = StageFolder(self._folder) if self.streaming else None
        if stages is not None and points is not None:
            stages = PointedStages(stages, points)
        if cable is None:
            return make_source(dsn, name, *NAMES, stages=stages)
        dsn = cable.through(dsn)
        return make_source(dsn, name, *NAMES, stages=stages, silence_s_max=_SILENCE_S)

    @contextmanager
    def _log(self) -> Iterator[SqliteEventLog]:
        log = SqliteEventLog(self._folder / "log.db")
        try:
            yield log
        finally:
            log.close()

    @contextmanager
    def _sql(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._database.dsn, autocommit=True, options=PINNED) as sql:
            yield sql
