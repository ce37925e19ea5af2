"""Wire what keeps persons' data: keys, sealing, unsealing; opened when a field asks for it."""

import threading
from pathlib import Path

from adapters.files.master_key import FileMasterKey
from bridge.eventlog.keeping.keyring import Keyring
from bridge.eventlog.keeping.ports import SubjectKeyStore
from bridge.eventlog.keeping.sealer import Sealer
from bridge.eventlog.keeping.unsealer import Unsealer
from bridge.model.errors import ConfigInvalid
from bridge.model.pseudonym import Pseudonyms
from bridge.storage.subject_keys.sqlite import SqliteSubjectKeys


class Keeping:
    """The keys of persons' data in one data folder. A deployment without any has none of them."""

    def __init__(self, data_dir: Path, pseudonyms: Pseudonyms) -> None:
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._store: SqliteSubjectKeys | None = None
        self._master: FileMasterKey | None = None
        self._keyring: Keyring | None = None
        self.pseudonyms = pseudonyms
        self.sealer = Sealer(self.keyring, pseudonyms)
        self.unsealer = Unsealer(self.keyring)

    @property
    def path(self) -> Path:
        """Where the wrapped keys are."""
        return self._data_dir / "keys.db"

    @property
    def exists(self) -> bool:
        """Whether anything was ever sealed here."""
        return self.path.exists()

    def store(self) -> SubjectKeyStore:
        """Return the store of wrapped keys."""
        with self._lock:
            return self._opened()

    def master(self) -> FileMasterKey:
        """Return the master key; it is made with the first data key, and never again."""
        with self._lock:
            return self._opened_master()

    def keyring(self) -> Keyring:
        """Return the keys that this process works with."""
        with self._lock:
            if self._keyring is None:
                self._keyring = Keyring(self._opened(), self._opened_master())
            return self._keyring

    def opened_keyring(self) -> Keyring | None:
        """Return the keyring if anything was sealed or opened in this process."""
        return self._keyring

    def close(self) -> None:
        """Release the store."""
        if self._store is not None:
            self._store.close()

    def _opened(self) -> SqliteSubjectKeys:
        if self._store is None:
            self._store = SqliteSubjectKeys(self.path)
        return self._store

    def _opened_master(self) -> FileMasterKey:
        if self._master is None:
            path = self._data_dir / "keys" / "master.key"
            alive, destroyed = self._opened().counts()
            if (alive or destroyed) and not path.exists():
                raise ConfigInvalid(
                    f"cannot use the keys of persons' data: {alive} of them are wrapped by the "
                    f"master key {str(path)!r}, which is gone; restore that file"
                )
            self._master = FileMasterKey(path, create=True)
        return self._master
