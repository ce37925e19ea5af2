"""Put sealed fields back into payloads, for those who may read them, as long as the keys exist.

A payload is put together by text, never parsed into numbers: every digit is as the source wrote it.
"""

import json
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.eventlog.exporting.ports import Opened, SealedEntry
from bridge.eventlog.keeping.keyring import Keyring
from bridge.eventlog.keeping.sealed_form import SALT_BYTES, Item, is_sealed, items, open_item
from bridge.eventlog.ports import EventLogReader
from bridge.model.entry import StoredEntry
from bridge.model.errors import LogCorrupt
from bridge.model.payloads import members

ERASED: Final = "erased"
"""CloudEvents attribute of an event whose fields are gone: their JSON Pointers, space between."""


class Unsealer:
    """Opens what entries hold sealed. Safe to share between threads."""

    def __init__(self, keyring: Callable[[], Keyring]) -> None:
        """`keyring` is asked when the first sealed entry comes."""
        self._keyring = keyring

    def unsealed(self, entries: Sequence[StoredEntry]) -> Sequence[StoredEntry]:
        """Return `entries` with the payloads that their contracts promise.

        Fields whose key was destroyed are missing, and named in the attribute `erased`. A key that
        is destroyed while this runs may still be used for these entries, and for none later.

        Raises:
            ConfigInvalid: a key is neither there nor destroyed.
            LogCorrupt: an entry is not what its leaf commits to.
        """
        if not any(is_sealed(entry.leaf) for entry in entries):
            return entries
        self._keyring().refresh()
        return [self._clear(entry) if is_sealed(entry.leaf) else entry for entry in entries]

    def open(self, entries: Sequence[SealedEntry]) -> list[Opened]:
        """Return what can be opened of `entries`; implements the `Opener` of exports.

        Raises as `unsealed`.
        """
        self._keyring().refresh()
        return [
            Opened(index, place, open_item(item, key))
            for index, leaf, payload in entries
            for place, (item, key) in enumerate(
                self._items(index, leaf, _attributes(index, payload))
            )
            if key is not None
        ]

    def _items(
        self, index: int, leaf: bytes, root: dict[str, str]
    ) -> list[tuple[Item, AESGCM | None]]:
        if "sealed" not in root:
            return []  # What looked like a mark in the leaf was said by the source.
        keyring = self._keyring()
        found = items(index, leaf, json.loads(root["sealed"]), json.loads(root["sealedpaths"]))
        return [(item, keyring.opening_key(item.key_id)) for item in found]

    def _clear(self, entry: StoredEntry) -> StoredEntry:
        root = _attributes(entry.leaf_index, entry.payload)
        found = self._items(entry.leaf_index, entry.leaf, root)
        if not found:
            return entry
        values: dict[str, str] = {}
        erased: list[str] = []
        for item, key in found:
            if key is None:
                erased += item.paths
            else:
                values |= members(open_item(item, key)[SALT_BYTES:].decode())
        del root["sealed"], root["sealedpaths"]
        root["data"] = _filled(root["data"], values)
        if erased:
            root[ERASED] = json.dumps(" ".join(erased), ensure_ascii=False)
        return entry._replace(payload=_object(root).encode())


class UnsealedLog:
    """The event log as its readers' contracts promise it: for who compares, not for who proves."""

    def __init__(self, log: EventLogReader, unsealer: Unsealer) -> None:
        self._log = log
        self._unsealer = unsealer
        self.head = log.head
        self.leaf_hashes = log.leaf_hashes
        self.tile_roots = log.tile_roots
        self.cursor = log.cursor
        self.change_token = log.change_token

    def read(self, start: int, count_max: int) -> list[StoredEntry]:
        """Return entries with what is sealed in them put back."""
        return [*self._unsealer.unsealed(self._log.read(start, count_max))]

    def find(self, entry_id: str) -> StoredEntry | None:
        """Return the entry with this id, likewise."""
        found = self._log.find(entry_id)
        return None if found is None else self._unsealer.unsealed([found])[0]


def _attributes(index: int, payload: bytes) -> dict[str, str]:
    try:
        return members(payload.decode())
    except ValueError as exc:
        raise LogCorrupt(f"cannot read entry {index}: its payload is no event of ours") from exc


def _filled(data: str, values: dict[str, str]) -> str:
    """Return `data` with `values` (JSON texts by pointer) put in: one or two levels deep."""
    tree = members(data)
    rows: dict[str, dict[str, str]] = {}
    for path, value in values.items():
        _, *names = path.split("/")
        if len(names) == 1:
            tree[names[0]] = value
        else:
            row = rows.setdefault(names[0], members(tree[names[0]]))
            # RFC 6901: a slash within a name is written `~1`, a tilde `~0`.
            row[names[1].replace("~1", "/").replace("~0", "~")] = value
    tree.update({side: _object(row) for side, row in rows.items()})
    return _object(tree)


def _object(found: dict[str, str]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in found.items()) + "}"
