"""Run something again and again, each time killed one line further on.

    python -m tests.eventlog.faults.killed_steps SCENARIO KIND PLACE STRIDE

For each line of the code under test (or one of each STRIDE) a child is forked that runs the
scenario and kills itself (SIGKILL) right before that line. One JSON line tells where it died and
what it had said; the next child starts after a line on standard input. The last line tells of one
that lived.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from bridge.eventlog.pruning import sweep_all
from bridge.eventlog.sequencer import Sequencer
from bridge.eventlog.signing import checkpoint, signer
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.model.entry import CursorMove, EntryDraft, EntryKind
from bridge.storage.event_log import postgres as postgres_event_log
from bridge.storage.event_log import postgres_pruning as postgres_event_log_pruning
from bridge.storage.event_log import postgres_steps as postgres_event_log_steps
from bridge.storage.event_log import sqlite as sqlite_event_log
from bridge.storage.event_log import sqlite_pruning as sqlite_event_log_pruning
from bridge.storage.event_log.postgres import PostgresEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.journal import sqlite_desk as sqlite_journal_desk
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk
from tests.eventlog.drafts import drafts
from tests.eventlog.exporting.orders import make_signer

SEGMENT = 256
BATCH = 70

Say = Callable[[str], None]
Scenario = Callable[[str, str, Say, Callable[[], None]], None]
"""Gets kind and place of the log, what tells the test, and what arms the killer."""


def open_log(kind: str, place: str) -> SqliteEventLog | PostgresEventLog:
    """Open the log that test and victims share."""
    if kind == "sqlite":
        return SqliteEventLog(Path(place))
    return PostgresEventLog(place, segment_entries=SEGMENT)


def append(kind: str, place: str, say: Say, arm: Callable[[], None]) -> None:
    """Append two batches after the source's cursor; the second is the one that dies."""
    log = open_log(kind, place)
    for _ in range(2):
        cursor = log.cursor("shop")
        version, made = (0, 0) if cursor is None else (cursor.version, int(cursor.state))
        move = CursorMove("shop", version, b"%d" % (made + BATCH))
        batch = drafts(made, made + BATCH)
        log.append(batch, cursor=move)
        say(str(made + BATCH))
        arm()


def sequence(kind: str, place: str, say: Say, arm: Callable[[], None]) -> None:
    """Leave entries as pending, as other roles do, and have them moved into the log."""
    log, desk = open_log(kind, place), SqliteJournalDesk(journal_of(place))
    first = int(desk.pending(1)[0][0]) if desk.pending(1) else 0
    told = log.head().size + len(desk.pending(9_999)) + first
    for draft in drafts(told * 100, told * 100 + 4, source="desk"):
        desk.tell(draft)
        say(draft.entry_id)
    sequencer = Sequencer(desk, log, batch_count_max=3)
    arm()
    while sequencer.step():
        pass


def sign(kind: str, place: str, say: Say, arm: Callable[[], None]) -> None:
    """Append and sign, again and again; the second checkpoint is the one that dies."""
    log = open_log(kind, place)
    head_signer = HeadSigner(make_signer(Path(keys_of(place))), log)
    for _ in range(2):
        size = log.head().size
        log.append(drafts(size, size + 3))
        _, note = head_signer.sign()
        say(note.decode())
        arm()


def prune(kind: str, place: str, say: Say, arm: Callable[[], None]) -> None:
    """Append, and prune up to what is old enough; dying leaves the rest to the next."""
    log = open_log(kind, place)
    size = log.head().size
    log.append(drafts(size, size + 300))
    minimum = (size + 300) // 256 * 256
    draft = EntryDraft(EntryKind.PRUNE, f"prune:{minimum}", {}, b"{}")
    arm()
    log.prune(minimum, draft)
    say(str(minimum))
    sweep_all(log)


def journal_of(place: str) -> Path:
    """Return where the write journal of a scenario is."""
    return Path(keys_of(place)) / "journal.db"


def keys_of(place: str) -> str:
    """Return the folder of files beside the log: the third word of `place`, or its own."""
    return os.environ["FAULTS_FOLDER"]


SCENARIOS: dict[str, Scenario] = {
    "append": append, "sequence": sequence, "sign": sign, "prune": prune,
}  # fmt: skip

# The code whose lines are the steps, by scenario.
STEPS: dict[str, tuple[Any, ...]] = {
    "append": (sqlite_event_log, postgres_event_log, postgres_event_log_steps),
    "sequence": (sys.modules[Sequencer.__module__], sqlite_journal_desk),
    "sign": (checkpoint, signer),
    "prune": (
        sqlite_event_log, sqlite_event_log_pruning, postgres_event_log, postgres_event_log_pruning,
    ),
}  # fmt: skip


class Killer:
    """Kills this process before the n-th line that it meets for the first time."""

    def __init__(self, files: set[str], number: int, report: Callable[[str], None]) -> None:
        self._files = files
        self._number = number
        self._report = report
        self._met: set[tuple[CodeType, int]] = set()

    def arm(self) -> None:
        """Begin to count."""
        sys.settrace(self._enter)

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, _argument: object) -> Any:
        where = (frame.f_code, frame.f_lineno)
        if event == "line" and where not in self._met:
            self._met.add(where)
            if len(self._met) == self._number:
                self._report(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
                os.kill(os.getpid(), signal.SIGKILL)
        return self._line


def run_child(scenario: str, kind: str, place: str, number: int, pipe: int) -> None:
    """Be the victim; never returns."""

    def tell(name: str) -> Say:
        return lambda text: void(os.write(pipe, (json.dumps([name, text]) + "\n").encode()))

    killer = Killer({module.__file__ for module in STEPS[scenario]}, number, tell("died"))
    SCENARIOS[scenario](kind, place, tell("said"), killer.arm)
    sys.settrace(None)
    os._exit(0)


def void(_: object) -> None:
    """Drop a value."""


def victims(scenario: str, kind: str, place: str, stride: int) -> Iterator[dict[str, Any]]:
    """Fork one child for each step, until one lives."""
    for number in range(1, 10_000, stride):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            run_child(scenario, kind, place, number, writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told = [json.loads(line) for line in pipe]
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        yield {
            "number": number,
            "killed": killed,
            "code": None if killed else os.waitstatus_to_exitcode(status),
            "died": next((text for name, text in told if name == "died"), None),
            "said": [text for name, text in told if name == "said"],
        }
        if not killed:
            return


def main(scenario: str, kind: str, place: str, stride: str) -> None:
    """Fork, tell, wait to be told to go on."""
    for each in victims(scenario, kind, place, int(stride)):
        print(json.dumps(each), flush=True)
        if not sys.stdin.readline():
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
