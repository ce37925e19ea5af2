"""Erase a person: destroy the keys, record it, tell consumers, certify it.

The steps are repeatable, and each is taken only when the one before is durable:

1. the decision is kept, so that whoever comes next carries it on;
2. the keys are destroyed, and bear the id of this erasure;
3. one append has the entry of the erasure and the event for consumers;
4. the certificate is written;
5. the decision is forgotten.
"""

import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bridge.eventlog.keeping.holds import refuse_held
from bridge.eventlog.keeping.ports import DataKey, OpenErasure, SubjectKeyStore
from bridge.eventlog.keeping.sealer import AppendLog
from bridge.eventlog.keeping.touched import Progress, touched
from bridge.eventlog.records.action_record import action_draft, log_time
from bridge.model.entry import EntryDraft, EntryKind, StoredEntry
from bridge.model.errors import ConfigInvalid, LimitExceeded
from bridge.model.pseudonym import Pseudonyms
from bridge.model.warrant import Warrant

KEYS_MAX = 1_000
"""Of one erasure: a person has a key per class and year. The leaf that names them stays small."""

LEGAL_BASIS_CHARACTERS_MAX = 200

_ID_BYTES = 6


class Erased(NamedTuple):
    """What the entry of an erasure says, for the event that consumers get."""

    erasure: OpenErasure
    classes: tuple[str, ...]
    events: int
    time: str


class Erasures:
    """Erases persons from one log. Who calls holds the lock of keeping."""

    def __init__(
        self,
        store: SubjectKeyStore,
        log: AppendLog,
        pseudonyms: Pseudonyms,
        *,
        announce: Callable[[Erased], EntryDraft],
        certify: Callable[[StoredEntry, dict[str, Any]], None],
        clock: Callable[[], datetime],
    ) -> None:
        """`announce` makes the event for consumers; `certify` writes the certificate, durably, of
        the entry of an erasure and the fields of its leaf."""
        self._store = store
        self._log = log
        self._pseudonyms = pseudonyms
        self._announce = announce
        self._certify = certify
        self._clock = clock

    def erase(
        self,
        kind: str,
        value: str,
        warrant: Warrant,
        legal_basis: str,
        progress: Progress = lambda done, total: None,
    ) -> StoredEntry:
        """Erase a person, or carry on where an interrupted erasure of the same person stands.

        Returns:
            the entry of the erasure.

        Raises:
            HeldBack: a legal hold covers the person.
            ConfigInvalid: nothing of the person can be read as it is.
            StorageUnavailable: repeat the command; what is done is not done twice.
        """
        if not 0 < len(legal_basis.strip()) <= LEGAL_BASIS_CHARACTERS_MAX:
            raise ConfigInvalid(
                "cannot erase without a legal basis: say it in 1 to "
                f"{LEGAL_BASIS_CHARACTERS_MAX} characters; it is recorded in the event log"
            )
        subject = self._pseudonyms.person(kind, value)
        for erasure in self._store.open_erasures():
            if erasure.subject == subject:
                return self.complete(erasure, progress)
        keys = [key for key in self._store.of_subject(subject) if key.wrapped is not None]
        if not keys:
            raise ConfigInvalid(
                f"cannot erase {kind} (pseudonym {subject}): nothing of it can be read; it was "
                "never sealed under this kind and value, or it is erased already"
            )
        refuse_held(self._store.holds(), keys, subject)
        if len(keys) > KEYS_MAX:
            raise LimitExceeded(
                f"cannot erase subject {subject}: it has {len(keys)} data keys, at most "
                f"{KEYS_MAX} fit into one entry; destroy old ones by 'retention' first"
            )
        requested = log_time(self._clock())
        erasure = OpenErasure(
            f"erasure:{requested}:{secrets.token_hex(_ID_BYTES)}",
            subject,
            kind,
            value,
            legal_basis,
            warrant,
            requested,
        )
        self._store.open_erasure(erasure)
        return self.complete(erasure, progress)

    def finish_open(self) -> list[str]:
        """Carry on every erasure that was interrupted; return their ids."""
        return [self.complete(erasure).entry_id for erasure in self._store.open_erasures()]

    def complete(
        self, erasure: OpenErasure, progress: Progress = lambda done, total: None
    ) -> StoredEntry:
        """Take the steps of an erasure that are not taken."""
        entry = self._log.find(erasure.erasure_id)
        if entry is None:
            mine = self._destroy(erasure)
            self._record(erasure, mine, progress)
            entry = self._log.find(erasure.erasure_id)
            assert entry is not None, "what was appended is found"
        self._certify(entry, json.loads(entry.leaf)["fields"])
        self._store.close_erasure(erasure.erasure_id)
        return entry

    def _destroy(self, erasure: OpenErasure) -> list[DataKey]:
        keys = self._store.of_subject(erasure.subject)
        if not any(key.ended_by == erasure.erasure_id for key in keys):
            # A hold that came after the decision holds back what is not destroyed yet.
            refuse_held(self._store.holds(), keys, erasure.subject)
        alive = [key.key_id for key in keys if key.wrapped is not None]
        # Also when none is alive: what was destroyed before a crash may still be in the file's log.
        self._store.destroy(alive, erasure.erasure_id)
        keys = self._store.of_subject(erasure.subject)
        return [key for key in keys if key.ended_by == erasure.erasure_id]

    def _record(self, erasure: OpenErasure, keys: Sequence[DataKey], progress: Progress) -> None:
        now = self._clock()
        classes = tuple(sorted({key.record_class for key in keys}))
        start = min((key.since for key in keys), default=self._log.head().size)
        found = touched(self._log, [key.key_id for key in keys], start, progress)
        fields = {
            "classes": list(classes),
            "erasure": erasure.erasure_id,
            "events": found.events,
            "indices_sha256": found.digest,
            "keys": [key.key_id for key in keys],
            "kind": erasure.kind,
            "legal_basis": erasure.legal_basis,
            "requested": erasure.requested,
            "start": found.start,
            "stop": found.stop,
            "subject": erasure.subject,
        }
        draft = action_draft(
            EntryKind.ERASURE,
            "erase",
            erasure.warrant,
            at=now,
            fields=fields,
            entry_id=erasure.erasure_id,
        )
        told = Erased(erasure, classes, found.events, log_time(now))
        self._log.append([draft, self._announce(told)])
