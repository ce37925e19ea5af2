"""Look at a source beside its stream: a watch each, in one thread with a connection of its own.

The stream tells what was committed, not how the source fares: how much WAL our slot holds, whether
a publication still names our tables. A watch looks at that from time to time and says what belongs
into the log; capture appends it between two batches, because it alone moves the source's cursor.

What a watch must remember over a restart is its `state`: it is stored in the cursor, in the same
commit as the entries that go with it. A crash between looking and appending forgets both, so the
next look says the same again: with the same entry ids, which are then appended once.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from bridge.model.entry import EntryDraft
from bridge.model.errors import BridgeError, SourceGap
from bridge.model.observer import Observer

# Watches speak about changes of state, a handful a day. Beyond this many unheard sightings the log
# has been away for long, and the first of them matter more than the last.
SIGHTINGS_MAX_DEFAULT: Final = 1_000

# No watch may be due more often, whatever its interval and however often it fails.
_INTERVAL_S_MIN: Final = 0.05

_CLOSE_S_MAX: Final = 15.0


class GiveUp(NamedTuple):
    """Our slot is to be dropped: an operator authorised it for this case."""

    gap: SourceGap
    """Recorded before anything is dropped."""
    release: Callable[[], None]
    """Drops the slot; called by capture's own thread, once the stream is closed."""


class Sighting(NamedTuple):
    """What one look gave."""

    drafts: Sequence[EntryDraft] = ()
    """To be appended in this order, in one commit. Ids are deterministic: made from what was seen
    and from `state`, never from a clock; one that the log has already is passed over."""
    state: str | None = None
    """What the next look is given, and the first one after a restart; None: as it was."""
    give_up: GiveUp | None = None
    """Set as long as the slot is to be dropped and is not."""


class Watch(Protocol):
    """Looks at one thing. Called by one thread, never twice at once."""

    @property
    def name(self) -> str:
        """A lower-case word, unique in its source; names the state in the cursor."""

    @property
    def interval_s(self) -> float:
        """Seconds between the end of one look and the next."""

    def look(self, state: str | None) -> Sighting:
        """Look once; `state` is what the last sighting left, None at the very first look.

        Must end by itself within seconds: every other watch of the source waits meanwhile.
        What it raises is noted as `watch_failed`, and it is called again after its interval.
        """

    def close(self) -> None:
        """Release what it holds (a connection); called once, by the thread that looked."""


class Seen(NamedTuple):
    """A sighting that waits to be appended."""

    watch: str
    sighting: Sighting


class Watches:
    """Calls each watch when it is due, and keeps what they saw until it is in the log."""

    def __init__(
        self,
        source: str,
        watches: Sequence[Watch],
        *,
        observer: Observer,
        sightings_max: int = SIGHTINGS_MAX_DEFAULT,
    ) -> None:
        names = [watch.name for watch in watches]
        assert len(set(names)) == len(names), f"two watches have the same name: {names}"
        self._source = source
        self._watches = tuple(watches)
        self._observer = observer
        self._sightings_max = sightings_max
        self._states: dict[str, str] = {}
        self._waiting: deque[Seen] = deque()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, states: Mapping[str, str]) -> None:
        """Begin to look, with what the cursor remembers; a second call changes nothing."""
        if self._thread is not None or not self._watches:
            return
        self._states = dict(states)
        self._thread = threading.Thread(target=self._run, name="capture-watches", daemon=True)
        self._thread.start()

    def waiting(self) -> list[Seen]:
        """Return what is to be appended, oldest first; it waits until `appended` is called."""
        if not self._waiting:  # Asked after each batch, almost always in vain.
            return []
        with self._lock:
            return list(self._waiting)

    def appended(self, count: int) -> None:
        """Forget the oldest `count` sightings: they are durable."""
        with self._lock:
            for _ in range(count):
                self._waiting.popleft()

    def close(self) -> None:
        """End the thread; waits for a look that is under way, for a bounded time."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S_MAX)

    def _run(self) -> None:
        due = dict.fromkeys(range(len(self._watches)), 0.0)
        try:
            while not self._ending.is_set():
                number = min(due, key=due.__getitem__)
                if self._ending.wait(max(due[number] - time.monotonic(), 0)):
                    break
                watch = self._watches[number]
                self._look(watch)
                due[number] = time.monotonic() + max(watch.interval_s, _INTERVAL_S_MIN)
        finally:
            for watch in self._watches:
                self._close(watch)

    def _look(self, watch: Watch) -> None:
        try:
            sighting = watch.look(self._states.get(watch.name))
        except BridgeError as exc:
            self._note_failure(watch, str(exc))
            return
        except Exception as exc:  # A bug in a watch must never end capture, nor the other watches.
            self._note_failure(watch, type(exc).__name__)
            return
        if sighting.state == self._states.get(watch.name):
            sighting = sighting._replace(state=None)
        if sighting == Sighting():
            return
        with self._lock:
            if len(self._waiting) >= self._sightings_max:
                # The state stays as it was, so that the watch says it again.
                self._note_failure(watch, f"{self._sightings_max} sightings wait for the log")
                return
            if sighting.state is not None:
                self._states[watch.name] = sighting.state
            self._waiting.append(Seen(watch.name, sighting))

    def _close(self, watch: Watch) -> None:
        try:
            watch.close()
        except Exception as exc:
            self._note_failure(watch, type(exc).__name__)

    def _note_failure(self, watch: Watch, error: str) -> None:
        self._observer.note("watch_failed", source=self._source, watch=watch.name, error=error)
