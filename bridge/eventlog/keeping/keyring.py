"""The data keys that one process works with: staged before they are durable, cached, let go.

New keys are made while events are mapped and written together, in one commit, before the events
that they seal are appended. A destroyed key is never used from the cache: before each batch, and
every `LOOK_INTERVAL_S` while events are sealed, the store is asked whether anything was destroyed.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.eventlog.keeping.ports import DataKey, MasterKey, SubjectKeyStore, wrap_context
from bridge.model.errors import ConfigInvalid, StorageUnavailable

KEY_BYTES: Final = 32
"""AES-256."""

CACHED_MAX: Final = 20_000
"""Unwrapped keys in memory, about 600 bytes each: more persons than change at a time."""

LOOK_INTERVAL_S: Final = 0.1
"""How long sealing may overlook a destruction; such a batch is refused when it is appended."""

_ID_BYTES: Final = 8
"""2^64: among 10^8 keys two are equal by chance once in 3,700 logs; the store would refuse it."""


class Place(NamedTuple):
    """Which key new records are sealed under."""

    subject: str
    kind: str
    record_class: str
    period: int


class Keyring:
    """The keys of one process. Safe to share between threads."""

    def __init__(
        self,
        store: SubjectKeyStore,
        master: MasterKey,
        *,
        clock: Callable[[], float] = time.monotonic,
        cached_max: int = CACHED_MAX,
    ) -> None:
        self._store = store
        self._master = master
        self._clock = clock
        self._cached_max = cached_max
        self._lock = threading.RLock()
        self._keys: OrderedDict[str, AESGCM | None] = OrderedDict()
        self._places: OrderedDict[Place, str] = OrderedDict()
        self._staged: dict[str, DataKey] = {}
        self._used: set[str] = set()
        self._generation = store.generation()
        self._looked_at = clock()

    def sealing_key(self, place: Place) -> tuple[str, AESGCM]:
        """Return id and key for new records; it is made, and staged, when there is none."""
        with self._lock:
            if self._clock() >= self._looked_at + LOOK_INTERVAL_S:
                self.refresh()
            key_id = self._places.get(place)
            key = None if key_id is None else self._keys.get(key_id)
            if key_id is None or key is None:
                key_id, key = self._find_or_make(place)
            self._used.add(key_id)
            return key_id, key

    def opening_key(self, key_id: str) -> AESGCM | None:
        """Return a key, or None when it was destroyed.

        Raises:
            ConfigInvalid: it was never in the store, or no master key unwraps it.
        """
        with self._lock:
            if key_id in self._keys:
                self._keys.move_to_end(key_id)
                return self._keys[key_id]
            found = self._staged.get(key_id) or self._store.get(key_id)
            if found is None:
                raise ConfigInvalid(
                    f"cannot open sealed fields: data key {key_id!r} is not in the key store and "
                    "was not destroyed there; restore the newest backup of keys.db"
                )
            key = None if found.wrapped is None else self._unwrapped(found, found.wrapped)
            self._cache(key_id, key)
            return key

    def refresh(self) -> bool:
        """Forget cached keys if any was destroyed since; return whether that was so."""
        with self._lock:
            self._looked_at = self._clock()
            generation = self._store.generation()
            if generation == self._generation:
                return False
            self._generation = generation
            self._keys.clear()
            self._places.clear()
            return True

    def flush(self, since: int) -> None:
        """Make staged keys durable; `since` is the size of the log that they are used from.

        Raises:
            StorageUnavailable: a key that was used since the last flush is destroyed meanwhile, or
                the store cannot be written: map the events again.
        """
        with self._lock:
            if self._staged:
                # What fails here stays staged: events may be sealed under these keys already.
                self._store.add([key._replace(since=since) for key in self._staged.values()])
                self._staged = {}
            used, self._used = self._used, set()
            if used and self.refresh():
                for key_id in used:
                    found = self._store.get(key_id)
                    if found is None or found.wrapped is None:
                        raise StorageUnavailable(
                            f"cannot append sealed events: data key {key_id!r} was destroyed after "
                            "they were sealed; they are read again and sealed under a new key"
                        )

    def _find_or_make(self, place: Place) -> tuple[str, AESGCM]:
        found = self._store.current(place.subject, place.record_class, place.period)
        if found is not None and found.wrapped is not None:
            key_id, key = found.key_id, self._unwrapped(found, found.wrapped)
        else:
            key_id, plain = secrets.token_hex(_ID_BYTES), secrets.token_bytes(KEY_BYTES)
            wrapped = self._master.wrap(plain, wrap_context(key_id, place.subject))
            self._staged[key_id] = DataKey(key_id, *place, wrapped=wrapped, since=0)
            key = AESGCM(plain)
        self._cache(key_id, key)
        self._places[place] = key_id
        if len(self._places) > self._cached_max:
            self._places.popitem(last=False)
        return key_id, key

    def _unwrapped(self, key: DataKey, wrapped: bytes) -> AESGCM:
        return AESGCM(self._master.unwrap(wrapped, wrap_context(key.key_id, key.subject)))

    def _cache(self, key_id: str, key: AESGCM | None) -> None:
        self._keys[key_id] = key
        if len(self._keys) > self._cached_max:
            self._keys.popitem(last=False)
