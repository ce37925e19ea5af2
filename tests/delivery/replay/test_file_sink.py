"""Replay into a file: whole lines, cut back to what was confirmed."""

from pathlib import Path

import pytest

from bridge.delivery.replay.file_sink import FileSink
from bridge.model.errors import ConfigInvalid, LimitExceeded
from tests.delivery.events import stored_event

ENTRIES = [stored_event(index) for index in range(10)]


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_payloads_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "replay.jsonl"
    sink = FileSink(path, lines=0)
    sink.connect()
    assert sink.progress().through == -1
    sink.offer(ENTRIES[:3])
    assert sink.through == -1, "nothing is durable before it was forced to disk"
    assert sink.progress().through == 2
    sink.offer(ENTRIES[3:])
    sink.progress()
    sink.close()
    assert lines(path) == [entry.payload for entry in ENTRIES]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", range(6))
def test_what_was_not_confirmed_is_cut(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "replay.jsonl"
    path.write_bytes(b"".join(entry.payload + b"\n" for entry in ENTRIES[:5]) + b'{"half')
    sink = FileSink(path, lines=kept)
    sink.connect()
    sink.offer(ENTRIES[kept:])
    sink.progress()
    sink.close()
    assert lines(path) == [entry.payload for entry in ENTRIES]


def test_a_second_connect_cuts_what_was_only_offered(tmp_path: Path) -> None:
    path = tmp_path / "replay.jsonl"
    sink = FileSink(path, lines=0)
    sink.connect()
    sink.offer(ENTRIES[:2])
    sink.progress()
    sink.offer(ENTRIES[2:5])
    sink.connect()
    sink.offer(ENTRIES[2:])
    sink.progress()
    sink.close()
    sink.close()
    assert lines(path) == [entry.payload for entry in ENTRIES]


def test_a_file_that_lost_lines_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "replay.jsonl"
    path.write_bytes(b"one\n")
    with pytest.raises(ConfigInvalid, match="has 1 whole lines, 5 were written"):
        FileSink(path, lines=5).connect()
    with pytest.raises(LimitExceeded, match="No such file"):
        FileSink(tmp_path / "absent", lines=5).connect()


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "replay.jsonl", lines=0)
    sink.connect()
    full = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115 - The sink closes it.
    sink._file, honest = full, sink._file
    with pytest.raises(LimitExceeded, match=r"No space left on device; .*--resume"):
        sink.offer(ENTRIES)
    assert honest is not None
    honest.close()
    sink.close()
