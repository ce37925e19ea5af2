"""Published folders: whole at every moment, and read by programs that know only the specs."""

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.eventlog.leaf import LEAF_BYTES_MAX
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.tiles import publisher as publisher_module
from bridge.eventlog.tiles.publisher import TilePublisher
from bridge.eventlog.tiles.tile_contents import TileContents, split_bundle
from bridge.eventlog.tiles.tile_paths import ENTRIES, TileName
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import ConfigInvalid, LogCorrupt, StorageUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import draft, drafts
from tests.eventlog.examples import EXAMPLES
from tests.eventlog.tiles.folder_reader import FolderReader
from tests.waiting import RecordingObserver

ORIGIN = "legacy-bridge.example/log"


class Place:
    """A log with a signer and the folder that it is published to."""

    def __init__(self, folder: Path, log: EventLogStore | None = None) -> None:
        self.log = log or MemoryEventLog()
        self.signer = Signer.load_or_create(folder / "log.key", origin=ORIGIN)
        self.folder = folder / "public"
        self.observer = RecordingObserver()
        self.publisher = TilePublisher(self.log, self.folder, observer=self.observer)

    def grow(self, size: int) -> None:
        """Grow the log to `size` and sign it."""
        self.log.append(drafts(self.log.head().size, size))
        HeadSigner(self.signer, self.log).sign()

    def names(self) -> set[str]:
        """Return the published files."""
        return {
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_file() and not path.relative_to(self.folder).parts[0].startswith(".")
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_published_log_is_read_again(log: EventLogStore, tmp_path: Path) -> None:
    place = Place(tmp_path, log)
    place.grow(700)
    assert place.publisher.step()
    leaves = FolderReader(place.folder).check()
    assert leaves == [entry.leaf for entry in log.read(0, 700)]
    assert place.names() == {
        "checkpoint",
        *(f"tile/{level}/{at:03}" for level in (0, "entries") for at in (0, 1)),
        "tile/0/002.p/188", "tile/entries/002.p/188", "tile/1/000.p/2",
    }  # fmt: skip


def test_node_reads_the_folder_and_finds_the_signed_root(place: Place) -> None:
    # 66,100 entries have full tiles of level 1, and indices of more than three digits need more.
    for size in (3, 256, 66_100):
        place.grow(size)
        place.publisher.step()
        script = Path(__file__).with_name("reader.mjs")
        command = ["node", str(script), str(place.folder), place.signer.vkey]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        head = place.log.head()
        found = json.loads(done.stdout)
        assert (found["origin"], found["size"], found["leaves"]) == (ORIGIN, size, size)
        assert found["root"] == head.root.hex()


@pytest.mark.parametrize("name", ["tile/0/000", "tile/entries/001", "tile/1/000.p/2", "checkpoint"])
def test_node_finds_what_was_changed(place: Place, name: str) -> None:
    place.grow(600)
    place.publisher.step()
    path = place.folder / name
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    script = Path(__file__).with_name("reader.mjs")
    command = ["node", str(script), str(place.folder), place.signer.vkey]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "wrong" in done.stderr


# Each example writes some folders.
@hypothesis_settings(EXAMPLES, max_examples=8)
@given(sizes=st.lists(st.integers(1, 800), min_size=1, max_size=5, unique=True).map(sorted))
def test_a_folder_that_grows_is_the_one_that_is_made_at_once(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    grown = Place(tmp_path_factory.mktemp("grown"))
    for size in sizes:
        grown.grow(size)
        grown.publisher.step()
        FolderReader(grown.folder).check()
    whole = Place(tmp_path_factory.mktemp("whole"))
    whole.grow(sizes[-1])
    whole.publisher.step()
    partials = {name for name in grown.names() if ".p/" in name}
    assert grown.names() - partials == whole.names() - {n for n in whole.names() if ".p/" in n}
    assert partials >= {name for name in whole.names() if ".p/" in name}
    for name in whole.names() - {"checkpoint"}:
        assert (grown.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    # What is narrower than a full tile beside it was removed.
    assert not [name for name in partials if (grown.folder / name.partition(".p/")[0]).exists()]


def test_nothing_is_written_twice(place: Place) -> None:
    place.grow(600)
    assert place.publisher.step()
    full = place.folder / "tile/0/000"
    inode = full.stat().st_ino
    assert not place.publisher.step()
    place.grow(800)
    assert place.publisher.step()
    assert full.stat().st_ino == inode


def test_a_cosignature_that_comes_later_is_published(place: Place) -> None:
    place.grow(5)
    place.publisher.step()
    latest = place.log.latest_checkpoint()
    assert latest is not None
    place.log.add_checkpoint(5, latest[1] + "\N{EM DASH} w.example AAAAAAAA\n".encode())
    assert place.publisher.step()
    assert b"w.example" in (place.folder / "checkpoint").read_bytes()


@pytest.mark.parametrize("crime", ["cut", "rewritten"])
def test_a_fork_is_not_published(place: Place, tmp_path: Path, crime: str) -> None:
    place.grow(300)
    place.publisher.step()
    before = (place.folder / "checkpoint").read_bytes()
    (tmp_path / "other").mkdir()
    forged = Place(tmp_path / "other")
    forged.log.append(drafts(7, 7 + (200 if crime == "cut" else 500)))
    HeadSigner(forged.signer, forged.log).sign()
    publisher = TilePublisher(forged.log, place.folder)
    with pytest.raises(LogCorrupt, match="does not continue the published one of 300"):
        publisher.step()
    assert (place.folder / "checkpoint").read_bytes() == before
    FolderReader(place.folder).check()


def test_a_folder_of_another_log_is_left_alone(place: Place, tmp_path: Path) -> None:
    place.grow(3)
    place.publisher.step()
    checkpoint = place.folder / "checkpoint"
    checkpoint.write_text(checkpoint.read_text().replace(ORIGIN, "other.example"))
    with pytest.raises(ConfigInvalid, match=r"holds log 'other\.example'"):
        TilePublisher(place.log, place.folder).step()
    checkpoint.write_text("hello")
    with pytest.raises(ConfigInvalid, match="is none"):
        TilePublisher(place.log, place.folder).step()


class Died(BaseException):
    """Stands for the end of the process."""


def test_a_publisher_that_dies_anywhere_leaves_a_whole_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = 0
    # Each third step: the steps of one file are alike.
    for die_at in range(1, 200, 3):
        folder = tmp_path / str(die_at)
        folder.mkdir()
        place = Place(folder)
        place.grow(200)
        place.publisher.step()
        place.grow(530)
        with monkeypatch.context() as patch:
            steps = Steps(patch, die_at)
            try:
                TilePublisher(place.log, place.folder).step()
            except Died:
                deaths += 1
        reader = FolderReader(place.folder)
        reader.check()
        assert reader.size in (200, 530)
        TilePublisher(place.log, place.folder).step()
        assert FolderReader(place.folder).size == 530
        if steps.count < die_at:
            FolderReader(place.folder).check()
            break
    assert deaths > 10


class Steps:
    """Counts what a publication does to files, and dies before one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, die_at: int) -> None:
        self.count = 0

        def dying(step: Any) -> Any:
            def run(*arguments: Any, **options: Any) -> Any:
                self.count += 1
                if self.count >= die_at:
                    raise Died
                return step(*arguments, **options)

            return run

        for name in ("fsync", "replace", "mkdir", "rmdir", "unlink"):
            patch.setattr(os, name, dying(getattr(os, name)))


def test_a_long_publication_goes_on_where_it_was_stopped(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "STEP_ENTRIES", 512)
    place.grow(2_000)
    asked = iter([False, False, True])
    assert not place.publisher.step(lambda: next(asked))
    assert not (place.folder / "checkpoint").exists()
    first = (place.folder / "tile/0/000").stat().st_ino
    assert TilePublisher(place.log, place.folder).step()
    FolderReader(place.folder).check()
    assert (place.folder / "tile/0/000").stat().st_ino == first


def test_what_another_log_left_half_done_is_not_believed(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "STEP_ENTRIES", 512)
    place.grow(2_000)
    asked = iter([False, False, True])
    assert not place.publisher.step(lambda: next(asked))
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    other.log.append(drafts(5, 2_100))
    HeadSigner(other.signer, other.log).sign()
    assert TilePublisher(other.log, place.folder).step()
    FolderReader(place.folder).check()


def test_a_full_disk_delays_publication(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.grow(200)
    place.publisher.step()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place.grow(600)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageUnavailable, match="No space left"):
            place.publisher.step()
    assert FolderReader(place.folder).size == 200
    assert place.publisher.step()
    FolderReader(place.folder).check()


def test_pruned_entries_leave_the_folder_and_everything_else_stays(place: Place) -> None:
    place.grow(1_100)
    place.publisher.step()
    note = EntryDraft(kind=EntryKind.PRUNE, entry_id="prune:1", fields={}, payload=b"{}")
    place.log.prune(512, note)
    HeadSigner(place.signer, place.log).sign()
    assert place.publisher.step()
    assert (place.folder / "minimum-index").read_text() == "512\n"
    bundles = {name for name in place.names() if "/entries/" in name}
    assert bundles == {
        "tile/entries/002", "tile/entries/003", "tile/entries/004.p/76", "tile/entries/004.p/77",
    }  # fmt: skip
    FolderReader(place.folder).check(first_index=512)
    assert TileContents(place.log).read(TileName(ENTRIES, 1)) is None


def test_a_log_that_was_pruned_before_is_published_from_there_on(place: Place) -> None:
    place.grow(1_100)
    note = EntryDraft(kind=EntryKind.PRUNE, entry_id="prune:1", fields={}, payload=b"{}")
    place.log.prune(512, note)
    place.log.sweep(10_000)
    HeadSigner(place.signer, place.log).sign()
    assert place.publisher.step()
    names = place.names()
    assert {"tile/entries/002", "tile/1/000.p/4", "minimum-index"} <= names
    assert not {"tile/entries/000", "tile/entries/001"} & names


def test_bundles_hold_leaves_up_to_the_longest() -> None:
    log = MemoryEventLog()
    plain = draft(0)
    room = LEAF_BYTES_MAX - len(MemoryEventLog().append([plain]) and _leaf(plain))
    fields = {**plain.fields, "pad": "x" * (room - len(',"pad":""'))}
    log.append([plain._replace(fields=fields), draft(1)])
    data = TileContents(log).read(TileName(ENTRIES, 0, 2))
    assert data is not None
    first, second = split_bundle(data)
    assert (len(first), second) == (LEAF_BYTES_MAX, log.read(1, 1)[0].leaf)
    for cut in (1, 2, 50, len(data) - 1):
        with pytest.raises(LogCorrupt, match="ends within leaf"):
            split_bundle(data[:cut])


def _leaf(plain: EntryDraft) -> bytes:
    log = MemoryEventLog()
    log.append([plain])
    return log.read(0, 1)[0].leaf


def test_a_changed_entry_is_not_published(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.grow(300)
    entries = place.log.read(0, 300)
    entries[270] = entries[270]._replace(leaf=entries[270].leaf.replace(b"shop", b"shep"))
    monkeypatch.setattr(place.log, "read", lambda start, count: entries[start : start + count])
    with pytest.raises(LogCorrupt, match="entry 270 hashes to"):
        place.publisher.step()
    assert not (place.folder / "checkpoint").exists()
