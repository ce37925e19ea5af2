"""Hundreds of kills at random moments, of appenders that share a log and of those who sign it."""

import json
import os
import random
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.inspection import inspect_log
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from tests.eventlog.appender import open_store
from tests.eventlog.exporting.orders import make_signer
from tests.waiting import wait_until

KILLS = 150
SOURCES = ("shop", "crm")


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_appenders_killed_at_random(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 32)))
    print(f"SOAK_SEED={seed}")
    chance = random.Random(seed)
    database: Any = request.getfixturevalue("database") if kind == "postgres" else None
    place = str(tmp_path / "log.db") if database is None else database.dsn
    acknowledged = dict.fromkeys(SOURCES, 0)
    running: dict[str, subprocess.Popen[str]] = {}
    with closing(open_store(kind, place)) as log:
        head_signer = HeadSigner(make_signer(tmp_path), log)
        for number in range(KILLS):
            for source in SOURCES:
                if source not in running:
                    running[source] = started(kind, place, source)
            size = log.head().size
            wait_until(partial(has_more, log, size), 60, "an append")
            victim = chance.choice(SOURCES)
            process = running.pop(victim)
            process.kill()
            said, _ = process.communicate()
            acknowledged[victim] = max([acknowledged[victim], *map(int, said.split())])
            cursor = log.cursor(victim)
            made = 0 if cursor is None else json.loads(cursor.state)["made"]
            assert made >= acknowledged[victim], f"seed {seed}, kill {number}"
            head_signer.sign()
        for process in running.values():
            process.kill()
            process.communicate()
        head = inspect_log(log)
        made = sum(json.loads(found.state)["made"] for found in map(log.cursor, SOURCES) if found)
        assert head.size == made
        head_signer.sign()


def has_more(log: EventLogStore, size: int) -> bool:
    """Whether somebody appended since the log had `size` entries."""
    return log.head().size > size


def started(kind: str, place: str, source: str) -> subprocess.Popen[str]:
    """Return an appender; it says what was acknowledged."""
    command = [sys.executable, "-m", "tests.eventlog.appender", kind, place, source]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
