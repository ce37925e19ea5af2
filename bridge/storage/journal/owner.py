"""Who is alive: a file lock per process incarnation, which the kernel releases at its death.

Locks are *open file description* locks: unlike `lockf` locks they are not lost when some other code
of the process closes the same file, and unlike `flock` ones they can be asked about without being
taken. A forked child shares its parent's description, so take a lock after forking, never before.
"""

import fcntl
import os
import struct
from pathlib import Path
from types import TracebackType

from bridge.model.errors import StorageUnavailable

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"


def lock_byte(descriptor: int, at: int, *, wait: bool = False) -> bool:
    """Lock the byte at `at`; return whether we have it now. With `wait`, do so without end."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, asked)
    except (BlockingIOError, PermissionError):
        return False
    return True


def unlock_byte(descriptor: int, at: int) -> None:
    """Give the byte at `at` free."""
    asked = struct.pack(_FLOCK, fcntl.F_UNLCK, os.SEEK_SET, at, 1, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, asked)


def is_locked(descriptor: int, at: int) -> bool:
    """Return whether another open file holds the byte at `at`."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0)
    found = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    return bool(found[0] != fcntl.F_UNLCK)


class FileLock:
    """An exclusive lock on a whole file, held until `close` or the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path) -> "FileLock":
        """Take the lock at once.

        Raises:
            StorageUnavailable: another process holds it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not lock_byte(descriptor, 0):
                os.close(descriptor)
                raise StorageUnavailable(
                    f"cannot take lock {path.name!r}: another process holds it; "
                    "stop that process first"
                )
            # Between opening and locking, somebody may have removed the file as a dead one's.
            if _is_still(path, descriptor):
                return cls(path, descriptor)
            os.close(descriptor)

    def held(self) -> bool:
        """Whether nobody else can hold it now: until `close`, as the kernel keeps it for us."""
        return self._descriptor is not None

    def close(self) -> None:
        """Release the lock and remove its file."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class OwnerLocks:
    """The owners of intents: one lock file per incarnation of a worker under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, owner: str) -> FileLock:
        """Be `owner` until the lock is closed or this process ends. Also clears dead owners' files.

        `owner` is new for every start of a process: one that died stays dead.
        """
        for path in self._folder.glob("*.owner"):
            if not _held(path):
                path.unlink(missing_ok=True)
        return FileLock.take(self._path(owner))

    def alive(self, owner: str) -> bool:
        """Return whether the process that took `owner` still lives."""
        return _held(self._path(owner))

    def _path(self, owner: str) -> Path:
        assert Path(owner).name == owner, f"an owner's name is a file name, not {owner!r}"
        return self._folder / f"{owner}.owner"


def _held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return is_locked(descriptor, 0)
    finally:
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
