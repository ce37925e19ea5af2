"""Put sealed fields back into payloads, for those who may read them, as long as the keys exist.

A payload is put together by text, never parsed into numbers: every digit is as the source wrote it.
"""

import json
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.eventlog.exporting.ports import Opened, SealedEntry
from bridge.eventlog.keeping.keyring import Keyring
from bridge.eventlog.keeping.sealed_form import (
    SALT_BYTES,
    Item,
    is_sealed,
    items,
    open_item,
    without_sealed,
)
from bridge.eventlog.ports import EventLogReader
from bridge.model.entry import StoredEntry
from bridge.model.payloads import members

_DATA: Final = ',"data":{"key":'
_AFTER: Final = ',"after":{'

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
        found = []
        for index, leaf, payload in entries:
            parts = without_sealed(payload.decode())
            for place, (item, key) in enumerate(self._items(index, leaf, parts)):
                if key is not None:
                    found.append(Opened(index, place, open_item(item, key)))
        return found

    def _items(
        self, index: int, leaf: bytes, parts: tuple[str, str, str] | None
    ) -> list[tuple[Item, AESGCM | None]]:
        if parts is None:
            return []  # What looked like a mark in the leaf was said by the source.
        keyring = self._keyring()
        return [
            (item, keyring.opening_key(item.key_id))
            for item in items(index, leaf, parts[1], parts[2])
        ]

    def _clear(self, entry: StoredEntry) -> StoredEntry:
        parts = without_sealed(entry.payload.decode())
        if parts is None:
            return entry
        values: dict[str, str] = {}
        erased: list[str] = []
        for item, key in self._items(entry.leaf_index, entry.leaf, parts):
            if key is None:
                erased += item.paths
            else:
                values |= members(open_item(item, key)[SALT_BYTES:].decode())
        payload = _quickly_filled(parts[0], values) or _filled(parts[0], values)
        if erased:
            told = json.dumps(" ".join(erased), ensure_ascii=False)
            payload = f'{payload[:-1]},"{ERASED}":{told}}}'
        return entry._replace(payload=payload.encode())


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


def _quickly_filled(payload: str, values: dict[str, str]) -> str | None:
    """Return `payload` with `values` in its new row, or None when they belong elsewhere as well.

    The data of an event begins with the key, which is flat, and goes on with the new row: that is
    found without cutting up what stands in it.
    """
    start = payload.find(_AFTER, payload.find(_DATA)) + len(_AFTER)
    if start < len(_AFTER) or not all(path.startswith("/after/") for path in values):
        return None
    row = ",".join(f'"{path[7:]}":{value}' for path, value in values.items())
    comma = "," if row and payload[start] != "}" else ""
    return f"{payload[:start]}{row}{comma}{payload[start:]}"


def _filled(payload: str, values: dict[str, str]) -> str:
    """Return `payload` with `values` (JSON texts by pointer into `data`) put in."""
    root = members(payload)
    data = members(root["data"])
    rows: dict[str, dict[str, str]] = {}
    for path, value in values.items():
        _, *names = path.split("/")
        if len(names) == 1:
            data[names[0]] = value
        else:
            row = rows.setdefault(names[0], members(data[names[0]]))
            # RFC 6901: a slash within a name is written `~1`, a tilde `~0`.
            row[names[1].replace("~1", "/").replace("~0", "~")] = value
    data.update({side: _object(row) for side, row in rows.items()})
    root["data"] = _object(data)
    return _object(root)


def _object(found: dict[str, str]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in found.items()) + "}"
