"""A signal may come at any instruction, also inside `Event.wait`."""

import signal
import threading
from collections.abc import Iterator

import pytest

from bridge.model.signals import note_hang_ups, stop_on_signals


class Held(threading.Event):
    """An event that notes who set it: the main thread may hold its lock just then."""

    def __init__(self) -> None:
        super().__init__()
        self.set_by: list[threading.Thread] = []

    def set(self) -> None:
        """Note the caller."""
        self.set_by.append(threading.current_thread())
        super().set()


@pytest.fixture
def event() -> Iterator[Held]:
    event = Held()
    yield event
    assert threading.main_thread() not in event.set_by


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_set_by_a_thread_that_cannot_hold_the_lock(
    event: Held, number: signal.Signals
) -> None:
    with stop_on_signals(event):
        signal.raise_signal(number)
        assert event.wait(10)


def test_a_hang_up_is_heard_each_time(event: Held) -> None:
    with note_hang_ups(event):
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
            assert event.wait(10)
            event.clear()


def test_handlers_and_threads_are_gone_afterwards(event: Held) -> None:
    before = signal.getsignal(signal.SIGTERM), threading.active_count()
    with stop_on_signals(event):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), threading.active_count()) == before
