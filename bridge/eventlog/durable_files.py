"""Put small files beside the log durably: whole or not at all, also through a power cut."""

import os
import secrets
from pathlib import Path


def create_private_file(path: Path, data: bytes) -> bool:
    """Put `data` at `path` for its owner alone (mode 0600); return whether it was not there.

    Of several processes that create it at once, one wins; the others find its file. The folder is
    made when it is missing. Raises `OSError`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = write_private_draft(path, data)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
        # Also for who lost: what it goes on to do may outlive the winner's own call.
        sync_folder(path.parent)
    return True


def write_private_draft(path: Path, data: bytes) -> Path:
    """Return a durable file beside `path` that nobody but its owner could ever read.

    Raises `OSError`.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path` durably, so that a reader finds the old or the new, never a part.

    Raises `OSError`; the old file is left then.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
