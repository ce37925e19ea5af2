"""The key behind tokens of clients' writes: one file, made at the first start."""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from bridge.eventlog.durable_files import create_private_file
from bridge.gateway.dual.write_tokens import KEY_BYTES, WriteTokens
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer

KEY_FILE: Final = "keys/write-tokens.key"
"""Below `data_dir`; machines of one deployment have the same."""


def load_write_tokens(path: Path, observer: Observer) -> WriteTokens:
    """Return the tokens by the key at `path`; a missing key is made, with mode 0600.

    Raises:
        ConfigInvalid: the file cannot be used, others may read it, or it holds no key.
    """
    what = f"cannot use the key of write tokens {str(path)!r}"
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
        return WriteTokens(key, observer=observer)
    except ValueError as exc:
        raise ConfigInvalid(
            f"{what}: {exc}; remove it, and a new one is made: tokens that clients have are then "
            "not believed any more"
        ) from exc
