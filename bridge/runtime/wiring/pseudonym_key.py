"""The key behind pseudonyms in leaves: one file, made at the first start, kept for life."""

import os
import secrets
import stat
from pathlib import Path

from bridge.eventlog.durable_files import create_private_file
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
            create_private_file(path, secrets.token_bytes(KEY_BYTES))
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
