"""What a witness remembers, in files: the last checkpoint that it cosigned for each log.

One small file for each log, replaced as a whole and forced to disk before a cosignature leaves. A
person can read it: it is the signed checkpoint with the cosignature.
"""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from bridge.eventlog.durable_files import replace_file
from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.note import split_note
from bridge.model.entry import TreeHead
from bridge.model.errors import ConfigInvalid, DecodeError, LogCorrupt, StorageUnavailable

# Anybody who has old checkpoints of a log can send them with a wrong proof; a person needs a few.
EVIDENCE_FILES_MAX = 100

_NOT_A_NAME = re.compile(r"[^a-z0-9.-]+")


class KeptHeads:
    """Files in `folder`: `heads/LOG.note`, and what contradicts them in `evidence/`.

    One process uses a folder, under a lock that it took before; within it, one thread at a time.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folders.

        Raises:
            ConfigInvalid: they cannot be made.
        """
        self._heads = folder / "heads"
        self._evidence = folder / "evidence"
        try:
            for each in (self._heads, self._evidence):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigInvalid(
                f"cannot keep the witness's state in {str(folder)!r}: {exc.strerror}"
            ) from exc

    def note(self, origin: str) -> bytes | None:
        """Return the last cosigned checkpoint of a log, or None.

        Raises:
            StorageUnavailable: the file is there and cannot be read.
        """
        try:
            return self._path(origin).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._unavailable(exc) from exc

    def head(self, origin: str) -> TreeHead | None:
        """Return the last cosigned head of a log, or None for a log that was never cosigned.

        Raises:
            LogCorrupt: the file holds something else. Nothing may be cosigned then: what was
                promised before is not known.
            StorageUnavailable: see `note`.
        """
        note = self.note(origin)
        if note is None:
            return None
        try:
            text, _ = split_note(note)
            found, head = parse_checkpoint(text)
        except (DecodeError, ValueError) as exc:
            raise LogCorrupt(
                f"cannot cosign for {origin!r}: {str(self._path(origin))!r} does not hold the last "
                f"cosigned checkpoint ({exc}); restore it, never delete it"
            ) from exc
        if found != origin:
            raise LogCorrupt(
                f"cannot cosign for {origin!r}: {str(self._path(origin))!r} is of log {found!r}"
            )
        return head

    def keep(self, origin: str, note: bytes) -> None:
        """Remember `note`; it is on disk when this returns.

        Raises:
            StorageUnavailable: it may or may not be remembered; the cosignature must not leave.
        """
        try:
            replace_file(self._path(origin), note)
        except OSError as exc:
            raise self._unavailable(exc) from exc

    def keep_evidence(self, kind: str, note: bytes) -> bool:
        """Keep a checkpoint that contradicts what was cosigned; return whether it is a new one.

        It is kept as a favour to people: a full disk or `EVIDENCE_FILES_MAX` files stop it.
        """
        path = self._evidence / f"{kind}-{sha256(note).hexdigest()[:16]}.note"
        if path.exists() or len(list(self._evidence.iterdir())) >= EVIDENCE_FILES_MAX:
            return False
        try:
            replace_file(path, note)
        except OSError:
            return False
        return True

    def evidence(self) -> list[str]:
        """Return the names of the files that contradict what was cosigned."""
        return sorted(path.name for path in self._evidence.glob("*.note"))

    def check(self, origins: Iterable[str]) -> None:
        """Read what is kept of each log; raises as `head` does."""
        for origin in origins:
            self.head(origin)

    def _path(self, origin: str) -> Path:
        # Readable, and still different for origins that differ in other characters.
        name = _NOT_A_NAME.sub("-", origin.lower())[:60]
        return self._heads / f"{name}-{sha256(origin.encode()).hexdigest()[:16]}.note"

    def _unavailable(self, exc: OSError) -> StorageUnavailable:
        return StorageUnavailable(
            f"cannot use the witness's state in {str(self._heads)!r}: {exc.strerror}; nothing is "
            "cosigned until it can be"
        )
