"""A secret key in a file of its own, which nobody but its owner may read."""

import os
import secrets
import stat
from pathlib import Path

from bridge.eventlog.durable_files import create_private_file
from bridge.model.errors import ConfigInvalid


def made_key(path: Path, what: str, size: int) -> bytes:
    """Return the key at `path`; a missing one is made of `size` random bytes, with mode 0600.

    `what` it is goes into errors ("pseudonym key"). Of several processes that start at once, one
    makes it and the others read it. A file of another size is returned as it is, `size + 1` bytes
    at most: whoever uses the key refuses it and says what is lost with it.

    Raises:
        ConfigInvalid: the file cannot be made or read, or others may read it.
    """
    if not path.exists():
        try:
            create_private_file(path, secrets.token_bytes(size))
        except OSError as exc:
            raise ConfigInvalid(
                f"cannot make {what} {str(path)!r}: {exc.strerror}; check the folder and its rights"
            ) from exc
    return private_bytes(path, what, size)


def private_bytes(path: Path, what: str, size_max: int) -> bytes:
    """Return what the file holds, `size_max + 1` bytes at most: one more says it is too long.

    Raises:
        ConfigInvalid: the file cannot be read, or others may read it.
    """
    cannot = f"cannot use {what} {str(path)!r}"
    try:
        with path.open("rb") as file:
            # Of the file that is read, not of the name: another may be put there meanwhile.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            held = file.read(size_max + 1)
    except OSError as exc:
        raise ConfigInvalid(f"{cannot}: {exc.strerror}; check the folder and its rights") from exc
    if mode & 0o077:
        raise ConfigInvalid(
            f"{cannot}: its mode {mode:04o} lets others read it; if nobody has, chmod 0600 it"
        )
    return held
