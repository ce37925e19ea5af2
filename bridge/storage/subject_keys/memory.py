"""Data keys of persons in memory: the twin of the SQLite store, for tests and dry runs."""

from collections.abc import Sequence

from bridge.eventlog.keeping.ports import DataKey, Hold, OpenErasure


class MemorySubjectKeys:
    """`SubjectKeyStore` that forgets when its process ends."""

    def __init__(self) -> None:
        self._keys: dict[str, DataKey] = {}
        self._holds: dict[str, Hold] = {}
        self._erasures: dict[str, OpenErasure] = {}
        self._generation = 0
        self._applied = 0

    def add(self, keys: Sequence[DataKey]) -> None:
        """Keep new keys."""
        for key in keys:
            self._keys.setdefault(key.key_id, key)

    def current(self, subject: str, record_class: str, period: int) -> DataKey | None:
        """Return a key of the person that is not destroyed."""
        wanted = (subject, record_class, period)
        for key in self._keys.values():
            if key.wrapped is not None and (key.subject, key.record_class, key.period) == wanted:
                return key
        return None

    def get(self, key_id: str) -> DataKey | None:
        """Return a key, destroyed or not."""
        return self._keys.get(key_id)

    def of_subject(self, subject: str) -> list[DataKey]:
        """Return all keys of a person."""
        found = [key for key in self._keys.values() if key.subject == subject]
        return sorted(found, key=lambda key: (key.record_class, key.period, key.key_id))

    def due(self, record_class: str, before_period: int, count_max: int) -> list[DataKey]:
        """Return living keys of old periods that no hold covers."""
        found = [key for key in self._aged(record_class, before_period) if not self._is_held(key)]
        return sorted(found, key=lambda key: (key.period, key.key_id))[:count_max]

    def held(self, record_class: str, before_period: int) -> int:
        """Return how many keys `due` leaves out."""
        return sum(map(self._is_held, self._aged(record_class, before_period)))

    def destroy(self, key_ids: Sequence[str], ended_by: str) -> int:
        """Destroy keys."""
        alive = [key for key in map(self._keys.get, key_ids) if key and key.wrapped is not None]
        self._keys |= {key.key_id: key._replace(wrapped=None, ended_by=ended_by) for key in alive}
        self._generation += 1
        return len(alive)

    def generation(self) -> int:
        """Return the number of destructions."""
        return self._generation

    def rewrap(self, keys: Sequence[DataKey]) -> None:
        """Replace wrapped forms."""
        for key in keys:
            if self._keys[key.key_id].wrapped is not None:
                self._keys[key.key_id] = key

    def living(self, after: str, count_max: int) -> list[DataKey]:
        """Return living keys by id."""
        alive = [key for key in self._keys.values() if key.wrapped is not None]
        return sorted(key for key in alive if key.key_id > after)[:count_max]

    def counts(self) -> tuple[int, int]:
        """Return how many keys are alive and how many destroyed."""
        alive = sum(key.wrapped is not None for key in self._keys.values())
        return alive, len(self._keys) - alive

    def applied_through(self) -> int:
        """Return up to which log index its destructions were applied here."""
        return self._applied

    def first_since(self) -> int | None:
        """Return the least `since` of all keys."""
        return min((key.since for key in self._keys.values()), default=None)

    def set_applied(self, index: int) -> None:
        """Note up to which log index they are."""
        self._applied = max(self._applied, index)

    def place_hold(self, hold: Hold) -> None:
        """Keep a hold."""
        self._holds.setdefault(hold.hold_id, hold)

    def lift_hold(self, hold_id: str) -> None:
        """Forget a hold."""
        self._holds.pop(hold_id, None)

    def holds(self) -> list[Hold]:
        """Return all holds."""
        return sorted(self._holds.values(), key=lambda hold: (hold.placed, hold.hold_id))

    def open_erasure(self, erasure: OpenErasure) -> None:
        """Keep the decision to erase."""
        self._erasures.setdefault(erasure.erasure_id, erasure)

    def open_erasures(self) -> list[OpenErasure]:
        """Return what is not complete, oldest first."""
        return list(self._erasures.values())

    def close_erasure(self, erasure_id: str) -> None:
        """Forget an erasure that is complete."""
        self._erasures.pop(erasure_id, None)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _aged(self, record_class: str, before_period: int) -> list[DataKey]:
        return [
            key
            for key in self._keys.values()
            if key.wrapped is not None
            and key.record_class == record_class
            and key.period < before_period
        ]

    def _is_held(self, key: DataKey) -> bool:
        return any(
            hold.subject in (None, key.subject) and hold.record_class in (None, key.record_class)
            for hold in self._holds.values()
        )
