"""Copies of route files: whole, private, never changed, and one of them in force."""

import contextlib
import stat
import threading
from pathlib import Path

import pytest

from bridge.model.errors import ConfigInvalid, StaleEpoch, StorageUnavailable
from bridge.storage.applied_routes import AppliedRoutes, digest_of, read_files

AT = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> AppliedRoutes:
    return AppliedRoutes(tmp_path / "routes")


def version(number: int) -> dict[str, bytes]:
    """Return the files of a version."""
    return {"a.yaml": b"group: a%d\n" % number, "issuer.pem": b"key"}


def test_a_copy_is_not_in_force_before_the_pointer_names_it(store: AppliedRoutes) -> None:
    """A crash after the copy leaves what was in force."""
    assert store.current() is None
    first = store.keep(version(1))
    assert store.current() is None
    store.put_in_force(first, instead_of=None, at=AT)
    second = store.keep(version(2))
    current = store.current()
    assert current is not None
    assert (current.digest, current.previous) == (first, None)
    assert store.files(second) == version(2)
    current = store.put_in_force(second, instead_of=first, at=AT)
    assert (current.digest, current.previous) == (second, first)
    assert store.current() == current


def test_only_who_knows_what_is_in_force_replaces_it(store: AppliedRoutes) -> None:
    first, second = store.keep(version(1)), store.keep(version(2))
    store.put_in_force(first, instead_of=None, at=AT)
    for base in (None, second):
        with pytest.raises(StaleEpoch, match="plan again"):
            store.put_in_force(second, instead_of=base, at=AT)


def test_of_many_that_begin_at_once_one_wins(tmp_path: Path) -> None:
    stores = [AppliedRoutes(tmp_path / "routes") for _ in range(8)]
    won: list[str] = []

    def begin(store: AppliedRoutes, number: int) -> None:
        digest = store.keep(version(number % 2))
        with contextlib.suppress(StaleEpoch):
            won.append(store.put_in_force(digest, instead_of=None, at=AT).digest)

    threads = [
        threading.Thread(target=begin, args=(store, number)) for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    current = stores[0].current()
    assert current is not None
    assert current.digest == won[0]


def test_a_copy_is_private_and_repeated_is_the_same(store: AppliedRoutes) -> None:
    digest = store.keep(version(1))
    folder = store.folder_of(digest)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert store.keep(version(1)) == digest
    assert digest == digest_of(read_files(folder))


@pytest.mark.parametrize("damage", ["change", "remove", "add"])
def test_a_damaged_copy_is_refused_and_can_be_made_again(store: AppliedRoutes, damage: str) -> None:
    digest = store.keep(version(1))
    folder = store.folder_of(digest)
    if damage == "change":
        (folder / "a.yaml").write_text("group: b\n")
    elif damage == "remove":
        (folder / "a.yaml").unlink()
    else:
        (folder / "b.yaml").write_text("group: b\n")
    with pytest.raises(StorageUnavailable, match="were changed or removed"):
        store.files(digest)
    assert store.keep(version(1)) == digest
    assert store.files(digest) == version(1)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"digest": 1}'])
def test_a_damaged_pointer_is_said_and_not_guessed(store: AppliedRoutes, text: str) -> None:
    digest = store.keep(version(1))
    store.put_in_force(digest, instead_of=None, at=AT)
    pointer = store.folder_of(digest).parents[1] / "current.json"
    pointer.write_text(text)
    with pytest.raises(StorageUnavailable, match="put the file back"):
        store.current()


def test_old_copies_are_forgotten_but_not_those_to_go_back_to(store: AppliedRoutes) -> None:
    before = None
    for number in range(40):
        digest = store.keep(version(number))
        store.put_in_force(digest, instead_of=before, at=AT)
        before = digest
    current = store.current()
    assert current is not None
    assert current.previous is not None
    assert store.files(current.digest) == version(39)
    assert store.files(current.previous) == version(38)
    assert len(list(current.folder.parent.iterdir())) == 22, "20, what is in force, and before it"


def test_only_what_routes_are_made_of_is_copied(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yml", "k.pem", "k.jwks", ".hidden.yaml", "schema.json", "a.yaml~"):
        (tmp_path / name).write_text(name)
    (tmp_path / "sub.yaml").mkdir()
    assert read_files(tmp_path).keys() == {"a.yaml", "b.yml", "k.pem", "k.jwks"}
    with pytest.raises(ConfigInvalid, match="cannot read routes in"):
        read_files(tmp_path / "none")
