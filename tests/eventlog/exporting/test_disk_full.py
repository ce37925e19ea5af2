"""A disk that is full while an export is written: said clearly, and resumed when there is room."""

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.exporting import entries
from bridge.eventlog.exporting.export import export, resume_export
from bridge.eventlog.exporting.order import View
from bridge.model.errors import StorageUnavailable
from bridge.model.warrant import Outcome
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.exporting.orders import (
    WARRANT,
    check_verifies,
    make_means,
    make_order,
    make_signer,
)


@contextmanager
def files_at_most(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to make a file larger than `size_bytes`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room_bytes", [5_000, 60_000, 150_000, 230_000])
def test_an_export_without_room_is_resumed_when_there_is_some(
    tmp_path: Path, room_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "READ_COUNT", 100)
    log = MemoryEventLog()
    log.append(drafts(0, 1_000))
    means = make_means(log, make_signer(tmp_path), segment_entries=200)
    bundle = tmp_path / "bundle"
    with (
        files_at_most(room_bytes),
        pytest.raises(StorageUnavailable, match=r"File too large.*make room.*--resume"),
    ):
        export(make_order(bundle, views=tuple(View)), means)
    assert not bundle.exists()
    assert b'"outcome":"failed"' in log.read(log.head().size - 1, 1)[0].leaf
    report = resume_export(bundle, WARRANT, means)
    check_verifies(bundle, report.keys[0])


def test_a_write_that_fails_anywhere_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "READ_COUNT", 40)
    log = MemoryEventLog()
    log.append(drafts(0, 100))
    signer = make_signer(tmp_path)
    means = make_means(log, signer, segment_entries=40)
    resumed = 0
    for number in count():
        calls = 0

        def full(descriptor: int, number: int = number) -> None:
            nonlocal calls
            calls += 1
            if calls > number:  # It stays full, also for whoever would tidy up.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        bundle = tmp_path / str(number)
        order = make_order(bundle, views=(View.JSONL, View.CSV), stop=100)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            try:
                report = export(order, means)
            except StorageUnavailable:
                patch.setattr(os, "fsync", lambda descriptor: None)
                if not (tmp_path / f".{number}.exporting" / "state.json").exists():
                    assert not bundle.exists()  # Nothing was begun: there is nothing to resume.
                    continue
                report = resume_export(bundle, WARRANT, means)
                resumed += 1
            else:
                break
        if number % 7 == 0:
            check_verifies(bundle, report.keys[0], f"full at write {number}")
        shutil.rmtree(bundle)
    assert resumed > 30


def test_the_entry_of_a_failed_export_names_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MemoryEventLog()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    means = make_means(log, make_signer(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnavailable, match=r"No space left on device \(.* bytes are free"):
        export(make_order(tmp_path / "bundle"), means)
    (failed,) = [entry for entry in log.read(0, 9) if Outcome.FAILED.value.encode() in entry.leaf]
    assert b'"action":"export"' in failed.leaf
    assert b'"error":"StorageUnavailable"' in failed.leaf
