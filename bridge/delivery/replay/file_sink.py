"""Replay into a file: the exact payloads, one a line."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from bridge.delivery.ports import Progress
from bridge.model.entry import StoredEntry
from bridge.model.errors import ConfigInvalid, LimitExceeded

_READ_BYTES: Final = 1 << 20


class FileSink:
    """An `EventSink` that appends to one file, of mode 0600: payloads hold what rows hold.

    `progress` forces the file to disk before it says that something is durable.
    """

    def __init__(self, path: Path, *, lines: int) -> None:
        """Write to `path`, of which the first `lines` lines are to be kept; 0 for a new file."""
        self._path = path
        self._lines = lines
        """How many lines are durable and belong to the replay."""
        self._file: BinaryIO | None = None
        self._unsynced = 0
        self._last = -1
        self._through = -1

    def connect(self) -> None:
        """Open the file and cut what was written after the last durable line.

        Raises:
            ConfigInvalid: a new file is there already, or an old one is not what was written.
            LimitExceeded: it cannot be opened or written.
        """
        self.close()
        self._through = self._last = -1
        self._unsynced = 0
        try:
            if self._lines == 0:
                # A file that was begun and never confirmed is ours; any other one is not.
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                descriptor = os.open(self._path, flags, 0o600)
                self._file = os.fdopen(descriptor, "r+b")
            else:
                self._file = self._path.open("r+b")
            self._file.truncate(_end_of(self._file, self._lines, self._path))
            self._file.seek(0, os.SEEK_END)
        except ConfigInvalid:
            self.close()
            raise
        except OSError as exc:
            self.close()
            raise self._unwritable(exc) from exc

    def offer(self, entries: Sequence[StoredEntry]) -> None:
        """Write entries; see `EventSink.offer`."""
        assert self._file is not None, "offered to a file that is not open"
        try:
            self._file.write(b"".join(entry.payload + b"\n" for entry in entries))
        except OSError as exc:
            raise self._unwritable(exc) from exc
        self._unsynced += len(entries)
        self._last = entries[-1].leaf_index

    def progress(self, timeout_ms: int = 0) -> Progress:
        """Force what was written to disk; see `EventSink.progress`."""
        assert self._file is not None, "asked a file that is not open"
        if self._unsynced:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as exc:
                raise self._unwritable(exc) from exc
            self._lines += self._unsynced
            self._unsynced = 0
            self._through = self._last
        return Progress(self._through, 0, 0)

    @property
    def through(self) -> int:
        """The low-water mark since `connect`."""
        return self._through

    def close(self) -> None:
        """Close the file; what was not said to be durable may be lost."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return  # A full disk; nothing of what is lost was said to be durable.

    def _unwritable(self, exc: OSError) -> LimitExceeded:
        return LimitExceeded(
            f"cannot write replay file {str(self._path)!r}: {exc.strerror}; when it can be written "
            "again, go on with --resume"
        )


def _end_of(file: BinaryIO, lines: int, path: Path) -> int:
    """Return where the first `lines` lines end."""
    found, at = 0, 0
    file.seek(0)
    while found < lines:
        part = file.read(_READ_BYTES)
        if not part:
            raise ConfigInvalid(
                f"cannot go on with replay file {str(path)!r}: it has {found} whole lines, "
                f"{lines} were written; begin a new replay into a new file"
            )
        count = part.count(b"\n")
        if found + count < lines:
            found += count
            at += len(part)
            continue
        for _ in range(lines - found):
            at_in_part = part.index(b"\n") + 1
            at += at_in_part
            part = part[at_in_part:]
        return at
    return at
