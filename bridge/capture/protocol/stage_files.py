"""Stages of streamed transactions as files in a source's spool folder.

They hold row values: readable by their owner only, and gone with the transaction or the stream.
Nothing is synced to the disk, because nothing here is needed after a crash.
"""

import errno
import os
from pathlib import Path
from typing import Final

from bridge.model.errors import LimitExceeded, StorageUnavailable

# 100 million rows of a month's end take about 16 GB; above this, somebody should have a look.
STAGE_BYTES_MAX_DEFAULT: Final = 32 * 1024**3

# Left free on the disk, because the event log and the write journal usually stand on the same one
# and must not fail for a transaction that is not even committed.
FREE_BYTES_MIN: Final = 1024**3

# How much is staged between two looks at the disk's free space.
_FREE_CHECK_BYTES: Final = 32 * 1024**2


class StageFolder:
    """Implements `StageStore`: one file for each open transaction of one source.

    `bytes_max` bounds all of them together. One stream at a time may use a folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bytes_max: int = STAGE_BYTES_MAX_DEFAULT,
        free_bytes_min: int = FREE_BYTES_MIN,
    ) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self.free_bytes_min = free_bytes_min
        self._size = 0
        self._unchecked = _FREE_CHECK_BYTES  # The first write looks.

    @property
    def size(self) -> int:
        """Bytes in all stages together."""
        return self._size

    def clear(self) -> None:
        """Make the folder, and delete what a process left in it that was killed."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob("stage-*.frames"):
                path.unlink(missing_ok=True)
        except OSError as exc:
            raise StorageUnavailable(
                f"cannot use {self._folder} for stages: {exc.strerror}"
            ) from exc

    def create(self, xid: int) -> "FileStage":
        """Return the empty stage of a transaction; its file comes with the first byte."""
        return FileStage(self._folder / f"stage-{xid}.frames", self)

    def reserve(self, size: int, path: Path) -> None:
        """Count `size` bytes that a stage is about to write, or raise if they are too many."""
        if self._size + size > self._bytes_max:
            raise LimitExceeded(
                f"cannot stage an open transaction in {path}: all stages together would have "
                f"{self._size + size} bytes, the limit is {self._bytes_max}; raise the source's "
                "`stage_bytes_max`, or set its `streaming: false`, and the source keeps open "
                "transactions on its own disk"
            )
        self._unchecked += size
        if self._unchecked >= _FREE_CHECK_BYTES:
            self._check_free(path)
            self._unchecked = 0
        self._size += size

    def release(self, size: int) -> None:
        """Count `size` bytes as free again."""
        self._size -= size
        assert self._size >= 0, "more was released than reserved"

    def _check_free(self, path: Path) -> None:
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free < self.free_bytes_min:
            raise StorageUnavailable(
                f"cannot stage an open transaction in {path}: {free} bytes are free on that disk, "
                f"{self.free_bytes_min} are left to the event log; free some, or set the "
                "source's `streaming: false`"
            )


class FileStage:
    """Implements `StageFile`."""

    def __init__(self, path: Path, folder: StageFolder) -> None:
        self._path = path
        self._folder = folder
        self._descriptor: int | None = None
        self._size = 0

    def append(self, data: bytes) -> None:
        """Write `data` at the end."""
        self._folder.reserve(len(data), self._path)
        end = self._size + len(data)
        view = memoryview(data)
        try:
            descriptor = self._opened()
            while view:
                view = view[os.pwrite(descriptor, view, end - len(view)) :]
        except OSError as exc:
            self._folder.release(len(data))
            raise self._failed("write", exc) from exc
        self._size = end

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer at the end."""
        try:
            return os.pread(self._opened(), size, offset)
        except OSError as exc:
            raise self._failed("read", exc) from exc

    def cut(self, size: int) -> None:
        """Forget everything behind the first `size` bytes, and give the room back."""
        try:
            os.ftruncate(self._opened(), size)
        except OSError as exc:
            raise self._failed("cut", exc) from exc
        self._folder.release(self._size - size)
        self._size = size

    def rest(self) -> None:
        """Hold no descriptor: hundreds of transactions may be open at once."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Delete the file."""
        self.rest()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as exc:
            raise self._failed("delete", exc) from exc
        self._folder.release(self._size)
        self._size = 0

    def _opened(self) -> int:
        if self._descriptor is None:
            # Only the first write makes the file: one that is gone later must be an error.
            flags = os.O_RDWR | (0 if self._size else os.O_CREAT | os.O_TRUNC)
            self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor

    def _failed(self, doing: str, exc: OSError) -> StorageUnavailable:
        advice = ""
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "; free some room, or set the source's `streaming: false`"
        return StorageUnavailable(
            f"cannot {doing} the stage of an open transaction, {self._path}: {exc.strerror}{advice}"
        )
