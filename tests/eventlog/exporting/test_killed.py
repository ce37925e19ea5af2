"""Exports that are killed at every step: never a folder that looks complete and is not, and each
goes on where it was."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.exporting import entries
from bridge.eventlog.exporting.export import resume_export
from bridge.eventlog.ports import EventLogStore
from bridge.model.entry import EntryKind
from tests.eventlog.appender import open_store
from tests.eventlog.drafts import drafts
from tests.eventlog.exporting.dying_export import STOP
from tests.eventlog.exporting.orders import WARRANT, check_verifies, make_means, make_signer

# All steps of one kind take some seconds; this is for a machine that is busy.
DEADLINE_S = 120


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Kind and place of a log that processes share."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path / "log.db")
    database: Any = request.getfixturevalue("database")
    return "postgres", database.dsn


def killed_exports(
    place: tuple[str, str], folder: Path, moments: str, stride: int
) -> dict[int, str]:
    """Return where each export was killed, by its number; the last of them was not."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.eventlog.exporting.dying_export", *place, str(folder),
         moments],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *killed, last = done.stdout.splitlines()
    assert last.endswith(" done")
    return {int(number): where for number, _, where in (line.partition(" ") for line in killed)}


def outcomes(log: EventLogStore, started: str) -> list[str]:
    """Return the actions that the log has of one export, in order."""
    told = [
        json.loads(entry.leaf)
        for entry in log.read(0, log.head().size)
        if entry.kind is EntryKind.EXPORT
    ]
    return [
        leaf["fields"]["action"]
        for leaf in told
        if started in (leaf["id"], leaf["fields"].get("started"))
    ]


def check_each(
    place: tuple[str, str],
    folder: Path,
    moments: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    stride: int = 1,
) -> list[str]:
    """Kill an export at each moment, resume each, and return where they were killed."""
    log = open_store(*place)
    try:
        log.append(drafts(0, STOP))
        killed = killed_exports(place, folder, moments, stride)
        monkeypatch.setattr(entries, "READ_COUNT", 40)
        signer = make_signer(folder)
        means = make_means(log, signer, segment_entries=100)
        resumed = 0
        for number, where in killed.items():
            bundle, draft = folder / str(number), folder / f".{number}.exporting"
            if bundle.exists():  # Its name comes last: then everything is in it.
                check_verifies(bundle, signer.vkey, f"killed at {where}")
            if not (draft / "state.json").exists():
                # Before anything, or after everything but the removal of the draft.
                continue
            report = resume_export(bundle, WARRANT, means)
            resumed += 1
            check_verifies(bundle, signer.vkey, f"killed at {where}")
            assert not draft.exists()
            actions = outcomes(log, report.entry_id)
            assert actions.count("export-start") == actions.count("export") == 1
            # Killed right after its end was recorded, it is resumed to remove its draft.
            assert actions[-1] == "export" or where == "recorded 1" or moments == "writes"
        assert resumed >= len(killed) - 3
        return list(killed.values())
    finally:
        log.close()


def test_an_export_that_is_killed_at_any_step_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundles"
    folder.mkdir()
    killed = check_each(("sqlite", str(tmp_path / "log.db")), folder, "steps", monkeypatch)
    # Every step was among them, and places within the entries.
    named = {where.split()[0] for where in killed}
    assert named >= {
        "planned", "record", "sign", "entries", "segment", "write_entries", "copy_contracts",
        "disclose", "view:jsonl", "view:csv", "write_views", "write_evidence", "manifest",
        "manifest-note", "seal", "publish", "recorded",
    }  # fmt: skip


def test_an_export_from_postgres_is_resumed(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundles"
    folder.mkdir()
    killed = check_each(("postgres", database.dsn), folder, "steps", monkeypatch, stride=5)
    assert len(killed) >= 4


@pytest.mark.soak
def test_an_export_that_is_killed_before_any_write_is_resumed(
    place: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundles"
    folder.mkdir()
    killed = check_each(place, folder, "writes", monkeypatch)
    assert {"fsync", "rename", "replace"} <= set(killed)
