"""What keeping asks of a store of data keys and of whoever holds the master key."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bridge.model.warrant import Warrant


class DataKey(NamedTuple):
    """A data key as it is stored: wrapped, or destroyed."""

    key_id: str
    subject: str
    """Pseudonym of the person."""
    kind: str
    record_class: str
    period: int
    """The calendar year of the records under it: age destroys whole keys."""
    wrapped: bytes | None
    """None once it was destroyed; the row stays, so that a lost key is told from a destroyed."""
    since: int
    """Size of the event log before the first entry under it: where a search for them begins."""
    ended_by: str | None = None
    """Id of the entry that says why it was destroyed."""


class Hold(NamedTuple):
    """A legal hold: nothing that it covers is destroyed."""

    hold_id: str
    subject: str | None
    """Pseudonym; None: all persons."""
    record_class: str | None
    """None: all classes."""
    placed: str
    """When, RFC 3339."""


class OpenErasure(NamedTuple):
    """An erasure that was decided; it is carried on until it is complete."""

    erasure_id: str
    subject: str
    kind: str
    value: str
    """What names the person to consumers; forgotten when the erasure is complete."""
    legal_basis: str
    warrant: Warrant
    requested: str
    """When, RFC 3339."""


class SubjectKeyStore(Protocol):
    """Keeps wrapped data keys, holds and open erasures. Safe to share between threads.

    Implementations: `bridge.storage.subject_keys.sqlite`, `bridge.storage.subject_keys.memory`;
    one conformance suite in `tests/eventlog/keeping/`. All raise `StorageUnavailable`.
    """

    def add(self, keys: Sequence[DataKey]) -> None:
        """Keep new keys; all are durable when this returns. Keys that are there are passed over."""

    def current(self, subject: str, record_class: str, period: int) -> DataKey | None:
        """Return a key of the person that is not destroyed, for new records."""

    def get(self, key_id: str) -> DataKey | None:
        """Return a key, destroyed or not; None: it was never here."""

    def of_subject(self, subject: str) -> list[DataKey]:
        """Return all keys of a person, destroyed ones included."""

    def due(self, record_class: str, before_period: int, count_max: int) -> list[DataKey]:
        """Return up to `count_max` living keys of a class of periods before `before_period`.

        Keys that a hold covers are left out.
        """

    def held(self, record_class: str, before_period: int) -> int:
        """Return how many living keys `due` leaves out because of holds."""

    def destroy(self, key_ids: Sequence[str], ended_by: str) -> int:
        """Destroy keys because of the entry `ended_by`; return how many were alive.

        When this returns their bytes are in no file of the store, and `generation` has grown.

        Raises:
            StorageUnavailable: some bytes may still be there; repeat the call.
        """

    def generation(self) -> int:
        """Return a number that grows with each destruction, by whatever process; cheap."""

    def rewrap(self, keys: Sequence[DataKey]) -> None:
        """Replace the wrapped form of keys that are alive, durably and without a trace."""

    def living(self, after: str, count_max: int) -> list[DataKey]:
        """Return up to `count_max` living keys with ids above `after`, by id."""

    def counts(self) -> tuple[int, int]:
        """Return how many keys are alive and how many destroyed."""

    def applied_through(self) -> int:
        """Return up to which log index its destructions were applied here (0 for a new store)."""

    def first_since(self) -> int | None:
        """Return the least `since` of all keys: before it the log destroys none of them."""

    def set_applied(self, index: int) -> None:
        """Note that the destructions that the log records below `index` were applied here."""

    def place_hold(self, hold: Hold) -> None:
        """Keep a hold, durably."""

    def lift_hold(self, hold_id: str) -> None:
        """Forget a hold, durably."""

    def holds(self) -> list[Hold]:
        """Return all holds, by when they were placed."""

    def open_erasure(self, erasure: OpenErasure) -> None:
        """Keep the decision to erase, durably, before anything is destroyed."""

    def open_erasures(self) -> list[OpenErasure]:
        """Return what was decided and is not complete, oldest first."""

    def close_erasure(self, erasure_id: str) -> None:
        """Forget an erasure that is complete."""

    def close(self) -> None:
        """Release the store."""


class MasterKey(Protocol):
    """Wraps data keys. A KMS implements it with its own `encrypt` and `decrypt`.

    Called once for each new data key and for each one that is not in a cache, so an implementation
    over a network unwraps a wrapping key of its own when it starts and works with that one.
    """

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Return `key` wrapped by the newest master key and bound to `context`."""

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the key; raises `ConfigInvalid` when no master key here fits."""

    def is_newest(self, wrapped: bytes) -> bool:
        """Whether `wrapped` is by the newest master key: rotation wraps the others anew."""


def wrap_context(key_id: str, subject: str) -> bytes:
    """Return what the wrapped form of a key is bound to."""
    return f"legacy-bridge data key\n{key_id}\n{subject}".encode()
