"""SIGTERM and Ctrl-C ask for a clean stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def note_hang_ups(heard: threading.Event) -> Iterator[None]:
    """Set `heard` on SIGHUP while the block runs (main thread only)."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        heard.set()

    before = signal.signal(signal.SIGHUP, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def ignore_hang_ups() -> None:
    """Let SIGHUP, whose default is the end, do nothing to a role that has nothing to reload."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM or SIGINT while the block runs (main thread only)."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
