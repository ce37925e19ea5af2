"""Checkpoints: signed tree heads in the form of C2SP `tlog-checkpoint`.

A signature is a promise that the log only grew. So the signer keeps its last signed head in a file
beside its key, outside the log's database, and signs a new one only after a consistency proof: a
log that was rewritten or restored from an old backup is refused, not endorsed.
"""

import base64
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from bridge.eventlog.merkle import HASH_BYTES, check_consistency, prove_consistency
from bridge.eventlog.ports import CheckpointStore, EventLogReader
from bridge.eventlog.signing.note import has_signature, open_note
from bridge.eventlog.signing.signer import Signer, replace_file
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.model.entry import TreeHead
from bridge.model.errors import DecodeError, LogCorrupt, StorageUnavailable
from bridge.model.observer import Observer, SilentObserver

# What an auditor can be cheated of is at most this much at the end of the log.
SIGN_INTERVAL_S_DEFAULT = 10.0
SIGN_ENTRIES_DEFAULT = 1_000

# Reading the head is one row; this often, 1,000 entries are noticed soon after they came.
POLL_INTERVAL_S = 0.5


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
    """Signs the log's head, if it grew out of every head that this key signed before."""

    def __init__(self, signer: Signer, log: SignedLog) -> None:
        self.signer = signer
        self._log = log
        self._last_path = signer.path.with_name(signer.path.name + ".last")

    def sign(self) -> tuple[TreeHead, bytes]:
        """Return the log's head and its signed checkpoint, which is kept in the log.

        Safe for several processes with one key.

        Raises:
            LogCorrupt: the log is not a continuation of what was signed; nothing is signed.
            StorageUnavailable: the log, or the file beside the key, cannot be used.
        """
        with self._locked():
            head = self._log.head()
            for note in self._signed_before():
                self._refuse_fork(note, head)
            checkpoint = self.signer.sign(format_checkpoint(self.signer.origin, head))
            # First the own memory: a checkpoint must not get out that we do not remember.
            replace_file(self._last_path, checkpoint)
        self._log.add_checkpoint(head.size, checkpoint)
        return head, checkpoint

    def _signed_before(self) -> Iterator[bytes]:
        if self._last_path.exists():
            yield self._last_path.read_bytes()
        latest = self._log.latest_checkpoint()
        # A checkpoint by an earlier key says nothing about this one.
        if latest is not None and has_signature(latest[1], self.signer.key):
            yield latest[1]

    def _refuse_fork(self, note: bytes, head: TreeHead) -> None:
        _, last = parse_checkpoint(open_note(note, self.signer.key))
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

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the key's file, which is never replaced."""
        try:
            with self.signer.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as exc:
            raise StorageUnavailable(
                f"cannot sign with {os.fspath(self.signer.path)!r}: {exc.strerror}; "
                "check that the file and its folder can be read and written"
            ) from exc


class CheckpointService:
    """Signs the head while the log grows: at most each `interval_s`, or after `entries_max`."""

    def __init__(
        self,
        head_signer: HeadSigner,
        log: SignedLog,
        *,
        observer: Observer | None = None,
        interval_s: float = SIGN_INTERVAL_S_DEFAULT,
        entries_max: int = SIGN_ENTRIES_DEFAULT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._head_signer = head_signer
        self._log = log
        self._observer = observer or SilentObserver()
        self._interval_s = interval_s
        self._entries_max = entries_max
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
        # A log that shrank is for the signer to refuse.
        if grown == 0 or (
            0 < grown < self._entries_max and now < self._signed_at + self._interval_s
        ):
            return False
        head, _ = self._head_signer.sign()
        self._signed_size, self._signed_at = head.size, now
        self._observer.note("checkpoint_signed", size=head.size, entries=grown)
        return True

    def run(self, stop: threading.Event) -> None:
        """Sign until `stop` is set, and once more then, so that a clean stop leaves no tail."""
        while not stop.wait(POLL_INTERVAL_S):
            self._try()
        self._signed_at = float("-inf")
        self._try()

    def _try(self) -> None:
        try:
            self.step()
        except StorageUnavailable as exc:
            self._observer.note("checkpoint_delayed", error=str(exc))
