"""A secret key in a file: made once, for its owner alone, refused when others may read it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.private_key import made_key, private_bytes
from bridge.runtime.wiring.shadowing import comparison_book, open_comparisons


def test_of_many_that_make_it_at_once_all_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.key"
    with ThreadPoolExecutor(8) as starting:
        made = set(starting.map(lambda _: made_key(path, "key of a test", 32), range(8)))
    assert made == {path.read_bytes()}
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["a.key"]


def test_what_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    made_key(path, "key of a test", 32)
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigInvalid, match=f"cannot use key of a test .* mode {mode:04o}"):
            made_key(path, "key of a test", 32)


def test_one_byte_more_says_that_it_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.touch(0o600)
    for size in (0, 31, 32, 33, 34, 10_000):
        path.write_bytes(b"k" * size)
        assert len(private_bytes(path, "key of a test", 32)) == min(size, 33)
        assert len(made_key(path, "key of a test", 32)) == min(size, 33)


def test_what_cannot_be_made_or_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigInvalid, match=r"cannot make key of a test .*: (Not|File)"):
        made_key(tmp_path / "file" / "a.key", "key of a test", 32)
    with pytest.raises(ConfigInvalid, match="No such file"):
        private_bytes(tmp_path / "a.key", "key of a test", 32)
    with pytest.raises(ConfigInvalid, match="Is a directory"):
        made_key(tmp_path, "key of a test", 32)


def test_a_cut_key_of_samples_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    store = open_comparisons(settings)
    try:
        comparison_book(settings, store)
        path = tmp_path / "keys" / "sample.key"
        assert path.stat().st_mode & 0o777 == 0o600
        path.write_bytes(b"short")
        with pytest.raises(ConfigInvalid, match="does not have 32 bytes; remove it"):
            comparison_book(settings, store)
    finally:
        store.close()
