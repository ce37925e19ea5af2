"""What is read next: tables that are not in the log yet, then what people asked for.

A request is taken in one commit of the log: its effect on the cursor, and the entry that says who
asked for it and why. A crash at any moment either finds it still waiting or finds its entry.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from bridge.capture.appender import Appender
from bridge.capture.cursor import ReadMark, SnapshotMark
from bridge.capture.ports import TableShape
from bridge.capture.snapshot.ports import RequestAction, SnapshotRequest, SnapshotRequests
from bridge.capture.snapshot.window import Key
from bridge.contracts.names import source_urn
from bridge.eventlog.records.action_record import action_draft
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.observer import Observer
from bridge.model.warrant import Outcome

# A person waits for the answer; a look is one query of a small file.
_TAKE_INTERVAL_S: Final = 0.5

READINGS_MAX: Final = 1_000
"""How many readings may wait: they stand in the cursor, which is rewritten with each commit."""


_TAKEN: Final = "taken"

_NOTHING_TO_STOP: Final = (
    "nothing that was asked for is being read; the first reading of a table can be paused, not "
    "stopped"
)


class Job(NamedTuple):
    """One table to read, as a whole or in part."""

    shape: TableShape
    request: SnapshotRequest | None
    """None for the first reading of a table."""

    @property
    def run(self) -> str | None:
        """What the entries of its rows say about why they were read: None the first time."""
        if self.request is None:
            return None
        kind = "repair" if self.request.action is RequestAction.REPAIR else "reread"
        return f"{kind}:{self.request.request_id}"


class Steering:
    """Turns requests into marks of the cursor, and marks into jobs."""

    def __init__(
        self,
        source_name: str,
        tables: Sequence[TableShape],
        requests: SnapshotRequests,
        observer: Observer,
    ) -> None:
        self._source_name = source_name
        self._tables = {shape.relation.name: shape for shape in tables}
        self._requests = requests
        self._observer = observer
        self._known: dict[str, SnapshotRequest] = {}
        self._take_at = 0.0
        self._resumed = False

    def take(self, appender: Appender) -> None:
        """Take the requests that wait, if it is time to look."""
        now = time.monotonic()
        if now < self._take_at:
            return
        self._take_at = now + _TAKE_INTERVAL_S
        if not self._resumed:
            self._resume(appender)
        for request in self._requests.waiting():
            self._take(request, appender)
        self._drop_unknown(appender)

    def _take(self, request: SnapshotRequest, appender: Appender) -> None:
        entry_id = f"{self._source_name}:snapshot:{request.request_id}"
        stored = appender.entry(entry_id)
        if stored is not None:  # A crash came in between.
            self._settle(request, str(json.loads(stored.payload)["answer"]))
            return
        before = appender.cursor.snapshot
        mark, refusal = self._applied(before, request)
        outcome = _TAKEN if refusal is None else f"refused: {refusal}"
        # First, as a crash behind it repeats the whole request.
        for stopped in {read.request for read in before.queue if read not in mark.queue}:
            self._requests.settle(stopped, "stopped")
        draft = self._entry(entry_id, request, outcome, appender.now())
        appender.store(appender.cursor.moved(snapshot=mark), [draft])
        self._settle(request, outcome)
        self._observer.note(
            "snapshot_steered",
            source=self._source_name,
            action=request.action.value,
            outcome=outcome,
        )

    def _settle(self, request: SnapshotRequest, outcome: str) -> None:
        at_once = request.action not in (RequestAction.START, RequestAction.REPAIR)
        self._requests.settle(
            request.request_id, "done" if at_once and outcome == _TAKEN else outcome
        )

    def _resume(self, appender: Appender) -> None:
        """Settle what was finished just before the last run ended."""
        queued = {read.request for read in appender.cursor.snapshot.queue}
        for request in self._requests.taken():
            if request.request_id not in queued:
                self._requests.settle(request.request_id, "done")
        self._resumed = True

    def job(self, mark: SnapshotMark) -> Job | None:
        """Return what is to be read now, or None."""
        if mark.paused:
            return None
        if mark.table is not None and mark.table.table in mark.done and mark.queue:
            return self._requested(mark)
        pending = [
            shape for name, shape in self._tables.items() if shape.key and name not in mark.done
        ]
        if pending:
            begun = mark.table.table if mark.table is not None else None
            pending.sort(key=lambda shape: shape.relation.name != begun)
            return Job(pending[0], None)
        return self._requested(mark)

    def keys(self, job: Job, offset: int, count_max: int) -> list[Key]:
        """Return some of the keys that a job's request names."""
        assert job.request is not None, "only a request names keys"
        return self._requests.keys(job.request.request_id, offset, count_max)

    def after(self, job: Job, mark: SnapshotMark) -> SnapshotMark:
        """Return the mark once `job` is finished."""
        if job.request is None:
            return replace(mark, done=(*mark.done, job.shape.relation.name), table=None)
        return replace(mark, queue=mark.queue[1:], table=None)

    def finished(self, job: Job, mark: SnapshotMark) -> None:
        """Note that `job` is finished; `mark` is durable."""
        self._observer.note("table_read", source=self._source_name, table=job.shape.relation.name)
        if job.request is not None and all(
            read.request != job.request.request_id for read in mark.queue
        ):
            self._requests.settle(job.request.request_id, "done")

    def give_up(self, job: Job, appender: Appender, why: str) -> None:
        """Drop every reading of a job's request, which cannot be done."""
        assert job.request is not None, "a first reading is not given up"
        mark = appender.cursor.snapshot
        queue = tuple(read for read in mark.queue if read.request != job.request.request_id)
        begun = mark.table is not None and mark.table.table in mark.done
        appender.move_snapshot(replace(mark, queue=queue, table=None if begun else mark.table))
        self._requests.settle(job.request.request_id, f"failed: {why}")
        self._observer.note("reading_failed", source=self._source_name, error=why)

    def _requested(self, mark: SnapshotMark) -> Job | None:
        if not mark.queue:
            return None
        read = mark.queue[0]
        request, shape = self._find(read.request), self._tables.get(read.table)
        if request is None or shape is None:
            return None  # Dropped when requests are looked at again.
        return Job(shape, request)

    def _find(self, request_id: str) -> SnapshotRequest | None:
        if request_id not in self._known:
            found = self._requests.find(request_id)
            if found is None:
                return None
            self._known[request_id] = found
        return self._known[request_id]

    def _drop_unknown(self, appender: Appender) -> None:
        """Give up a reading whose request or table is gone: nobody can say what it was."""
        mark = appender.cursor.snapshot
        if not mark.queue or (
            self._find(mark.queue[0].request) and self._tables.get(mark.queue[0].table)
        ):
            return
        begun = mark.table is not None and mark.table.table in mark.done
        appender.move_snapshot(
            replace(mark, queue=mark.queue[1:], table=None if begun else mark.table)
        )
        self._requests.settle(mark.queue[0].request, "stopped")

    def _applied(
        self, mark: SnapshotMark, request: SnapshotRequest
    ) -> tuple[SnapshotMark, str | None]:
        """Return the mark after `request`, and why it changes nothing if it does not."""
        if request.action is RequestAction.PAUSE:
            return replace(mark, paused=True), None
        if request.action is RequestAction.RESUME:
            return replace(mark, paused=False), None
        if request.action is RequestAction.STOP:
            if not mark.queue:
                return mark, _NOTHING_TO_STOP
            begun = mark.table is not None and mark.table.table in mark.done
            return replace(mark, queue=(), table=None if begun else mark.table), None
        return self._queued(mark, request)

    def _queued(
        self, mark: SnapshotMark, request: SnapshotRequest
    ) -> tuple[SnapshotMark, str | None]:
        keyed = [name for name, shape in self._tables.items() if shape.key]
        for name in request.tables:
            if name not in self._tables:
                return mark, f"table {name!r} is not captured"
            if name not in keyed:
                return mark, f"table {name!r} has no key: read again, each row would be there twice"
        whole = request.where is None and request.key_count is None
        wanted = [
            ReadMark(request=request.request_id, table=name)
            for name in request.tables or keyed
            # What was never read yet is read as a whole anyway.
            if not whole or name in mark.done
        ]
        if not wanted:
            return mark, "the first reading of these tables is not done yet"
        if len(mark.queue) + len(wanted) > READINGS_MAX:
            return mark, f"{len(mark.queue)} readings wait already"
        return replace(mark, queue=mark.queue + tuple(wanted)), None

    def _entry(
        self, entry_id: str, request: SnapshotRequest, outcome: str, now: datetime
    ) -> EntryDraft:
        taken = outcome == _TAKEN
        return action_draft(
            EntryKind.CONTROL,
            f"snapshot-{request.action.value}",
            request.warrant,
            at=now,
            outcome=Outcome.DONE if taken else Outcome.REFUSED,
            error=None if taken else "StepForbidden",
            fields={"source": source_urn(self._source_name)},
            # The condition may name a person: it is in the payload, not in the leaf. Keys are in
            # neither.
            payload={
                "answer": outcome,
                "request": request.request_id,
                "tables": list(request.tables),
                "where": request.where,
                "keys": request.key_count,
            },
            entry_id=entry_id,
        )
