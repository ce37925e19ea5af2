"""Keys are durable before what they seal, made once, and never outlive their destruction."""

import pytest

from bridge.eventlog.keeping.keyring import LOOK_INTERVAL_S, Keyring, Place
from bridge.eventlog.keeping.ports import DataKey
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.storage.subject_keys.memory import MemorySubjectKeys


class NoMaster:
    """Wraps nothing: the context tells whose key it is."""

    def wrap(self, key: bytes, context: bytes) -> bytes:
        return key + context

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        assert wrapped.endswith(context)
        return wrapped.removesuffix(context)

    def is_newest(self, wrapped: bytes) -> bool:
        return True


class Counting(MemorySubjectKeys):
    """Counts commits, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.fails = False

    def add(self, keys: object) -> None:
        if self.fails:
            raise StorageUnavailable("disk full")
        assert isinstance(keys, list)
        self.batches.append(len(keys))
        super().add(keys)


def place(number: int) -> Place:
    return Place(f"s{number}", "customer", "c", 2026)


def ring(store: MemorySubjectKeys, now: list[float], cached_max: int = 1_000) -> Keyring:
    return Keyring(store, NoMaster(), clock=lambda: now[0], cached_max=cached_max)


def test_new_keys_of_a_batch_are_one_commit() -> None:
    store = Counting()
    keys = ring(store, [0.0])
    ids = {keys.sealing_key(place(number))[0] for number in range(500)}
    assert len(ids) == 500
    assert store.counts() == (0, 0)
    keys.flush(since=7)
    assert store.batches == [500]
    assert {key.since for key in store.living("", 999)} == {7}
    keys.sealing_key(place(3))
    keys.flush(since=9)
    assert store.batches == [500]


def test_a_key_that_could_not_be_kept_is_kept_at_the_next_flush() -> None:
    store = Counting()
    keys = ring(store, [0.0])
    key_id, _ = keys.sealing_key(place(1))
    store.fails = True
    with pytest.raises(StorageUnavailable):
        keys.flush(0)
    store.fails = False
    # The events are mapped again, and sealed under the same key.
    assert keys.sealing_key(place(1))[0] == key_id
    keys.flush(0)
    assert store.get(key_id) is not None


def test_sealing_overlooks_a_destruction_for_a_bounded_time() -> None:
    store, now = Counting(), [0.0]
    keys = ring(store, now)
    key_id, _ = keys.sealing_key(place(1))
    keys.flush(0)
    store.destroy([key_id], "entry")
    now[0] += LOOK_INTERVAL_S
    assert keys.sealing_key(place(1))[0] != key_id


def test_what_was_sealed_meanwhile_is_refused_at_the_flush() -> None:
    store, now = Counting(), [0.0]
    keys = ring(store, now)
    key_id, _ = keys.sealing_key(place(1))
    keys.flush(0)
    store.destroy([key_id], "entry")
    assert keys.sealing_key(place(1))[0] == key_id
    with pytest.raises(StorageUnavailable, match="sealed under a new key"):
        keys.flush(0)
    assert keys.sealing_key(place(1))[0] != key_id
    keys.flush(0)


def test_the_cache_is_bounded_and_forgets_the_destroyed() -> None:
    store = Counting()
    keys = ring(store, [0.0], cached_max=10)
    ids = [keys.sealing_key(place(number))[0] for number in range(100)]
    keys.flush(0)
    assert len(keys._keys) == 10
    assert all(keys.opening_key(key_id) is not None for key_id in ids)
    store.destroy(ids[:1], "entry")
    assert keys.refresh()
    assert not keys.refresh()
    assert keys.opening_key(ids[0]) is None


def test_a_key_that_nobody_destroyed_is_missed() -> None:
    with pytest.raises(ConfigInvalid, match="was not destroyed there"):
        ring(Counting(), [0.0]).opening_key("unknown")


def test_two_processes_may_make_a_key_each() -> None:
    store = Counting()
    one, other = ring(store, [0.0]), ring(store, [0.0])
    first, second = one.sealing_key(place(1))[0], other.sealing_key(place(1))[0]
    one.flush(0)
    other.flush(0)
    assert {key.key_id for key in store.of_subject("s1")} == {first, second}
    assert isinstance(store.get(first), DataKey)
