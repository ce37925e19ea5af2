"""Drills of one machine: a small file for each, and beside them what every process saw of it.

    run/drills/ID.json           the drill, replaced when it is stopped
    run/drills/told/ID.PROCESS   what one process counted, replaced each second

The folder's time of change is the hint that something is new; the files are the truth.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bridge.eventlog.durable_files import replace_file
from bridge.gateway.drill.drill import Drill, drill_from
from bridge.gateway.drill.tally import Tally, tally_from
from bridge.model.errors import StorageUnavailable

KEPT_MAX: Final = 20
"""Drills whose report can be had; older ones are in the event log."""


class DrillFiles:
    """Every process opens the folder for itself; blocking."""

    def __init__(self, folder: Path) -> None:
        """The folder is made when it is absent; raises `StorageUnavailable` when it cannot be."""
        self._folder = folder
        self._told = folder / "told"
        try:
            self._told.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise self._away(exc) from exc

    def changed_ns(self) -> int:
        """Return when a drill was begun or stopped last; raises `StorageUnavailable`."""
        try:
            return self._folder.stat().st_mtime_ns
        except OSError as exc:
            raise self._away(exc) from exc

    def drills(self) -> list[Drill]:
        """Return every drill that is kept, newest first; raises `StorageUnavailable`."""
        try:
            found = [drill_from(_read(path)) for path in self._folder.glob("*.json")]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            # A drill that cannot be read is not known to be over: none is on then.
            raise self._away(exc) from exc
        return sorted(found, key=lambda drill: drill.started_at, reverse=True)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let nobody else begin or stop a drill meanwhile; raises `StorageUnavailable`."""
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise self._away(exc) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def store(self, drill: Drill) -> None:
        """Begin or stop a drill, durably; raises `StorageUnavailable`."""
        path = self._folder / f"{drill.drill_id}.json"
        try:
            replace_file(path, json.dumps(drill.as_json()).encode())
            path.chmod(0o600)  # A marker's value lets whoever knows it into the cohort.
            for old in self.drills()[KEPT_MAX:]:
                (self._folder / f"{old.drill_id}.json").unlink(missing_ok=True)
                for told in self._told.glob(f"{old.drill_id}.*"):
                    told.unlink(missing_ok=True)
        except OSError as exc:
            raise self._away(exc) from exc

    def tell(self, tally: Tally) -> None:
        """Replace what this process counted; raises `StorageUnavailable`."""
        path = self._told / f"{tally.drill_id}.{tally.process}"
        draft = path.with_name(f".{path.name}")
        try:
            draft.write_text(json.dumps(tally.as_json()), encoding="utf-8")
            draft.replace(path)
        except OSError as exc:
            raise self._away(exc) from exc

    def tallies(self, drill_id: str) -> Sequence[Tally]:
        """Return what the processes counted; one that died lacks its last second."""
        found = []
        for path in sorted(self._told.glob(f"{drill_id}.*")):
            try:
                found.append(tally_from(_read(path)))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # Pruned meanwhile.
        return found

    def _away(self, exc: Exception) -> StorageUnavailable:
        why = exc.strerror if isinstance(exc, OSError) else type(exc).__name__
        return StorageUnavailable(
            f"cannot use drills in {str(self._folder)!r}: {why}; none is on while that lasts"
        )


def new_drill_id() -> str:
    """Return an id that sorts by time."""
    now = time.gmtime()
    return f"{time.strftime('%Y%m%dT%H%M%SZ', now)}-{os.urandom(3).hex()}"


def _read(path: Path) -> dict[str, Any]:
    body = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(body, dict):
        raise ValueError("no object")
    return body
