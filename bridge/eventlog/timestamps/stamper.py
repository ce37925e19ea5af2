"""Have the newest checkpoint time-stamped by an authority, daily or on demand (RFC 3161).

The imprint is SHA-256 of the checkpoint's text without its signatures, so that signatures may be
added to it later. A checkpoint is stamped once by each authority: an earlier token says more.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum

from bridge.eventlog.signing.note import split_note
from bridge.eventlog.timestamps.ports import Places, StampedLog, TimestampAuthority, Token
from bridge.eventlog.witness.ports import AlarmBell
from bridge.model.errors import DecodeError, StorageUnavailable, UpstreamUnavailable
from bridge.model.observer import Observer, SilentObserver

# One row is read for each look; what is asked for once a day may be seconds late.
POLL_INTERVAL_S = 5.0
# An authority that is away for longer than this at the time of a token is an alarm.
LATE_S = 3_600.0
# Asking again: authorities bill requests, and being an hour late does no harm.
RETRY_FIRST_S = 10.0
RETRY_LONGEST_S = 900.0


class StampStanding(Enum):
    """How it is with an authority; the order is the order of gravity."""

    OK = "ok"  # The newest token is not older than it may be, or nothing happened since.
    LATE = "late"  # A token has been due for longer than `LATE_S`.
    REFUSED = "refused"  # It answers, but not with a token that can be believed.

    @property
    def level(self) -> int:
        """0 ok, 1 warning, 2 critical: the number of the metric."""
        return list(StampStanding).index(self)


def stamp_checkpoint(
    name: str, authority: TimestampAuthority, log: StampedLog, size: int, note: bytes
) -> Token:
    """Return the token over the checkpoint `note`, which is kept in the log.

    Raises:
        UpstreamUnavailable, DecodeError: see `TimestampAuthority.stamp`.
        StorageUnavailable: the token was made and could not be kept.
    """
    text, _ = split_note(note)
    token = authority.stamp(text.encode())
    log.add_token(size, name, token.der)
    return token


class Stamper:
    """Keeps the tokens of one authority coming. One thread runs it."""

    def __init__(
        self,
        name: str,
        authority: TimestampAuthority,
        log: StampedLog,
        places: Places,
        *,
        interval_s: float,
        observer: Observer | None = None,
        bell: AlarmBell | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._authority = authority
        self._log = log
        self._places = places
        self._interval_s = interval_s
        self._observer = observer or SilentObserver()
        self._bell = bell
        self._clock = clock
        self._due_since: float | None = None
        self._refusal: str | None = None
        self._error = ""
        self._retry_at = float("-inf")
        self._retry_s = RETRY_FIRST_S
        self._told = StampStanding.OK

    def run(self, stop: threading.Event) -> None:
        """Stamp when it is due until `stop` is set; a store that is away is waited for."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            wait_s = POLL_INTERVAL_S
            try:
                self.step()
            except StorageUnavailable as exc:
                self._observer.note("timestamp_delayed", authority=self.name, error=str(exc))

    def step(self) -> StampStanding | None:
        """Stamp the newest checkpoint if that is due; return None while nothing is signed.

        Raises:
            StorageUnavailable: the log or the book of places cannot be used now.
        """
        latest = self._log.latest_checkpoint()
        if latest is None or latest[0] == 0:
            return None
        size, note = latest
        now = self._clock()
        stamped_size, stamped_at = self.last()
        if size > stamped_size and now >= stamped_at + self._interval_s:
            if self._due_since is None:
                self._due_since = max(now, stamped_at + self._interval_s)
            if now >= self._retry_at:
                self._try(size, note)
                stamped_size, stamped_at = self.last()
        return self._tell(stamped_size, stamped_at)

    def last(self) -> tuple[int, float]:
        """Return size and time of the newest token; 0 and 0 when there is none."""
        at = self._places.load(f"timestamp-time:{self.name}")
        return self._places.load(f"timestamp:{self.name}"), float(at)

    def stamp(self, size: int, note: bytes) -> Token:
        """Stamp a checkpoint now; raises as `stamp_checkpoint` does."""
        token = stamp_checkpoint(self.name, self._authority, self._log, size, note)
        self._places.store(f"timestamp:{self.name}", size)
        self._places.store(f"timestamp-time:{self.name}", int(self._clock()))
        self._observer.note("timestamped", authority=self.name, size=size)
        return token

    def _try(self, size: int, note: bytes) -> None:
        try:
            self.stamp(size, note)
        except UpstreamUnavailable as exc:
            self._failed(str(exc))
        except DecodeError as exc:
            self._refusal = str(exc)
            self._failed(str(exc))
        else:
            self._due_since, self._refusal, self._error = None, None, ""
            self._retry_at, self._retry_s = float("-inf"), RETRY_FIRST_S

    def _failed(self, why: str) -> None:
        self._error = why
        self._retry_at = self._clock() + self._retry_s
        self._retry_s = min(self._retry_s * 2, RETRY_LONGEST_S)
        self._observer.note("timestamp_failed", authority=self.name, error=why)

    def _tell(self, size: int, at: float) -> StampStanding:
        now = self._clock()
        standing = StampStanding.OK
        if self._refusal is not None:
            standing = StampStanding.REFUSED
        elif self._due_since is not None and now > self._due_since + LATE_S:
            standing = StampStanding.LATE
        facts = {"level": standing.level, "size": size, "standing": standing.value}
        named: dict[str, int | float | str] = {
            f"{self.name}.{fact}": value for fact, value in facts.items()
        }
        if at:
            named[f"{self.name}.age_s"] = round(max(now - at, 0.0))
        self._observer.note("timestamp", **named)
        if standing is not self._told:
            self._alarm(standing)
        return standing

    def _alarm(self, standing: StampStanding) -> None:
        name = "timestamp_raised" if standing.level else "timestamp_lowered"
        self._observer.note(name, authority=self.name, to_standing=standing.value, why=self._error)
        if self._bell is not None:
            at = datetime.fromtimestamp(self._clock(), UTC)
            self._bell.ring(
                {
                    "alarm": "timestamp",
                    "id": f"timestamp:{self.name}:{standing.value}:{at:%Y%m%dT%H%M%SZ}",
                    "authority": self.name,
                    "standing": standing.value,
                    "previous_standing": self._told.value,
                    "why": self._error,
                }
            )
        self._told = standing
