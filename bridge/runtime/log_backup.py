"""Back up what the event log needs to go on elsewhere, while everything runs.

The order matters: first what knows of the log (the last signed head, the cursors, the journal), the
log last. So a restored log is never older than what was backed up with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import file_digest
from pathlib import Path

import orjson

from bridge.eventlog.durable_files import replace_file, sync_folder
from bridge.eventlog.records.access import record_access
from bridge.eventlog.records.action_record import log_time
from bridge.eventlog.signing.signer import LAST
from bridge.model.entry import TreeHead
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.model.warrant import Warrant
from bridge.runtime.wiring.log_identity import KEY_NAME
from bridge.runtime.wiring.log_opening import LOG_FILE, STATE_FILE, keys_dir
from bridge.runtime.wiring.stores import Stores
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.event_log.sqlite_backup import copy_sqlite

JOURNAL_FILE = "journal.db"
MANIFEST = "backup.json"
"""Written last: a folder without it is not a whole backup."""

Progress = Callable[[str, int, int], None]
"""Hears which file is copied, how much of it is done, and of how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup holds."""

    folder: Path
    files: tuple[str, ...]
    size_bytes: int
    head: TreeHead
    """The log in it holds at least this; of a log in PostgreSQL, when its dump is made now."""
    log_elsewhere: bool
    """Whether the log is in PostgreSQL and has to be dumped from there."""


def back_up(
    stores: Stores, folder: Path, warrant: Warrant, *, progress: Progress = lambda *_: None
) -> BackupReport:
    """Write a backup to the new `folder`, after the log recorded who took it and why.

    Raises:
        ConfigInvalid: the folder is there already.
        StorageUnavailable: something cannot be read or written; the folder lacks its manifest.
    """
    settings, log = stores.settings, stores.event_log()
    elsewhere = settings.event_log.url != "sqlite"
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise ConfigInvalid(
            f"cannot back up to {str(folder)!r}: it exists; name a new folder for each backup"
        ) from None
    except OSError as exc:
        raise StorageUnavailable(f"cannot make {str(folder)!r}: {exc.strerror}") from exc
    record_access(log, warrant, "backup", found=log.head().size)
    head = log.head()
    last = keys_dir(settings) / (KEY_NAME + LAST)
    if last.exists():
        (folder / last.parent.name).mkdir(mode=0o700)
        replace_file(folder / last.parent.name / last.name, last.read_bytes())
    names = [STATE_FILE, JOURNAL_FILE, *([] if elsewhere else [LOG_FILE])]
    for name in names:
        source = settings.data_dir / name
        if source.exists():
            copy_sqlite(source.absolute(), folder / name, progress=partial(progress, name))
    if not elsewhere:
        head = _checked(folder / LOG_FILE)
    return _sealed(folder, head, elsewhere)


def _checked(path: Path) -> TreeHead:
    """Return the head of the copy; opening it for an append restores its tree, which is a check."""
    log = SqliteEventLog(path)
    try:
        log.leaf_hashes(max(0, log.head().size - 1), log.head().size)
        return log.head()
    finally:
        log.close()


def _sealed(folder: Path, head: TreeHead, elsewhere: bool) -> BackupReport:
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            name = path.relative_to(folder).as_posix()
            files[name] = {"bytes": path.stat().st_size, "sha256": digest}
    made = {
        "format": "legacy-bridge-backup",
        "version": 1,
        "made": log_time(datetime.now(UTC)),
        "head": {"size": head.size, "root": head.root.hex()},
        "log": "postgresql" if elsewhere else LOG_FILE,
        "files": files,
    }
    replace_file(folder / MANIFEST, orjson.dumps(made, option=orjson.OPT_INDENT_2) + b"\n")
    sync_folder(folder.parent)
    return BackupReport(
        folder=folder,
        files=tuple(files),
        size_bytes=sum((folder / name).stat().st_size for name in files),
        head=head,
        log_elsewhere=elsewhere,
    )
