"""Killed before every line of append, sequencer, checkpoint and pruning: the log stays whole.

"Every line" is meant: a process is forked for each and ends by SIGKILL there (under soak; else at
every fifth line). What a commit does
inside SQLite or PostgreSQL is met by the kills at random moments (`test_crash`, `test_soak`).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.inspection import inspect_log
from bridge.eventlog.merkle import check_consistency, prove_consistency
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.pruning import sweep_all
from bridge.eventlog.sequencer import Sequencer
from bridge.eventlog.signing.checkpoint import HeadSigner, parse_checkpoint
from bridge.eventlog.signing.note import open_note
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk
from tests.eventlog.exporting.orders import make_signer
from tests.eventlog.faults.killed_steps import BATCH, open_log

Place = tuple[str, str, Path, int]
VICTIMS = "tests.eventlog.faults.killed_steps"
Look = Callable[[EventLogStore, dict[str, Any]], None]


@pytest.fixture(params=[5, pytest.param(1, marks=pytest.mark.soak)])
def stride(request: pytest.FixtureRequest) -> int:
    """How many lines further each victim dies."""
    found: int = request.param
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, stride: int) -> Place:
    """Kind and place of the log, the folder of the files beside it, and the stride."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path / "log.db"), tmp_path, stride
    database: Any = request.getfixturevalue("database")
    return "postgres", database.dsn, tmp_path, stride


def deaths(scenario: str, place: Place) -> Iterator[dict[str, Any]]:
    """Yield what each victim told; the next one starts when the loop goes on."""
    kind, where, folder, stride = place
    process = subprocess.Popen(
        [sys.executable, "-m", VICTIMS, scenario, kind, where, str(stride)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "FAULTS_FOLDER": str(folder)},
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            yield told
            if not told["killed"]:
                assert told["code"] == 0, "the last victim lives"
            process.stdin.write("\n")
            process.stdin.flush()


def check_each(scenario: str, place: Place, look: Look) -> set[str]:
    """Look at the log after each death; return the names of the places where victims died."""
    kind, where, _, _ = place
    died = set()
    with closing(open_log(kind, where)) as log:
        for told in deaths(scenario, place):
            try:
                inspect_log(log)
                look(log, told)
            except BaseException:
                print(f"after a death at {told['died']}")
                raise
            died.add(str(told["died"]))
    return died


def test_append(place: Place) -> None:
    def look(log: EventLogStore, told: dict[str, Any]) -> None:
        cursor = log.cursor("shop")
        assert cursor is not None
        made = int(cursor.state)
        # Nothing acknowledged is lost; what died is there whole, with its cursor, or not at all.
        assert made in {int(told["said"][-1]), int(told["said"][-1]) + BATCH}
        assert log.head().size == made
        ids = [entry.entry_id for entry in log.read(made - BATCH, BATCH)]
        assert ids == [f"shop:{number:016X}:{0:08X}" for number in range(made - BATCH, made)]

    assert len(check_each("append", place, look)) > 15 // place[3]


def test_sequencer(place: Place) -> None:
    acknowledged: list[str] = []

    def look(log: EventLogStore, told: dict[str, Any]) -> None:
        acknowledged.extend(told["said"])
        with closing(SqliteJournalDesk(place[2] / "journal.db")) as desk:
            waiting = {draft.entry_id for _, draft in desk.pending(9_999)}
            there = [entry.entry_id for entry in log.read(0, 99_999)]
            assert len(set(there)) == len(there)
            assert waiting | set(there) >= set(acknowledged)

    assert len(check_each("sequence", place, look)) > 10 // place[3]
    with (
        closing(open_log(*place[:2])) as log,
        closing(SqliteJournalDesk(place[2] / "journal.db")) as desk,
    ):
        while Sequencer(desk, log).step():
            pass
        there = [entry.entry_id for entry in log.read(0, 99_999)]
        assert there == acknowledged, "all of them, once, in their order"


def test_checkpoint(place: Place) -> None:
    signed: list[tuple[int, bytes]] = []

    def look(log: EventLogStore, told: dict[str, Any]) -> None:
        signer = make_signer(place[2])
        notes = [note.encode() for note in told["said"]]
        notes.append(signer.beside(".last").read_bytes())
        latest = log.latest_checkpoint()
        assert latest is not None
        notes.append(latest[1])
        # The key's own memory comes first: nothing is in the store that it does not know.
        sizes = [parse_checkpoint(open_note(note, signer.key))[1].size for note in notes[-2:]]
        assert sizes[0] >= sizes[1]
        # Whatever got out, to us or into a file, is a head of this one log.
        head, hashes = log.head(), StoredHashes(log)
        for note in notes:
            _, seen = parse_checkpoint(open_note(note, signer.key))
            signed.append((seen.size, seen.root))
            proof = prove_consistency(hashes, seen.size, head.size)
            assert check_consistency(seen.size, seen.root, head.size, head.root, proof)
        assert len({size for size, _ in signed}) == len(set(signed)), "one head for each size"
        # What was said to us is remembered beside the key and kept in the log.
        said = {parse_checkpoint(open_note(note, signer.key))[1].size for note in notes[:-2]}
        assert said <= {size for size, _ in log.checkpoints(0, 9_999)}
        HeadSigner(signer, log).sign()

    assert len(check_each("sign", place, look)) > 15 // place[3]


def test_pruning(place: Place) -> None:
    told_minimum = 0

    def look(log: EventLogStore, told: dict[str, Any]) -> None:
        nonlocal told_minimum
        for text in told["said"]:
            told_minimum = max(told_minimum, int(text))
        assert log.first_index() >= told_minimum
        first = log.first_index()
        assert log.read(0, 1)[0].leaf_index == first
        marks = [entry.entry_id for entry in log.read(first, 99_999)]
        assert first == 0 or f"prune:{first}" in marks, "minimum and entry are one commit"
        sweep_all(log)
        assert log.sweep(10_000) == 0

    assert len(check_each("prune", place, look)) > 10 // place[3]
