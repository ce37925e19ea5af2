"""Publish the log as files: tiles first, then the checkpoint that needs them (C2SP `tlog-tiles`).

Whoever reads the folder while it is written, or after a crash, finds a checkpoint all of whose
tiles are there. Full tiles are written once. A checkpoint that does not continue the published one
is never published: a partner who keeps a copy would hold the proof of a fork.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bridge.eventlog.merkle import TILE_LEVELS, check_consistency, prove_consistency
from bridge.eventlog.ports import CheckpointStore
from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.note import split_note
from bridge.eventlog.stored_hashes import StoredHashes, stored_frontier
from bridge.eventlog.tiles.tile_contents import ReadableLog, TileContents
from bridge.eventlog.tiles.tile_folder import Progress, TileFolder
from bridge.eventlog.tiles.tile_paths import full_tiles, partial_tiles
from bridge.model.entry import TreeHead
from bridge.model.errors import (
    ConfigInvalid,
    DecodeError,
    LogCorrupt,
    LogPruned,
    StorageUnavailable,
)
from bridge.model.observer import Observer, SilentObserver

# New checkpoints come each 0.5 s at most; a partner who asks each minute does not notice a second.
POLL_INTERVAL_S = 1.0

# After a failure: a full disk is not helped by asking at once.
RETRY_INTERVAL_S = 5.0

# After a refusal a person has to act; an alarm a minute is enough.
REFUSED_INTERVAL_S = 60.0

# Entries published in one go (256 bundles): what is lost of the work when it is interrupted.
STEP_ENTRIES = 1 << 2 * TILE_LEVELS


class PublishableLog(ReadableLog, CheckpointStore, Protocol):
    """What publishing needs of a log; it cannot append."""


class TilePublisher:
    """Keeps a folder as the newest checkpoint says."""

    def __init__(
        self, log: PublishableLog, folder: Path, *, observer: Observer | None = None
    ) -> None:
        self._log = log
        self._folder = TileFolder(folder)
        self._contents = TileContents(log)
        self._observer = observer or SilentObserver()
        self._published: tuple[bytes, int] | None = None

    def step(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Publish the newest checkpoint; return whether there was anything to publish.

        `stop` is asked between steps of a long publication, which goes on at the next call.

        Raises:
            LogCorrupt: the log does not continue what is published; nothing is changed.
            ConfigInvalid: the folder holds another log.
            StorageUnavailable: try again later.
        """
        latest = self._log.latest_checkpoint()
        if latest is None:
            return False
        note, minimum = latest[1], self._log.first_index()
        if self._published == (note, minimum):
            return False
        origin, head = _read_checkpoint(note)
        with self._folder.locked():
            old = self._refuse_fork(origin, head)
            progress = self._folder.progress()
            if not self._put_full_tiles(self._done(progress, old), head.size, progress, stop):
                return False
            for name in partial_tiles(head.size):
                data = self._contents.read(name)
                if data is not None:
                    self._folder.put_tile(name, data)
            self._folder.sync()
            self._folder.put_checkpoint(note)
            # Only now: until here the published checkpoint was one that needs them.
            for name in full_tiles(old, head.size):
                if old >> TILE_LEVELS * max(name.level, 0) > name.start:
                    self._folder.remove_partials(name)
            self._remove_pruned(progress.minimum_index, minimum)
            self._folder.put_progress(Progress(head.size, head.root.hex(), minimum))
        self._published = note, minimum
        self._observer.note("checkpoint_published", size=head.size, entries=head.size - old)
        return True

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set.

        A refusal (see `step`) is told as `publish_refused`, an alarm: nothing is published until
        somebody repaired it. It does not end the log role, which signs and sequences.
        """
        wait_s = 0.0
        while not stop.wait(wait_s):
            wait_s = POLL_INTERVAL_S
            try:
                self.step(stop.is_set)
            except StorageUnavailable as exc:
                self._observer.note("publish_delayed", error=str(exc))
                wait_s = RETRY_INTERVAL_S
            except (LogCorrupt, ConfigInvalid) as exc:
                self._observer.note("publish_refused", error=str(exc))
                wait_s = REFUSED_INTERVAL_S

    def _refuse_fork(self, origin: str, head: TreeHead) -> int:
        """Return the published size (0 for none) if `head` continues it."""
        note = self._folder.checkpoint()
        if note is None:
            return 0
        try:
            published_origin, published = _read_checkpoint(note)
        except DecodeError as exc:
            raise ConfigInvalid(
                f"cannot publish the event log to {str(self._folder.path)!r}: what it holds as "
                f"'checkpoint' is none ({exc}); name an empty folder"
            ) from exc
        if published_origin != origin:
            raise ConfigInvalid(
                f"cannot publish the event log to {str(self._folder.path)!r}: the folder holds log "
                f"{published_origin!r}, not {origin!r}; name an empty folder"
            )
        if published.size == 0:
            return 0
        grown = head.size >= published.size and check_consistency(
            published.size,
            published.root,
            head.size,
            head.root,
            prove_consistency(StoredHashes(self._log), published.size, head.size),
        )
        if not grown:
            raise LogCorrupt(
                f"cannot publish a checkpoint of {head.size} entries: it does not continue the "
                f"published one of {published.size} with root {published.root.hex()[:8]}…; compare "
                "the store with its last export"
            )
        return published.size

    def _done(self, progress: Progress, old: int) -> int:
        """Return up to which size full tiles are there already."""
        if progress.size <= old:
            return old
        try:
            root = stored_frontier(self._log, progress.size).root()
        except LogPruned:
            return old
        return progress.size if root.hex() == progress.root else old

    def _put_full_tiles(
        self, done: int, size: int, progress: Progress, stop: Callable[[], bool]
    ) -> bool:
        """Put the full tiles from `done` to `size`; return False when told to stop."""
        while done < size:
            if stop():
                return False
            until = min(size, (done // STEP_ENTRIES + 1) * STEP_ENTRIES)
            for name in full_tiles(done, until):
                data = self._contents.read(name)
                if data is not None:
                    self._folder.put_tile(name, data)
            done = until
            if done < size:
                self._folder.sync()
                root = stored_frontier(self._log, done).root().hex()
                self._folder.put_progress(Progress(done, root, progress.minimum_index))
        return True

    def _remove_pruned(self, old_minimum: int, minimum: int) -> None:
        if minimum > old_minimum:
            self._folder.put_minimum_index(minimum)
            for tile_index in range(old_minimum >> TILE_LEVELS, minimum >> TILE_LEVELS):
                self._folder.remove_bundle(tile_index)


def _read_checkpoint(note: bytes) -> tuple[str, TreeHead]:
    return parse_checkpoint(split_note(note)[0])
