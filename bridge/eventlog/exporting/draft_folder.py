"""Where an export grows: beside its folder, under another name, until it is complete.

.NAME.exporting/state.json   what is durable, replaced as a whole; where `--resume` goes on
.NAME.exporting/bundle/      becomes NAME by one rename, when everything in it is on disk
"""

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import orjson

from bridge.eventlog.durable_files import replace_file, sync_folder
from bridge.model.errors import ConfigInvalid

STATE_VERSION: Final = 1


class DraftFolder:
    """The draft of one export; one process works on it at a time.

    Raises:
        ConfigInvalid: there is nothing to resume, or something is in the way.
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self.folder = folder
        self.path = folder.with_name(f".{folder.name}.exporting")
        self.bundle = self.path / "bundle"
        self._state = self.path / "state.json"
        self._lock = -1
        self._refuse(resume)
        # Payloads hold personal data: until somebody decides otherwise they are their owner's.
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = self._locked()
        try:
            self._refuse(resume)  # Somebody may have begun or ended it before we had the lock.
        except BaseException:
            os.close(self._lock)
            raise

    def _refuse(self, resume: bool) -> None:
        interrupted = self._state.exists()
        if resume and not interrupted:
            raise ConfigInvalid(
                f"cannot resume the export to {str(self.folder)!r}: no interrupted export is at "
                f"{str(self.path)!r}"
            )
        if not resume and interrupted:
            raise ConfigInvalid(
                f"cannot export the event log to {str(self.folder)!r}: an interrupted export is "
                f"at {str(self.path)!r}; go on with --resume, or remove it"
            )
        # After its rename an interrupted export has only its end to record.
        if self.folder.exists() and not (resume and not self.bundle.exists()):
            raise ConfigInvalid(
                f"cannot export the event log to {str(self.folder)!r}: it exists; name a new folder"
            )

    def _locked(self) -> int:
        """Hold the lock of the draft for as long as the process lives."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ConfigInvalid(
                f"cannot export the event log to {str(self.folder)!r}: another process is at it"
            ) from None
        return descriptor

    @property
    def is_published(self) -> bool:
        """Return whether the bundle has its name already."""
        return not self.bundle.exists() and self.folder.exists()

    def load(self) -> dict[str, Any]:
        """Return the state that was saved last; raises `ConfigInvalid` when it is not ours."""
        try:
            state: dict[str, Any] = orjson.loads(self._state.read_bytes())
        except ValueError as exc:
            raise ConfigInvalid(
                f"cannot resume the export: {str(self._state)!r} is not JSON; remove the draft "
                "folder and export anew"
            ) from exc
        if state.get("version") != STATE_VERSION:
            raise ConfigInvalid(
                f"cannot resume the export: {str(self._state)!r} is of version "
                f"{state.get('version')!r}, expected {STATE_VERSION}; remove the draft folder and "
                "export anew"
            )
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Make `state` durable; a crash leaves the one before or this one."""
        self.bundle.mkdir(mode=0o700, exist_ok=True)
        # A draft of the state that a killed run left behind would stay for ever.
        for left in self.path.glob(".state.json.*"):
            left.unlink()
        replace_file(self._state, orjson.dumps({**state, "version": STATE_VERSION}))

    def publish(self) -> None:
        """Give the bundle its name, durably, with everything in it."""
        for below, _, _ in os.walk(self.bundle):
            sync_folder(Path(below))
        self.bundle.rename(self.folder)
        sync_folder(self.folder.parent)
        sync_folder(self.path)

    def remove(self) -> None:
        """Remove what is left of the draft."""
        # The state last: without it nobody could tell what the rest was.
        shutil.rmtree(self.bundle, ignore_errors=True)
        with suppress(FileNotFoundError):
            self._state.unlink()
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Let others work on the draft."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
