"""Checkpoints: signed tree heads in the form of C2SP `tlog-checkpoint`.

A signature is a promise that the log only grew. So the signer keeps its last signed head in a file
beside its key, outside the log's database, and signs a new one only after a consistency proof: a
log that was rewritten or restored from an old backup is refused, not endorsed.
"""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from bridge.eventlog.durable_files import replace_file
from bridge.eventlog.merkle import HASH_BYTES, check_consistency, prove_consistency
from bridge.eventlog.ports import CheckpointStore, EventLogReader
from bridge.eventlog.signing.note import format_line, has_signature, open_note, split_note
from bridge.eventlog.signing.signer import LAST, Signer
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.model.entry import TreeHead
from bridge.model.errors import DecodeError, LogCorrupt, StorageUnavailable
from bridge.model.observer import Observer, SilentObserver

# What an auditor can be cheated of is at most this much at the end of the log.
SIGN_INTERVAL_S_DEFAULT = 10.0
SIGN_ENTRIES_DEFAULT = 1_000

# A log in which nothing happens is signed, too: silence is evidence, and a store that was swapped
# behind our back is found within a day.
IDLE_INTERVAL_S = 86_400.0

# Reading the head is one row; this often, 1,000 entries are noticed soon after they came.
POLL_INTERVAL_S = 0.5

# After a failure: a full disk or a store that restarts is not helped by asking at once.
RETRY_INTERVAL_S = 2.0


class SignedLog(EventLogReader, CheckpointStore, Protocol):
    """What signing needs of a log; it cannot append."""


def format_checkpoint(origin: str, head: TreeHead) -> str:
    """Return the text of a checkpoint, to be signed as a note."""
    return f"{origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"


def parse_checkpoint(text: str) -> tuple[str, TreeHead]:
    """Return origin and head; extension lines are passed over. Raises `DecodeError`."""
    origin, size, root, *_ = [*text.split("\n"), "", "", ""]
    try:
        digest = base64.b64decode(root, validate=True)
    except ValueError as exc:
        raise DecodeError("cannot read a checkpoint: its root is not base64") from exc
    canonical = size.isascii() and size.isdigit() and str(int(size)) == size
    if not origin or not canonical or len(digest) != HASH_BYTES or not text.endswith("\n"):
        raise DecodeError("cannot read a checkpoint: expected lines of origin, size and root")
    return origin, TreeHead(size=int(size), root=digest)


class HeadSigner:
    """Signs the log's head, if it grew out of every head that was signed before, by any key."""

    def __init__(self, signer: Signer, log: SignedLog) -> None:
        self.signer = signer
        self._log = log

    def sign(self) -> tuple[TreeHead, bytes]:
        """Return the log's head and its signed checkpoint, which is kept in the log.

        A head that was signed before keeps the signatures that witnesses added to it. Safe for
        several processes with one folder of keys.

        Raises:
            LogCorrupt: the log is not a continuation of what was signed; nothing is signed.
            ConfigInvalid: a key is missing or others may read it.
            StorageUnavailable: the log, or the folder of the keys, cannot be used.
        """
        with self.signer.locked():
            self.signer.refresh()
            head = self._log.head()
            last_path = self.signer.beside(LAST)
            last = last_path.read_bytes() if last_path.exists() else None
            for note in self._signed_before(last):
                self._refuse_fork(note, head)
            checkpoint = self.signer.sign(format_checkpoint(self.signer.origin, head))
            if checkpoint != last:
                # First the own memory: a checkpoint must not get out that we do not remember.
                replace_file(last_path, checkpoint)
            checkpoint = self._keep(head, checkpoint)
        return head, checkpoint

    def _signed_before(self, last: bytes | None) -> Iterator[bytes]:
        if last is not None:
            yield last
        latest = self._log.latest_checkpoint()
        # One by a key that was never ours says nothing about this log.
        if latest is not None and any(
            has_signature(latest[1], key) for key in self.signer.ring.known
        ):
            yield latest[1]

    def _refuse_fork(self, note: bytes, head: TreeHead) -> None:
        _, last = parse_checkpoint(open_note(note, *self.signer.ring.known))
        if last.size == 0:
            return
        if head.size < last.size:
            raise LogCorrupt(
                f"cannot sign the event log: it has {head.size} entries, but {last.size} were "
                "signed before; it was cut or restored from an old backup"
            )
        proof = prove_consistency(StoredHashes(self._log), last.size, head.size)
        if not check_consistency(last.size, last.root, head.size, head.root, proof):
            raise LogCorrupt(
                f"event log is not what was signed: its first {last.size} entries of {head.size} "
                f"do not hash to the signed root {last.root.hex()[:8]}…; nothing more is signed, "
                "compare the store with its last export"
            )

    def _keep(self, head: TreeHead, checkpoint: bytes) -> bytes:
        """Keep the checkpoint in the log, with what others have signed of the same text."""
        stored = next((note for size, note in self._log.checkpoints(head.size, 1)), None)
        if stored is not None:
            text, lines = split_note(stored)
            own_text, own_lines = split_note(checkpoint)
            own = {line[:2] for line in own_lines}
            if text == own_text:
                checkpoint += b"".join(
                    format_line(*line).encode() for line in lines if line[:2] not in own
                )
        if stored != checkpoint:
            self._log.add_checkpoint(head.size, checkpoint)
        return checkpoint


