"""The log's signing key, in a file of its own outside every database."""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.eventlog.signing.note import (
    VerifierKey,
    format_private_key,
    parse_private_key,
    sign_note,
)
from bridge.model.errors import ConfigInvalid, DecodeError, StorageUnavailable


class Signer:
    """Signs notes with one Ed25519 key; its name is the origin of the log."""

    def __init__(self, *, name: str, private: Ed25519PrivateKey, path: Path) -> None:
        self.key = VerifierKey(name=name, public=private.public_key().public_bytes_raw())
        self.path = path
        self._private = private

    @property
    def origin(self) -> str:
        """The log's name, first line of its checkpoints."""
        return self.key.name

    @property
    def vkey(self) -> str:
        """The public key to give to auditors, out of band."""
        return self.key.format()

    def sign(self, text: str) -> bytes:
        """Return the signed note of `text`."""
        return sign_note(text, self.key.name, self._private)

    @classmethod
    def load_or_create(cls, path: Path, *, origin: str) -> "Signer":
        """Return the signer whose key is at `path`; a missing key is made, with mode 0600.

        Raises:
            ConfigInvalid: others may read the file, or it is not a key of `origin`.
            StorageUnavailable: the file cannot be read or made.
        """
        try:
            if not path.exists():
                _create(path, origin)
            return cls._load(path, origin)
        except OSError as exc:
            raise StorageUnavailable(
                f"cannot use signing key {str(path)!r}: {exc.strerror}; "
                "check the folder and the rights of the gateway's user"
            ) from exc

    @classmethod
    def _load(cls, path: Path, origin: str) -> "Signer":
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read(1024)
        if mode & 0o077:
            raise ConfigInvalid(
                f"cannot use signing key {str(path)!r}: its mode {mode:04o} lets others use it; "
                f"if nobody has, run: chmod 0600 {path}"
            )
        try:
            name, private = parse_private_key(text.strip())
        except DecodeError as exc:
            raise ConfigInvalid(f"cannot use signing key {str(path)!r}: {exc}") from exc
        if name != origin:
            raise ConfigInvalid(
                f"cannot use signing key {str(path)!r}: it belongs to log {name!r}, "
                f"not {origin!r}; a log keeps its name for life"
            )
        return cls(name=name, private=private, path=path)


def _create(path: Path, origin: str) -> None:
    """Make a key; of several processes that start at once, one wins and the others load it."""
    text = format_private_key(origin, Ed25519PrivateKey.generate()) + "\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        sync_folder(path.parent)
    finally:
        draft.unlink()


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path` durably, so that a reader finds the old or the new, never a part."""
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
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
