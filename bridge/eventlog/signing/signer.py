"""The log's signing keys, in files of their own outside every database."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.eventlog.durable_files import create_private_file
from bridge.eventlog.signing.keyring import Keyring, KeyState, LogKey
from bridge.eventlog.signing.note import (
    VerifierKey,
    format_private_key,
    parse_private_key,
    sign_note,
)
from bridge.model.errors import ConfigInvalid, DecodeError, StorageUnavailable

RING: Final = ".ring"
LAST: Final = ".last"
LOCK: Final = ".lock"
"""What stands beside the first key's file: which keys sign, the last signed head, the lock."""


class Signer:
    """Signs notes with the log's Ed25519 keys; their name is the origin of the log.

    There is one key, or more while a new one overlaps with its predecessors. Without a ring's file
    the key at `path` is the only one.
    """

    def __init__(
        self, path: Path, origin: str, ring: Keyring, privates: tuple[Ed25519PrivateKey, ...]
    ) -> None:
        self.path = path
        self.origin = origin
        """The log's name, first line of its checkpoints."""
        # One reference, so that a thread never signs with the keys of another ring.
        self._loaded = ring, privates

    @property
    def ring(self) -> Keyring:
        """All keys that the log ever had, as of the last `refresh`."""
        return self._loaded[0]

    @property
    def key(self) -> VerifierKey:
        """The newest key that signs."""
        return self.ring.signing[0].key

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The keys that sign, the newest first."""
        return tuple(each.key for each in self.ring.signing)

    @property
    def vkey(self) -> str:
        """The newest public key, to give to auditors, out of band."""
        return self.key.format()

    def sign(self, text: str) -> bytes:
        """Return the note of `text`, signed by each key that signs."""
        return sign_note(text, self.origin, *self._loaded[1])

    def beside(self, ending: str) -> Path:
        """Return the path of a file beside the first key's."""
        return self.path.with_name(self.path.name + ending)

    def refresh(self) -> None:
        """Read ring and keys again: another process may have changed them.

        Raises:
            ConfigInvalid: see `load_or_create`.
            StorageUnavailable: a file cannot be read.
        """
        with _readable(self.path):
            self._loaded = _load(self.path, self.origin)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this log's keys over all processes of this machine.

        Raises:
            StorageUnavailable: the folder cannot be used.
        """
        try:
            with self.beside(LOCK).open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as exc:
            raise StorageUnavailable(
                f"cannot sign with {os.fspath(self.path)!r}: {exc.strerror}; "
                "check that the file and its folder can be read and written"
            ) from exc

    @classmethod
    def load_or_create(cls, path: Path, *, origin: str) -> "Signer":
        """Return the signer whose first key is at `path`; a missing one is made, with mode 0600.

        Raises:
            ConfigInvalid: others may read a key's file, it is not a key of `origin`, or a key that
                signed before is missing.
            StorageUnavailable: a file cannot be read or made.
        """
        with _readable(path):
            ring_path, last_path = (path.with_name(path.name + each) for each in (RING, LAST))
            if not path.exists() and not ring_path.exists():
                if last_path.exists():
                    raise ConfigInvalid(
                        f"cannot find signing key {str(path)!r}: it has signed before, as "
                        f"{last_path.name!r} beside it says; restore the folder from its backup "
                        "(a new key would be a stranger to every auditor)"
                    )
                create_key(path, origin)
            ring, privates = _load(path, origin)
        return cls(path, origin, ring, privates)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageUnavailable(
            f"cannot use signing key {str(path)!r}: {exc.strerror}; "
            "check the folder and the rights of the gateway's user"
        ) from exc


def _load(path: Path, origin: str) -> tuple[Keyring, tuple[Ed25519PrivateKey, ...]]:
    ring_path = path.with_name(path.name + RING)
    if not ring_path.exists():
        # The ring is written before a second key is made.
        if later := key_files(path):
            raise ConfigInvalid(
                f"cannot use signing key {later[0].name!r}: {ring_path.name!r}, which says when it "
                "signs, is missing; restore the folder from one backup"
            )
        private = load_key(path, origin)
        since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        only = LogKey(
            key=VerifierKey(name=origin, public=private.public_key().public_bytes_raw()),
            file=path.name,
            state=KeyState.ANNOUNCED,
            since=since,
        )
        return Keyring((only,)), (private,)
    ring = Keyring.parse(ring_path.read_bytes())
    privates = []
    for each in ring.signing:
        private = load_key(path.with_name(each.file), origin)
        if private.public_key().public_bytes_raw() != each.key.public:
            raise ConfigInvalid(
                f"cannot use signing key {each.file!r}: the ring beside it names another key; "
                "restore the folder from one backup"
            )
        privates.append(private)
    return ring, tuple(privates)


def key_files(path: Path) -> list[Path]:
    """Return the files of keys that were made after the first one at `path`."""
    return sorted(path.parent.glob(f"{path.name}.{'[0-9a-f]' * 8}"))


def load_key(path: Path, name: str) -> Ed25519PrivateKey:
    """Return the private key of `name` at `path`.

    Raises:
        ConfigInvalid: it is missing, others may read it, or it is no key of `name`.
        OSError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read(1024)
    except FileNotFoundError as exc:
        raise ConfigInvalid(
            f"cannot find signing key {str(path)!r}: restore the folder from its backup"
        ) from exc
    if mode & 0o077:
        raise ConfigInvalid(
            f"cannot use signing key {str(path)!r}: its mode {mode:04o} lets others use it; "
            f"if nobody has, run: chmod 0600 {path}"
        )
    try:
        found, private = parse_private_key(text.strip())
    except DecodeError as exc:
        raise ConfigInvalid(f"cannot use signing key {str(path)!r}: {exc}") from exc
    if found != name:
        raise ConfigInvalid(
            f"cannot use signing key {str(path)!r}: it belongs to log {found!r}, "
            f"not {name!r}; a log keeps its name for life"
        )
    return private


def create_key(path: Path, name: str) -> VerifierKey:
    """Make a key at `path` and return its public half; an existing file is kept.

    Of several processes that start at once, one wins and the others load its key.
    """
    private = Ed25519PrivateKey.generate()
    if not create_private_file(path, f"{format_private_key(name, private)}\n".encode()):
        private = load_key(path, name)
    return VerifierKey(name=name, public=private.public_key().public_bytes_raw())
