"""The key behind pseudonyms in leaves: one file, made at the first start, kept for life."""

import os
import secrets
import stat
from pathlib import Path

from bridge.model.errors import ConfigInvalid
from bridge.model.pseudonym import KEY_BYTES, Pseudonyms


def load_pseudonyms(path: Path) -> Pseudonyms:
    """Return the pseudonyms of the key at `path`; a missing key is made, with mode 0600.

    Raises:
        ConfigInvalid: the file cannot be used, others may read it, or it holds no key.
    """
    what = f"cannot use pseudonym key {str(path)!r}"
    try:
        if not path.exists():
            _create(path)
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(KEY_BYTES + 1)
    except OSError as exc:
        raise ConfigInvalid(f"{what}: {exc.strerror}; check the folder and its rights") from exc
    if mode & 0o077:
        raise ConfigInvalid(f"{what}: its mode {mode:04o} lets others read it; chmod 0600 it")
    try:
        return Pseudonyms(key)
    except ValueError as exc:
        raise ConfigInvalid(
            f"{what}: {exc}; restore it from the backup of the data folder: with another key, "
            "entities that are in the log already get other names"
        ) from exc


def _create(path: Path) -> None:
    """Make a key; of several processes that start at once, one wins and the others load it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
