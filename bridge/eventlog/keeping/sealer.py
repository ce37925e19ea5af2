"""Seal persons' fields while events are mapped, and make the keys durable before the append."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import orjson

from bridge.eventlog.keeping.keyring import Keyring, Place
from bridge.eventlog.keeping.sealed_form import RANDOM_BYTES, attributes, seal
from bridge.eventlog.ports import EventLogReader, EventLogWriter
from bridge.model.entry import Appended, CursorMove, EntryDraft
from bridge.model.pseudonym import Pseudonyms
from bridge.model.sealing import Portion, Sealed


class AppendLog(EventLogWriter, EventLogReader, Protocol):
    """The event log as those who append events use it."""


class Sealer:
    """Seals the portions of events; implements `bridge.contracts.means.Sealer`."""

    def __init__(
        self,
        keyring: Callable[[], Keyring],
        pseudonyms: Pseudonyms,
        chance: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`keyring` is asked when the first portion comes: most deployments have none."""
        self._keyring = keyring
        self._pseudonyms = pseudonyms
        self._chance = chance

    def seal(self, event_id: str, time: datetime, portions: Sequence[Portion]) -> Sealed:
        """Return what stands in the event for `portions`.

        Raises `TypeError` for values that JSON cannot hold, and as the key store does.
        """
        keyring = self._keyring()
        texts, marks = [], []
        period = time.astimezone(UTC).year
        for kind, value, record_class, values in portions:
            plain = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
            subject = self._pseudonyms.person(kind, value)
            key_id, key = keyring.sealing_key(Place(subject, kind, record_class, period))
            text, mark = seal(key, key_id, subject, event_id, plain, self._chance(RANDOM_BYTES))
            texts.append(text)
            marks.append(mark)
        return Sealed(attributes(texts, [sorted(p.values) for p in portions]), tuple(marks))


class KeyedLog:
    """The event log such that no entry stands in it whose keys are not durable."""

    def __init__(self, log: AppendLog, keyring: Callable[[], Keyring | None]) -> None:
        """`keyring` returns None as long as nothing was sealed in this process."""
        self._log = log
        self._keyring = keyring
        self.head = log.head
        self.read = log.read
        self.leaf_hashes = log.leaf_hashes
        self.tile_roots = log.tile_roots
        self.find = log.find
        self.cursor = log.cursor
        self.change_token = log.change_token

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Make the new keys durable, then append; as the log's own.

        Raises:
            StorageUnavailable: also when a key was destroyed since its events were mapped.
        """
        keyring = self._keyring()
        if keyring is not None:
            keyring.flush(self._log.head().size)
        return self._log.append(drafts, cursor=cursor)
