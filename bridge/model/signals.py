"""SIGTERM and Ctrl-C ask for a clean stop; SIGHUP asks to look at files again.

A handler runs in the main thread between two of its instructions. If that thread is just then
inside `Event.wait`, it holds the event's lock, and an `Event.set` in the handler would wait for it
for ever. So a handler only puts a number into a `SimpleQueue`, whose `put` is made for this
(https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put), and a thread sets the event.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue


@contextmanager
def note_hang_ups(heard: threading.Event) -> Iterator[None]:
    """Set `heard` on SIGHUP while the block runs (main thread only)."""
    with _setting(heard, signal.SIGHUP):
        yield


def ignore_hang_ups() -> None:
    """Let SIGHUP, whose default is the end, do nothing to a role that has nothing to reload."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM or SIGINT while the block runs (main thread only)."""
    with _setting(stop, signal.SIGTERM, signal.SIGINT):
        yield


@contextmanager
def _setting(event: threading.Event, *numbers: signal.Signals) -> Iterator[None]:
    rung: SimpleQueue[bool] = SimpleQueue()

    def pass_on() -> None:
        while rung.get():
            event.set()

    thread = threading.Thread(target=pass_on, name="signals", daemon=True)
    thread.start()
    before = {
        number: signal.signal(number, lambda _number, _frame: rung.put(True)) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        rung.put(False)
        thread.join()
