"""Stages as files: private, bounded, gone with their transaction; errors say what to do."""

import errno
import os
from pathlib import Path

import pytest

from bridge.capture.protocol.stage_files import StageFolder
from bridge.model.errors import LimitExceeded, StorageUnavailable


@pytest.fixture
def folder(tmp_path: Path) -> StageFolder:
    folder = StageFolder(tmp_path / "spool", bytes_max=1_000, free_bytes_min=0)
    folder.clear()
    return folder


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "spool").iterdir())


def test_a_stage_is_its_owners_only_and_goes_when_it_is_removed(
    folder: StageFolder, tmp_path: Path
) -> None:
    stage = folder.create(700)
    assert not files(tmp_path)
    stage.append(b"abcdef")
    (path,) = files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert stage.read(2, 3) == b"cde"
    stage.remove()
    stage.remove()
    assert not files(tmp_path)
    assert folder.size == 0


def test_a_stage_goes_on_after_a_rest_and_a_cut(folder: StageFolder) -> None:
    stage = folder.create(700)
    stage.append(b"abcdef")
    stage.rest()
    stage.append(b"ghi")
    stage.cut(4)
    stage.rest()
    stage.append(b"XY")
    assert stage.read(0, 99) == b"abcdXY"
    assert folder.size == 6
    stage.remove()


def test_what_a_killed_process_left_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    for name in ("stage-700.frames", "snapshot-1.rows"):
        (spool / name).write_bytes(b"x")
    StageFolder(spool).clear()
    assert [path.name for path in files(tmp_path)] == ["snapshot-1.rows"]


def test_a_new_stage_forgets_an_old_file_of_its_xid(folder: StageFolder, tmp_path: Path) -> None:
    (tmp_path / "spool" / "stage-700.frames").write_bytes(b"old bytes")
    stage = folder.create(700)
    stage.append(b"new")
    assert stage.read(0, 99) == b"new"
    stage.remove()


def test_all_stages_together_are_bounded(folder: StageFolder) -> None:
    first, second = folder.create(700), folder.create(800)
    first.append(bytes(600))
    with pytest.raises(LimitExceeded, match="1200 bytes, the limit is 1000; raise the source's"):
        second.append(bytes(600))
    first.remove()
    second.append(bytes(600))
    second.remove()
    assert folder.size == 0


def test_the_event_log_keeps_its_room(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, free_bytes_min=2**62)
    with pytest.raises(StorageUnavailable, match="are left to the event log"):
        folder.create(700).append(b"x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_is_worth_another_try(
    code: int, folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = folder.create(700)
    stage.append(b"abc")
    with monkeypatch.context() as broken:

        def fail(*arguments: object) -> int:
            raise OSError(code, os.strerror(code))

        broken.setattr(os, "pwrite", fail)
        with pytest.raises(StorageUnavailable, match=os.strerror(code)) as caught:
            stage.append(b"def")
    assert ("free some room" in str(caught.value)) == (code == errno.ENOSPC)
    assert folder.size == 3
    stage.append(b"def")
    assert stage.read(0, 9) == b"abcdef"
    stage.remove()


def test_a_stage_that_is_gone_is_an_error(folder: StageFolder, tmp_path: Path) -> None:
    stage = folder.create(700)
    stage.append(b"abc")
    stage.rest()
    for path in files(tmp_path):
        path.unlink()
    with pytest.raises(StorageUnavailable, match="No such file"):
        stage.append(b"def")
    stage.remove()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable, match="for stages"):
        StageFolder(tmp_path / "file" / "spool").clear()
