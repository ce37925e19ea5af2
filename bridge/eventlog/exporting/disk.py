"""Errors of the disk that an export is written to, in words that say what to do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.model.errors import StorageUnavailable


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into `StorageUnavailable`."""
    try:
        yield
    except OSError as exc:
        free = _free_bytes(folder)
        raise StorageUnavailable(
            f"cannot export the event log to {str(folder)!r}: {exc.strerror or exc}"
            f"{'' if free is None else f' ({free:,} bytes are free there)'}; what is written is "
            "kept: make room or mend the folder's rights, then go on with --resume"
        ) from exc


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder.parent).free
    except OSError:
        return None
