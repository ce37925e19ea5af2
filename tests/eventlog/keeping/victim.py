"""Erase customer 2 and be killed at a step: `python -m tests.eventlog.keeping.victim FOLDER STEP`.

A step is `WHAT-before` or `WHAT-after`, for WHAT one of `STEPS`.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.eventlog.keeping.erasing import Erasures
from bridge.model.warrant import Actor, ActorType, Known, Warrant
from bridge.runtime.wiring import erasing
from bridge.runtime.wiring.stores import Stores
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.subject_keys.sqlite import SqliteSubjectKeys
from tests.eventlog.keeping.shop import settings

ANA = Warrant(
    actor=Actor(id="ana", type=ActorType.PERSON, known=Known.LOGIN),
    reason="the customer asked",
    ticket="DPO-7",
)

STEPS: dict[str, tuple[Any, str]] = {
    "decision": (SqliteSubjectKeys, "open_erasure"),
    "destruction": (SqliteSubjectKeys, "destroy"),
    "last-trace": (SqliteSubjectKeys, "_empty_wal"),
    "entry": (SqliteEventLog, "append"),
    "certificate": (erasing, "replace_file"),
    "end": (SqliteSubjectKeys, "close_erasure"),
}


def dying(real: Callable[..., Any], when: str) -> Callable[..., Any]:
    """Return `real` with death before or after it."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return wrapped


def main(folder: Path, step: str) -> None:
    """Erase, and die."""
    with Stores(settings(folder)) as stores:
        service: Erasures = erasing.erasures(stores)
        what, _, when = step.rpartition("-")
        owner, name = STEPS[what]
        setattr(owner, name, dying(getattr(owner, name), when))
        service.erase("customer", "2", ANA, "GDPR art. 17")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
