"""A process that is killed before each single step of a rotation, once for each step.

    python -m tests.eventlog.signing.killed_rotations FOLDER

For n = 1, 2, … it makes the folder `FOLDER/n`, in which a log has a key that has signed, and forks
a child that rotates the key without overlap and dies before its n-th step: a file made durable,
linked, renamed or removed, or an append to the log. It ends with the first child that lives, and
prints n.
"""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.rotation import rotate_key, settle_keys
from bridge.eventlog.signing.signer import Signer
from bridge.model.warrant import Actor, ActorType, Known, Warrant
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.eventlog.drafts import drafts

ORIGIN = "legacy-bridge.example/log"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
WARRANT = Warrant(
    actor=Actor(id="ana", type=ActorType.PERSON, known=Known.LOGIN),
    reason="yearly rotation",
    ticket="CHG-7",
)
KILLED = 9
STEPS_MAX = 60


def prepare(folder: Path) -> None:
    """Make a log with one key that has signed."""
    folder.mkdir()
    log = SqliteEventLog(folder / "log.db")
    signer = Signer.load_or_create(folder / "log.key", origin=ORIGIN)
    log.append(drafts(0, 3))
    settle_keys(signer, log, now=NOW)
    HeadSigner(signer, log).sign()
    log.close()


def rotate(folder: Path, die_at: int) -> None:
    """Rotate, and die before step `die_at`."""
    steps = 0

    def dying(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == die_at:
                os._exit(KILLED)
            return step(*arguments, **options)

        return run

    log = SqliteEventLog(folder / "log.db")
    signer = Signer.load_or_create(folder / "log.key", origin=ORIGIN)
    for name in ("fsync", "link", "replace", "rename", "unlink"):
        setattr(os, name, dying(getattr(os, name)))
    setattr(log, "append", dying(log.append))  # noqa: B010 - A method of the instance is replaced.
    rotate_key(signer, log, WARRANT, overlap_days=0, now=NOW)
    log.close()


def main(place: str) -> None:
    for die_at in range(1, STEPS_MAX):
        folder = Path(place) / str(die_at)
        prepare(folder)
        child = os.fork()
        if child == 0:
            rotate(folder, die_at)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != KILLED:
            assert os.waitstatus_to_exitcode(status) == 0, status
            print(die_at)
            return
    raise AssertionError(f"a rotation has more than {STEPS_MAX} steps")


if __name__ == "__main__":
    main(sys.argv[1])