class CheckpointService:
    """Signs the head while the log grows: at most each `interval_s`, or after `entries_max`.

    A log that does not grow is signed once when the service starts and then each
    `idle_interval_s`, so that a store that was swapped or cut is found.
    """

    def __init__(
        self,
        head_signer: HeadSigner,
        log: SignedLog,
        *,
        observer: Observer | None = None,
        interval_s: float = SIGN_INTERVAL_S_DEFAULT,
        entries_max: int = SIGN_ENTRIES_DEFAULT,
        idle_interval_s: float = IDLE_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._head_signer = head_signer
        self._log = log
        self._observer = observer or SilentObserver()
        self._interval_s = interval_s
        self._entries_max = entries_max
        self._idle_interval_s = idle_interval_s
        self._clock = clock
        self._signed_size: int | None = None
        self._signed_at = float("-inf")

    def step(self) -> bool:
        """Sign when it is due; return whether it was.

        Raises:
            LogCorrupt: see `HeadSigner.sign`; this ends the role.
            StorageUnavailable: try again later.
        """
        if self._signed_size is None:
            latest = self._log.latest_checkpoint()
            self._signed_size = 0 if latest is None else latest[0]
        grown = self._log.head().size - self._signed_size
        now = self._clock()
        if not self._is_due(grown, now - self._signed_at):
            return False
        head, _ = self._head_signer.sign()
        self._signed_size, self._signed_at = head.size, now
        self._observer.note("checkpoint_signed", size=head.size, entries=grown)
        return True

    def _is_due(self, grown: int, since_s: float) -> bool:
        if grown == 0:
            # Nobody ever asked what an empty log holds.
            return self._signed_size != 0 and since_s >= self._idle_interval_s
        # A log that shrank is for the signer to refuse.
        return grown < 0 or grown >= self._entries_max or since_s >= self._interval_s

    def run(self, stop: threading.Event) -> None:
        """Sign until `stop` is set, and once more then, so that a clean stop leaves no tail.

        Raises:
            LogCorrupt: the log is not what was signed; it was told as `checkpoint_refused`.
        """
        wait_s = POLL_INTERVAL_S
        while not stop.wait(wait_s):
            wait_s = POLL_INTERVAL_S if self._try() else RETRY_INTERVAL_S
        self._interval_s = 0.0
        self._try()

    def _try(self) -> bool:
        try:
            self.step()
        except StorageUnavailable as exc:
            self._observer.note("checkpoint_delayed", error=str(exc))
            return False
        except LogCorrupt as exc:
            self._observer.note("checkpoint_refused", error=str(exc))
            raise
        return True
