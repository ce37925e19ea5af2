"""Put sealed fields back into payloads, for those who may read them, as long as the keys exist.

A payload is put together by text, never parsed into numbers: every digit is as the source wrote it.
"""

import base64
import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.eventlog.keeping.keyring import Keyring
from bridge.eventlog.keeping.sealed_form import SALT_BYTES, Item, is_sealed, items, open_item
from bridge.model.entry import StoredEntry
from bridge.model.errors import LogCorrupt
from bridge.model.payloads import members

ERASED: Final = "erased"
"""CloudEvents attribute of an event whose fields are gone: their JSON Pointers, space between."""


class Opened(NamedTuple):
    """One sealed portion of an entry that could be opened."""

    item: int
    """Its place among the entry's portions."""
    plaintext: bytes
    """32 random bytes and a JSON object, as the leaf commits to it."""


class Unsealer:
    """Opens what entries hold sealed. Safe to share between threads."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def unsealed(self, entries: Sequence[StoredEntry]) -> list[StoredEntry]:
        """Return `entries` with the payloads that their contracts promise.

        Fields whose key was destroyed are missing, and named in the attribute `erased`. A key that
        is destroyed while this runs may still be used for these entries, and for none later.

        Raises:
            ConfigInvalid: a key is neither there nor destroyed.
            LogCorrupt: an entry is not what its leaf commits to.
        """
        self._keyring.refresh()
        return [self._clear(entry) if is_sealed(entry.leaf) else entry for entry in entries]

    def opened(self, entry: StoredEntry) -> list[Opened]:
        """Return the portions of `entry` that can be opened, as `disclosed.jsonl` has them.

        Raises as `unsealed`.
        """
        self._keyring.refresh()
        if not is_sealed(entry.leaf):
            return []
        found = []
        for place, (item, key) in enumerate(self._items(entry, _attributes(entry))):
            if key is not None:
                found.append(Opened(place, open_item(entry, item, key)))
        return found

    def _items(self, entry: StoredEntry, root: dict[str, str]) -> list[tuple[Item, AESGCM | None]]:
        if "sealed" not in root:
            return []  # What looked like a mark in the leaf was said by the source.
        found = items(entry, json.loads(root["sealed"]), json.loads(root["sealedpaths"]))
        return [(item, self._keyring.opening_key(item.key_id)) for item in found]

    def _clear(self, entry: StoredEntry) -> StoredEntry:
        root = _attributes(entry)
        found = self._items(entry, root)
        if not found:
            return entry
        values: dict[str, str] = {}
        erased: list[str] = []
        for item, key in found:
            if key is None:
                erased += item.paths
            else:
                values |= members(open_item(entry, item, key)[SALT_BYTES:].decode())
        del root["sealed"], root["sealedpaths"]
        root["data"] = _filled(root["data"], values)
        if erased:
            root[ERASED] = json.dumps(" ".join(erased), ensure_ascii=False)
        return entry._replace(payload=_object(root).encode())


def disclosed_line(index: int, opened: Opened) -> bytes:
    """Return the line of `disclosed.jsonl` for one opened portion, without line feed."""
    plaintext = base64.b64encode(opened.plaintext).decode()
    return json.dumps({"index": index, "item": opened.item, "plaintext": plaintext}).encode()


def _attributes(entry: StoredEntry) -> dict[str, str]:
    try:
        return members(entry.payload.decode())
    except ValueError as exc:
        raise LogCorrupt(
            f"cannot read entry {entry.leaf_index}: its payload is no event of ours"
        ) from exc


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
