"""The witness: cosigns a checkpoint only if it continues the last one that it cosigned."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.eventlog.signing.cosignature import CosignerKey, add_line, cosign
from bridge.eventlog.signing.note import format_line, parse_private_key, split_note
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.witness.heads import KeptHeads
from bridge.eventlog.witness.submission import SIZE_CONTENT_TYPE, parse_submission
from bridge.eventlog.witness.verdict import Finding, LogKeys, Verdict, judge, read_checkpoint
from bridge.model.errors import ConfigInvalid, DecodeError, LogCorrupt, StorageUnavailable
from bridge.model.observer import Observer, SilentObserver

TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = TEXT


class CosigningKey:
    """The witness's own Ed25519 key, in a file of mode 0600 that holds its name as well."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self.key = CosignerKey(name=name, public=private.public_key().public_bytes_raw())
        self._private = private

    def cosign(self, text: str, time_s: int) -> bytes:
        """Return the signature line under the checkpoint `text`."""
        return cosign(text, self.key.name, self._private, time_s)

    @classmethod
    def load(cls, path: Path) -> "CosigningKey":
        """Return the key at `path`.

        Raises:
            ConfigInvalid: there is none, others may read it, or it is something else.
        """
        try:
            name, private = parse_private_key(path.read_text(encoding="utf-8").strip())
            Signer.load_or_create(path, origin=name)  # Checks who may read it.
        except FileNotFoundError as exc:
            raise ConfigInvalid(
                f"cannot find the witness's key {str(path)!r}: make it once with "
                "`legacy-bridge witness key --name NAME`"
            ) from exc
        except (OSError, DecodeError, UnicodeDecodeError) as exc:
            raise ConfigInvalid(f"cannot use the witness's key {str(path)!r}: {exc}") from exc
        return cls(name, private)

    @classmethod
    def load_or_create(cls, path: Path, name: str) -> "CosigningKey":
        """Return the key at `path`; a missing one is made, with mode 0600.

        Raises:
            ConfigInvalid: see `load`, or the key has another name.
            StorageUnavailable: it cannot be written.
        """
        if not path.exists():
            try:
                CosignerKey(name=name, public=bytes(32))
            except DecodeError as exc:
                raise ConfigInvalid(str(exc)) from exc
            Signer.load_or_create(path, origin=name)
        found = cls.load(path)
        if found.key.name != name:
            raise ConfigInvalid(
                f"cannot use the witness's key {str(path)!r}: its name is {found.key.name!r}, not "
                f"{name!r}; a witness keeps its name for life"
            )
        return found


class Witness:
    """Answers `add-checkpoint` (C2SP `tlog-witness`). Any thread may call it."""

    def __init__(
        self,
        key: CosigningKey,
        logs: LogKeys,
        heads: KeptHeads,
        *,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.key = key.key
        self.logs = logs
        self._key = key
        self._heads = heads
        self._observer = observer or SilentObserver()
        self._clock = clock
        # What was cosigned last is read, compared and replaced by one at a time: without it, a
        # slow submission could bring an older head back after a newer one (C2SP tlog-witness).
        self._lock = threading.Lock()

    def add_checkpoint(self, body: bytes) -> Answer:
        """Return the answer to a submission.

        The state is on disk before this returns a cosignature. Whatever cannot be read or written
        is answered by 503, without a cosignature.
        """
        try:
            submission = parse_submission(body)
        except DecodeError as exc:
            return Answer(400, _line(str(exc)))
        read = read_checkpoint(submission.note, self.logs)
        if read.head is None:
            self._observer.note("submission_refused", status=read.finding.value)
            return Answer(read.finding.value, _line(read.why))
        with self._lock:
            try:
                kept = self._heads.head(read.origin)
                verdict = judge(submission, read, kept)
                if verdict.finding is Finding.CONSISTENT:
                    line = self._key.cosign(verdict.text, int(self._clock()))
                    self._heads.keep(read.origin, self._cosigned(verdict, submission.note, line))
                    self._observer.note("cosigned", origin=read.origin, size=read.head.size)
                    return Answer(200, line)
                return self._refuse(verdict, submission.note, 0 if kept is None else kept.size)
            except (LogCorrupt, StorageUnavailable) as exc:
                self._observer.note("witness_state_failed", origin=read.origin, error=str(exc))
                return Answer(503, _line("the witness cannot use its state; ask its operator"))

    def kept(self, origin: str) -> bytes | None:
        """Return the last cosigned checkpoint of a log, as it stands on disk."""
        with self._lock:
            return self._heads.note(origin)

    def evidence(self) -> list[str]:
        """Return the names of the files that contradict what was cosigned."""
        return self._heads.evidence()

    def _cosigned(self, verdict: Verdict, note: bytes, line: bytes) -> bytes:
        """Return the checkpoint with the log's own signatures, which we verified, and ours."""
        trusted = {(key.name, key.key_hash) for key in self.logs[verdict.origin]}
        _, lines = split_note(note)
        own = "".join(format_line(*each) for each in lines if each[:2] in trusted)
        return add_line(f"{verdict.text}\n{own}".encode(), line)

    def _refuse(self, verdict: Verdict, note: bytes, kept_size: int) -> Answer:
        finding = verdict.finding
        # A log that asks for the first time learns by this answer where we are.
        name = "submission_stale" if finding is Finding.STALE else "submission_refused"
        self._observer.note(name, origin=verdict.origin, status=abs(finding.value))
        if finding in (Finding.FORKED, Finding.UNPROVEN):
            assert verdict.head is not None, "only what is signed is judged"
            kind = "fork" if finding is Finding.FORKED else "unproven"
            # Told once for each checkpoint, however often the log repeats it.
            if self._heads.keep_evidence(kind, note):
                self._observer.note(
                    "witness_conflict",
                    origin=verdict.origin,
                    kind=kind,
                    size=verdict.head.size,
                    cosigned_size=kept_size,
                )
        if finding in (Finding.STALE, Finding.FORKED):
            return Answer(409, b"%d\n" % kept_size, SIZE_CONTENT_TYPE)
        return Answer(finding.value, _line(verdict.why))


def _line(text: str) -> bytes:
    return f"{' '.join(text.split())}\n".encode()
