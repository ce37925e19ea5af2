"""What every store of data keys promises: the suite that each implementation passes."""

import itertools
import random
from pathlib import Path

import pytest

from bridge.eventlog.keeping.ports import DataKey, Hold, OpenErasure, SubjectKeyStore
from bridge.model.errors import StorageUnavailable
from bridge.model.warrant import Actor, ActorType, Known, Warrant
from bridge.storage.subject_keys import sqlite as sqlite_subject_keys
from bridge.storage.subject_keys.sqlite import SqliteSubjectKeys


def key(number: int, subject: str = "s1", record_class: str = "c", period: int = 2020) -> DataKey:
    """Return a living key."""
    wrapped = b"WRAPPED-%06d-" % number + b"x" * 40
    return DataKey(f"k{number:04d}", subject, "customer", record_class, period, wrapped, number)


def test_keys_are_found_by_place_id_and_person(key_store: SubjectKeyStore) -> None:
    key_store.add([key(1), key(2, period=2021), key(3, "s2")])
    assert key_store.current("s1", "c", 2021) == key(2, period=2021)
    assert key_store.current("s1", "other", 2021) is None
    assert key_store.get("k0003") == key(3, "s2")
    assert key_store.get("k0009") is None
    assert [one.key_id for one in key_store.of_subject("s1")] == ["k0001", "k0002"]
    assert key_store.counts() == (3, 0)


def test_a_key_that_is_there_is_not_replaced(key_store: SubjectKeyStore) -> None:
    key_store.add([key(1)])
    key_store.add([key(1)._replace(wrapped=b"another")])
    assert key_store.get("k0001") == key(1)


def test_a_destroyed_key_leaves_a_mark_and_comes_never_back(key_store: SubjectKeyStore) -> None:
    key_store.add([key(1), key(2, "s2")])
    generation = key_store.generation()
    assert key_store.destroy(["k0001"], "entry") == 1
    assert key_store.destroy(["k0001"], "another entry") == 0
    assert key_store.generation() > generation
    found = key_store.get("k0001")
    assert found is not None
    assert (found.wrapped, found.ended_by) == (None, "entry")
    assert key_store.current("s1", "c", 2020) is None
    key_store.add([key(1)])
    key_store.rewrap([key(1)])
    assert key_store.get("k0001") == found
    assert key_store.get("k0002") == key(2, "s2")
    assert key_store.counts() == (1, 1)


def test_what_is_due_leaves_out_what_is_held(key_store: SubjectKeyStore) -> None:
    key_store.add([key(1), key(2, "s2"), key(3, "s3", "d"), key(4, "s4", period=2022)])
    assert [one.key_id for one in key_store.due("c", 2022, 10)] == ["k0001", "k0002"]
    assert len(key_store.due("c", 2022, 1)) == 1
    key_store.place_hold(Hold("h1", "s1", None, "2026-01-01"))
    key_store.place_hold(Hold("h2", None, "d", "2026-01-02"))
    assert [one.key_id for one in key_store.due("c", 2022, 10)] == ["k0002"]
    assert key_store.due("d", 2022, 10) == []
    assert (key_store.held("c", 2022), key_store.held("d", 2022)) == (1, 1)
    assert [hold.hold_id for hold in key_store.holds()] == ["h1", "h2"]
    key_store.lift_hold("h1")
    key_store.place_hold(Hold("h3", None, None, "2026-01-03"))
    assert key_store.due("c", 2030, 10) == []


def test_open_erasures_are_kept_until_closed(key_store: SubjectKeyStore) -> None:
    actor = Actor(id="ana", type=ActorType.PERSON, known=Known.LOGIN)
    warrant = Warrant(actor=actor, reason="asked", ticket="T-1")
    erasure = OpenErasure("e1", "s1", "customer", "1", "GDPR art. 17", warrant, "2026-01-01")
    key_store.open_erasure(erasure)
    key_store.open_erasure(erasure._replace(erasure_id="e2"))
    assert key_store.open_erasures() == [erasure, erasure._replace(erasure_id="e2")]
    key_store.close_erasure("e1")
    assert [one.erasure_id for one in key_store.open_erasures()] == ["e2"]


def test_the_applied_place_moves_forward_only(key_store: SubjectKeyStore) -> None:
    assert key_store.applied_through() == 0
    assert key_store.first_since() is None
    key_store.add([key(9), key(4)])
    assert key_store.first_since() == 4
    key_store.set_applied(5)
    key_store.set_applied(3)
    assert key_store.applied_through() == 5


def test_living_keys_come_in_pages(key_store: SubjectKeyStore) -> None:
    key_store.add([key(number) for number in range(5)])
    key_store.destroy(["k0001"], "entry")
    first = key_store.living("", 2)
    assert [one.key_id for one in first] == ["k0000", "k0002"]
    assert [one.key_id for one in key_store.living("k0002", 9)] == ["k0003", "k0004"]


def in_files(folder: Path, what: bytes) -> list[str]:
    """Return the names of the files in `folder` that hold `what`."""
    return [path.name for path in folder.iterdir() if path.is_file() and what in path.read_bytes()]


def test_no_file_holds_a_destroyed_key(tmp_path: Path) -> None:
    store, reader = SqliteSubjectKeys(tmp_path / "keys.db"), SqliteSubjectKeys(tmp_path / "keys.db")
    keys = [key(number, f"s{number}") for number in range(500)]
    # Ids come in no order, and in batches of many sizes.
    shuffled = random.Random(7).sample(keys, len(keys))
    for start, stop in itertools.pairwise((0, 1, 3, 10, 60, 61, 250, 500)):
        store.add(shuffled[start:stop])
    assert reader.get("k0007") == keys[7]
    assert in_files(tmp_path, b"WRAPPED-000007-")
    store.destroy([f"k{number:04d}" for number in range(7, 400, 3)], "entry")
    for number in range(500):
        left = in_files(tmp_path, b"WRAPPED-%06d-" % number)
        assert bool(left) == (not (7 <= number < 400 and number % 3 == 1)), number
    store.rewrap([keys[0]._replace(wrapped=b"NEWLY-WRAPPED")])
    assert not in_files(tmp_path, b"WRAPPED-000000-")
    store.close()
    reader.close()


def test_another_process_sees_a_destruction(tmp_path: Path) -> None:
    store, other = SqliteSubjectKeys(tmp_path / "keys.db"), SqliteSubjectKeys(tmp_path / "keys.db")
    generation = other.generation()
    store.add([key(1)])
    assert other.generation() == generation
    store.destroy(["k0001"], "entry")
    assert other.generation() > generation
    store.close()
    other.close()


def test_a_reader_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_subject_keys, "EMPTY_TIMEOUT_S", 0.05)
    store, other = SqliteSubjectKeys(tmp_path / "keys.db"), SqliteSubjectKeys(tmp_path / "keys.db")
    store.add([key(1)])
    store._connection.execute("PRAGMA busy_timeout=50")
    other._connection.execute("BEGIN")
    other._connection.execute("SELECT * FROM keys").fetchone()
    with pytest.raises(StorageUnavailable, match="write-ahead log still has them"):
        store.destroy(["k0001"], "entry")
    other._connection.execute("ROLLBACK")
    store.destroy(["k0001"], "entry")
    assert not in_files(tmp_path, b"WRAPPED-000001-")
    store.close()
    other.close()


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    store = SqliteSubjectKeys(tmp_path / "keys.db")
    store.add([key(1)])
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    store.close()
