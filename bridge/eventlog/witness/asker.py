"""Ask one witness to cosign each new checkpoint, and tell when it does not.

The witness's answer 409 says how far it is; the proof is then made from there. An answer that does
not fit our log is an alarm: either the log was cut, restored or forked, or the witness was.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from bridge.eventlog.merkle import prove_consistency
from bridge.eventlog.signing.cosignature import CosignerKey, add_line, has_cosignature, verify
from bridge.eventlog.signing.note import format_line, split_note
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.eventlog.witness.ports import AlarmBell, Told, WitnessedLog, WitnessLink
from bridge.eventlog.witness.standing import Sighting, Standing, assess
from bridge.eventlog.witness.submission import format_submission, parse_size
from bridge.model.errors import DecodeError, LogCorrupt, StorageUnavailable, UpstreamUnavailable
from bridge.model.observer import Observer, SilentObserver

# Reading the newest checkpoint is one row; this soon after it is signed, it is cosigned.
POLL_INTERVAL_S = 0.5
# How often an unchanged standing is told again: metrics show ages of at most this.
TELL_INTERVAL_S = 5.0
# A log in which nothing happens is cosigned anew this often: silence is evidence, too.
REFRESH_S = 86_400.0
# Checkpoints come each 10 s: a witness that misses this many of them is away, not slow.
LATE_S_DEFAULT = 600.0
# Asking again: soon for a restart, then seldom enough not to be a burden for who is broken.
RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 60.0
# One request that learns where the witness is, one that is right, one for a race with another.
_TRIES = 3
# What is looked through at a start for the last cosigned checkpoint; further back only the alarm's
# clock would start anew.
_LOOK_BACK_ENTRIES = 100_000
_PAGE = 1_000


class CosignatureShelf:
    """Adds cosignatures to stored checkpoints; several witnesses' threads share one."""

    def __init__(self, log: WitnessedLog) -> None:
        self._log = log
        self._lock = threading.Lock()

    def add(self, size: int, note: bytes, line: bytes) -> None:
        """Add `line` to the checkpoint over `size` entries, which was sent as `note`.

        Raises:
            LogCorrupt: another checkpoint over as many entries is stored now.
            StorageUnavailable: try again later.
        """
        with self._lock:
            # Read again: another witness may have added its own line meanwhile.
            stored = self._log.checkpoints(size, 1)
            if stored and stored[0][0] == size:
                if split_note(stored[0][1])[0] != split_note(note)[0]:
                    raise LogCorrupt(
                        f"cannot keep a cosignature: the stored checkpoint over {size} entries is "
                        "not the one that was cosigned"
                    )
                note = stored[0][1]
            self._log.add_checkpoint(size, add_line(note, line))


class _Trouble(NamedTuple):
    """Why a try did not end with a cosignature."""

    standing: Standing
    why: str


