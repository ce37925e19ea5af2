"""The master key's file is its owner's alone, and rotates while keys are in use."""

from pathlib import Path

import pytest

from adapters.files.master_key import FileMasterKey
from bridge.eventlog.keeping.rewrapping import rewrap
from bridge.model.errors import ConfigInvalid
from bridge.runtime.wiring.stores import Stores
from tests.eventlog.keeping.shop import fill, settings
from tests.eventlog.keeping.test_erasing import readable
from tests.eventlog.keeping.test_key_store_conformance import in_files

KEY = b"k" * 32


def test_what_is_wrapped_is_unwrapped_in_its_context_only(tmp_path: Path) -> None:
    master = FileMasterKey(tmp_path / "master.key", create=True)
    wrapped = master.wrap(KEY, b"one")
    assert KEY not in wrapped
    assert FileMasterKey(tmp_path / "master.key", create=False).unwrap(wrapped, b"one") == KEY
    with pytest.raises(ConfigInvalid, match="is not what master key"):
        master.unwrap(wrapped, b"another")


def test_a_file_that_others_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    FileMasterKey(path, create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ConfigInvalid, match="0640 lets others use it"):
        FileMasterKey(path, create=True)


@pytest.mark.parametrize("text", ["", "lb-master+00+AA==\n", "nonsense\n", "lb-master+zz+?\n"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigInvalid, match="restore it"):
        FileMasterKey(path, create=True)


def test_a_lost_master_key_is_never_replaced_by_a_new_one(tmp_path: Path) -> None:
    with Stores(settings(tmp_path)) as stores:
        fill(stores, 1)
    (tmp_path / "data" / "keys" / "master.key").unlink()
    with Stores(settings(tmp_path)) as stores, pytest.raises(ConfigInvalid, match="which is gone"):
        readable(stores)


def test_rotation_wraps_all_keys_anew_under_the_eyes_of_others(tmp_path: Path) -> None:
    with Stores(settings(tmp_path)) as stores, Stores(settings(tmp_path)) as other:
        fill(stores, 30)
        assert readable(other) == set(range(1, 31))
        before = [key.wrapped for key in stores.keeping().store().living("", 100)]
        master = stores.keeping().master()
        newest = master.add()
        assert rewrap(stores.keeping().store(), master) == 30
        assert rewrap(stores.keeping().store(), master) == 0
        for wrapped in before:
            assert wrapped is not None
            assert not in_files(tmp_path / "data", wrapped)
        fill(other, 3, start=31)  # It wraps by the new master key without being told.
        assert all(
            master.is_newest(k.wrapped or b"") for k in other.keeping().store().living("", 99)
        )
        assert len(master.retire()) == 1
        assert master.path.read_text().startswith(f"lb-master+{newest}+")
        assert master.path.stat().st_mode & 0o777 == 0o600
    with Stores(settings(tmp_path)) as stores:
        assert readable(stores) == set(range(1, 34))
