"""Wait for what a test expects, with a deadline; the only place in the tests that sleeps."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar, overload

T = TypeVar("T")

_INTERVAL_S = 0.01


def wait_until(condition: Callable[[], T], timeout_s: float = 30, what: str = "the condition") -> T:
    """Call `condition` until it returns something true, and return that.

    What it raises passes through. Fails the test after `timeout_s` seconds, naming `what` and the
    last value.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}; last: {value!r}")
        time.sleep(_INTERVAL_S)
    return value


@overload
async def wait_until_async(
    condition: Callable[[], Awaitable[T]], timeout_s: float = 30, what: str = ...
) -> T: ...
@overload
async def wait_until_async(
    condition: Callable[[], T], timeout_s: float = 30, what: str = ...
) -> T: ...
async def wait_until_async(
    condition: Callable[[], Any], timeout_s: float = 30, what: str = "the condition"
) -> Any:
    """As `wait_until`, without blocking the event loop; `condition` may be a coroutine function."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}; last: {value!r}")
        await asyncio.sleep(_INTERVAL_S)


async def be_slow(seconds: float) -> None:
    """Let time pass on purpose: a slow peer, a client's pause, a rehearsal in virtual time.

    Never to wait for a result: that is `wait_until_async`.
    """
    await asyncio.sleep(seconds)


class Note(NamedTuple):
    """One thing that an observer heard."""

    name: str
    facts: dict[str, int | float | str]


class RecordingObserver:
    """An `Observer` that keeps every note, and lets a test wait for one. Any thread may use it."""

    def __init__(self) -> None:
        self._heard: list[Note] = []
        self._changed = threading.Condition()

    def note(self, name: str, **facts: int | float | str) -> None:
        """Keep the note and wake who waits for it."""
        with self._changed:
            self._heard.append(Note(name, facts))
            self._changed.notify_all()

    def notes(self, name: str | None = None) -> list[Note]:
        """Return what was heard so far, oldest first; only notes called `name` if it is given."""
        with self._changed:
            return [note for note in self._heard if name is None or note.name == name]

    def clear(self) -> None:
        """Forget what was heard, so that the next wait is for something new."""
        with self._changed:
            self._heard.clear()

    def await_note(
        self, name: str, timeout_s: float = 30, **facts: int | float | str
    ) -> dict[str, int | float | str]:
        """Return the facts of the first note `name` that has these `facts`, heard or yet to come.

        Fails the test after `timeout_s` seconds with the names that were heard.
        """

        def first() -> Note | None:
            for note in self._heard:
                if note.name == name and facts.items() <= note.facts.items():
                    return note
            return None

        with self._changed:
            found = self._changed.wait_for(first, timeout_s)
            if found is None:
                heard = sorted({note.name for note in self._heard})
                raise AssertionError(
                    f"waited {timeout_s} s in vain for note {name!r} with {facts}; heard: {heard}"
                )
            return found.facts

    async def await_note_async(
        self, name: str, timeout_s: float = 30, **facts: int | float | str
    ) -> dict[str, int | float | str]:
        """As `await_note`, without blocking the event loop."""
        return await asyncio.to_thread(self.await_note, name, timeout_s, **facts)