class WitnessAsker:
    """Brings the newest checkpoint to one witness. One thread runs it."""

    def __init__(
        self,
        name: str,
        key: CosignerKey,
        link: WitnessLink,
        log: WitnessedLog,
        shelf: CosignatureShelf,
        *,
        observer: Observer | None = None,
        bell: AlarmBell | None = None,
        late_s: float = LATE_S_DEFAULT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._key = key
        self._link = link
        self._log = log
        self._shelf = shelf
        self._observer = observer or SilentObserver()
        self._bell = bell
        self._late_s = late_s
        self._clock = clock

        self._cosigned_size: int | None = None
        """Entries of the newest checkpoint that it cosigned; None before the first look."""
        self._believed_size = 0
        """Where we think that it is: what the next proof begins at."""
        self._seen: tuple[bytes, int | None] = (b"", None)
        """The last note that was looked at, and when it was cosigned; verified once for each."""
        self._waiting_since: float | None = None
        self._trouble: _Trouble | None = None
        self._retry_at = float("-inf")
        self._retry_s = RETRY_FIRST_S
        self._told: Standing = Standing.OK
        self._told_at = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Ask until `stop` is set; a store that is away is waited for."""
        while not stop.wait(POLL_INTERVAL_S):
            try:
                self.step()
            except StorageUnavailable as exc:
                self._observer.note("witness_delayed", witness=self.name, error=str(exc))

    def step(self) -> Sighting | None:
        """Ask if the newest checkpoint lacks the cosignature; return how it is with the witness.

        Returns None while nothing is signed.

        Raises:
            StorageUnavailable: the log cannot be read or written now.
        """
        latest = self._log.latest_checkpoint()
        if latest is None or latest[0] == 0:
            return None  # There is nothing to be witnessed in an empty log.
        size, note = latest
        if self._cosigned_size is None:
            self._look_back(size)
        now = self._clock()
        cosigned_s = self._cosigned_s(note)
        if cosigned_s is not None and now < cosigned_s + REFRESH_S:
            self._succeeded(size)
        else:
            if self._waiting_since is None:
                self._waiting_since = now
            if now >= self._retry_at:
                self._try(size, note, now)
        return self._tell(size)

    def _cosigned_s(self, note: bytes) -> int | None:
        if self._seen[0] != note:
            found = verify(note, self._key) if has_cosignature(note, self._key) else None
            self._seen = (note, found)
        return self._seen[1]

    def _look_back(self, size: int) -> None:
        """Find what it cosigned last, so that a restart of ours does not make it look present."""
        self._cosigned_size = 0
        first = max(size - _LOOK_BACK_ENTRIES, 0)
        while page := self._log.checkpoints(first, _PAGE):
            for found, note in page:
                if has_cosignature(note, self._key):
                    self._cosigned_size = self._believed_size = found
                    self._waiting_since = float(verify(note, self._key))
            first = page[-1][0] + 1

    def _try(self, size: int, note: bytes, now: float) -> None:
        try:
            trouble = self._ask(size, note)
        except UpstreamUnavailable as exc:
            trouble = _Trouble(Standing.ABSENT, str(exc))
        except (LogCorrupt, DecodeError) as exc:
            trouble = _Trouble(Standing.CONFLICT, str(exc))
        if trouble is None:
            self._succeeded(size)
            return
        self._trouble = trouble
        self._retry_at = now + self._retry_s
        self._retry_s = min(self._retry_s * 2, RETRY_LONGEST_S)

    def _succeeded(self, size: int) -> None:
        self._cosigned_size = self._believed_size = size
        self._waiting_since, self._trouble = None, None
        self._retry_at, self._retry_s = float("-inf"), RETRY_FIRST_S

    def _ask(self, size: int, note: bytes) -> _Trouble | None:
        """Return None once the checkpoint is cosigned and that is stored."""
        for _ in range(_TRIES):
            old_size = min(self._believed_size, size)
            told = self._link.add_checkpoint(self._submission(old_size, size, note))
            if told.status == 200:
                return self._keep(size, note, told)
            if told.status != 409:
                return self._explain(told.status, old_size)
            try:
                seen_size = parse_size(told.body.removesuffix(b"\n"))
            except DecodeError as exc:
                return _Trouble(Standing.REFUSED, f"it answers 409 without a size ({exc})")
            if trouble := self._conflict(seen_size, old_size, size):
                return trouble
            if seen_size < self._cosigned(seen_size):
                self._observer.note(
                    "witness_lost_state", witness=self.name, size=seen_size, cosigned=old_size
                )
            self._believed_size = seen_size
        return _Trouble(Standing.LATE, "it changes the size that it says it cosigned")

    def _cosigned(self, default: int) -> int:
        return default if self._cosigned_size is None else self._cosigned_size

    def _submission(self, old_size: int, size: int, note: bytes) -> bytes:
        proof = []
        if 0 < old_size < size:
            proof = prove_consistency(StoredHashes(self._log), old_size, size)
        return format_submission(old_size, proof, note)

    def _keep(self, size: int, note: bytes, told: Told) -> _Trouble | None:
        """Add the cosignature by the configured key, and nothing else of the answer."""
        try:
            text, lines = split_note(b"answer\n\n" + told.body)
            wanted = (self._key.name, self._key.key_hash)
            own = [format_line(*line).encode() for line in lines if line[:2] == wanted]
            if len(own) != 1:
                return _Trouble(
                    Standing.REFUSED,
                    f"it answers with {len(own)} cosignatures by {self._key.name!r} "
                    f"({self._key.key_hash.hex()}); compare the configured key with its own",
                )
            text, _ = split_note(note)
            verify(f"{text}\n".encode() + own[0], self._key)
        except (DecodeError, LogCorrupt) as exc:
            return _Trouble(Standing.REFUSED, f"its answer cannot be believed: {exc}")
        self._shelf.add(size, note, own[0])
        self._observer.note("witnessed", witness=self.name, size=size)
        return None

    def _conflict(self, seen_size: int, old_size: int, size: int) -> _Trouble | None:
        if seen_size == old_size == size:
            return _Trouble(
                Standing.CONFLICT,
                f"it has cosigned another root over the same {size} entries: the log was rewritten "
                "or forked",
            )
        if seen_size == old_size:
            return _Trouble(Standing.REFUSED, f"it refuses {old_size}, the size that it tells")
        if seen_size <= size:
            return None
        newest = self._log.latest_checkpoint()
        if newest is not None and newest[0] >= seen_size:
            return _Trouble(Standing.LATE, "a newer checkpoint came meanwhile")
        return _Trouble(
            Standing.CONFLICT,
            f"it has cosigned {seen_size} entries, and our newest checkpoint has {size}: the log "
            "was cut or restored from an old backup, or somebody else signs with its key",
        )

    def _explain(self, status: int, old_size: int) -> _Trouble:
        if status == 422:
            return _Trouble(
                Standing.CONFLICT,
                f"the first {old_size} entries that it cosigned are not the first {old_size} of "
                "this log: the log was rewritten or forked",
            )
        if status in (403, 404):
            what = "our log" if status == 404 else "the key of our log"
            return _Trouble(
                Standing.REFUSED,
                f"it does not know {what} (HTTP {status}); give its operator the verifier key of "
                "`legacy-bridge log key`",
            )
        if status < 500 and status not in (408, 429):
            return _Trouble(Standing.REFUSED, f"it answers HTTP {status}")
        return _Trouble(Standing.ABSENT, f"it answers HTTP {status}")

    def _tell(self, size: int) -> Sighting:
        now = self._clock()
        waiting_s = 0.0 if self._waiting_since is None else max(now - self._waiting_since, 0.0)
        found = assess(
            size=size,
            cosigned_size=self._cosigned(0),
            waiting_s=waiting_s,
            late_s=self._late_s,
            trouble=self._trouble and self._trouble.standing,
            why=self._trouble.why if self._trouble else "it has not been asked yet",
        )
        changed = found.standing is not self._told
        if changed or now >= self._told_at + TELL_INTERVAL_S:
            self._told_at = now
            facts = {
                "level": found.standing.level,
                "size": found.size,
                "lag_entries": found.lag_entries,
                "lag_s": round(found.lag_s, 1),
                "standing": found.standing.value,
            }
            named = {f"{self.name}.{fact}": value for fact, value in facts.items()}
            self._observer.note("witness", **named)
        if changed:
            self._alarm(found)
        return found

    def _alarm(self, found: Sighting) -> None:
        worse = found.standing.level > self._told.level
        self._observer.note(
            "witness_raised" if worse or found.standing.level else "witness_lowered",
            witness=self.name,
            to_standing=found.standing.value,
            why=found.why,
        )
        if self._bell is not None:
            self._bell.ring(
                {
                    "alarm": "witness",
                    "id": f"witness:{self.name}:{found.standing.value}:{self._clock():.0f}",
                    "witness": self.name,
                    "standing": found.standing.value,
                    "previous_standing": self._told.value,
                    "why": found.why,
                    "size": found.size,
                    "lag_entries": found.lag_entries,
                    "lag_s": round(found.lag_s),
                }
            )
        self._told = found.standing
