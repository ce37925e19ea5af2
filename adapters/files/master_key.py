"""The master key in a file that only its owner may read; implements `MasterKey` of keeping.

Each line is one key, `lb-master+ID+BASE64`, the newest first: a rotation puts a new line in front,
wraps all data keys anew, and takes the old line away later. Keys are wrapped by AES-256-GCM.
"""

import base64
import binascii
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.eventlog.durable_files import (
    create_private_file,
    sync_folder,
    write_private_draft,
)
from bridge.model.errors import ConfigInvalid, StorageUnavailable

_PREFIX: Final = "lb-master"
_ID_BYTES: Final = 4
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FILE_BYTES_MAX: Final = 65_536
"""Hundreds of lines; a larger file is another one."""


class FileMasterKey:
    """The master keys of the file at `path`; looks again when the file is another."""

    def __init__(self, path: Path, *, create: bool) -> None:
        """Load the file; with `create`, a missing one is made.

        Raises:
            ConfigInvalid: it is missing, others may read it, or it holds no master key.
            StorageUnavailable: it cannot be read or made.
        """
        self.path = path
        self._keys: dict[bytes, AESGCM] = {}
        self._newest = b""
        self._signature: tuple[int, int, int] | None = None
        try:
            if create and not path.exists():
                create_private_file(path, f"{_line()}\n".encode("ascii"))
            self._load()
        except OSError as exc:
            raise self._unavailable(exc) from exc

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Return `key` wrapped by the newest master key."""
        self._look()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._newest + nonce + self._keys[self._newest].encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the key; raises `ConfigInvalid` when no master key here fits."""
        master = wrapped[:_ID_BYTES]
        if master not in self._keys:
            self._look()
        found = self._keys.get(master)
        if found is None:
            raise ConfigInvalid(
                f"cannot unwrap a data key: its master key {master.hex()} is not in "
                f"{str(self.path)!r}; restore that file as it was"
            )
        nonce, rest = wrapped[_ID_BYTES:][:_NONCE_BYTES], wrapped[_ID_BYTES + _NONCE_BYTES :]
        try:
            return found.decrypt(nonce, rest, context)
        except InvalidTag as exc:
            raise ConfigInvalid(
                f"cannot unwrap a data key: it is not what master key {master.hex()} wrapped; "
                "restore keys.db from its newest backup"
            ) from exc

    def is_newest(self, wrapped: bytes) -> bool:
        """Whether `wrapped` is by the newest master key."""
        self._look()
        return wrapped[:_ID_BYTES] == self._newest

    def add(self) -> str:
        """Put a new master key in front, durably; return its id."""
        self._look()
        line, text = _line(), self.path.read_text(encoding="ascii")
        self._replace(f"{line}\n{text}")
        return self._newest.hex()

    def retire(self) -> list[str]:
        """Take all keys but the newest away, durably; return their ids."""
        self._look()
        first, *others = self.path.read_text(encoding="ascii").splitlines()
        if others:
            self._replace(f"{first}\n")
        return [line.split("+")[1] for line in others if line]

    def _replace(self, text: str) -> None:
        draft = write_private_draft(self.path, text.encode("ascii"))
        try:
            draft.replace(self.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_folder(self.path.parent)
        self._load()

    def _look(self) -> None:
        """Load the file again if it is another than the one that was read."""
        try:
            if _signature(self.path.stat()) != self._signature:
                self._load()
        except OSError as exc:
            raise self._unavailable(exc) from exc

    def _load(self) -> None:
        what = f"cannot use master key {str(self.path)!r}"
        try:
            file = self.path.open("rb")
        except FileNotFoundError as exc:
            raise ConfigInvalid(
                f"{what}: the file is gone, and data keys are wrapped by it; restore it, else "
                "nobody can read what was sealed"
            ) from exc
        with file:
            status = os.fstat(file.fileno())
            text = file.read(_FILE_BYTES_MAX + 1)
        if status.st_mode & 0o077:
            raise ConfigInvalid(
                f"{what}: its mode {status.st_mode & 0o777:04o} lets others use it; if nobody has, "
                f"run: chmod 0600 {self.path}"
            )
        keys: dict[bytes, AESGCM] = {}
        for line in text.decode("ascii", "replace").splitlines():
            master, key = _parsed(line, what)
            keys.setdefault(master, AESGCM(key))
        if not keys or len(text) > _FILE_BYTES_MAX:
            raise ConfigInvalid(f"{what}: it holds no master key; restore it")
        self._keys, self._newest = keys, next(iter(keys))
        self._signature = _signature(status)

    def _unavailable(self, exc: OSError) -> StorageUnavailable:
        return StorageUnavailable(
            f"cannot use master key {str(self.path)!r}: {exc.strerror}; check the folder and the "
            "rights of the gateway's user"
        )


def _signature(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _line() -> str:
    key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    return f"{_PREFIX}+{secrets.token_hex(_ID_BYTES)}+{key}"


def _parsed(line: str, what: str) -> tuple[bytes, bytes]:
    prefix, _, rest = line.partition("+")
    master, _, encoded = rest.partition("+")
    try:
        found = bytes.fromhex(master), base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        found = b"", b""
    if prefix != _PREFIX or len(found[0]) != _ID_BYTES or len(found[1]) != _KEY_BYTES:
        raise ConfigInvalid(f"{what}: a line has not the form {_PREFIX}+ID+BASE64; restore it")
    return found
