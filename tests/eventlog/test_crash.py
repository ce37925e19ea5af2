"""Processes that append at once, and processes that are killed while they append."""

import json
import random
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.inspection import inspect_log
from bridge.eventlog.ports import EventLogStore
from tests.eventlog.appender import open_store

KILLS = 6

# A start takes half a second when nothing else runs; this is for a machine that is busy.
DEADLINE_S = 60


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Kind and place of a log that processes share."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path / "log.db")
    database: Any = request.getfixturevalue("database")
    return "postgres", database.dsn


def start(place: tuple[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.eventlog.appender", *place, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def acknowledged(process: subprocess.Popen[str], *, wait_s: float) -> Iterator[int]:
    """Yield what the process says until it ends or is silent for `wait_s`."""
    assert process.stdout is not None
    while select.select([process.stdout], [], [], wait_s)[0]:
        line = process.stdout.readline()
        if not line.endswith("\n"):
            return
        yield int(line)


def check(log: EventLogStore, made: dict[str, int]) -> None:
    """Check that the tree verifies and that each source has exactly its entries, in order."""
    head = inspect_log(log)
    entries = log.read(0, head.size)
    for source, count in made.items():
        cursor = log.cursor(source)
        assert (0 if cursor is None else json.loads(cursor.state)["made"]) == count
        ids = [entry.entry_id for entry in entries if entry.entry_id.startswith(f"{source}:")]
        assert ids == [f"{source}:{number:016X}:{0:08X}" for number in range(count)]
    assert head.size == sum(made.values())


def test_nothing_acknowledged_is_lost_by_kills(place: tuple[str, str]) -> None:
    random_moments = random.Random(7)
    log = open_store(*place)
    try:
        for _ in range(KILLS):
            process = start(place, "shop")
            acks = acknowledged(process, wait_s=DEADLINE_S)
            last = next(acks)
            for _ in range(random_moments.randrange(40)):
                last = next(acks)
            process.kill()
            # What it said before it died, but we had not read yet, counts too.
            last = max([last, *acks])
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            cursor = log.cursor("shop")
            assert cursor is not None
            made = json.loads(cursor.state)["made"]
            assert made >= last
            check(log, {"shop": made})
    finally:
        log.close()


def test_processes_append_at_once(place: tuple[str, str]) -> None:
    sources = ["shop", "crm", "erp"]
    log = open_store(*place)
    processes = [start(place, source, "25") for source in sources]
    made = {
        source: max(acknowledged(process, wait_s=DEADLINE_S))
        for source, process in zip(sources, processes, strict=True)
    }
    for process in processes:
        assert process.wait() == 0
        assert process.stdout is not None
        process.stdout.close()
    check(log, made)
    log.close()
