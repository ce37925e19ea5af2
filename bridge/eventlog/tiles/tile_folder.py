"""A folder of tiles that a static file server publishes: files appear whole, never in part.

Beside the published files it holds its own: a lock, drafts, and how far it has come, so that the
first publication of a long log goes on where it was interrupted.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bridge.eventlog.durable_files import sync_folder
from bridge.eventlog.tiles.tile_paths import ENTRIES, TileName
from bridge.model.errors import StorageUnavailable

CHECKPOINT: Final = "checkpoint"
MINIMUM_INDEX: Final = "minimum-index"

_DRAFTS: Final = ".drafts"
_LOCK: Final = ".lock"
_STATE: Final = ".state"

# Up to this many files are made durable one by one; beyond, one sync of all is quicker.
_SYNCS_MAX = 64


class Progress(NamedTuple):
    """How far the folder has come."""

    size: int
    """All full tiles of a log of this size are there."""
    root: str
    """Root of that log, in hex: the tiles may be those of another one."""
    minimum_index: int
    """Bundles wholly below this index were removed."""


class TileFolder:
    """Writes a published folder. One process at a time, inside `locked`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unsynced = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock; make it, and forget drafts of a process that was killed.

        Raises:
            StorageUnavailable: the folder cannot be written (rights, full disk), now or inside.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / _LOCK).open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                shutil.rmtree(self.path / _DRAFTS, ignore_errors=True)
                (self.path / _DRAFTS).mkdir()
                self._unsynced = 0
                yield
        except OSError as exc:
            raise StorageUnavailable(
                f"cannot publish the event log to {str(self.path)!r}: {exc.strerror}; check that "
                "the folder can be written and its disk has room"
            ) from exc

    def checkpoint(self) -> bytes | None:
        """Return the published checkpoint."""
        try:
            return (self.path / CHECKPOINT).read_bytes()
        except FileNotFoundError:
            return None

    def progress(self) -> Progress:
        """Return how far the folder has come; the beginning when that cannot be read."""
        try:
            tree = json.loads((self.path / _STATE).read_bytes())
            return Progress(int(tree["size"]), str(tree["root"]), int(tree["minimum_index"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return Progress(0, "", 0)

    def put_tile(self, name: TileName, data: bytes) -> None:
        """Put a tile in its place; it is durable after `sync`."""
        target = self.path / name.path()
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path / _DRAFTS / "tile"
        with draft.open("wb") as file:
            file.write(data)
            if self._unsynced < _SYNCS_MAX:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(target)
        if self._unsynced < _SYNCS_MAX:
            sync_folder(target.parent)
        self._unsynced += 1

    def sync(self) -> None:
        """Make all tiles durable that were put since the last time."""
        if self._unsynced > _SYNCS_MAX:
            os.sync()
        self._unsynced = 0

    def put_progress(self, progress: Progress) -> None:
        """Remember how far the folder has come."""
        self._put(_STATE, json.dumps(progress._asdict()).encode())

    def put_checkpoint(self, note: bytes) -> None:
        """Publish a checkpoint: the last step."""
        self._put(CHECKPOINT, note)

    def put_minimum_index(self, index: int) -> None:
        """Publish the index of the first entry that the log still has."""
        self._put(MINIMUM_INDEX, b"%d\n" % index)

    def remove_bundle(self, index: int) -> None:
        """Remove a full entry bundle whose entries were pruned."""
        (self.path / TileName(ENTRIES, index).path()).unlink(missing_ok=True)

    def remove_partials(self, name: TileName) -> None:
        """Remove the narrower forms of a tile that is full now."""
        shutil.rmtree(self.path / f"{name.path()}.p", ignore_errors=True)

    def _put(self, file_name: str, data: bytes) -> None:
        draft = self.path / _DRAFTS / file_name
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / file_name)
        sync_folder(self.path)
