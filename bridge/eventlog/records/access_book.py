"""Reads and failed logins of a service that answers many, in a bounded number of entries.

The first read of its kind in a window is an entry before it is answered; equal ones behind it are
counted, and one entry says how many there were once the window is over. A crash loses such a count,
never the fact that somebody read.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from bridge.eventlog.ports import EventLogWriter
from bridge.eventlog.records.access import append_access, not_recorded, read_draft
from bridge.eventlog.records.action_record import log_time
from bridge.model.entry import EntryDraft
from bridge.model.errors import BridgeError
from bridge.model.warrant import UNKNOWN, Actor, Outcome

WINDOW_S: Final = 60.0
"""A page that refreshes itself each second makes one entry in this time, and a person's search one
entry each."""

LOGINS_MAX: Final = 10
"""Failed logins in a window that are entries of their own: enough for somebody who mistypes."""

KINDS_MAX: Final = 1_000
"""Kinds of reads counted at once; a read beyond these is an entry of its own."""

_LOOK_INTERVAL_S: Final = 1.0

_LOGIN: Final = "login"


@dataclass(slots=True)
class _Counted:
    """Equal reads of one window, beyond those with entries of their own."""

    who: Actor
    what: str
    query: Mapping[str, Any] | None
    until: float
    first: datetime | None = None
    told: int = 1
    times: int = 0
    found: int = 0


class AccessBook:
    """Records who reads through one process; called from any thread."""

    def __init__(
        self,
        log: Callable[[], EventLogWriter],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`log` opens the log when it is first needed: what reads nothing does without it."""
        self._open = log
        self._clock = clock
        self._timer = timer
        self._lock = threading.Lock()
        self._counted: dict[tuple[str, ...], _Counted] = {}

    def read(
        self, who: Actor, what: str, *, found: int, query: Mapping[str, Any] | None = None
    ) -> None:
        """Record one read before it is answered; `query` as `record_access` takes it.

        Raises:
            AccessNotRecorded: nothing may be shown.
        """
        asked = orjson.dumps(query, option=orjson.OPT_SORT_KEYS).decode()
        key = ("read", who.id, who.known.value, what, asked)
        with self._lock:
            if self._is_counted(key, found, told_max=1):
                return
            self._append(read_draft(who, what, found=found, query=query, at=self._clock()))
            self._begin(key, who, what, query)

    def login_failed(self) -> None:
        """Record that a wrong credential was shown.

        Raises:
            AccessNotRecorded: it could not be; the caller refuses the request anyway.
        """
        key = (_LOGIN,)
        with self._lock:
            if self._is_counted(key, 0, told_max=LOGINS_MAX):
                return
            self._append(_failed_login(self._clock()))
            if key in self._counted:
                self._counted[key].told += 1
            else:
                self._begin(key, UNKNOWN, _LOGIN, None)

    def refused(self, who: Actor, what: str, error: str) -> None:
        """Record that `who` asked for what its role may not; counted like a read."""
        key = ("refused", who.id, who.known.value, what, error)
        with self._lock:
            if self._is_counted(key, 0, told_max=1):
                return
            draft = read_draft(
                who, what, found=0, at=self._clock(), outcome=Outcome.REFUSED, error=error
            )
            self._append(draft)
            self._begin(key, who, what, None)

    def tell(self, draft: EntryDraft) -> None:
        """Append an entry by the way of the reads."""
        with self._lock:
            self._append(draft)

    def flush(self, *, everything: bool = False) -> None:
        """Record the counts of windows that are over, or of all.

        Raises:
            AccessNotRecorded: the counts are kept for the next time.
        """
        with self._lock:
            now = self._timer()
            for key, counted in list(self._counted.items()):
                if everything or now >= counted.until:
                    if counted.times:
                        self._append(self._summary(key, counted))
                    del self._counted[key]

    def run(self, stop: threading.Event) -> None:
        """Flush as windows end, and all at the end."""
        while not stop.wait(_LOOK_INTERVAL_S):
            self._try_flush(everything=False)
        self._try_flush(everything=True)

    def _try_flush(self, *, everything: bool) -> None:
        try:
            self.flush(everything=everything)
        except BridgeError:
            return  # Kept; whoever reads meanwhile is told that reads cannot be recorded.

    def _append(self, draft: EntryDraft) -> None:
        try:
            log = self._open()
        except BridgeError as exc:
            raise not_recorded(exc) from exc
        append_access(log, draft)

    def _is_counted(self, key: tuple[str, ...], found: int, *, told_max: int) -> bool:
        counted = self._counted.get(key)
        if counted is None or counted.told < told_max:
            return False
        if self._timer() >= counted.until:
            if counted.times:
                self._append(self._summary(key, counted))
            del self._counted[key]
            return False
        counted.first = counted.first or self._clock()
        counted.times += 1
        counted.found += found
        return True

    def _begin(
        self, key: tuple[str, ...], who: Actor, what: str, query: Mapping[str, Any] | None
    ) -> None:
        if len(self._counted) < KINDS_MAX:
            self._counted[key] = _Counted(who, what, query, self._timer() + WINDOW_S)

    def _summary(self, key: tuple[str, ...], counted: _Counted) -> EntryDraft:
        more: dict[str, Any] = {"times": counted.times}
        if counted.first is not None:
            more["since"] = log_time(counted.first)
        done = key[0] == "read"
        return read_draft(
            counted.who,
            counted.what,
            found=counted.found,
            query=counted.query,
            at=self._clock(),
            outcome=Outcome.DONE if done else Outcome.REFUSED,
            error=None if done else _error(key),
            more=more,
        )


def _failed_login(at: datetime) -> EntryDraft:
    return read_draft(
        UNKNOWN, _LOGIN, found=0, at=at, outcome=Outcome.REFUSED, error=_error((_LOGIN,))
    )


def _error(key: tuple[str, ...]) -> str:
    return "WrongToken" if key[0] == _LOGIN else key[-1]
