"""A process that exports again and again, and is killed a little later each time.

    python -m tests.eventlog.exporting.dying_export KIND PLACE FOLDER steps|writes [STRIDE]

Export number N goes to FOLDER/N and is killed (SIGKILL) at its Nth step, or right before its Nth
`fsync` or rename; the first that lives to its end is the last. Prints `N WHERE` for each.
"""

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from bridge.eventlog.exporting import entries
from bridge.eventlog.exporting.export import export
from bridge.eventlog.exporting.order import View
from tests.eventlog.appender import open_store
from tests.eventlog.exporting.orders import make_means, make_order, make_signer

VIEWS = (View.JSONL, View.CSV)
STOP = 250


class Death:
    """Kills this process at the call with the given number, after saying where."""

    def __init__(self, number: int) -> None:
        self._left = number

    def at(self, where: str) -> None:
        if self._left == 0:
            print(where, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


def watched(death: Death, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def watching(*arguments: Any, **named: Any) -> Any:
        death.at(name)
        return call(*arguments, **named)

    return watching


def export_once(kind: str, place: str, folder: Path, number: int, moments: str) -> NoReturn:
    """Be the process that is killed."""
    # Small, so that each thing that happens at size happens here.
    entries.READ_COUNT = 40  # type: ignore[misc]  # A constant for everybody else.
    death = Death(number)
    if moments == "writes":
        for name in ("fsync", "rename", "replace"):
            setattr(os, name, watched(death, name, getattr(os, name)))
    log = open_store(kind, place)
    means = make_means(log, make_signer(folder), segment_entries=100)
    # The log grows by each try, and each try signs it: without a stop there is always one more.
    order = make_order(folder / str(number), views=VIEWS, stop=STOP)
    export(order, means, progress=lambda step, done, total: (
        death.at(f"{step} {done}") if moments == "steps" else None
    ))  # fmt: skip
    log.close()
    print("done", flush=True)
    os._exit(0)


def main(kind: str, place: str, folder: str, moments: str, stride: str = "1") -> None:
    """Fork a process for each number: starting Python for each would take most of the time."""
    make_signer(Path(folder))
    for number in count(0, int(stride)):
        print(number, end=" ", flush=True)
        child = os.fork()
        if child == 0:
            export_once(kind, place, Path(folder), number, moments)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(*sys.argv[1:])
