"""Request bodies that wait for their copy: small ones in memory, large ones on disk.

Files are written and read by one thread, so that a slow disk delays no client; what it has not
written yet is held in memory within the worker's bound, and a disk that cannot follow costs the
copy. The files have no name: nothing is left of them, however the worker ends.
"""

import asyncio
import os
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final, cast

from bridge.gateway.shadow.limits import Budget

_MEMORY_BYTES_MAX: Final = 65_536
_READ_BYTES: Final = 65_536


class Spool:
    """The bodies of one worker's copies."""

    def __init__(self, folder: Path | None, bytes_max: int, memory: Budget) -> None:
        """`folder` is on the disk that may be used; None is the system's temporary folder."""
        self._folder = folder
        self.disk = Budget(bytes_max)
        self._memory = memory
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow-spool")

    def copy(self, bytes_max: int) -> "SpooledCopy":
        """Return an empty copy that takes up to `bytes_max` bytes."""
        return SpooledCopy(self, bytes_max, self._memory, self.disk)

    def open(self) -> "Future[BinaryIO]":
        """Open a file without a name."""

        def make() -> BinaryIO:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            return cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder))

        return self._thread.submit(make)

    def write(self, file: "Future[BinaryIO]", data: bytes) -> "Future[int]":
        """Write at the file's end; its opening comes first, for there is one thread."""
        return self._thread.submit(lambda: file.result().write(data))

    def read(self, file: "Future[BinaryIO]", offset: int) -> "Future[bytes]":
        """Read up to 64 kB from `offset`; what was not written fails here."""

        def read() -> bytes:
            found = file.result()
            found.flush()
            return os.pread(found.fileno(), _READ_BYTES, offset)

        return self._thread.submit(read)

    def discard(self, file: "Future[BinaryIO]") -> None:
        """Close a file, after what was ordered of it."""
        self._thread.submit(lambda: file.result().close())

    def close(self) -> None:
        """End, when everything ordered is done."""
        self._thread.shutdown(wait=False)


class SpooledCopy:
    """One body; see the module."""

    __slots__ = (
        "_bytes_max", "_disk", "_failed", "_file", "_loop", "_memory", "_parts", "_spool", "size",
    )  # fmt: skip

    def __init__(self, spool: Spool, bytes_max: int, memory: Budget, disk: Budget) -> None:
        self._spool = spool
        self._bytes_max = bytes_max
        self._memory = memory
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._file: Future[BinaryIO] | None = None
        self._failed = False
        self.size = 0

    @property
    def on_disk(self) -> bool:
        """Whether it has to be read from its file."""
        return self._file is not None

    @property
    def body(self) -> bytes:
        """The body of a copy that is in memory."""
        assert self._file is None, "it is on disk"
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def add(self, data: bytes) -> bool:
        """Keep more, within the bounds; else let go of everything."""
        size = len(data)
        total = self.size + size
        if total > self._bytes_max or self._failed or not self._memory.take(size):
            self.release()
            return False
        if self._file is None and total <= _MEMORY_BYTES_MAX:
            self.size = total
            self._parts.append(data)
            return True
        if not self._disk.take(size + (self.size if self._file is None else 0)):
            self._memory.give_back(size)
            self.release()
            return False
        if self._file is None:
            self._file = self._spool.open()
            parts, self._parts = self._parts, []
            for part in parts:
                self._write(part)
        self.size = total
        self._write(data)
        return True

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        written = self._spool.write(self._file, data)
        written.add_done_callback(
            lambda done: self._loop.call_soon_threadsafe(self._written, done, len(data))
        )

    def _written(self, done: "Future[int]", size: int) -> None:
        self._memory.give_back(size)
        if done.exception() is not None:
            self._failed = True

    async def read(self, offset: int) -> bytes:
        """Return up to 64 kB from `offset`, and nothing at the end.

        Raises:
            OSError: the disk did not take it, or does not give it back.
        """
        assert self._file is not None
        return await asyncio.wrap_future(self._spool.read(self._file, offset))

    def release(self) -> None:
        """Let go of everything."""
        if self._file is not None:
            self._disk.give_back(self.size)
            self._spool.discard(self._file)
            self._file = None
        else:
            self._memory.give_back(self.size)
            self._parts = []
        self.size = 0
        self._bytes_max = -1
